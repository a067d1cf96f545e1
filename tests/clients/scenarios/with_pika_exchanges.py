"""pika's exchanges: who gets what through which type, bindings between exchanges, and declarations that agree or not."""

from collections import Counter

from pika.exceptions import UnroutableError

from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import Session


def got(session, queues):
    """The names of the queues that had a message, each of them only one."""
    found = [name for name, queue in queues.items() for _ in session.drain(queue)]
    equal(len(found), len(set(found)), f"copies in {found}")
    return set(found)


@scenario()
def direct_and_fanout_exchanges(context):
    with Session(context) as session:
        direct, fanout = session.exchange("direct"), session.exchange("fanout")
        queues = {name: session.bound(direct, name) for name in "abc"}
        session.channel.queue_bind(queues["a"], direct, "b")
        for name in "abc":
            session.channel.queue_bind(queues[name], fanout, f"ignored {name}")
        session.channel.queue_bind(queues["a"], fanout, "twice")
        for key, expected in {"a": {"a"}, "b": {"a", "b"}, "c": {"c"}, "": set(), "A": set(), "a.b": set()}.items():
            session.publish(key, b"", exchange=direct)
            equal(got(session, queues), expected, f"who gets {key!r}")
        session.publish("any", b"", exchange=fanout)
        equal(got(session, queues), set("abc"), "who gets what is for all")
        session.channel.queue_unbind(queues["a"], fanout, "twice")
        session.channel.queue_unbind(queues["c"], fanout, "ignored c")
        session.publish("any", b"", exchange=fanout)
        equal(got(session, queues), {"a", "b"}, "who is left")


PATTERNS = {
    "#": lambda words: True,
    "*": lambda words: len(words) == 1,
    "*.*": lambda words: len(words) == 2,
    "a.*": lambda words: len(words) == 2 and words[0] == "a",
    "a.#": lambda words: words[0] == "a",
    "#.a": lambda words: words[-1] == "a",
    "#.b.#": lambda words: "b" in words,
    "a.#.c": lambda words: len(words) > 1 and words[0] == "a" and words[-1] == "c",
    "*.#.*": lambda words: len(words) > 1,
    "#.*": lambda words: words != [],
    "a.b.c": lambda words: words == ["a", "b", "c"],
    "#.#": lambda words: True,
    "a*": lambda words: words == ["a*"],
    "": lambda words: words == [],
    "a..c": lambda words: words == ["a", "", "c"],
}


@scenario()
def topic_exchanges(context):
    keys = ["a", "b", "a.b", "a.c", "b.a", "a.b.c", "a.b.b.c", "c.b.a", "a..c", "", ".", "a*", "A.B", "a.b.c.d.e.f"]
    with Session(context) as session:
        exchange = session.exchange("topic")
        queues = {pattern: session.bound(exchange, pattern) for pattern in PATTERNS}
        # A second binding that matches as well gives no second copy.
        session.channel.queue_bind(queues["a.*"], exchange, "*.b")
        for key in keys:
            words = key.split(".") if key else []
            expected = {pattern for pattern, matches in PATTERNS.items() if words and matches(words)}
            expected |= {pattern for pattern in ("#", "#.#", "") if not words}
            if len(words) == 2 and words[1] == "b":
                expected.add("a.*")
            session.publish(key, b"", exchange=exchange)
            equal(got(session, queues), expected, f"who gets {key!r}")


@scenario()
def headers_exchanges(context):
    bindings = {
        "all": {"x-match": "all", "kind": "tide", "height": 3},
        "any": {"x-match": "any", "kind": "tide", "height": 3},
        "all unless said": {"kind": "tide"},
        "there": {"x-match": "all", "height": None},
        "x- does not count": {"x-match": "all", "x-kind": "tide", "kind": "tide"},
        "x- counts": {"x-match": "all-with-x", "x-kind": "tide"},
        "any with x-": {"x-match": "any-with-x", "x-kind": "tide", "kind": "ebb"},
        "all of nothing": {"x-match": "all"},
        "any of nothing": {"x-match": "any"},
    }
    cases = (
        ({"kind": "tide", "height": 3}, {"all", "any", "all unless said", "there", "x- does not count", "all of nothing"}),
        ({"kind": "tide", "height": 4}, {"any", "all unless said", "there", "x- does not count", "all of nothing"}),
        ({"kind": "ebb", "height": None}, {"there", "any with x-", "all of nothing"}),
        ({"x-kind": "tide"}, {"x- counts", "any with x-", "all of nothing"}),
        ({}, {"all of nothing"}),
        (None, {"all of nothing"}),
    )
    with Session(context) as session:
        exchange = session.exchange("headers")
        queues = {name: session.bound(exchange, "", arguments) for name, arguments in bindings.items()}
        for headers, expected in cases:
            session.publish("ignored", b"", exchange=exchange, headers=headers)
            equal(got(session, queues), expected, f"who gets {headers}")
        text = "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"
        queue = queues["all"]
        session.refused(406, text, lambda channel: channel.queue_bind(queue, exchange, "", {"x-match": "some"}))
        text = "PRECONDITION_FAILED - Invalid x-match field type signedint (value 5); expected longstr"
        session.refused(406, text, lambda channel: channel.queue_bind(queue, exchange, "", {"x-match": 5}))
        # Bindings that differ in their arguments only are two, and each is taken away alone.
        session.channel.queue_unbind(queue, exchange, "", {"x-match": "any", "kind": "other"})
        session.channel.queue_unbind(queue, exchange, "", bindings["all"])
        session.publish("", b"", exchange=exchange, headers=cases[0][0])
        assert "all" not in got(session, queues), "what was unbound is bound"


@scenario()
def consistent_hash_exchanges(context):
    with Session(context) as session:
        by_key = session.exchange("x-consistent-hash")
        by_header = session.exchange("x-consistent-hash", arguments={"hash-header": "ship"})
        by_id = session.exchange("x-consistent-hash", arguments={"hash-property": "message_id"})
        queues = {name: session.queue(exclusive=True) for name in ("one", "two", "five")}
        for exchange in (by_key, by_header, by_id):
            for name, weight in {"one": "1", "two": "2", "five": "5"}.items():
                session.channel.queue_bind(queues[name], exchange, weight)
        settings = {
            by_key: lambda n: {"key": f"key {n}"},
            by_header: lambda n: {"key": "", "headers": {"ship": f"ship {n}"}},
            by_id: lambda n: {"key": "", "message_id": f"id {n}"},
        }
        for exchange, setting in settings.items():
            places = []
            for _ in range(2):
                for n in range(200):
                    where = setting(n)
                    session.publish(where.pop("key"), b"%d" % n, exchange=exchange, **where)
                places.append({int(body): name for name, queue in queues.items() for body in session.drain(queue)})
            equal(len(places[0]), 200, "how many messages went somewhere")
            equal(places[1], places[0], "where they go the second time")
            shares = Counter(places[0].values())
            assert shares["five"] > shares["one"] and len(shares) == 3, f"weights are of no effect: {shares}"
        for key in ("abc", "0", "-1"):
            why = "The binding key must be an integer: <<\"abc\">>" if key == "abc" else "The binding key must be greater than 0"
            queue = queues["one"]
            session.refused(406, f"PRECONDITION_FAILED - {why}", lambda channel: channel.queue_bind(queue, by_key, key))


@scenario()
def exchanges_are_bound_to_exchanges(context):
    with Session(context) as session:
        source, middle, sink = session.exchange("topic"), session.exchange("direct"), session.exchange("fanout")
        queues = {"middle": session.bound(middle, "a.b"), "sink": session.bound(sink), "source": session.bound(source, "#")}
        session.channel.exchange_bind(middle, source, "a.*")
        session.channel.exchange_bind(sink, middle, "a.b")
        session.channel.exchange_bind(sink, source, "a.b")
        # A circle is harmless.
        session.channel.exchange_bind(source, sink, "")
        for key, expected in {"a.b": {"middle", "sink", "source"}, "a.c": {"source"}, "c": {"source"}}.items():
            session.publish(key, b"", exchange=source)
            equal(got(session, queues), expected, f"who gets {key}")
        session.publish("x", b"", exchange=sink)
        equal(got(session, queues), {"sink", "source"}, "who gets what goes round")
        session.channel.exchange_unbind(sink, source, "a.b")
        session.channel.exchange_unbind(middle, source, "a.*")
        session.publish("a.b", b"", exchange=source)
        equal(got(session, queues), {"source"}, "who gets it once it is not bound any more")
        session.channel.exchange_delete(sink)
        session.publish("a.b", b"", exchange=middle)
        equal(session.drain(queues["middle"]), [b""], "who gets it once an exchange is gone")
        missing = fresh_name("missing")
        text = f"NOT_FOUND - no exchange '{missing}' in vhost '/'"
        session.refused(404, text, lambda channel: channel.exchange_bind(missing, source, ""))
        session.refused(404, text, lambda channel: channel.exchange_bind(source, missing, ""))


@scenario()
def an_alternate_exchange_takes_what_is_unroutable(context):
    with Session(context) as session:
        last = session.exchange("fanout")
        second = session.exchange("direct", arguments={"alternate-exchange": last})
        first = session.exchange("direct", arguments={"alternate-exchange": second})
        queues = {"first": session.bound(first, "1"), "second": session.bound(second, "2"), "last": session.bound(last)}
        for key, expected in {"1": {"first"}, "2": {"second"}, "3": {"last"}}.items():
            session.publish(key, b"", exchange=first, mandatory=True)
            equal(got(session, queues), expected, f"who gets {key}")
        session.publish("3", b"", exchange=first)
        method, _, _ = session.get(queues["last"])
        equal((method.exchange, method.routing_key), (first, "3"), "what it is told")
        session.channel.queue_unbind(queues["last"], last, "")
        assert is_unroutable(session, first, "3"), "it was routed"
        # One that is not there is none.
        lonely = session.exchange("direct", arguments={"alternate-exchange": fresh_name("missing")})
        assert is_unroutable(session, lonely, "3"), "it was routed"
        circle, other = fresh_name("circle"), session.exchange("direct")
        session.channel.exchange_delete(other)
        session.declared.append(("exchange", circle))
        session.channel.exchange_declare(circle, "direct", arguments={"alternate-exchange": other})
        session.channel.exchange_declare(other, "direct", arguments={"alternate-exchange": circle})
        assert is_unroutable(session, circle, "3"), "it was routed"


def is_unroutable(session, exchange, key):
    try:
        session.publish(key, b"", exchange=exchange, mandatory=True)
        return False
    except UnroutableError:
        return True


@scenario()
def exchanges_go_when_they_are_told(context):
    with Session(context) as session:
        for_queue = session.exchange("direct", auto_delete=True)
        for_exchange = session.exchange("fanout", auto_delete=True)
        queue = session.bound(for_queue, "a")
        session.channel.queue_bind(queue, for_queue, "b")
        session.channel.exchange_bind(for_queue, for_exchange, "")
        in_use = f"PRECONDITION_FAILED - exchange '{for_queue}' in vhost '/' in use"
        session.refused(406, in_use, lambda channel: channel.exchange_delete(for_queue, if_unused=True))
        session.channel.queue_unbind(queue, for_queue, "a")
        session.channel.exchange_declare(for_queue, passive=True)
        # The last binding of one takes it away, and with it the last of the other.
        session.channel.queue_delete(queue)
        for name in (for_queue, for_exchange):
            text = f"NOT_FOUND - no exchange '{name}' in vhost '/'"
            session.refused(404, text, lambda channel: channel.exchange_declare(name, passive=True))
        plain = session.exchange("direct")
        session.channel.exchange_delete(plain, if_unused=True)
        session.channel.exchange_delete(plain)


@scenario()
def exchange_declarations_have_to_agree(context):
    with Session(context) as session:
        exchange = session.exchange("direct", durable=True)
        session.channel.exchange_declare(exchange, "direct", durable=True, arguments={"mine": 1})
        session.channel.exchange_declare(exchange, "topic", passive=True)
        differing = (
            ("durable", "'false'", "'true'", {}),
            ("type", "'topic'", "'direct'", {"exchange_type": "topic", "durable": True}),
            ("auto_delete", "'true'", "'false'", {"durable": True, "auto_delete": True}),
            ("internal", "'true'", "'false'", {"durable": True, "internal": True}),
            ("alternate-exchange", "the value 'x' of type 'longstr'", "none", {"durable": True, "arguments": {"alternate-exchange": "x"}}),
        )
        for what, received, current, settings in differing:
            text = f"PRECONDITION_FAILED - inequivalent arg '{what}' for exchange '{exchange}' in vhost '/': "
            text += f"received {received} but current is {current}"
            session.refused(406, text, lambda channel: channel.exchange_declare(exchange, **settings))
        text = "COMMAND_INVALID - unknown exchange type 'nonsense'"
        session.refused_with_connection(503, text, lambda channel: channel.exchange_declare(fresh_name("e"), "nonsense"))
        text = "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange '{}' in vhost '/'"
        name, wrong = fresh_name("e"), {"alternate-exchange": 5}
        session.refused(406, text.format(name), lambda channel: channel.exchange_declare(name, "direct", arguments=wrong))


@scenario()
def the_brokers_own_exchanges_stay_as_they_are(context):
    kinds = {"direct": "direct", "fanout": "fanout", "topic": "topic", "headers": "headers", "match": "headers"}
    with Session(context) as session:
        for name, kind in kinds.items():
            session.channel.exchange_declare(f"amq.{name}", kind, durable=True)
            text = f"ACCESS_REFUSED - deletion of system exchange 'amq.{name}' in vhost '/' not allowed"
            session.refused(403, text, lambda channel: channel.exchange_delete(f"amq.{name}"))
        text = "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
        session.refused(403, text, lambda channel: channel.exchange_declare("amq.mine", "direct"))
        queue = session.queue()
        text = "ACCESS_REFUSED - operation not permitted on the default exchange"
        session.refused(403, text, lambda channel: channel.exchange_declare("", "direct", durable=True))
        session.refused(403, text, lambda channel: channel.exchange_delete(""))
        session.refused(403, text, lambda channel: channel.queue_bind(queue, ""))
        session.refused(403, text, lambda channel: channel.queue_unbind(queue, ""))
        session.refused(403, text, lambda channel: channel.exchange_bind("amq.direct", ""))


@scenario()
def bindings_that_are_not_there(context):
    with Session(context) as session:
        queue, missing = session.queue(), fresh_name("missing")
        no_exchange, no_queue = (f"NOT_FOUND - no {kind} '{missing}' in vhost '/'" for kind in ("exchange", "queue"))
        session.refused(404, no_exchange, lambda channel: channel.queue_bind(queue, missing, ""))
        session.refused(404, no_queue, lambda channel: channel.queue_bind(missing, "amq.direct", ""))
        # Nothing is missed of what goes away.
        session.channel.queue_unbind(queue, "amq.direct", "never")
        session.channel.queue_unbind(missing, "amq.direct", "never")
        session.channel.queue_unbind(queue, missing, "never")
        session.channel.exchange_unbind("amq.direct", missing, "never")


@scenario(only_firth=True)
def a_delayed_exchange_delivers_later(context):
    import time

    with Session(context) as session:
        exchange = session.exchange("x-delayed-message", arguments={"x-delayed-type": "topic"})
        queue = session.bound(exchange, "a.#")
        begin = time.monotonic()
        for delay_ms in (600, 300, 0, None):
            headers = {} if delay_ms is None else {"x-delay": delay_ms}
            session.publish("a.b", b"%d" % (delay_ms or 1), exchange=exchange, headers=headers)
        bodies = [session.wait_for(queue)[2] for _ in range(4)]
        equal(bodies, [b"1", b"1", b"300", b"600"], "the order")
        assert time.monotonic() >= begin + 0.6, "it came early"
        text = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"
        wrong = {"x-delayed-type": "nonsense"}
        session.refused(406, text, lambda channel: channel.exchange_declare("e", "x-delayed-message", arguments=wrong))
