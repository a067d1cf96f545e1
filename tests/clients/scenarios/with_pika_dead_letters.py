"""pika's dead letters: why, what is written on them, and where they end."""

import datetime
import time

from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import Session


def dying(session, exchange, key=None, **arguments):
    """A queue whose messages go to the exchange when they die."""
    arguments = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    if key is not None:
        arguments["x-dead-letter-routing-key"] = key
    return session.queue({"x-dead-letter-exchange": exchange} | arguments, stem="dying")


def deaths(properties):
    """x-death without the times, which are checked to be of today."""
    found = []
    for death in properties.headers["x-death"]:
        when = death.pop("time")
        age = datetime.datetime.now(datetime.timezone.utc).timestamp() - when.replace(tzinfo=datetime.timezone.utc).timestamp()
        assert -2 < age < 120, f"it died {age} s ago"
        found.append(death)
    return found


@scenario()
def what_is_rejected_is_sent_on(context):
    with Session(context) as session:
        exchange = session.exchange("topic")
        dead, source = session.bound(exchange, "#"), session.exchange("direct")
        queue = dying(session, exchange)
        session.channel.queue_bind(queue, source, "key")
        given = {"message_id": "1", "headers": {"mine": True}, "delivery_mode": 2, "priority": 3}
        session.publish("key", b"body", exchange=source, **given)
        method, _, _ = session.get(queue, False)
        session.channel.basic_reject(method.delivery_tag, requeue=False)
        method, properties, body = session.wait_for(dead)
        equal((method.exchange, method.routing_key, body, method.redelivered), (exchange, "key", b"body", False), "the message")
        death = {"count": 1, "reason": "rejected", "queue": queue, "exchange": source, "routing-keys": ["key"]}
        equal(deaths(properties), [death], "x-death")
        first = {"x-first-death-exchange": source, "x-first-death-queue": queue, "x-first-death-reason": "rejected"}
        headers = {name: value for name, value in properties.headers.items() if name != "x-death"}
        equal(headers, {"mine": True} | first, "the other headers")
        kept = {name: getattr(properties, name) for name in given if name != "headers"}
        equal(kept, {"message_id": "1", "delivery_mode": 2, "priority": 3}, "the other properties")


@scenario()
def what_expires_is_sent_on_and_expires_no_more(context):
    with Session(context) as session:
        exchange = session.exchange("fanout")
        dead = session.bound(exchange)
        queue = dying(session, exchange, "other key", message_ttl=60_000)
        session.publish(queue, b"1", expiration="100", headers={"CC": ["copy"], "BCC": ["blind"]})
        method, properties, _ = session.wait_for(dead)
        equal((method.routing_key, properties.expiration), ("other key", None), "the key and the expiration")
        (death,) = deaths(properties)
        expected = {"count": 1, "reason": "expired", "queue": queue, "exchange": "", "original-expiration": "100"}
        # The blind ones stay unknown, and with a key of their own no copies are made.
        equal(death, expected | {"routing-keys": [queue, "copy"]}, "x-death")


@scenario(each=("drop-head", "reject-publish-dlx"))
def what_is_too_much_is_sent_on(context, overflow):
    from pika.exceptions import NackError

    with Session(context) as session:
        exchange = session.exchange("fanout")
        dead = session.bound(exchange)
        queue = dying(session, exchange, max_length=1, overflow=overflow)
        session.publish(queue, b"1")
        try:
            session.publish(queue, b"2")
            equal(overflow, "drop-head", "the way of which a message is confirmed that is too much")
        except NackError:
            equal(overflow, "reject-publish-dlx", "the way of which a message is rejected that is too much")
        _, properties, body = session.wait_for(dead)
        equal(body, {"drop-head": b"1", "reject-publish-dlx": b"2"}[overflow], "which died")
        equal([(death["reason"], death["count"]) for death in deaths(properties)], [("maxlen", 1)], "why")


@scenario()
def a_message_that_dies_again_and_again_is_counted(context):
    with Session(context) as session:
        # The pattern of retries: rejected, kept for a while, and back.
        work, wait = fresh_name("work"), fresh_name("wait")
        session.declared += [("queue", work), ("queue", wait)]
        to = lambda key, **more: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": key} | more
        session.channel.queue_declare(work, arguments=to(wait))
        session.channel.queue_declare(wait, arguments=to(work, **{"x-message-ttl": 50}))
        session.publish(work, b"retried")
        for count in range(1, 5):
            method, properties, _ = session.wait_for(work, False)
            if count > 1:
                found = [(death["queue"], death["reason"], death["count"]) for death in deaths(properties)]
                equal(found, [(wait, "expired", count - 1), (work, "rejected", count - 1)], "x-death, newest first")
                equal(properties.headers["x-first-death-queue"], work, "where it died first")
            session.channel.basic_nack(method.delivery_tag, requeue=False)
        session.wait_for(work)


@scenario()
def a_circle_without_a_rejection_ends(context):
    with Session(context) as session:
        first, second = fresh_name("first"), fresh_name("second")
        session.declared += [("queue", first), ("queue", second)]
        to = lambda key: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": key, "x-message-ttl": 50}
        session.channel.queue_declare(first, arguments=to(second))
        session.channel.queue_declare(second, arguments=to(first))
        session.publish(first, b"round and round")
        begin = time.monotonic()
        session.until(lambda: time.monotonic() > begin + 1, "it would have gone round several times")
        equal((session.counts(first)[0], session.counts(second)[0]), (0, 0), "what is left of it")
        alone = fresh_name("alone")
        session.declared.append(("queue", alone))
        session.channel.queue_declare(alone, arguments=to(alone))
        session.publish(alone, b"to itself")
        session.wait_for_count(alone, 0)


@scenario()
def what_has_nowhere_to_go_is_gone(context):
    with Session(context) as session:
        for exchange in (fresh_name("missing"), session.exchange("direct")):
            queue = dying(session, exchange)
            session.publish(queue, b"1")
            method, _, _ = session.get(queue, False)
            session.channel.basic_reject(method.delivery_tag, requeue=False)
            equal(session.counts(queue)[0], 0, "what is left")
        # The exchange is looked for when something dies.
        queue = dying(session, missing := fresh_name("later"))
        session.declared.append(("exchange", missing))
        session.channel.exchange_declare(missing, "fanout")
        dead = session.bound(missing)
        session.publish(queue, b"2")
        method, _, _ = session.get(queue, False)
        session.channel.basic_reject(method.delivery_tag, requeue=False)
        equal(session.wait_for(dead)[2], b"2", "what died after its exchange was declared")


@scenario()
def deaths_keep_their_order(context):
    with Session(context) as session:
        exchange = session.exchange("fanout")
        dead, queue = session.bound(exchange), dying(session, exchange)
        numbers = [b"%d" % n for n in range(100)]
        session.publish(queue, *numbers)
        channel = session.fresh_channel()
        for _ in numbers:
            session.get(queue, False, channel)
        channel.basic_nack(60, multiple=True, requeue=False)
        channel.basic_nack(0, multiple=True, requeue=False)
        session.wait_for_count(dead, 100)
        equal(session.drain(dead), numbers, "the order")


@scenario()
def what_is_purged_or_deleted_does_not_die(context):
    with Session(context) as session:
        exchange = session.exchange("fanout")
        dead, queue = session.bound(exchange), dying(session, exchange)
        session.publish(queue, b"1", b"2")
        session.channel.queue_purge(queue)
        session.publish(queue, b"3")
        session.channel.queue_delete(queue)
        session.settle()
        equal(session.counts(dead)[0], 0, "what was sent on")
