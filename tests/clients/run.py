#!/usr/bin/env python3
"""Real clients in their own languages against a running broker.

    tests/clients/run.py --firth target/release/firth [PART OF A SCENARIO'S NAME ...]
    tests/clients/run.py --bootstrap 127.0.0.1:9092 [...]      any Kafka broker; what only Firth does is skipped

Each scenario runs in a process of its own with a deadline, so that a client that hangs or crashes is one failure. All that is
installed or written lies below target/clients; a client is installed if a scenario that was asked for needs it. What a missing
tool (kcat, PyPI, a C compiler, a JDK) makes impossible is a failure when CI=true and a visible skip elsewhere.
"""

import argparse
import functools
import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = [
    "over_http", "with_kcat", "with_confluent", "with_kafka_python", "with_rdkafka", "with_groups", "with_programs",
    "with_connect", "with_streams", "with_guide", "flights",
]
INSTALL_S = 900

sys.path[:0] = [str(HERE), str(HERE / "scenarios")]

from broker import Broker  # noqa: E402
from programs import PROGRAMS, TARGET, VENV, prepare  # noqa: E402
from scenario import SCENARIOS, Context  # noqa: E402

RDKAFKA = TARGET / "rdkafka" / "debug" / "rdkafka-client"


def main():
    arguments = parse()
    TARGET.mkdir(parents=True, exist_ok=True)
    python = venv_python()
    if python and Path(sys.prefix) != VENV:
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    unimportable = load_modules()
    if arguments.run_one:
        return run_one(arguments)

    chosen = [each for each in SCENARIOS if not arguments.names or any(name in each.name for name in arguments.names)]
    tally = Tally()
    for name, reason in unimportable.items():
        tally.verdict(unable(), name, reason)
    missing = prepare_tools(tally, chosen)
    if arguments.bootstrap:
        run_all(tally, arguments, chosen, missing, arguments.bootstrap, "", None)
    else:
        try:
            with Broker(arguments.firth, TARGET) as broker:
                run_all(tally, arguments, chosen, missing, broker.bootstrap, broker.http, broker)
        except RuntimeError as failure:
            tally.verdict("failed", "firth serve", failure)
    if tally.counts["passed"] + tally.counts["failed"] == 0:
        tally.verdict("failed", "run.py", "no scenario ran")
    tally.close()
    return 1 if tally.counts["failed"] else 0


class Tally:
    """What came out, and the seconds that each module's or client's scenarios and installation took."""

    def __init__(self):
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.seconds = {}

    def verdict(self, outcome, name, remark):
        self.counts[outcome] += 1
        print(f"{outcome:7} {name} ({remark})", flush=True)

    def spent(self, name, begin):
        family, seconds = name.split(".")[0], time.monotonic() - begin
        self.seconds[family] = self.seconds.get(family, 0) + seconds
        return f"{seconds:.1f} s"

    def close(self):
        for family, seconds in self.seconds.items():
            print(f"{seconds:7.1f} s {family}")
        print(", ".join(f"{count} {outcome}" for outcome, count in self.counts.items()))


def prepare_tools(tally, chosen):
    """Why what some of the scenarios need is not there, by tool."""
    tools = {"kcat": kcat, "rdkafka": rdkafka} | {each: functools.partial(prepare, each) for each in PROGRAMS}
    missing = {}
    for name in tools:
        if not any(name in each.needs for each in chosen):
            continue
        begin = time.monotonic()
        reason = tools[name]()
        took = tally.spent(name if name in PROGRAMS else f"with_{name}", begin)
        if reason:
            missing[name] = reason
        else:
            print(f"ready   {name} ({took})", flush=True)
    return missing


def run_all(tally, arguments, chosen, missing, bootstrap, http, broker):
    for each in chosen:
        absent = [missing[tool] for tool in each.needs if tool in missing]
        if each.only_firth and not arguments.firth:
            tally.verdict("skipped", each.name, "only for Firth itself")
        elif absent:
            tally.verdict(unable(), each.name, absent[0])
        else:
            run(tally, each, arguments, bootstrap, http, broker)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    broker = parser.add_mutually_exclusive_group(required=True)
    broker.add_argument("--firth", metavar="BINARY", help="start this binary and end it afterwards")
    broker.add_argument("--bootstrap", metavar="HOST:PORT", help="use a broker that runs already")
    parser.add_argument("--run-one", nargs=3, metavar=("SCENARIO", "BOOTSTRAP", "HTTP"), help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def run(tally, each, arguments, bootstrap, http, broker):
    side = ["--firth", arguments.firth] if arguments.firth else ["--bootstrap", bootstrap]
    command = [sys.executable, __file__, *side, "--run-one", each.name, bootstrap, http]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=each.timeout_s
        )
        output, failed = done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired as hung:
        output, failed = (hung.stdout or b"") + f"\nhung for {each.timeout_s} s".encode(), True
    tally.verdict("failed" if failed else "passed", each.name, tally.spent(each.name, begin))
    text = output.decode(errors="replace").strip()
    if text:
        print("    " + text.replace("\n", "\n    "), flush=True)
    if failed:
        print(f"    to repeat: {' '.join(['tests/clients/run.py', *side, each.name])}")
        if broker:
            print("    the broker's last lines:\n    " + broker.tail().replace("\n", "\n    "), flush=True)


def run_one(arguments):
    name, bootstrap, http = arguments.run_one
    (each,) = [each for each in SCENARIOS if each.name == name]
    each.run(Context(bootstrap, http, arguments.firth, TARGET, RDKAFKA))
    return 0


def unable():
    return "failed" if os.environ.get("CI") == "true" else "skipped"


def venv_python():
    """The interpreter that has the pinned packages, or None with the reason printed."""
    python, wanted = VENV / "bin" / "python", (HERE / "requirements.txt").read_text()
    stamp = VENV / "requirements.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--no-input"]
    shutil.rmtree(VENV, ignore_errors=True)
    for command in ([sys.executable, "-m", "venv", VENV], [python, *install, "-r", HERE / "requirements.txt"]):
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=INSTALL_S)
        except (OSError, subprocess.SubprocessError) as failure:
            print(f"the Python clients could not be installed: {failure}", flush=True)
            return None
    stamp.write_text(wanted)
    return python


def kcat():
    return None if shutil.which("kcat") else "kcat is not installed: apt-get install kcat"


def rdkafka():
    """Compiles the Rust client once per run; the scenarios' own processes find it there."""
    manifest = HERE / "rdkafka" / "Cargo.toml"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", TARGET / "rdkafka"]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as failure:
        return f"the rust-rdkafka client could not be compiled: {failure}"
    return None


def load_modules():
    unimportable = {}
    for module in MODULES:
        try:
            importlib.import_module(module)
        except ImportError as failure:
            unimportable[module] = str(failure)
    return unimportable


if __name__ == "__main__":
    sys.exit(main())
