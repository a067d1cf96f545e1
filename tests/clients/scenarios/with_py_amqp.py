"""py-amqp, which leaves to its user what pika hides: flags that others do not have, and answers that nobody waits for."""

import amqp
from amqp.exceptions import AMQPNotImplementedError, NotAllowed, NotFound

from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name

PATIENCE_S = 20
# Around the most that a frame of 131,072 bytes holds.
SIZES = (0, 131_063, 131_064, 131_065, 1_000_000)


def connect(context, **settings):
    connection = amqp.Connection(context.amqp, "guest", "guest", **settings)
    connection.connect()
    return connection


def drain(connection, done):
    while not done():
        connection.drain_events(timeout=PATIENCE_S)


@scenario()
def nobody_delivers_immediately_or_never(context):
    with connect(context) as connection:
        channel = connection.channel()
        try:
            channel.basic_publish(amqp.Message("now"), routing_key="queue", immediate=True)
            connection.drain_events(timeout=PATIENCE_S)
            raise AssertionError("it was taken")
        except AMQPNotImplementedError as error:
            equal((error.code, error.reply_text), (540, "NOT_IMPLEMENTED - immediate=true"), "why the connection was closed")


@scenario()
def the_broker_makes_tags(context):
    with connect(context) as connection:
        channel, other = connection.channel(), connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        tags = [channel.basic_consume(queue), channel.basic_consume(queue), other.basic_consume(queue)]
        assert all(tag.startswith("amq.ctag-") and len(tag) == 9 + 22 for tag in tags), tags
        equal(len(set(tags)), 3, "tags")
    with connect(context) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.basic_consume(queue, consumer_tag="mine")
        try:
            channel.basic_consume(queue, consumer_tag="mine")
            raise AssertionError("a tag was given twice")
        except NotAllowed as error:
            text = "NOT_ALLOWED - attempt to reuse consumer tag 'mine'"
            equal((error.code, error.reply_text), (530, text), "why the connection was closed")


@scenario()
def nobody_has_to_wait_for_answers(context):
    with connect(context) as connection:
        channel, received = connection.channel(), []
        queue, exchange = fresh_name("queue"), fresh_name("exchange")
        channel.queue_declare(queue, exclusive=True, nowait=True)
        channel.exchange_declare(exchange, "topic", nowait=True, auto_delete=True)
        channel.queue_bind(queue, exchange, "a.*", nowait=True)
        channel.basic_consume(queue, "tag", callback=received.append, no_ack=True, nowait=True)
        channel.basic_publish(amqp.Message("1"), exchange, "a.b")
        drain(connection, lambda: received)
        channel.basic_cancel("tag", nowait=True)
        channel.queue_unbind(queue, exchange, "a.*", nowait=True)
        channel.queue_purge(queue, nowait=True)
        channel.queue_delete(queue, nowait=True)
        channel.exchange_delete(exchange, nowait=True)
        # What fails is said all the same.
        try:
            channel.queue_bind(queue, "amq.fanout", nowait=True)
            drain(connection, lambda: not channel.is_open)
            raise AssertionError("a queue is there that was deleted")
        except NotFound as error:
            equal(error.reply_text, f"NOT_FOUND - no queue '{queue}' in vhost '/'", "why the channel was closed")
        connection.channel().close()


@scenario()
def channels_are_closed_and_opened_again(context):
    with connect(context) as connection:
        for n in range(50):
            channel = connection.channel(7)
            if n % 2:
                channel.close()
                continue
            try:
                channel.queue_declare(fresh_name("missing"), passive=True)
                raise AssertionError("it is there")
            except NotFound:
                pass


@scenario()
def large_headers_stand_before_bodies_of_any_size(context):
    with connect(context) as connection:
        channel, received = connection.channel(), []
        queue = channel.queue_declare("", exclusive=True).queue
        channel.basic_consume(queue, callback=received.append, no_ack=True)
        headers = {f"name {n}": "x" * 30 for n in range(2000)}
        for size in SIZES:
            channel.basic_publish(amqp.Message(b"y" * size, application_headers=headers), "", queue)
        drain(connection, lambda: len(received) == len(SIZES))
        equal([len(message.body) for message in received], list(SIZES), "the sizes")
        equal({len(message.headers) for message in received}, {2000}, "the headers")


@scenario()
def values_of_all_types_come_back(context):
    from datetime import datetime
    from decimal import Decimal

    headers = {
        "float": 2.5, "int": -7, "long": 1 << 40, "true": True, "none": None, "text": "\u00e9", "list": [1, "a", {"b": [None]}],
        "decimal": Decimal("1.25"), "time": datetime(2013, 1, 1, 5, 15), "table": {"a": {"b": {"c": 1}}},
    }
    with connect(context) as connection:
        channel, received = connection.channel(), []
        queue = channel.queue_declare("", exclusive=True).queue
        channel.basic_consume(queue, callback=received.append)
        channel.basic_publish_confirm(amqp.Message("x", application_headers=headers), "", queue)
        drain(connection, lambda: received)
        found = received[0].headers
        found["time"] = found["time"].replace(tzinfo=None)
        equal(found, headers, "headers")
