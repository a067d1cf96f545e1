"""pika's consumers beside each other: by turns, by priority, one at a time, alone, cancelled, and answering requests."""

import pika
from pika.exceptions import UnroutableError

from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import Session, published_to_nowhere


@scenario()
def consumers_take_turns(context):
    with Session(context) as session:
        queue = session.queue()
        consumers = [session.consume(queue, ack=True) for _ in range(3)]
        session.publish(queue, *(b"%d" % n for n in range(9)))
        session.until(lambda: sum(len(each.messages) for each in consumers) == 9, "all are delivered")
        equal([each.bodies for each in consumers], [[b"%d" % n for n in range(k, 9, 3)] for k in range(3)], "who has what")


@scenario()
def consumers_of_higher_priority_are_served_first(context):
    with Session(context) as session:
        queue = session.queue()
        low = session.consume(queue, prefetch=2, arguments={"x-priority": -1})
        high = session.consume(queue, prefetch=2, arguments={"x-priority": 5})
        middle = session.consume(queue, prefetch=2)
        session.publish(queue, *(b"%d" % n for n in range(5)))
        session.until(lambda: sum(len(each.messages) for each in (low, high, middle)) == 5, "all are delivered")
        found = high.bodies, middle.bodies, low.bodies
        equal(found, ([b"0", b"1"], [b"2", b"3"], [b"4"]), "who has what")
        high.channel.basic_ack(1)
        session.publish(queue, b"5")
        high.wait(3)
        text = f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '/': "
        text += '"expected integer, got longstr"'
        wrong = {"x-priority": "high"}
        session.refused(406, text, lambda channel: session.consume(queue, channel=channel, arguments=wrong))


@scenario()
def one_consumer_is_active_and_another_takes_over(context):
    with Session(context) as session:
        queue = session.queue({"x-single-active-consumer": True})
        first, second, third = (session.consume(queue) for _ in range(3))
        session.publish(queue, *(b"%d" % n for n in range(4)))
        first.wait(4)
        first.channel.basic_ack(1)
        first.cancel()
        # What the first had stays with it while its channel lives.
        session.publish(queue, b"4")
        second.wait(1)
        equal((second.bodies, third.bodies), ([b"4"], []), "who has what after the first is cancelled")
        first.channel.close()
        second.wait(4)
        equal(second.bodies, [b"4", b"1", b"2", b"3"], "what the second has when the first is gone")
        second.channel.close()
        third.wait(4)
        equal([(body, method.redelivered) for method, _, body in third.messages], [(b"%d" % n, True) for n in range(1, 5)], "third")
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        session.refused(403, text, lambda channel: session.consume(queue, channel=channel, exclusive=True))


@scenario()
def an_exclusive_consumer_is_alone(context):
    with Session(context) as session:
        queue = session.queue()
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        alone = session.consume(queue, exclusive=True)
        session.refused(403, text, lambda channel: session.consume(queue, channel=channel))
        session.refused(403, text, lambda channel: session.consume(queue, channel=channel, exclusive=True))
        alone.cancel()
        session.consume(queue)
        session.refused(403, text, lambda channel: session.consume(queue, channel=channel, exclusive=True))


@scenario()
def a_consumer_is_told_that_its_queue_is_gone(context):
    with Session(context) as session:
        queue = session.queue()
        session.publish(queue, b"1")
        consumer, other = session.consume(queue), session.consume(queue)
        consumer.wait(1)
        session.channel.queue_delete(queue)
        session.until(lambda: consumer.cancelled and other.cancelled, "both are told")
        # Its channel lives on, and what it had is acknowledged in vain.
        consumer.channel.basic_ack(1)
        consumer.channel.queue_declare(session.queue(), passive=True)
        equal(consumer.channel.consumer_tags, [], "consumers")


@scenario()
def who_does_not_know_of_cancelling_is_not_told(context):
    with Session(context) as session:
        # pika says that it knows; a client that does not say so is never sent what it would not understand.
        with Session(context, client_properties={"capabilities": {"consumer_cancel_notify": False}}) as other:
            queue = session.queue()
            consumer = other.consume(queue)
            session.channel.queue_delete(queue)
            other.settle()
            equal(consumer.cancelled, False, "whether it is told")


@scenario()
def a_tag_is_its_channels(context):
    with Session(context) as session:
        queue = session.queue()
        channel = session.fresh_channel()
        named = session.consume(queue, channel=channel, consumer_tag="mine")
        equal(named.tag, "mine", "the tag")
        session.consume(queue, consumer_tag="mine")
        equal(session.counts(queue), (0, 2), "consumers of one tag on two channels")
        # Nobody of that name: it is answered all the same.
        channel._impl._rpc(pika.spec.Basic.Cancel("nobody"), None, [pika.spec.Basic.CancelOk])
        channel.basic_qos(prefetch_count=1)


@scenario()
def requests_are_answered_without_a_queue(context):
    with Session(context) as client, Session(context) as server:
        requests = server.queue()
        pseudo = "amq.rabbitmq.reply-to"
        replies = client.consume(pseudo, ack=True)
        for n in range(3):
            client.publish(requests, b"%d" % n, channel=replies.channel, reply_to=pseudo, correlation_id=str(n))
        for n in range(3):
            _, properties, body = server.wait_for(requests)
            assert properties.reply_to.startswith(pseudo + "."), properties.reply_to
            # Who answers may look whether somebody waits.
            server.fresh_channel().queue_declare(properties.reply_to, passive=True)
            reply(server, properties, b"re " + body)
        replies.wait(3)
        found = [(properties.correlation_id, body) for _, properties, body in replies.messages]
        equal(found, [(str(n), b"re %d" % n) for n in range(3)], "replies")
        method, _, _ = replies.messages[0]
        equal((method.exchange, method.routing_key, method.redelivered), ("", properties.reply_to, False), "how it comes")
        # Once nobody waits, a reply is unroutable, but does no harm.
        replies.channel.close()
        server.publish(properties.reply_to, b"late")
        server.refused(404, f"NOT_FOUND - no queue '{properties.reply_to}' in vhost '/'",
                       lambda channel: channel.queue_declare(properties.reply_to, passive=True))


def reply(server, properties, body):
    """It is delivered, and nevertheless unroutable, since there is no queue."""
    try:
        server.publish(properties.reply_to, body, correlation_id=properties.correlation_id, mandatory=True)
        raise AssertionError("a reply was routed")
    except UnroutableError:
        pass


@scenario()
def requests_that_nobody_could_answer_are_refused(context):
    with Session(context) as session:
        pseudo = "amq.rabbitmq.reply-to"
        text = "PRECONDITION_FAILED - reply consumer cannot acknowledge"
        session.refused(406, text, lambda channel: session.consume(pseudo, channel=channel))
        reply_to = pika.BasicProperties(reply_to=pseudo)
        text = "PRECONDITION_FAILED - fast reply consumer does not exist"
        session.refused(406, text, lambda channel: published_to_nowhere(channel, "", "", reply_to))

        def twice(channel):
            session.consume(pseudo, channel=channel, ack=True)
            session.consume(pseudo, channel=channel, ack=True)

        session.refused(406, "PRECONDITION_FAILED - reply consumer already set", twice)


@scenario()
def a_consumer_may_not_hear_itself_is_ignored(context):
    with Session(context) as session:
        queue = session.queue()
        # `no_local` is in the specification, and no broker of AMQP that is used has it.
        channel = session.fresh_channel()
        heard = []
        channel._impl.basic_consume(queue, lambda *message: heard.append(message[3]), auto_ack=True)
        session.publish(queue, b"mine", channel=channel)
        session.until(lambda: heard == [b"mine"], "it hears itself")


@scenario()
def what_cannot_be_consumed_closes_the_channel(context):
    with Session(context) as session:
        nowhere = fresh_name("nowhere")
        text = f"NOT_FOUND - no queue '{nowhere}' in vhost '/'"
        session.refused(404, text, lambda channel: session.consume(nowhere, channel=channel))
        session.refused(404, text, lambda channel: channel.basic_get(nowhere))
        with Session(context) as other:
            queue = other.queue(exclusive=True)
            text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. "
            text += "It could be originally declared on another connection or the exclusive property value does not match "
            text += "that of the original declaration."
            session.refused(405, text, lambda channel: session.consume(queue, channel=channel))
            session.refused(405, text, lambda channel: channel.basic_get(queue))
