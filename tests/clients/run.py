#!/usr/bin/env python3
"""Real clients in their own languages against a running broker.

    tests/clients/run.py --firth target/release/firth [PART OF A SCENARIO'S NAME ...]
    tests/clients/run.py --bootstrap 127.0.0.1:9092 [...]      any Kafka broker; what only Firth does is skipped
    tests/clients/run.py --amqp 127.0.0.1:5672 --http http://127.0.0.1:15672 [--rabbitmqctl COMMAND] [...]
                                                               any AMQP broker, as RabbitMQ with its management plugin

Firth is not asked for what pending.txt names, which only shrinks; with --pending it is, and what passes has to leave the list.
Each scenario runs in a process of its own with a deadline, so that a client that hangs or crashes is one failure. All that is
installed or written lies below target/clients; a client is installed if a scenario that was asked for needs it. What a missing
tool (kcat, amqp-tools, PyPI, a C compiler, a JDK) makes impossible is a failure when CI=true and a visible skip elsewhere.
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
    "with_pika_publishing", "with_pika_consuming", "with_pika_consumers", "with_pika_queues", "with_pika_limits",
    "with_pika_exchanges", "with_pika_dead_letters", "with_pika_quorum", "with_pika_connections", "with_py_amqp",
    "with_aio_pika", "with_celery", "with_amqp_tools", "with_amqp_programs",
]
PENDING = HERE / "pending.txt"
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
    if arguments.run_one:
        return run_one(arguments)
    unimportable = load_modules(MODULES)

    spoken = {"kafka": arguments.firth or arguments.bootstrap, "amqp": arguments.firth or arguments.amqp}
    chosen = [each for each in SCENARIOS if spoken[each.protocol]]
    chosen = [each for each in chosen if not arguments.names or any(name in each.name for name in arguments.names)]
    tally = Tally(pending() if arguments.firth else set())
    unknown = tally.pending - {each.name for each in SCENARIOS}
    for name in sorted(unknown) if not unimportable else ():
        tally.verdict("failed", name, "it is named in pending.txt, and there is no such scenario")
    if arguments.firth and not arguments.pending:
        for each in chosen:
            if each.name in tally.pending:
                tally.verdict("pending", each.name, "see pending.txt")
        chosen = [each for each in chosen if each.name not in tally.pending]
    for name, reason in unimportable.items():
        tally.verdict(unable(), name, reason)
    missing = prepare_tools(tally, chosen)
    if not arguments.firth:
        run_all(tally, arguments, chosen, missing, None)
    else:
        try:
            with Broker(arguments.firth, TARGET) as broker:
                run_all(tally, arguments, chosen, missing, broker)
        except RuntimeError as failure:
            tally.verdict("failed", "firth serve", failure)
    if not any(tally.counts.values()):
        tally.verdict("failed", "run.py", "no scenario ran")
    tally.close()
    return 1 if tally.counts["failed"] else 0


class Tally:
    """What came out, and the seconds that each module's or client's scenarios and installation took."""

    def __init__(self, pending):
        self.pending = pending
        self.counts = {"passed": 0, "failed": 0, "skipped": 0, "pending": 0}
        self.seconds = {}

    def verdict(self, outcome, name, remark):
        self.counts[outcome] += 1
        print(f"{outcome:7} {name} ({remark})", flush=True)

    def ended(self, name, failed, remark):
        """What came of a scenario that ran."""
        if name in self.pending:
            outcome = "pending" if failed else "failed"
            remark = remark if failed else f"{remark}; it passes: remove it from pending.txt"
            self.verdict(outcome, name, remark)
        else:
            self.verdict("failed" if failed else "passed", name, remark)

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
    tools = {"kcat": kcat, "amqp-tools": amqp_tools, "rdkafka": rdkafka} | {each: functools.partial(prepare, each) for each in PROGRAMS}
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


def run_all(tally, arguments, chosen, missing, broker):
    for each in chosen:
        absent = [missing[tool] for tool in each.needs if tool in missing]
        if each.only_firth and not arguments.firth:
            tally.verdict("skipped", each.name, "only for Firth itself")
        elif absent:
            tally.verdict(unable(), each.name, absent[0])
        else:
            run(tally, each, arguments, broker)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    broker = parser.add_mutually_exclusive_group(required=True)
    broker.add_argument("--firth", metavar="BINARY", help="start this binary and end it afterwards")
    broker.add_argument("--bootstrap", metavar="HOST:PORT", help="use a Kafka broker that runs already")
    broker.add_argument("--amqp", metavar="HOST:PORT", help="use an AMQP broker that runs already")
    parser.add_argument("--http", metavar="URL", default="", help="where that broker is administered")
    parser.add_argument("--rabbitmqctl", metavar="COMMAND", default="", help="which raises an alarm in that broker")
    parser.add_argument("--pending", action="store_true", help="also what pending.txt names")
    parser.add_argument("--run-one", nargs=4, metavar=("SCENARIO", "BOOTSTRAP", "AMQP", "HTTP"), help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def run(tally, each, arguments, broker):
    side, addresses = side_of(arguments, broker)
    command = [sys.executable, __file__, *side, "--run-one", each.name, *addresses]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=each.timeout_s
        )
        output, failed = done.stdout, done.returncode != 0
    except subprocess.TimeoutExpired as hung:
        output, failed = (hung.stdout or b"") + f"\nhung for {each.timeout_s} s".encode(), True
    tally.ended(each.name, failed, tally.spent(each.name, begin))
    text = output.decode(errors="replace").strip()
    if text:
        print("    " + text.replace("\n", "\n    "), flush=True)
    if failed:
        print(f"    to repeat: {' '.join(['tests/clients/run.py', *side, each.name])}")
        if broker:
            print("    the broker's last lines:\n    " + broker.tail().replace("\n", "\n    "), flush=True)


def side_of(arguments, broker):
    """The options that name the broker, and the addresses of what it listens on."""
    if broker:
        return ["--firth", arguments.firth], [broker.bootstrap, broker.amqp, broker.http]
    if arguments.bootstrap:
        return ["--bootstrap", arguments.bootstrap], [arguments.bootstrap, "", ""]
    side = ["--amqp", arguments.amqp, "--http", arguments.http, "--rabbitmqctl", arguments.rabbitmqctl]
    return side, ["", arguments.amqp, arguments.http]


def run_one(arguments):
    name, bootstrap, amqp, http = arguments.run_one
    # Most scenarios begin with the name of their module, and its clients alone are then waited for.
    load_modules([module for module in MODULES if name.startswith(f"{module}.")] or MODULES)
    (each,) = [each for each in SCENARIOS if each.name == name]
    each.run(Context(bootstrap, amqp, http, arguments.firth, arguments.rabbitmqctl, TARGET, RDKAFKA))
    return 0


def pending():
    """The names in pending.txt."""
    lines = (line.split("#")[0].strip() for line in PENDING.read_text().splitlines())
    return {line for line in lines if line}


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


def amqp_tools():
    return None if shutil.which("amqp-publish") else "amqp-tools is not installed: apt-get install amqp-tools"


def rdkafka():
    """Compiles the Rust client once per run; the scenarios' own processes find it there."""
    manifest = HERE / "rdkafka" / "Cargo.toml"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", TARGET / "rdkafka"]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as failure:
        return f"the rust-rdkafka client could not be compiled: {failure}"
    return None


def load_modules(modules):
    unimportable = {}
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as failure:
            unimportable[module] = str(failure)
    return unimportable


if __name__ == "__main__":
    sys.exit(main())
