"""A Firth broker as a child process: started, found by its banner, killed, restarted, always ended by its pid."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_S = 60
STOP_S = 20
PR_SET_PDEATHSIG = 1


class Broker:
    """`with Broker(binary, scratch) as broker:` runs `firth serve` on a fresh data directory below `scratch`."""

    def __init__(self, binary, scratch, ports=(0, 0, 0)):
        self.binary = Path(binary).resolve()
        self.directory = Path(tempfile.mkdtemp(prefix="broker-", dir=scratch))
        self.log = self.directory / "log"
        self.ports = ports
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failure, *_):
        self.stop()
        if failure is None:
            shutil.rmtree(self.directory)

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def amqp(self):
        return f"127.0.0.1:{self.ports[2]}"

    @property
    def http(self):
        return f"http://127.0.0.1:{self.ports[1]}"

    def start(self):
        kafka, http, amqp = self.ports
        command = [self.binary, "serve", "--data", self.directory / "data"]
        command += ["--kafka", f"127.0.0.1:{kafka}", "--http", f"127.0.0.1:{http}"]
        command += ["--amqp", f"127.0.0.1:{amqp}"]
        # Records of years ago, which some scenarios write, would expire between being written and being read.
        command += ["--retention-check-interval-ms", "86400000"]
        with open(self.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent
            )
        self.ports = self.wait_until_ready(begin)

    def wait_until_ready(self, begin):
        """Waits for the banner and for the port that it names."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            text = self.log.read_bytes()[begin:].decode(errors="replace")
            kafka, http, amqp = (banner_port(text, listener) for listener in ("kafka", "http", "amqp"))
            if kafka and http and amqp and accepts(kafka) and accepts(amqp):
                return kafka, http, amqp
            code = self.process.poll()
            if code is not None:
                raise RuntimeError(f"firth serve ended with {code} before it was ready:\n{text}")
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"firth serve printed no banner with its ports within {START_S} s:\n{text}")

    def kill(self):
        """kill -9: nothing is flushed, nothing is said."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self):
        """SIGTERM; a broker that does not drain in time is killed, and that is an error."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"firth serve did not end within {STOP_S} s of SIGTERM") from None
        if code != 0:
            raise RuntimeError(f"firth serve ended with {code} after SIGTERM:\n{self.tail()}")

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def banner_port(text, listener):
    """The port in the banner's line of a listener, as in `  Kafka   127.0.0.1:9092`; colour codes are ignored."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    found = re.search(rf"^\W*{listener}\b.*?127\.0\.0\.1:(\d+)", text, re.IGNORECASE | re.MULTILINE)
    return int(found[1]) if found else None


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def free_ports(count):
    """Ports that nobody listens on now, for a broker that must come back at the same address."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(each.getsockname()[1] for each in sockets)
    for each in sockets:
        each.close()
    return ports


def end_with_parent():
    """The kernel kills the broker if the runner dies without a word, so that no run leaves a server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
