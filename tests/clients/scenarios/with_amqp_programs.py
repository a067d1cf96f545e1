"""The same scenarios of AMQP for clients in several languages, each told by a program of its own in tests/clients/<client>.

    PROGRAM SCENARIO HOST:PORT NAME

What it declares begins with NAME or is exclusive; it ends with 0 if all was as the scenario has it, and else says what was not.
"""

import functools

from programs import AMQP_CLIENTS
from scenario import SCENARIOS, Scenario, fresh_name
from with_programs import TIMEOUT_S, call

TOLD_BY_PROGRAMS = (
    # Properties and headers of all the types that the client has, and bodies that begin and end with frames.
    "messages_come_back_whole",
    # Thousands at once, those that a full queue rejects, and what is returned before it is confirmed.
    "confirms_are_counted",
    # Acknowledged, returned and rejected, one by one and several, and where rejected ones go.
    "deliveries_are_settled_in_every_way",
    # Exchanges of all types, bound to each other, with an alternate one; what is refused; a consumer that is cancelled.
    "topologies_are_declared",
    # Direct reply-to.
    "requests_are_answered",
    # Priorities, and times to live of queues and messages.
    "priorities_and_times_are_kept",
    # A stream from its beginning and from an offset.
    "streams_are_read_again",
    # A hundred channels, each with its own queue.
    "many_channels_work_at_once",
    # With a wrong password.
    "strangers_are_refused",
    # Kept by heartbeats of a second.
    "idle_connections_stay",
)


def is_told_by_the_program(client, scenario, context):
    call(client, scenario, context.amqp, fresh_name(client))


for each in AMQP_CLIENTS:
    for name in TOLD_BY_PROGRAMS:
        bound = functools.partial(is_told_by_the_program, each, name)
        SCENARIOS.append(Scenario(f"{each}.{name}", bound, (each,), False, TIMEOUT_S, "amqp"))
