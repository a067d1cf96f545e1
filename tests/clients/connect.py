"""A worker of Kafka Connect, which is asked through its REST interface."""

import json
import urllib.error
import urllib.request

from broker import accepts, free_ports
from child import Child, wait_until
from programs import command

START_S = 60
STANDALONE = "org.apache.kafka.connect.cli.ConnectStandalone"
DISTRIBUTED = "org.apache.kafka.connect.cli.ConnectDistributed"
MIRROR_MAKER = "org.apache.kafka.connect.mirror.MirrorMaker"


class Worker(Child):
    """`with Worker(directory, settings) as worker:` runs one of a distributed cluster, and with `connectors` a standalone one.

    A worker that is started again has the address that it had.
    """

    def __init__(self, directory, settings, connectors=None):
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        files = [directory / "worker.properties"]
        files += [directory / f"{name}.properties" for name in connectors or {}]
        main = DISTRIBUTED if connectors is None else STANDALONE
        super().__init__([*command("kafka-connect"), main, *files], directory)
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
        files[0].write_text(text)
        for file, (name, config) in zip(files[1:], (connectors or {}).items()):
            file.write_text(properties({"name": name} | config))

    def wait_until_ready(self):
        """It listens before it knows its connectors."""
        wait_until(lambda: self.is_alive() and accepts(self.port) and self.knows_its_connectors(), START_S, "a worker is ready")

    def knows_its_connectors(self):
        try:
            self.ask("GET", "/connectors")
            return True
        except (OSError, Refused):
            return False

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


def properties(settings):
    return "".join(f"{name}={value}\n" for name, value in settings.items())
