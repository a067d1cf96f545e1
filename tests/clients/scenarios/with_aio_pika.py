"""aio-pika: many confirms at once, iterators, requests, transactions, and connections that come back."""

import asyncio
import functools

import aio_pika
from aio_pika.exceptions import ChannelClosed, DeliveryError
from aio_pika.patterns import RPC

from broker import Broker, free_ports
from scenario import amqp_scenario, equal, fresh_name

PATIENCE_S = 30


def scenario(**settings):
    """Registers a coroutine."""

    def register(function):
        @functools.wraps(function)
        def run(context):
            asyncio.run(asyncio.wait_for(function(context), 4 * PATIENCE_S))

        return amqp_scenario(**settings)(run)

    return register


async def connect(amqp):
    return await aio_pika.connect_robust(f"amqp://guest:guest@{amqp}/", timeout=PATIENCE_S, reconnect_interval=0.2)


@scenario(timeout_s=150)
async def thousands_of_confirms_are_awaited_together(context):
    async with await connect(context.amqp) as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue(fresh_name("queue"), durable=True)
        publish = channel.default_exchange.publish
        persistent = aio_pika.DeliveryMode.PERSISTENT
        messages = [aio_pika.Message(b"%d" % n, delivery_mode=persistent) for n in range(3000)]
        await asyncio.gather(*(publish(message, queue.name) for message in messages))
        await channel.set_qos(prefetch_count=100)
        bodies = []
        async with queue.iterator() as incoming:
            async for message in incoming:
                async with message.process():
                    bodies.append(int(message.body))
                if len(bodies) == len(messages):
                    break
        equal(bodies, list(range(len(messages))), "what comes")
        equal((await queue.declare()).message_count, 0, "what is left")
        await queue.delete(if_unused=False, if_empty=False)


@scenario()
async def what_is_returned_or_rejected_fails(context):
    async with await connect(context.amqp) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        missing = fresh_name("missing")
        publish = channel.default_exchange.publish
        outcomes = await asyncio.gather(
            *(publish(aio_pika.Message(b"%d" % n), missing) for n in range(20)), return_exceptions=True
        )
        equal({type(outcome).__name__ for outcome in outcomes}, {"PublishError"}, "what comes of what is unroutable")
        arguments = {"x-max-length": 5, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(exclusive=True, arguments=arguments)
        outcomes = await asyncio.gather(
            *(publish(aio_pika.Message(b"%d" % n), queue.name) for n in range(20)), return_exceptions=True
        )
        rejected = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, DeliveryError)]
        equal(rejected, list(range(5, 20)), "which are rejected")


@scenario()
async def procedures_are_called(context):
    async def multiply(*, x, y):
        if y == 0:
            raise ValueError("by nothing")
        return x * y

    async with await connect(context.amqp) as server, await connect(context.amqp) as client:
        name = fresh_name("multiply")
        callee = await RPC.create(await server.channel())
        await callee.register(name, multiply, auto_delete=True)
        caller = await RPC.create(await client.channel())
        results = await asyncio.gather(*(caller.call(name, {"x": n, "y": 3}) for n in range(200)))
        equal(results, [3 * n for n in range(200)], "results")
        try:
            await caller.call(name, {"x": 1, "y": 0})
            raise AssertionError("it did not fail")
        except ValueError as error:
            equal(str(error), "by nothing", "the error")
        await caller.close()
        await callee.close()


@scenario()
async def transactions_are_committed_and_rolled_back(context):
    async with await connect(context.amqp) as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(exclusive=True)
        publish = channel.default_exchange.publish
        async with channel.transaction():
            await publish(aio_pika.Message(b"committed"), queue.name)
        try:
            async with channel.transaction():
                await publish(aio_pika.Message(b"rolled back"), queue.name)
                raise KeyError
        except KeyError:
            pass
        equal((await queue.declare()).message_count, 1, "what is there")
        equal((await queue.get(no_ack=True)).body, b"committed", "which")


@scenario()
async def a_closed_channel_is_opened_again(context):
    async with await connect(context.amqp) as connection:
        channel = await connection.channel()
        try:
            await channel.declare_queue(fresh_name("missing"), passive=True)
            raise AssertionError("it is there")
        except ChannelClosed:
            await channel.reopen()
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(b"1"), queue.name)
        equal((await queue.get(no_ack=True)).body, b"1", "through the channel that came back")


@scenario(only_firth=True, timeout_s=150)
async def a_connection_comes_back_with_all_that_was_declared(context):
    with Broker(context.firth, context.scratch, free_ports(3)) as broker:
        async with await connect(broker.amqp) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.set_qos(prefetch_count=10)
            queue = await channel.declare_queue("durable", durable=True)
            exchange = await channel.declare_exchange("exchange", "topic", durable=True)
            await queue.bind(exchange, "a.*")
            temporary = await channel.declare_queue(exclusive=True)
            await temporary.bind(exchange, "a.*")
            persistent = aio_pika.DeliveryMode.PERSISTENT
            for n in range(50):
                await exchange.publish(aio_pika.Message(b"%d" % n, delivery_mode=persistent), "a.b")
            received = asyncio.Queue()

            async def take(message):
                await received.put((int(message.body), message.redelivered))

            tag = await queue.consume(take)
            unacknowledged = [await asyncio.wait_for(received.get(), PATIENCE_S) for _ in range(10)]
            equal(unacknowledged, [(n, False) for n in range(10)], "before the broker is killed")
            broker.kill()
            broker.start()
            # What was confirmed is there, what was delivered comes again.
            found = [await asyncio.wait_for(received.get(), 2 * PATIENCE_S) for _ in range(10)]
            equal([body for body, _ in found], list(range(10)), "after it")
            await exchange.publish(aio_pika.Message(b"50", delivery_mode=persistent), "a.b")
            again = await asyncio.wait_for(temporary.get(no_ack=True, timeout=PATIENCE_S), PATIENCE_S)
            equal(again.body, b"50", "in the queue that was declared and bound again")
            await queue.cancel(tag)
