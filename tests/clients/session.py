"""pika as the scenarios use it: a connection with a channel, and what is declared through it is deleted when it ends."""

import time

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker

from scenario import equal, fresh_name

PATIENCE_S = 20


def parameters(context, *, user="guest", password="guest", vhost="/", **settings):
    host, port = context.amqp.rsplit(":", 1)
    credentials = pika.PlainCredentials(user, password)
    settings = {"heartbeat": 0, "blocked_connection_timeout": PATIENCE_S, "socket_timeout": PATIENCE_S} | settings
    return pika.ConnectionParameters(host, int(port), vhost, credentials, **settings)


class Consumer:
    """What was delivered to it, as (method, properties, body), and whether the broker cancelled it."""

    def __init__(self, session, channel, queue, *, ack=False, **settings):
        self.session, self.channel, self.messages, self.cancelled = session, channel, [], False
        # A broker that cancels says so to the channel, not to the consumer.
        channel.add_on_cancel_callback(self.on_cancel)
        self.tag = channel.basic_consume(queue, self.on_message, auto_ack=ack, **settings)

    def on_message(self, _, method, properties, body):
        self.messages.append((method, properties, body))

    def on_cancel(self, frame):
        self.cancelled = self.cancelled or frame.method.consumer_tag == self.tag

    @property
    def bodies(self):
        return [body for _, _, body in self.messages]

    @property
    def tags(self):
        return [method.delivery_tag for method, _, _ in self.messages]

    def wait(self, count, within_s=PATIENCE_S):
        """Its first messages, as soon as there are `count` of them."""
        found = lambda: f"{count} messages are delivered instead of {len(self.messages)}"
        self.session.until(lambda: len(self.messages) >= count, found, within_s)
        return self.messages

    def cancel(self):
        self.channel.basic_cancel(self.tag)


class Session:
    """`with Session(context) as session:`. Its channel confirms, so that what was published is there."""

    def __init__(self, context, **settings):
        self.context, self.settings, self.declared = context, settings, []
        self.connection = pika.BlockingConnection(parameters(context, **settings))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.connection.is_open:
            self.connection.close()
        if not self.declared:
            return
        try:
            with pika.BlockingConnection(parameters(self.context, **self.settings)) as connection:
                self.delete_all(connection)
        except AMQPError:
            # A broker of the scenario's own has ended.
            pass

    def delete_all(self, connection):
        for kind, name in reversed(self.declared):
            channel = connection.channel()
            delete = channel.queue_delete if kind == "queue" else channel.exchange_delete
            try:
                delete(name)
                channel.close()
            except ChannelClosedByBroker:
                pass

    def fresh_channel(self):
        return self.connection.channel()

    def queue(self, arguments=None, *, stem="queue", durable=True, **settings):
        name = fresh_name(stem)
        self.declared.append(("queue", name))
        self.channel.queue_declare(name, durable=durable, arguments=arguments, **settings)
        return name

    def quorum_queue(self, **arguments):
        return self.queue({"x-queue-type": "quorum"} | {f"x-{name.replace('_', '-')}": arguments[name] for name in arguments})

    def exchange(self, kind, *, stem=None, **settings):
        name = fresh_name(stem or kind)
        self.declared.append(("exchange", name))
        self.channel.exchange_declare(name, kind, **settings)
        return name

    def bound(self, exchange, key="", arguments=None, **settings):
        """A queue of its own, bound to the exchange."""
        queue = self.queue(exclusive=True, **settings)
        self.channel.queue_bind(queue, exchange, key, arguments)
        return queue

    def publish(self, key, *bodies, exchange="", channel=None, mandatory=False, **properties):
        for body in bodies:
            what = pika.BasicProperties(**properties)
            (channel or self.channel).basic_publish(exchange, key, body, what, mandatory)

    def get(self, queue, auto_ack=True, channel=None):
        """(method, properties, body), or None of an empty queue."""
        method, properties, body = (channel or self.channel).basic_get(queue, auto_ack)
        return None if method is None else (method, properties, body)

    def wait_for(self, queue, auto_ack=True, within_s=PATIENCE_S):
        """The next message, which may take a while to come."""
        found = []

        def is_there():
            found[:] = [self.get(queue, auto_ack)]
            return found[0] is not None

        self.until(is_there, f"a message comes to {queue}", within_s)
        return found[0]

    def drain(self, queue):
        """The bodies in a queue, which is empty then."""
        bodies = []
        while message := self.get(queue):
            bodies.append(message[2])
        return bodies

    def counts(self, queue):
        """(ready messages, consumers), or None of a queue that is gone."""
        channel = self.fresh_channel()
        try:
            found = channel.queue_declare(queue, passive=True).method
        except ChannelClosedByBroker as closed:
            equal(closed.reply_code, 404, "why the queue is not there")
            return None
        channel.close()
        return found.message_count, found.consumer_count

    def wait_for_count(self, queue, ready, within_s=PATIENCE_S):
        found = lambda: f"{ready} messages are ready in {queue} instead of {self.counts(queue)}"
        self.until(lambda: (self.counts(queue) or (None,))[0] == ready, found, within_s)

    def consume(self, queue, *, channel=None, prefetch=None, **settings):
        channel = channel or self.fresh_channel()
        if prefetch is not None:
            channel.basic_qos(prefetch_count=prefetch)
        return Consumer(self, channel, queue, **settings)

    def until(self, done, what, within_s=PATIENCE_S):
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, f"never: {what() if callable(what) else what}"
            self.connection.process_data_events(0.01)

    def settle(self):
        """What the broker sent before it answered this has arrived."""
        self.counts(self.queue(exclusive=True))
        self.connection.process_data_events(0)

    def refused(self, code, text, action):
        """The action closes its channel with this reply; the connection lives on."""
        channel = self.fresh_channel()
        closed = closed_by_broker(lambda: action(channel))
        equal(type(closed), ChannelClosedByBroker, "what was closed")
        equal((closed.reply_code, closed.reply_text), (code, text), "why the channel was closed")
        self.fresh_channel().close()

    def refused_with_connection(self, code, text, action):
        """The action closes a connection with this reply; this one lives on."""
        with Session(self.context, **self.settings) as other:
            closed = closed_by_broker(lambda: action(other.fresh_channel()))
            equal(type(closed), ConnectionClosedByBroker, "what was closed")
            equal((closed.reply_code, closed.reply_text), (code, text), "why the connection was closed")


def closed_by_broker(action):
    try:
        action()
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as closed:
        return closed
    raise AssertionError("nothing was refused")


def published_to_nowhere(channel, exchange, key="", properties=None):
    """Publishes, and waits for an answer that comes before any to what is asked next."""
    channel.basic_publish(exchange, key, b"", properties)
    channel.basic_qos(prefetch_count=1)
