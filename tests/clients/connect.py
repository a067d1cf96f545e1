"""A worker of Kafka Connect as a child process: started, asked through its REST interface, killed, always ended by its pid."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request

from broker import accepts, end_with_parent, free_ports
from programs import command

START_S = 60
END_S = 20
STANDALONE = "org.apache.kafka.connect.cli.ConnectStandalone"
DISTRIBUTED = "org.apache.kafka.connect.cli.ConnectDistributed"
MIRROR_MAKER = "org.apache.kafka.connect.mirror.MirrorMaker"


class Worker:
    """`with Worker(directory, settings) as worker:` runs one of a distributed cluster, and with `connectors` a standalone one.

    A worker that is started again has the address that it had.
    """

    def __init__(self, directory, settings, connectors=None):
        directory.mkdir(parents=True, exist_ok=True)
        self.log, self.process = directory / "log", None
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        text = properties(
            {
                "key.converter": "org.apache.kafka.connect.storage.StringConverter",
                "value.converter": "org.apache.kafka.connect.storage.StringConverter",
                "listeners": f"http://{self.address}",
                # What is on the class path says itself what it offers; looking through all of it takes seconds.
                "plugin.discovery": "service_load",
                "offset.flush.interval.ms": 500,
            }
            | settings
        )
        (directory / "worker.properties").write_text(text)
        files = [directory / "worker.properties"]
        for name, config in (connectors or {}).items():
            files.append(directory / f"{name}.properties")
            files[-1].write_text(properties({"name": name} | config))
        main = DISTRIBUTED if connectors is None else STANDALONE
        self.command = [*command("kafka-connect"), main, *files]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failure, *_):
        self.kill()
        if failure is not None:
            print("\n".join(self.log.read_text(errors="replace").splitlines()[-40:]), flush=True)

    def start(self):
        self.launch()
        self.wait_until_ready()

    def launch(self):
        """Without waiting for it, so that several begin at once."""
        if self.process is None or self.process.poll() is not None:
            self.process = launch(self.command, self.log)

    def wait_until_ready(self):
        """It listens before it knows its connectors."""
        wait_until(lambda: self.is_alive() and accepts(self.port) and self.knows_its_connectors(), START_S, "a worker is ready")

    def knows_its_connectors(self):
        try:
            self.ask("GET", "/connectors")
            return True
        except (OSError, Refused):
            return False

    def is_alive(self):
        assert self.process.poll() is None, f"a worker ended with {self.process.returncode}"
        return True

    def kill(self):
        """kill -9: it leaves no group, and commits nothing."""
        self.process.kill()
        self.process.wait(END_S)

    def ask(self, method, path, body=None):
        """The answer as a value, or None where there is none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            raise Refused(refusal.code, refusal.read().decode(errors="replace")) from None
        return json.loads(text) if text else None

    def ask_until_taken(self, method, path, body=None):
        """A worker refuses with 409 while its cluster rebalances."""
        found = []

        def is_taken():
            try:
                found.append(self.ask(method, path, body))
                return True
            except Refused as refused:
                if refused.code != 409:
                    raise
                return False

        wait_until(is_taken, START_S, f"{method} {path} is taken")
        return found[0]

    def places(self):
        """Which worker has what, of all connectors and tasks that run."""
        found = {}
        for name, each in self.ask("GET", "/connectors?expand=status").items():
            status = each["status"]
            for what, it in [(name, status["connector"])] + [(f"{name}/{it['id']}", it) for it in status["tasks"]]:
                assert it["state"] != "FAILED", f"{what}: {it.get('trace')}"
                if it["state"] == "RUNNING":
                    found[what] = it["worker_id"]
        return found


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


def launch(line, log):
    with open(log, "ab") as output:
        return subprocess.Popen(
            [str(part) for part in line], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            preexec_fn=end_with_parent, env={name: value for name, value in os.environ.items() if name != "CLASSPATH"},
        )


def properties(settings):
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def wait_until(done, within_s, what):
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
