"""pika consumes: prefetch, acknowledgements of all kinds, what comes back, in which order, and how it is flagged."""

from scenario import amqp_scenario as scenario
from scenario import equal
from session import Session

NUMBERS = [b"%d" % n for n in range(10)]


def filled(session, bodies=NUMBERS, **settings):
    queue = session.queue(**settings)
    session.publish(queue, *bodies)
    return queue


def flags(messages):
    return [(body, method.redelivered) for method, _, body in messages]


@scenario()
def prefetch_bounds_what_is_not_acknowledged(context):
    with Session(context) as session:
        queue = filled(session)
        consumer = session.consume(queue, prefetch=3)
        consumer.wait(3)
        session.settle()
        equal((consumer.bodies, consumer.tags), (NUMBERS[:3], [1, 2, 3]), "what is delivered at first")
        consumer.channel.basic_ack(2)
        consumer.wait(4)
        session.settle()
        equal(consumer.bodies, NUMBERS[:4], "what is delivered after one acknowledgement")
        consumer.channel.basic_ack(4, multiple=True)
        consumer.wait(7)
        session.settle()
        equal(consumer.bodies, NUMBERS[:7], "what is delivered after the acknowledgement of all")
        equal(session.counts(queue), (3, 1), "what is ready")


@scenario()
def prefetch_is_of_each_consumer_or_of_the_channel(context):
    with Session(context) as session:
        queue = filled(session)
        channel = session.fresh_channel()
        channel.basic_qos(prefetch_count=1)
        first = session.consume(queue, channel=channel)
        channel.basic_qos(prefetch_count=2)
        second = session.consume(queue, channel=channel)
        second.wait(2)
        first.wait(1)
        session.settle()
        equal((len(first.messages), len(second.messages)), (1, 2), "each has its own")
        channel.close()

        channel = session.fresh_channel()
        channel.basic_qos(prefetch_count=3, global_qos=True)
        third, fourth = session.consume(queue, channel=channel), session.consume(queue, channel=channel)
        session.until(lambda: len(third.messages) + len(fourth.messages) == 3, "three are delivered")
        session.settle()
        equal(len(third.messages) + len(fourth.messages), 3, "what both share")
        # Zero is no bound, and holds at once.
        channel.basic_qos(prefetch_count=0, global_qos=True)
        session.until(lambda: len(third.messages) + len(fourth.messages) == 10, "the rest is delivered")


@scenario()
def a_prefetch_in_bytes_is_not_offered(context):
    with Session(context) as session:
        text = "NOT_IMPLEMENTED - prefetch_size!=0 (10)"
        session.refused_with_connection(540, text, lambda channel: channel.basic_qos(prefetch_size=10))


@scenario()
def what_is_returned_keeps_its_place_and_is_flagged(context):
    with Session(context) as session:
        queue = filled(session)
        consumer = session.consume(queue, prefetch=6)
        consumer.wait(6)
        equal({method.redelivered for method, _, _ in consumer.messages}, {False}, "what is delivered for the first time")
        consumer.cancel()
        channel = consumer.channel
        channel.basic_reject(3, requeue=True)
        channel.basic_ack(2)
        channel.basic_nack(5, requeue=True)
        channel.basic_nack(6, requeue=False)
        # 1 and 4 are what is left below 5.
        channel.basic_nack(4, multiple=True, requeue=True)
        session.wait_for_count(queue, 8)
        again = session.consume(queue, ack=True)
        expected = [(NUMBERS[n], True) for n in (0, 2, 3, 4)] + [(NUMBERS[n], False) for n in (6, 7, 8, 9)]
        equal(flags(again.wait(8)), expected, "what comes again")


@scenario(each=("channel", "connection", "recover", "nack all"))
def everything_that_is_unacknowledged_comes_back_in_order(context, by):
    with Session(context) as session, Session(context) as other:
        queue = filled(session)
        consumer = other.consume(queue, prefetch=7)
        consumer.wait(7)
        consumer.channel.basic_ack(4)
        consumer.wait(8)
        expected = [(NUMBERS[n], True) for n in (0, 1, 2, 4, 5, 6, 7)] + [(NUMBERS[n], False) for n in (8, 9)]
        if by == "recover":
            consumer.channel.basic_recover(requeue=True)
            # They go to whoever consumes, and that is the same.
            consumer.wait(15)
            equal(flags(consumer.messages[8:]), expected[:7], "what was recovered")
            equal(consumer.tags[8:], list(range(9, 16)), "its delivery tags")
            consumer.channel.close()
        elif by == "nack all":
            consumer.cancel()
            # Tag 0 of several is all there are.
            consumer.channel.basic_nack(0, multiple=True, requeue=True)
        else:
            (consumer.channel if by == "channel" else other.connection).close()
        session.wait_for_count(queue, 9)
        found = [session.get(queue) for _ in range(9)]
        equal(flags(found), expected, "what comes again")


@scenario()
def a_recovery_without_requeueing_is_not_offered(context):
    with Session(context) as session:
        text = "NOT_IMPLEMENTED - requeue=false"
        session.refused_with_connection(540, text, lambda channel: channel.basic_recover(requeue=False))


@scenario()
def tags_are_acknowledged_once(context):
    with Session(context) as session:
        queue = filled(session)
        text = "PRECONDITION_FAILED - unknown delivery tag %d"

        def acknowledge(*tags, multiple=False, how="basic_ack"):
            def action(channel):
                for _ in range(2):
                    session.get(queue, False, channel)
                for tag in tags:
                    getattr(channel, how)(tag, **({"multiple": multiple} if how != "basic_reject" else {}))
                channel.basic_qos(prefetch_count=1)

            return action

        session.refused(406, text % 1, acknowledge(1, 1))
        session.refused(406, text % 3, acknowledge(3))
        session.refused(406, text % 3, acknowledge(3, multiple=True))
        session.refused(406, text % 0, acknowledge(0))
        session.refused(406, text % 9, acknowledge(9, how="basic_reject"))
        session.refused(406, text % 9, acknowledge(9, how="basic_nack"))
        session.refused(406, text % 1, acknowledge(2, 1, multiple=True))
        # Of several, those that are there already do no harm; all of none as well.
        channel = session.fresh_channel()
        channel.basic_ack(0, multiple=True)
        session.get(queue, False, channel), session.get(queue, False, channel), session.get(queue, False, channel)
        channel.basic_ack(2)
        channel.basic_ack(3, multiple=True)
        channel.close()
        # The two of each refusal are back, but for what had been acknowledged before it: 1; and then 1, 2; and three.
        equal(session.counts(queue)[0], 4, "what is left")


@scenario()
def gets_take_one_by_one(context):
    with Session(context) as session:
        queue = filled(session, NUMBERS[:3])
        channel = session.fresh_channel()
        first = session.get(queue, False, channel)
        equal((first[0].delivery_tag, first[0].message_count, first[2]), (1, 2, b"0"), "the first")
        second = session.get(queue, True, channel)
        equal((second[0].delivery_tag, second[0].message_count, second[2]), (2, 1, b"1"), "the second")
        channel.basic_nack(1)
        again = session.get(queue, True, channel)
        equal((again[2], again[0].redelivered, again[0].delivery_tag), (b"0", True, 3), "the first again")
        equal(session.get(queue, True, channel)[2], b"2", "the third")
        equal(session.get(queue, True, channel), None, "an empty queue")


@scenario()
def what_needs_no_acknowledgement_is_gone_at_once(context):
    with Session(context) as session:
        queue = filled(session)
        # Prefetch is of no meaning for it.
        consumer = session.consume(queue, prefetch=1, ack=True)
        consumer.wait(10)
        consumer.channel.close()
        equal((consumer.bodies, session.counts(queue)), (NUMBERS, (0, 0)), "what was consumed, and what is left")

        def acknowledge(channel):
            session.publish(queue, b"")
            session.consume(queue, channel=channel, ack=True).wait(1)
            channel.basic_ack(1)
            channel.basic_qos(prefetch_count=1)

        session.refused(406, "PRECONDITION_FAILED - unknown delivery tag 1", acknowledge)


@scenario()
def what_is_rejected_for_good_is_gone(context):
    with Session(context) as session:
        queue = filled(session, NUMBERS[:4])
        channel = session.fresh_channel()
        for _ in range(4):
            session.get(queue, False, channel)
        channel.basic_reject(1, requeue=False)
        channel.basic_nack(3, multiple=True, requeue=False)
        channel.close()
        session.wait_for_count(queue, 1)
        equal(session.drain(queue), [b"3"], "what is left")


@scenario()
def a_cancelled_consumer_keeps_what_it_has(context):
    with Session(context) as session:
        queue = filled(session)
        consumer = session.consume(queue, prefetch=4)
        consumer.wait(4)
        consumer.cancel()
        equal(session.counts(queue), (6, 0), "what is ready")
        consumer.channel.basic_ack(2, multiple=True)
        session.publish(queue, b"new")
        session.settle()
        equal(len(consumer.messages), 4, "what is delivered to a consumer that is cancelled")
        consumer.channel.close()
        session.wait_for_count(queue, 9)
        equal(session.drain(queue), NUMBERS[2:] + [b"new"], "what is left")


@scenario(timeout_s=120)
def a_lot_is_consumed_in_order_by_one_and_exactly_once_by_several(context):
    bodies = [b"%d" % n for n in range(5000)]
    with Session(context) as session:
        queue = session.queue()
        channel = session.fresh_channel()
        for body in bodies:
            channel.basic_publish("", queue, body)
        consumer = session.consume(queue, prefetch=100)
        acknowledged = 0
        while acknowledged < 2000:
            consumer.wait(acknowledged + 50)
            acknowledged += 50
            consumer.channel.basic_ack(acknowledged, multiple=True)
        consumer.cancel()
        consumer.channel.close()
        equal(consumer.bodies, bodies[: len(consumer.messages)], "what one consumes")

        consumers = [session.consume(queue, prefetch=20) for _ in range(5)]
        acknowledged = [0] * 5

        def acknowledge():
            for n, each in enumerate(consumers):
                for tag in each.tags[acknowledged[n] :]:
                    each.channel.basic_ack(tag)
                acknowledged[n] = len(each.messages)
            return sum(acknowledged) == 3000

        session.until(acknowledge, "all are consumed", 60)
        found = sorted((int(body) for each in consumers for body in each.bodies))
        equal(found, list(range(2000, 5000)), "what five consume")
        assert min(acknowledged) > 300, f"it is not shared: {acknowledged}"
        for each in consumers:
            order = [int(body) for body in each.bodies]
            equal(order, sorted(order), "the order of what one of them consumes")
        equal(session.counts(queue), (0, 5), "what is left")
