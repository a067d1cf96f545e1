"""What a scenario is: a function of a `Context`, with the tools it needs and the brokers it fits."""

import functools
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
SCENARIOS = []


@dataclass(frozen=True)
class Scenario:
    name: str
    run: object
    needs: tuple
    only_firth: bool
    timeout_s: int
    protocol: str = "kafka"


@dataclass(frozen=True)
class Context:
    """What every scenario is given: the broker under test, and where things are."""

    bootstrap: str
    amqp: str
    http: str
    firth: str
    rabbitmqctl: str
    scratch: Path
    rdkafka: Path


def scenario(*, needs=(), only_firth=False, timeout_s=90, each=None, protocol="kafka"):
    """Registers a function. `each=CODECS` makes one scenario per value, which is passed as the second argument.

    `only_firth` marks what another broker does differently on purpose, or what needs a broker that may be killed.
    """

    def register(function):
        module = function.__module__.rsplit(".", 1)[-1]
        name = f"{module}.{function.__name__}"
        if each is None:
            SCENARIOS.append(Scenario(name, function, needs, only_firth, timeout_s, protocol))
        for value in each or ():
            bound = lambda context, value=value: function(context, value)
            SCENARIOS.append(Scenario(f"{name}[{value}]", bound, needs, only_firth, timeout_s, protocol))
        return function

    return register


amqp_scenario = functools.partial(scenario, protocol="amqp")


def fresh_name(stem):
    """A name no earlier run has used, so that scenarios neither meet nor need cleaning up."""
    return f"{stem}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


fresh_topic = fresh_name


def equal(actual, expected, what):
    if actual == expected:
        return
    if isinstance(actual, (list, bytes)) and isinstance(expected, (list, bytes)):
        at = next((i for i, (a, b) in enumerate(zip(actual, expected)) if a != b), min(len(actual), len(expected)))
        raise AssertionError(
            f"{what}: {len(actual)} instead of {len(expected)}, the first difference at {at}: "
            f"{actual[at:at + 1]!r:.300} instead of {expected[at:at + 1]!r:.300}"
        )
    raise AssertionError(f"{what}: {actual!r:.500} instead of {expected!r:.500}")
