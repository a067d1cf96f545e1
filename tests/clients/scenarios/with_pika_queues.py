"""pika's queues: names, declarations that agree or not, and when queues go."""

from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import Session

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could be originally declared on "
    "another connection or the exclusive property value does not match that of the original declaration."
)


@scenario()
def the_broker_names_what_has_no_name(context):
    with Session(context) as session:
        first, second = (session.channel.queue_declare("", exclusive=True).method.queue for _ in range(2))
        assert first.startswith("amq.gen-") and len(first) == len("amq.gen-") + 22, first
        assert first != second, "one name was given twice"
        # The empty name is that of the last queue that the channel declared.
        session.publish(second, b"1", b"2")
        equal(session.get("")[2], b"1", "what is in the last queue")
        session.channel.queue_bind("", "amq.fanout")
        equal(session.channel.queue_purge("").method.message_count, 1, "what was purged of it")
        session.publish("", b"3", exchange="amq.fanout")
        equal((session.counts(second), session.counts(first)), ((1, 0), (0, 0)), "what was bound")
        equal(session.channel.queue_delete("").method.message_count, 1, "what was deleted with it")
        text = "NOT_FOUND - no previously declared queue"
        session.refused(404, text, lambda channel: channel.basic_get(""))


@scenario()
def names_of_the_broker_are_not_given(context):
    with Session(context) as session:
        for name in ("amq.mine", "amq."):
            text = f"ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'"
            session.refused(403, text, lambda channel: channel.queue_declare(name))
        name = fresh_name("amq.mine")
        text = f"NOT_FOUND - no queue '{name}' in vhost '/'"
        session.refused(404, text, lambda channel: channel.queue_declare(name, passive=True))
        # Any other text is a name.
        for name in ("a b/c\u00e9\u2603#*", "AMQ.not", "n" * 255):
            equal(session.channel.queue_declare(name, auto_delete=True, exclusive=True).method.queue, name, "the name")


@scenario()
def a_declaration_tells_what_is_there(context):
    with Session(context) as session:
        queue = session.queue()
        session.publish(queue, b"1", b"2", b"3")
        consumer = session.consume(queue, prefetch=1)
        consumer.wait(1)
        found = session.channel.queue_declare(queue, durable=True).method
        equal((found.queue, found.message_count, found.consumer_count), (queue, 2, 1), "declared again")
        # Passively, nothing but the name is compared.
        found = session.channel.queue_declare(queue, passive=True, durable=False, arguments={"x-expires": 1}).method
        equal((found.queue, found.message_count, found.consumer_count), (queue, 2, 1), "declared passively")
        missing = fresh_name("missing")
        text = f"NOT_FOUND - no queue '{missing}' in vhost '/'"
        session.refused(404, text, lambda channel: channel.queue_declare(missing, passive=True))


@scenario()
def a_declaration_has_to_agree(context):
    arguments = {"x-message-ttl": 60_000, "x-max-length": 10, "x-dead-letter-exchange": "amq.fanout"}
    with Session(context) as session:
        queue = session.queue(arguments)
        # What the broker does not know is not compared, and this type is that of a queue without one.
        same = [arguments, arguments | {"x-queue-type": "classic"}, arguments | {"mine": "anything"}]
        for each in same:
            session.channel.queue_declare(queue, durable=True, arguments=each)
        inequivalent = "PRECONDITION_FAILED - inequivalent arg '{}' for queue '{}' in vhost '/': received {} but current is {}"
        differing = (
            ("durable", "'false'", "'true'", {"durable": False, "arguments": arguments}),
            ("auto_delete", "'true'", "'false'", {"auto_delete": True, "arguments": arguments}),
            ("x-message-ttl", "'1'", "'60000'", {"arguments": arguments | {"x-message-ttl": 1}}),
            ("x-max-length", "'1099511627776'", "'10'", {"arguments": arguments | {"x-max-length": 1 << 40}}),
            ("x-expires", "the value '5000' of type 'signedint'", "none", {"arguments": arguments | {"x-expires": 5000}}),
            ("x-dead-letter-exchange", "none", "the value 'amq.fanout' of type 'longstr'", {"arguments": WITHOUT_EXCHANGE}),
        )
        for what, received, current, settings in differing:
            text = inequivalent.format(what, queue, received, current)
            declare = {"durable": True} | settings
            session.refused(406, text, lambda channel: channel.queue_declare(queue, **declare))
        session.refused(405, LOCKED.format(queue), lambda channel: channel.queue_declare(queue, durable=True, exclusive=True))


WITHOUT_EXCHANGE = {"x-message-ttl": 60_000, "x-max-length": 10}
# What of it is wrong, and how the broker says so.
INVALID_ARGUMENTS = (
    ("x-message-ttl", -1, "{value_negative,-1}"),
    ("x-message-ttl", "60000", '"expected integer, got longstr"'),
    ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
    ("x-expires", 0, "{value_zero,0}"),
    ("x-expires", -1, "{value_negative,-1}"),
    ("x-max-length", -1, "{value_negative,-1}"),
    ("x-max-length", "ten", '"expected integer, got longstr"'),
    ("x-max-length-bytes", -1, "{value_negative,-1}"),
    ("x-max-priority", 256, "{max_value_exceeded,256}"),
    ("x-max-priority", -1, "{value_negative,-1}"),
    ("x-overflow", "drop-tail", "invalid_overflow"),
    ("x-overflow", 1, "{unacceptable_type,signedint}"),
    ("x-queue-type", 5, "{unacceptable_type,signedint}"),
    ("x-dead-letter-routing-key", "key", "routing_key_but_no_dlx_defined"),
    ("x-single-active-consumer", "yes", "{unacceptable_type,longstr}"),
    ("x-queue-mode", "eager", "\"unsupported queue mode 'eager'\""),
    ("x-queue-type", "paper", "\"unsupported queue type 'paper'\""),
)


@scenario(each=[f"{name}={value}" for name, value, _ in INVALID_ARGUMENTS])
def invalid_arguments_are_refused(context, chosen):
    (found,) = [each for each in INVALID_ARGUMENTS if f"{each[0]}={each[1]}" == chosen]
    name, value, why = found
    with Session(context) as session:
        queue = fresh_name("invalid")
        text = f"PRECONDITION_FAILED - invalid arg '{name}' for queue '{queue}' in vhost '/': {why}"
        session.refused(406, text, lambda channel: channel.queue_declare(queue, durable=True, arguments={name: value}))
        equal(session.counts(queue), None, "the queue")


@scenario()
def arguments_of_other_types_of_queues_are_refused(context):
    with Session(context) as session:
        queue = fresh_name("invalid")
        for name, value, kind in (
            ("x-delivery-limit", 1, "classic"), ("x-max-age", "1h", "classic"), ("x-max-priority", 5, "quorum"),
            ("x-queue-mode", "lazy", "quorum"), ("x-message-ttl", 1000, "stream"), ("x-max-length", 1000, "stream"),
            ("x-overflow", "drop-head", "stream"), ("x-dead-letter-exchange", "amq.fanout", "stream"), ("x-expires", 1000, "stream"),
        ):
            text = f"PRECONDITION_FAILED - invalid arg '{name}' for queue '{queue}' in vhost '/' of queue type rabbit_{kind}_queue"
            arguments = {"x-queue-type": kind, name: value}
            session.refused(406, text, lambda channel: channel.queue_declare(queue, durable=True, arguments=arguments))
        for kind in ("quorum", "stream"):
            for what, settings in (
                ("non-durable", {}), ("exclusive-owner", {"durable": True, "exclusive": True}),
                ("auto-delete", {"durable": True, "auto_delete": True}),
            ):
                text = f"PRECONDITION_FAILED - invalid property '{what}' for queue '{queue}' in vhost '/'"
                arguments = {"x-queue-type": kind}
                session.refused(406, text, lambda channel: channel.queue_declare(queue, arguments=arguments, **settings))


@scenario()
def an_exclusive_queue_is_its_connections(context):
    with Session(context) as session, Session(context) as other:
        queue = other.queue(exclusive=True)
        locked = LOCKED.format(queue)
        session.refused(405, locked, lambda channel: channel.queue_declare(queue, passive=True))
        session.refused(405, locked, lambda channel: channel.queue_declare(queue, durable=True, exclusive=True))
        session.refused(405, locked, lambda channel: channel.queue_delete(queue))
        session.refused(405, locked, lambda channel: channel.queue_purge(queue))
        session.refused(405, locked, lambda channel: channel.queue_bind(queue, "amq.fanout"))
        # Everyone may publish to it, and all channels of its own connection may consume from it.
        session.publish(queue, b"1")
        equal(other.consume(queue, ack=True).wait(1)[0][2], b"1", "what its own connection consumes")
        other.connection.close()
        # It has gone before the connection's end was answered.
        equal(session.counts(queue), None, "the queue after its connection")


@scenario()
def an_auto_delete_queue_goes_with_its_last_consumer(context):
    with Session(context) as session:
        queue = session.queue(auto_delete=True)
        session.publish(queue, b"1")
        session.connection.process_data_events(0)
        equal(session.counts(queue), (1, 0), "a queue that had no consumer yet")
        first, second = session.consume(queue, ack=True), session.consume(queue, ack=True)
        first.cancel()
        equal(session.counts(queue)[1], 1, "consumers that are left")
        second.channel.close()
        session.until(lambda: session.counts(queue) is None, "it goes with its last consumer")


@scenario()
def an_unused_queue_expires(context):
    with Session(context) as session:
        used, idle = session.queue({"x-expires": 400}), session.queue({"x-expires": 400})
        session.publish(idle, b"1")
        consumer = session.consume(used)
        session.until(lambda: gone(session, idle), "the idle queue expires")
        equal(session.counts(used), (0, 1), "a queue with a consumer")
        consumer.cancel()
        session.until(lambda: gone(session, used), "it expires once its consumer is gone")


def gone(session, queue):
    """Asked in a way that is no use of the queue: a message that it does not take is unroutable."""
    from pika.exceptions import UnroutableError

    try:
        session.publish(queue, b"", mandatory=True)
    except UnroutableError:
        return True
    return False


@scenario()
def a_queue_is_purged_and_deleted(context):
    with Session(context) as session:
        queue = session.queue()
        session.publish(queue, b"1", b"2", b"3")
        method, _, _ = session.get(queue, False)
        equal(session.channel.queue_purge(queue).method.message_count, 2, "what was ready")
        session.channel.basic_nack(method.delivery_tag)
        session.wait_for_count(queue, 1)
        in_use = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"
        not_empty = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' is not empty"
        session.refused(406, not_empty.replace("is not", "not"), lambda channel: channel.queue_delete(queue, if_empty=True))
        consumer = session.consume(queue)
        session.refused(406, in_use, lambda channel: channel.queue_delete(queue, if_unused=True))
        consumer.cancel()
        consumer.channel.close()
        session.wait_for_count(queue, 1)
        equal(session.channel.queue_delete(queue, if_unused=True).method.message_count, 1, "what was in it")
        # What is not there is deleted as well as what is; but it cannot be purged.
        equal(session.channel.queue_delete(queue).method.message_count, 0, "what was in no queue")
        text = f"NOT_FOUND - no queue '{queue}' in vhost '/'"
        session.refused(404, text, lambda channel: channel.queue_purge(queue))


@scenario()
def a_name_may_be_used_again(context):
    with Session(context) as session:
        queue = session.bound("amq.fanout")
        session.publish(queue, b"old")
        for n in range(20):
            session.channel.queue_delete(queue)
            session.channel.queue_declare(queue, exclusive=True)
            session.publish("", b"not bound any more", exchange="amq.fanout")
            equal(session.counts(queue), (0, 0), "what the new queue has of the old one")
            session.publish(queue, b"%d" % n)


@scenario(timeout_s=120)
def many_queues_come_and_go(context):
    with Session(context) as session:
        exchange = session.exchange("topic")
        queues = [session.channel.queue_declare("", exclusive=True).method.queue for _ in range(500)]
        for n, queue in enumerate(queues):
            session.channel.queue_bind(queue, exchange, f"key.{n % 10}")
        session.publish("key.3", b"to fifty", exchange=exchange)
        found = [queue for queue in queues if session.get(queue)]
        equal(found, queues[3::10], "which queues had it")
        for queue in queues[:250]:
            session.channel.queue_delete(queue)
        session.publish("key.3", b"to half of them", exchange=exchange)
        equal(sum(1 for queue in queues[250:] if session.get(queue)), 25, "how many had it")
