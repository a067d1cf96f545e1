"""pika publishes: what comes back whole, what is confirmed, returned and refused, and transactions."""

import datetime
import decimal

import pika
from pika.exceptions import NackError, UnroutableError

from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import PATIENCE_S, Session, published_to_nowhere

# pika's own frames are no larger; the body has what is left by the eight bytes around each.
FRAME_MAX = 4096
SIZES = (0, 1, FRAME_MAX - 9, FRAME_MAX - 8, FRAME_MAX - 7, 3 * (FRAME_MAX - 8), 1 << 20, (8 << 20) + 5)


@scenario()
def properties_and_headers_come_back_whole(context):
    headers = {
        "yes": True, "no": False, "int": -5, "long": 1 << 40, "text": "firth \u00e9\u2603", "bytes": b"\x00\xff",
        "nothing": None, "when": datetime.datetime(2013, 1, 1, 5, 15, tzinfo=datetime.timezone.utc),
        "decimal": decimal.Decimal("3.14"), "list": ["a", 1, [True, None]], "table": {"inner": {"deep": [{}]}}, "": "no name",
    }
    sent = {
        "content_type": "text/plain", "content_encoding": "identity", "headers": headers, "delivery_mode": 2, "priority": 7,
        "correlation_id": "correlation", "reply_to": "elsewhere", "expiration": "600000", "message_id": "m-1",
        "timestamp": 1_357_000_000, "type": "greeting", "user_id": "guest", "app_id": "tests", "cluster_id": "none",
    }
    with Session(context) as session:
        queue = session.queue()
        session.publish(queue, b"whole", **sent)
        session.publish(queue, b"bare")
        _, properties, body = session.get(queue)
        equal((body, vars(properties)), (b"whole", sent), "the message with all properties")
        _, properties, body = session.get(queue)
        equal((body, properties), (b"bare", pika.BasicProperties()), "the message without any")


@scenario()
def bodies_of_all_sizes_come_back_whole(context):
    bodies = [(b"%d " % size * size)[:size] for size in SIZES]
    with Session(context, frame_max=FRAME_MAX) as session:
        queue = session.queue()
        session.publish(queue, *bodies)
        consumer = session.consume(queue, ack=True)
        consumer.wait(len(bodies))
        equal(consumer.bodies, bodies, "bodies")
        equal(session.counts(queue), (0, 1), "what is left")


@scenario()
def where_it_was_published_is_told(context):
    with Session(context) as session:
        exchange = session.exchange("topic")
        queue = session.bound(exchange, "a.#")
        session.publish("a.b.c", b"", exchange=exchange)
        session.publish(queue, b"")
        method, _, _ = session.get(queue)
        equal((method.exchange, method.routing_key, method.redelivered, method.message_count), (exchange, "a.b.c", False, 1), "first")
        method, _, _ = session.get(queue)
        equal((method.exchange, method.routing_key, method.message_count), ("", queue, 0), "through the default exchange")


@scenario()
def what_no_queue_takes_is_returned_if_mandatory(context):
    with Session(context) as session:
        exchange = session.exchange("direct")
        # Without the flag it is confirmed as well, and gone.
        session.publish("nobody", b"gone", exchange=exchange)
        try:
            session.publish("nobody", b"back", exchange=exchange, mandatory=True, message_id="back")
            raise AssertionError("it was routed")
        except UnroutableError as unroutable:
            (returned,) = unroutable.messages
        method = returned.method
        told = (method.reply_code, method.reply_text, method.exchange, method.routing_key)
        equal(told, (312, "NO_ROUTE", exchange, "nobody"), "the return")
        equal((returned.body, returned.properties.message_id), (b"back", "back"), "what was returned")
        session.publish(session.bound(exchange, "somebody"), b"there", mandatory=True)


@scenario()
def returns_come_without_confirms_too(context):
    returned = []
    with Session(context) as session:
        channel = session.fresh_channel()
        channel.add_on_return_callback(lambda _, method, properties, body: returned.append((method.reply_code, body)))
        session.publish(fresh_name("nobody"), b"first", b"second", channel=channel, mandatory=True)
        session.until(lambda: len(returned) == 2, "both are returned")
        equal(returned, [(312, b"first"), (312, b"second")], "what was returned")


@scenario()
def a_full_queue_rejects_what_it_is_told_to_reject(context):
    with Session(context) as session:
        queue = session.queue({"x-max-length": 2, "x-overflow": "reject-publish"})
        session.publish(queue, b"1", b"2")
        for body in (b"3", b"4"):
            try:
                session.publish(queue, body)
                raise AssertionError("a full queue took a message")
            except NackError:
                pass
        equal(session.drain(queue), [b"1", b"2"], "what is in the queue")
        session.publish(queue, b"5")
        equal(session.drain(queue), [b"5"], "what is in the queue once there is room")


@scenario()
def one_full_queue_of_two_rejects(context):
    with Session(context) as session:
        exchange = session.exchange("fanout")
        full = session.bound(exchange, arguments=None)
        small = session.queue({"x-max-length": 1, "x-overflow": "reject-publish"})
        session.channel.queue_bind(small, exchange)
        session.publish("", b"1", exchange=exchange)
        try:
            session.publish("", b"2", exchange=exchange)
            raise AssertionError("a full queue took a message")
        except NackError:
            pass
        # The other queue has it nevertheless.
        equal((session.drain(full), session.drain(small)), ([b"1", b"2"], [b"1"]), "what is in both queues")


@scenario()
def cc_and_bcc_are_routing_keys_too(context):
    with Session(context) as session:
        first, second, third = (session.queue(exclusive=True) for _ in range(3))
        session.publish(first, b"letter", headers={"CC": [second, first], "BCC": [third], "kept": 1})
        for queue in (first, second, third):
            method, properties, body = session.get(queue)
            # Nobody learns of a blind copy.
            equal(properties.headers, {"CC": [second, first], "kept": 1}, "headers")
            equal((body, method.routing_key), (b"letter", first), "the message")
            equal(session.get(queue), None, "a second copy")
        text = 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}'
        wrong = pika.BasicProperties(headers={"CC": "text"})
        session.refused(406, text, lambda channel: published_to_nowhere(channel, "", "", wrong))


@scenario()
def what_cannot_be_published_closes_the_channel(context):
    with Session(context) as session:
        nowhere = fresh_name("nowhere")
        text = f"NOT_FOUND - no exchange '{nowhere}' in vhost '/'"
        session.refused(404, text, lambda channel: published_to_nowhere(channel, nowhere))
        internal = session.exchange("direct", internal=True)
        text = f"ACCESS_REFUSED - cannot publish to internal exchange '{internal}' in vhost '/'"
        session.refused(403, text, lambda channel: published_to_nowhere(channel, internal))
        text = "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'"
        forged = pika.BasicProperties(user_id="somebody")
        session.refused(406, text, lambda channel: published_to_nowhere(channel, "", "", forged))
        for expiration, why in EXPIRATIONS.items():
            text = f"PRECONDITION_FAILED - invalid expiration '{expiration}': {why}"
            wrong = pika.BasicProperties(expiration=expiration)
            session.refused(406, text, lambda channel: published_to_nowhere(channel, "", "", wrong))


EXPIRATIONS = {
    "soon": "no_integer",
    "": "no_integer",
    "10 ": '{leftover_string," "}',
    "1.5": '{leftover_string,".5"}',
    "-1": "{value_negative,-1}",
    # Ten years and a millisecond.
    "315360000001": "{value_too_large,315360000001}",
}


@scenario()
def a_transaction_publishes_and_acknowledges_at_once(context):
    with Session(context) as session:
        queue, other = session.queue(), session.queue()
        session.publish(queue, b"1", b"2", b"3")
        channel = session.fresh_channel()
        channel.tx_select()
        (first, _, _), (second, _, _) = (session.get(queue, False, channel) for _ in range(2))
        channel.basic_ack(first.delivery_tag)
        channel.basic_nack(second.delivery_tag, requeue=True)
        session.publish(other, b"a", b"b", channel=channel)
        channel.basic_qos(prefetch_count=10)
        equal((session.counts(queue)[0], session.counts(other)[0]), (1, 0), "what is ready before the commit")
        channel.tx_commit()
        equal((session.drain(queue), session.drain(other)), ([b"2", b"3"], [b"a", b"b"]), "what is ready after the commit")

        session.publish(queue, b"4")
        (fourth, _, _) = session.get(queue, False, channel)
        channel.basic_ack(fourth.delivery_tag)
        session.publish(other, b"c", channel=channel)
        channel.tx_rollback()
        channel.tx_commit()
        equal(session.counts(other)[0], 0, "what was rolled back")
        # An acknowledgement that was rolled back may be given again.
        channel.basic_ack(fourth.delivery_tag)
        session.publish(other, b"d", channel=channel)
        channel.close()
        equal((session.drain(queue), session.drain(other)), ([b"4"], []), "what a channel leaves that closes before its commit")


@scenario()
def a_channel_is_of_transactions_or_of_confirms(context):
    with Session(context) as session:

        def confirms_first(channel):
            channel.confirm_delivery()
            channel.tx_select()

        def transactions_first(channel):
            channel.tx_select()
            channel.confirm_delivery()

        session.refused(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", confirms_first)
        session.refused(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", transactions_first)
        for method in ("tx_commit", "tx_rollback"):
            text = "PRECONDITION_FAILED - channel is not transactional"
            session.refused(406, text, lambda channel: getattr(channel, method)())


@scenario()
def a_failed_transaction_leaves_nothing(context):
    with Session(context) as session:
        queue, nowhere = session.queue(), fresh_name("nowhere")

        def publish(channel):
            channel.tx_select()
            session.publish(queue, b"first", channel=channel)
            channel.basic_publish(nowhere, "", b"second")
            channel.tx_commit()

        session.refused(404, f"NOT_FOUND - no exchange '{nowhere}' in vhost '/'", publish)
        equal(session.drain(queue), [], "what is there of the transaction")


@scenario()
def publishing_is_blocked_while_there_is_an_alarm(context):
    from administration import alarm

    with Session(context) as session:
        queue, said = session.queue(), []
        session.connection.add_on_connection_blocked_callback(lambda _, frame: said.append(frame.method.reason))
        session.connection.add_on_connection_unblocked_callback(lambda *_: said.append("unblocked"))
        session.publish(queue, b"before")
        equal(said, [], "what was said before the alarm")
        with alarm(context):
            # Told as soon as it publishes; nobody takes the message before the alarm is over.
            session.publish(queue, b"meanwhile", channel=session.fresh_channel())
            session.until(lambda: said, "the connection is blocked")
            equal(said, ["low on memory"], "why it is blocked")
            with Session(context) as consumer:
                equal(consumer.drain(queue), [b"before"], "what consumers get meanwhile")
        session.until(lambda: len(said) == 2, "the connection is unblocked", PATIENCE_S)
        equal(session.wait_for(queue)[2], b"meanwhile", "what was published meanwhile")
