"""pika's connections: who may come in, to which virtual host, what they may do there, and how they stay alive."""

import socket
import struct
import time

import pika
from pika.exceptions import (
    AMQPConnectionError, ConnectionClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError,
)

from administration import limit, permit, user, virtual_host
from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import PATIENCE_S, Session, parameters

DENIED = "ACCESS_REFUSED - access to {} '{}' in vhost '{}' refused for user '{}'"


def refusal(context, **settings):
    """How a connection that may not be is refused."""
    try:
        pika.BlockingConnection(parameters(context, **settings)).close()
    except AMQPConnectionError as error:
        return error
    raise AssertionError("the connection was let in")


@scenario()
def the_broker_says_who_it_is(context):
    with Session(context) as session:
        said = session.connection._impl.server_properties
        capabilities = {
            "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
            "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
        }
        equal({name for name, able in said["capabilities"].items() if able}, capabilities, "capabilities")
        missing = {"product", "version", "platform", "cluster_name"} - set(said)
        equal(missing, set(), "what it does not say")
        agreed = session.connection._impl.params
        equal((agreed.channel_max, agreed.frame_max), (2047, 131_072), "the limits")


@scenario(each=("password", "user", "nobody"))
def who_is_not_known_is_refused(context, wrong):
    given = {"password": {"password": "wrong"}, "user": {"user": "stranger"}, "nobody": {"user": "", "password": ""}}[wrong]
    error = refusal(context, **given)
    equal(type(error), ProbableAuthenticationError, "the error")
    text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
    assert f"(403) {text!r}" in str(error), error


@scenario()
def a_virtual_host_has_to_be_there(context):
    name = fresh_name("vhost")
    error = refusal(context, vhost=name)
    assert isinstance(error, (ProbableAccessDeniedError, ConnectionClosedByBroker)), repr(error)
    assert f"NOT_ALLOWED - vhost {name} not found" in str(error), error


@scenario()
def virtual_hosts_know_nothing_of_each_other(context):
    with virtual_host(context, fresh_name("vhost")) as vhost:
        with Session(context) as session, Session(context, vhost=vhost) as other:
            queue = session.queue()
            text = f"NOT_FOUND - no queue '{queue}' in vhost '{vhost}'"
            other.refused(404, text, lambda channel: channel.queue_declare(queue, passive=True))
            other.channel.queue_declare(queue, exclusive=True)
            session.publish(queue, b"1")
            other.publish(queue, b"2")
            session.channel.queue_bind(queue, "amq.topic", "#")
            other.channel.queue_bind(queue, "amq.topic", "#")
            other.publish("a", b"3", exchange="amq.topic")
            equal((session.drain(queue), other.drain(queue)), ([b"1"], [b"2", b"3"]), "who has what")


@scenario()
def a_virtual_host_that_is_deleted_ends_its_connections(context):
    with virtual_host(context, fresh_name("vhost")) as vhost:
        connection = pika.BlockingConnection(parameters(context, vhost=vhost))
        connection.channel().queue_declare("queue", durable=True)
    try:
        connection.process_data_events(PATIENCE_S)
        raise AssertionError("the connection lives on")
    except ConnectionClosedByBroker as closed:
        text = f"CONNECTION_FORCED - vhost '{vhost}' is deleted"
        equal((closed.reply_code, closed.reply_text), (320, text), "why it was closed")
    with virtual_host(context, vhost), Session(context, vhost=vhost) as session:
        equal(session.counts("queue"), None, "a queue of the old one")


@scenario()
def a_virtual_host_has_its_limits(context):
    with virtual_host(context, fresh_name("vhost")) as vhost:
        limit(context, vhost, "max-queues", 1)
        limit(context, vhost, "max-connections", 1)
        with Session(context, vhost=vhost) as session:
            session.queue(exclusive=True)
            name = fresh_name("queue")
            text = f"PRECONDITION_FAILED - cannot declare queue '{name}': queue limit in vhost '{vhost}' (1) is reached"
            session.refused(406, text, lambda channel: channel.queue_declare(name))
            assert f"NOT_ALLOWED - access to vhost '{vhost}' refused for user 'guest': " in str(refusal(context, vhost=vhost))


@scenario()
def a_user_does_only_what_is_permitted(context):
    with virtual_host(context, fresh_name("vhost")) as vhost, user(context, fresh_name("user"), "secret") as name:
        who = {"user": name, "password": "secret", "vhost": vhost}
        text = f"NOT_ALLOWED - access to vhost '{vhost}' refused for user '{name}'"
        assert text in str(refusal(context, **who))
        permit(context, vhost, name, configure="^mine", write="^mine|^amq.topic$", read="^mine|^readable")
        with Session(context, vhost=vhost) as owner, Session(context, **who) as session:
            owner.channel.queue_declare("theirs")
            owner.channel.queue_declare("readable")
            owner.channel.exchange_declare("source", "fanout")
            owner.publish("readable", b"1", b"2")
            session.channel.queue_declare("mine")
            session.channel.exchange_declare("mine-too", "fanout")
            session.channel.queue_bind("mine", "mine-too")

            def denied(kind, what, action):
                session.refused(403, DENIED.format(kind, what, vhost, name), action)

            denied("queue", "theirs", lambda channel: channel.queue_declare("theirs"))
            denied("queue", "theirs", lambda channel: channel.queue_delete("theirs"))
            denied("exchange", "other", lambda channel: channel.exchange_declare("other", "fanout"))
            denied("exchange", "source", lambda channel: channel.exchange_delete("source"))
            # The name is asked for, whether it exists or not.
            denied("queue", "missing", lambda channel: channel.queue_declare("missing"))
            denied("queue", "theirs", lambda channel: channel.queue_bind("theirs", "mine-too"))
            denied("exchange", "source", lambda channel: channel.queue_bind("mine", "source"))
            denied("queue", "theirs", lambda channel: channel.queue_unbind("theirs", "mine-too"))
            denied("exchange", "source", lambda channel: channel.exchange_bind("mine-too", "source"))
            denied("exchange", "source", lambda channel: channel.exchange_bind("source", "mine-too"))
            denied("queue", "theirs", lambda channel: channel.basic_get("theirs"))
            denied("queue", "theirs", lambda channel: session.consume("theirs", channel=channel))
            denied("queue", "theirs", lambda channel: channel.queue_purge("theirs"))

            def publish(exchange):
                return lambda channel: (channel.basic_publish(exchange, "mine", b""), channel.basic_qos(prefetch_count=1))

            denied("exchange", "source", publish("source"))
            denied("exchange", "amq.default", publish(""))
            dead = {"x-dead-letter-exchange": "source"}
            denied("exchange", "source", lambda channel: channel.queue_declare("mine-2", arguments=dead))
            alternate = {"alternate-exchange": "source"}
            denied("exchange", "source", lambda channel: channel.exchange_declare("mine-3", "fanout", arguments=alternate))
            # Whoever knows the name may look.
            session.channel.queue_declare("theirs", passive=True)
            session.channel.exchange_declare("source", passive=True)
            equal(session.get("readable")[2], b"1", "what may be read")
            session.publish("", b"3", exchange="mine-too")
            equal(session.get("mine")[2], b"3", "what may be written")


@scenario()
def permissions_that_change_hold_at_once(context):
    with virtual_host(context, fresh_name("vhost")) as vhost, user(context, fresh_name("user"), "secret") as name:
        permit(context, vhost, name)
        with Session(context, user=name, password="secret", vhost=vhost) as session:
            queue = session.queue()
            permit(context, vhost, name, configure="")
            another = fresh_name("queue")
            text = DENIED.format("queue", another, vhost, name)
            # The permissions that a channel has found are its own for a while.
            session.refused(403, text, lambda channel: channel.queue_declare(another))
            permit(context, vhost, name)
            equal(session.counts(queue), (0, 0), "what is permitted again")


@scenario()
def many_channels_are_open_at_once(context):
    with Session(context) as session:
        queue = session.queue()
        channels = [session.fresh_channel() for _ in range(500)]
        consumers = [session.consume(queue, channel=channel, prefetch=1) for channel in channels]
        session.publish(queue, *(b"%d" % n for n in range(500)))
        session.until(lambda: sum(len(each.messages) for each in consumers) == 500, "each has its message")
        equal({len(each.messages) for each in consumers}, {1}, "messages of each")
        for channel in channels[::2]:
            channel.close()
        session.wait_for_count(queue, 250)
        for each in consumers[1::2]:
            each.channel.basic_ack(1)
        session.until(lambda: session.counts(queue)[0] == 0, "the others have the rest")


@scenario()
def a_channel_beyond_the_limit_ends_the_connection(context):
    with Session(context, channel_max=5) as session:
        equal(session.connection._impl.params.channel_max, 5, "the limit")
        for _ in range(4):
            session.fresh_channel()
        session.connection._impl.params.channel_max = 100
        try:
            session.connection.channel(6)
            raise AssertionError("it was opened")
        except ConnectionClosedByBroker as closed:
            text = "NOT_ALLOWED - number of channels opened (5) has reached the negotiated channel_max (5)"
            equal((closed.reply_code, closed.reply_text), (530, text), "why the connection was closed")


@scenario()
def a_secret_is_updated(context):
    with user(context, fresh_name("user"), "secret") as name, virtual_host(context, fresh_name("vhost")) as vhost:
        permit(context, vhost, name)
        with Session(context, user=name, password="secret", vhost=vhost) as session:
            # It is for tokens that end, which passwords do not.
            session.connection.update_secret("secret", "it is renewed")
            session.channel.queue_declare("", exclusive=True)


@scenario(timeout_s=60)
def heartbeats_are_sent_and_missed(context):
    def negotiate(connection_tune, proposed):
        return 1

    with Session(context, heartbeat=negotiate) as session:
        equal(session.connection._impl.params.heartbeat, 1, "the interval that both agreed")
        queue = session.queue(exclusive=True)
        begin = time.monotonic()
        # pika answers in between, and closes the connection if the broker is silent.
        session.until(lambda: time.monotonic() > begin + 4, "the time passes")
        equal(session.counts(queue), (0, 0), "a queue of the connection that was idle")
        # Asleep, it sends nothing.
        time.sleep(4)
        try:
            session.until(lambda: False, "the connection is lost", 5)
        except AMQPConnectionError:
            pass
        with Session(context) as other:
            other.until(lambda: other.counts(queue) is None, "what was exclusive to it is gone")


@scenario()
def another_protocol_is_answered_with_this_one(context):
    host, port = context.amqp.rsplit(":", 1)
    for said in (b"AMQP\x00\x01\x00\x00", b"AMQP\x00\x00\x09\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(said)
            answer = b""
            try:
                while piece := connection.recv(1024):
                    answer += piece
            except ConnectionResetError:
                # It does not read what follows.
                pass
            equal(answer, b"AMQP\x00\x00\x09\x01", f"the answer to {said!r}")


@scenario()
def amqplain_is_a_way_in_too(context):
    host, port = context.amqp.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        start = frame(connection)
        assert b"AMQPLAIN" in start and b"PLAIN AMQPLAIN" in start.replace(b"AMQPLAIN PLAIN", b"PLAIN AMQPLAIN"), start
        text = lambda value: struct.pack(">I", len(value)) + value
        fields = b"".join(bytes([len(name)]) + name + b"S" + text(b"guest") for name in (b"LOGIN", b"PASSWORD"))
        answer = struct.pack(">HH", 10, 11) + text(b"") + b"\x08AMQPLAIN" + text(fields) + b"\x05en_US"
        connection.sendall(struct.pack(">BHI", 1, 0, len(answer)) + answer + b"\xce")
        equal(struct.unpack_from(">HH", frame(connection)), (10, 30), "the answer, which is connection.tune")


def frame(connection):
    """The payload of the next frame."""
    size = struct.unpack(">BHI", exactly(connection, 7))[2]
    return exactly(connection, size + 1)[:-1]


def exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data
