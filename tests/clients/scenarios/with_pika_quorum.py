"""pika with quorum queues and streams, which are declared as queues and differ in what they do with messages."""

import time

import pika
from pika.exceptions import NackError

from scenario import amqp_scenario as scenario
from scenario import equal
from session import PATIENCE_S, Session

NUMBERS = [b"%d" % n for n in range(10)]
DELIVERY_LIMIT = 20


@scenario()
def a_quorum_queue_is_a_queue(context):
    with Session(context) as session:
        queue = session.quorum_queue()
        session.publish(queue, *NUMBERS)
        consumer = session.consume(queue, prefetch=4)
        consumer.wait(4)
        consumer.channel.basic_ack(2)
        consumer.channel.basic_nack(1, requeue=False)
        consumer.wait(6)
        consumer.channel.close()
        session.wait_for_count(queue, 8)
        found = [session.wait_for(queue) for _ in range(8)]
        equal(sorted(body for _, _, body in found), sorted(NUMBERS[2:]), "what is left")
        flagged = {body for method, _, body in found if method.redelivered}
        equal(flagged, set(NUMBERS[2:6]), "what was delivered before")


@scenario(each=("nack", "reject", "channel"))
def too_many_deliveries_end_a_message(context, how):
    with Session(context) as session:
        dead = session.bound(exchange := session.exchange("fanout"))
        queue = session.quorum_queue(delivery_limit=2, dead_letter_exchange=exchange)
        session.publish(queue, b"poison")
        counts = []
        for _ in range(3):
            channel = session.fresh_channel()
            session.until(lambda: (found := session.get(queue, False, channel)) and note(counts, found), "it is delivered")
            if how == "channel":
                channel.close()
            elif how == "nack":
                channel.basic_nack(1, requeue=True)
            else:
                channel.basic_reject(1, requeue=True)
        equal(counts, [0, 1, 2], "x-delivery-count")
        _, properties, body = session.wait_for(dead)
        (death,) = properties.headers["x-death"]
        equal((body, death["reason"], death["count"]), (b"poison", "delivery_limit", 1), "the dead letter")
        equal(session.counts(queue)[0], 0, "what is left")


def note(counts, found):
    counts.append((found[1].headers or {}).get("x-delivery-count"))
    return True


@scenario()
def deliveries_are_counted(context):
    with Session(context) as session:
        queue = session.quorum_queue(delivery_limit=5)
        session.publish(queue, b"1", b"2")
        consumer = session.consume(queue, prefetch=1)
        counts = []
        for n in range(1, 4):
            method, properties, body = consumer.wait(n)[n - 1]
            # What is returned keeps its place.
            equal((body, method.redelivered), (b"1", n > 1), "what is delivered")
            note(counts, (method, properties))
            consumer.channel.basic_nack(n, requeue=True)
        # A consumer's first delivery has no count, unlike the first that is got.
        equal(counts, [None, 1, 2], "x-delivery-count")


@scenario(only_firth=True)
def twenty_deliveries_are_the_limit_unless_said(context):
    with Session(context) as session:
        dead = session.bound(exchange := session.exchange("fanout"))
        queue = session.quorum_queue(dead_letter_exchange=exchange)
        session.publish(queue, b"poison")
        for _ in range(DELIVERY_LIMIT + 1):
            method, _, _ = session.wait_for(queue, False)
            session.channel.basic_nack(method.delivery_tag, requeue=True)
        _, properties, _ = session.wait_for(dead)
        equal(properties.headers["x-death"][0]["reason"], "delivery_limit", "why it died")
        unlimited = session.quorum_queue(delivery_limit=-1)
        session.publish(unlimited, b"again")
        for _ in range(2 * DELIVERY_LIMIT):
            method, _, _ = session.wait_for(unlimited, False)
            session.channel.basic_nack(method.delivery_tag, requeue=True)
        session.wait_for(unlimited)


@scenario()
def a_quorum_queue_has_limits_and_expires_too(context):
    with Session(context) as session:
        dropping = session.quorum_queue(max_length=3)
        session.publish(dropping, *NUMBERS[:6])
        session.wait_for_count(dropping, 3)
        equal([session.wait_for(dropping)[2] for _ in range(3)], NUMBERS[3:6], "what is left of six")
        rejecting = session.quorum_queue(max_length=2, overflow="reject-publish")

        def is_full():
            try:
                session.publish(rejecting, b"more")
            except NackError:
                return True
            return False

        # A quorum queue learns with a delay that it is full.
        session.until(is_full, "it rejects")
        expiring = session.quorum_queue(message_ttl=200)
        session.publish(expiring, b"1")
        session.wait_for_count(expiring, 0)


@scenario()
def what_a_quorum_queue_is_not_for(context):
    with Session(context) as session:
        queue = session.quorum_queue()

        def share_a_prefetch(channel):
            channel.basic_qos(prefetch_count=1, global_qos=True)
            session.consume(queue, channel=channel)

        text = f"NOT_IMPLEMENTED - {queue_name(queue)} does not support global qos"
        session.refused_with_connection(540, text, share_a_prefetch)
        for flag in ("if_empty", "if_unused"):
            text = f"NOT_IMPLEMENTED - cannot delete {queue_name(queue)}. queue.delete operations with "
            text += f"{flag.replace('_', '-')} flag set are not supported by quorum queues"
            session.refused_with_connection(540, text, lambda channel: channel.queue_delete(queue, **{flag: True}))


@scenario()
def one_consumer_of_a_quorum_queue_is_active(context):
    with Session(context) as session:
        queue = session.quorum_queue(single_active_consumer=True)
        first, second = session.consume(queue), session.consume(queue)
        session.publish(queue, *NUMBERS[:3])
        first.wait(3)
        first.channel.close()
        second.wait(3)
        equal((second.bodies, {method.redelivered for method, _, _ in second.messages}), (NUMBERS[:3], {True}), "the second")


def stream(session, count=0, **arguments):
    queue = session.queue({"x-queue-type": "stream"} | {f"x-{name.replace('_', '-')}": arguments[name] for name in arguments})
    session.publish(queue, *(b"%d" % n for n in range(count)))
    return queue


def read(session, queue, count, offset=None):
    """The offsets and bodies of what is read from there on."""
    arguments = {} if offset is None else {"x-stream-offset": offset}
    consumer = session.consume(queue, prefetch=10, arguments=arguments)
    done = 0
    while done < count:
        consumer.wait(done + 1)
        for tag in consumer.tags[done:]:
            consumer.channel.basic_ack(tag)
            done += 1
    consumer.channel.close()
    return [(properties.headers["x-stream-offset"], int(body)) for _, properties, body in consumer.messages[:count]]


@scenario()
def a_stream_is_read_from_any_offset_by_all(context):
    with Session(context) as session:
        queue = stream(session, 100)
        for offset, begin in (("first", 0), (0, 0), (37, 37), (99, 99)):
            equal(read(session, queue, 100 - begin, offset), [(n, n) for n in range(begin, 100)], f"from {offset}")
        # What was acknowledged is there for the next one.
        equal(read(session, queue, 100, "first")[0], (0, 0), "once more")
        last = read(session, queue, 1, "last")
        assert last[0][0] <= 99, last
        method, properties = session.consume(queue, prefetch=1, arguments={"x-stream-offset": 5}).wait(1)[0][:2]
        equal((method.redelivered, method.exchange, method.routing_key), (False, "", queue), "how it comes")


@scenario()
def the_next_of_a_stream_is_what_comes_then(context):
    with Session(context) as session:
        queue = stream(session, 10)
        for arguments in ({"x-stream-offset": "next"}, {}, {"x-stream-offset": 1000}):
            consumer = session.consume(queue, prefetch=10, arguments=arguments)
            session.settle()
            session.publish(queue, b"new")
            if arguments.get("x-stream-offset") == 1000:
                continue
            _, _, body = consumer.wait(1)[0]
            equal(body, b"new", f"the first with {arguments}")
            consumer.channel.close()


@scenario()
def a_stream_is_read_from_a_time(context):
    with Session(context) as session:
        queue = stream(session, 5)
        begin = time.time()
        session.until(lambda: time.time() > begin + 2.5, "the time passes")
        import datetime

        between = datetime.datetime.fromtimestamp(int(begin) + 2, datetime.timezone.utc)
        session.publish(queue, *(b"%d" % n for n in range(5, 10)))
        found = read(session, queue, 5, between)
        equal(found, [(n, n) for n in range(5, 10)], "from a time on")
        early = datetime.datetime(2013, 1, 1, tzinfo=datetime.timezone.utc)
        equal(read(session, queue, 10, early)[0], (0, 0), "from a time before all")
        equal(read(session, queue, 10, "1h")[0], (0, 0), "from an hour ago")


@scenario()
def what_a_stream_is_not_for(context):
    with Session(context) as session:
        queue = stream(session, 3)
        text = f"PRECONDITION_FAILED - consumer prefetch count is not set for '{queue_name(queue)}'"
        session.refused(406, text, lambda channel: session.consume(queue, channel=channel))
        text = f"NOT_IMPLEMENTED - basic.get not supported by stream queues {queue_name(queue)}"
        session.refused_with_connection(540, text, lambda channel: channel.basic_get(queue))
        text = f"NOT_IMPLEMENTED - queue.purge not supported by stream queues {queue_name(queue)}"
        session.refused_with_connection(540, text, lambda channel: channel.queue_purge(queue))
        text = f"PRECONDITION_FAILED - invalid arg 'x-stream-offset' for {queue_name(queue)}: "
        text += '{invalid_stream_offset_arg,{longstr,<<"1x">>}}'
        wrong = {"x-stream-offset": "1x"}
        session.refused(406, text, lambda channel: session.consume(queue, channel=channel, prefetch=1, arguments=wrong))
        text = f"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues {queue_name(queue)}"
        session.refused_with_connection(540, text, lambda channel: session.consume(queue, channel=channel, prefetch=1, ack=True))


def queue_name(queue):
    return f"queue '{queue}' in vhost '/'"


@scenario(each=("basic_nack", "basic_reject"))
def nothing_is_returned_to_a_stream(context, how):
    with Session(context) as session:
        queue = stream(session, 4)
        text = f"NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues {queue_name(queue)}"

        def give_back(channel):
            channel.basic_qos(prefetch_count=2)
            arguments, messages = {"x-stream-offset": "first"}, []
            channel.basic_consume(queue, lambda *message: messages.append(message), arguments=arguments)
            while not messages:
                channel.connection.process_data_events(0.1)
            getattr(channel, how)(1)
            channel.connection.process_data_events(PATIENCE_S)

        session.refused_with_connection(540, text, give_back)


@scenario()
def properties_and_headers_go_through_a_stream(context):
    sent = {
        "content_type": "text/plain", "headers": {"text": "firth", "number": 7, "yes": True}, "delivery_mode": 2, "priority": 4,
        "correlation_id": "c", "reply_to": "r", "message_id": "m", "timestamp": 1_357_000_000, "type": "t", "app_id": "a",
    }
    with Session(context) as session:
        queue = stream(session)
        session.publish(queue, b"whole", **sent)
        _, properties, body = session.consume(queue, prefetch=1, arguments={"x-stream-offset": "first"}).wait(1)[0]
        equal(properties.headers.pop("x-stream-offset"), 0, "its offset")
        expected = vars(pika.BasicProperties(**sent))
        equal((body, vars(properties)), (b"whole", expected), "the message")
