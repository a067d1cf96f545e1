"""A process that a scenario runs: what it says is kept, it may be killed, and it is always ended by its pid."""

import subprocess
import time

from broker import end_with_parent

END_S = 20


class Child:
    """`with Child(line, directory) as child:` runs a command line, and shows its last words where the scenario fails."""

    def __init__(self, line, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.line, self.directory, self.process = [str(part) for part in line], directory, None
        self.log = directory / "log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failure, *_):
        self.kill()
        if failure is not None:
            print("\n".join(self.log.read_text(errors="replace").splitlines()[-40:]), flush=True)

    def start(self):
        """Begins, unless it has begun."""
        if self.process is not None and self.process.poll() is None:
            return
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                self.line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=end_with_parent
            )

    def is_alive(self):
        assert self.process.poll() is None, f"{self.line[-1]} ended with {self.process.returncode}"
        return True

    def kill(self):
        """kill -9: it says nothing to anybody."""
        self.process.kill()
        self.process.wait(END_S)


def wait_until(done, within_s, what):
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
