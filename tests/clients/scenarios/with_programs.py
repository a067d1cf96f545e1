"""The same scenarios for clients in several languages, each told by a program of its own in tests/clients/<client>.

    PROGRAM SCENARIO HOST:PORT TOPIC GROUP [CODEC]

A program creates the topic itself, ends with 0 if all was as the scenario has it, and else says what was not. What a client
lacks (the codec, the request of the administration) its program says in a comment.
"""

import functools
import subprocess

from programs import CLIENTS, command
from scenario import CODECS, SCENARIOS, Scenario, equal, fresh_topic
from wire import stored_codecs

TIMEOUT_S = 90
# A program that hangs is ended before its scenario, so that it does not outlive it.
PROGRAM_S = 75


def run(context, client, scenario, *arguments):
    """The topic that the program used."""
    topic, group = fresh_topic(client), fresh_topic(f"{client}-group")
    call(client, scenario, context.bootstrap, topic, group, *arguments)
    return topic


def call(client, scenario, *arguments):
    """Runs a scenario of the client's program, which has to end well."""
    line = [*command(client), scenario, *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(line, timeout=PROGRAM_S, **pipes)
    except subprocess.TimeoutExpired as hung:
        raise AssertionError(f"{client} {scenario} hung: {(hung.stdout or b'').decode(errors='replace')}") from None
    said = done.stdout.decode(errors="replace").strip()
    assert done.returncode == 0, f"{client} {scenario} ended with {done.returncode}: {said}"


def records_come_back_whole(client, codec, context):
    """1,500 records with keys, headers and times through two partitions, and what of them is stored."""
    topic = run(context, client, "records_come_back_whole", codec)
    for partition in range(2):
        equal(stored_codecs(context.bootstrap, topic, partition), {codec}, "codec of the stored batches")


def is_told_by_the_program(client, scenario, context):
    run(context, client, scenario)


TOLD_BY_PROGRAMS = (
    # Four partitions: one member has all, two share them, and what the first had is taken over when it leaves.
    "members_come_and_go",
    # A member commits in the middle of a hundred records, and the next one begins there.
    "commits_are_resumed",
    # The first record at or after a time, reading on from it, the beginning and the end.
    "times_and_ends_are_found",
    # Topics, configurations, partitions and groups: made, changed, listed and deleted, and refused where they have to be.
    "topics_and_groups_are_administered",
)


def register(name, client, function):
    SCENARIOS.append(Scenario(f"{client}.{name}", function, (client,), False, TIMEOUT_S))


for each in CLIENTS:
    for codec in CODECS:
        bound = functools.partial(records_come_back_whole, each, codec)
        register(f"records_come_back_whole[{codec}]", each, bound)
    for name in TOLD_BY_PROGRAMS:
        register(name, each, functools.partial(is_told_by_the_program, each, name))
# Most consoles are made of this client, and they ask for more than applications do.
CONSOLES = "consoles_are_answered"
register(CONSOLES, "kafka-clients", functools.partial(is_told_by_the_program, "kafka-clients", CONSOLES))
