"""Makes this directory the package `test`: its source package leaves this file out, and Python's own `test` would be imported."""
