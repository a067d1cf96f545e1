"""pika's queues with limits: messages and bytes, times to live, and priorities."""

import time

from scenario import amqp_scenario as scenario
from scenario import equal
from session import Session

NUMBERS = [b"%d" % n for n in range(10)]


@scenario()
def the_oldest_are_dropped_of_too_many(context):
    with Session(context) as session:
        queue = session.queue({"x-max-length": 3})
        session.publish(queue, *NUMBERS[:5])
        equal(session.drain(queue), NUMBERS[2:5], "what is left of five")
        # What is delivered does not count.
        session.publish(queue, *NUMBERS[:3])
        consumer = session.consume(queue, prefetch=2)
        consumer.wait(2)
        session.publish(queue, *NUMBERS[3:6])
        session.wait_for_count(queue, 3)
        consumer.cancel()
        consumer.channel.close()
        # Once they come back, they are the oldest.
        session.wait_for_count(queue, 3)
        equal(session.drain(queue), NUMBERS[3:6], "what is left of six")


@scenario()
def the_oldest_are_dropped_of_too_many_bytes(context):
    with Session(context) as session:
        queue = session.queue({"x-max-length-bytes": 100})
        session.publish(queue, b"a" * 40, b"b" * 40, b"c" * 20)
        equal(session.counts(queue)[0], 3, "as many as fit")
        session.publish(queue, b"d")
        equal([body[:1] for body in session.drain(queue)], [b"b", b"c", b"d"], "what is left")
        session.publish(queue, b"e" * 101)
        equal(session.counts(queue)[0], 0, "one that never fits")
        both = session.queue({"x-max-length-bytes": 100, "x-max-length": 2})
        session.publish(both, b"1", b"2", b"3")
        equal(session.drain(both), [b"2", b"3"], "what is left of both limits")
        none = session.queue({"x-max-length": 0})
        session.publish(none, b"1")
        equal(session.counts(none)[0], 0, "what is left of a limit of nothing")
        consumer = session.consume(none, ack=True)
        session.publish(none, b"2")
        consumer.wait(1)


@scenario()
def messages_expire(context):
    with Session(context) as session:
        of_queue, of_message, lasting = session.queue({"x-message-ttl": 300}), session.queue(), session.queue()
        begin = time.monotonic()
        session.publish(of_queue, b"1", b"2")
        session.publish(of_message, b"1", expiration="300")
        session.publish(lasting, b"1")
        session.wait_for_count(of_queue, 0)
        session.wait_for_count(of_message, 0)
        elapsed = time.monotonic() - begin
        assert elapsed >= 0.3, f"they expired after {elapsed:.3f} s"
        equal(session.counts(lasting)[0], 1, "what lasts")
        # The lesser of both holds.
        session.publish(of_queue, b"3", expiration="60000")
        session.wait_for_count(of_queue, 0)
        slow = session.queue({"x-message-ttl": 60_000})
        session.publish(slow, b"4", expiration="100")
        session.wait_for_count(slow, 0)


@scenario()
def what_expires_at_once_is_delivered_at_once_or_never(context):
    with Session(context) as session:
        for queue, settings in ((session.queue({"x-message-ttl": 0}), {}), (session.queue(), {"expiration": "0"})):
            session.publish(queue, b"nobody waits", **settings)
            equal(session.counts(queue)[0], 0, "what is left")
            consumer = session.consume(queue, ack=True)
            session.publish(queue, b"somebody waits", **settings)
            consumer.wait(1)
            equal(consumer.bodies, [b"somebody waits"], "what was delivered")


@scenario()
def what_is_unacknowledged_does_not_expire_until_it_comes_back(context):
    with Session(context) as session:
        queue = session.queue({"x-message-ttl": 300})
        session.publish(queue, b"1")
        consumer = session.consume(queue)
        consumer.wait(1)
        begin = time.monotonic()
        session.until(lambda: time.monotonic() > begin + 0.5, "its time is over")
        consumer.channel.basic_nack(1, requeue=True)
        session.settle()
        # It comes back with the time that it had, which is over.
        equal((len(consumer.messages), session.counts(queue)[0]), (1, 0), "deliveries, and what is left")


@scenario()
def messages_expire_at_the_head_only(context):
    with Session(context) as session:
        queue = session.queue()
        session.publish(queue, b"lasts")
        session.publish(queue, b"expires", expiration="50")
        begin = time.monotonic()
        session.until(lambda: time.monotonic() > begin + 0.3, "its time is over")
        equal(session.counts(queue)[0], 2, "what is counted")
        equal(session.drain(queue), [b"lasts"], "what is delivered")


@scenario()
def the_highest_priority_goes_first(context):
    with Session(context) as session:
        queue = session.queue({"x-max-priority": 5})
        for n, priority in enumerate((1, 5, None, 3, 5, 9, 0)):
            session.publish(queue, b"%d" % n, priority=priority)
        # 9 is as much as 5, and none is the lowest.
        expected = [b"1", b"4", b"5", b"3", b"0", b"2", b"6"]
        consumer = session.consume(queue, prefetch=10)
        consumer.wait(7)
        equal(consumer.bodies, expected, "the order")
        consumer.cancel()
        consumer.channel.basic_nack(0, multiple=True, requeue=True)
        session.publish(queue, b"7", priority=5)
        session.wait_for_count(queue, 8)
        found = [session.get(queue) for _ in range(8)]
        equal([body for _, _, body in found], [b"1", b"4", b"5", b"7", b"3", b"0", b"2", b"6"], "the order after their return")
        equal({properties.priority for _, properties, body in found if body == b"5"}, {9}, "the priority as it was given")
        plain = session.queue()
        session.publish(plain, b"low", priority=0)
        session.publish(plain, b"high", priority=9)
        equal(session.drain(plain), [b"low", b"high"], "the order of a queue without priorities")


@scenario()
def a_limit_drops_what_would_go_first(context):
    with Session(context) as session:
        queue = session.queue({"x-max-priority": 3, "x-max-length": 2})
        session.publish(queue, b"high", priority=3)
        session.publish(queue, b"low", priority=1)
        session.publish(queue, b"middle", priority=2)
        # The head is that of the highest priority.
        equal(session.drain(queue), [b"middle", b"low"], "what is left")


@scenario()
def an_expired_message_of_a_low_priority_is_dropped_too(context):
    with Session(context) as session:
        queue = session.queue({"x-max-priority": 3})
        session.publish(queue, b"high", priority=3)
        session.publish(queue, b"low", priority=1, expiration="50")
        begin = time.monotonic()
        session.until(lambda: time.monotonic() > begin + 0.3, "its time is over")
        equal(session.drain(queue), [b"high"], "what is delivered")
