// amqplib: pure JavaScript, everything as it comes, with promises.

import { deepStrictEqual as same, ok, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'

import amqp from 'amqplib'

const PATIENCE_MS = 40_000
const [scenario, address, name] = process.argv.slice(2)
const url = (login = 'guest:guest', query = '') => `amqp://${login}@${address}/%2f${query}`
const numbers = (begin, end) => Array.from({ length: end - begin }, (_, n) => begin + n)
const number = (message) => Number(message.content.toString())

async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS
  while (!(await condition())) {
    ok(Date.now() < deadline, `never: ${what}`)
    await pause(10)
  }
}

/** The channel is closed with this answer, and the connection lives on. */
async function refused(connection, code, text, action) {
  const channel = await connection.createChannel()
  const closed = once(channel, 'error')
  await rejects(async () => {
    await action(channel)
    await closed
  })
  const [error] = await closed
  same([error.code, error.message.includes(text)], [code, true], error.message)
  await (await connection.createChannel()).close()
}

/** The next `count` messages of a consumer that acknowledges nothing. */
async function take(channel, queue, count, options) {
  const messages = []
  const { consumerTag } = await channel.consume(queue, (message) => messages.push(message), options)
  await until(() => messages.length >= count, `${count} messages come, and not only ${messages.length}`)
  await channel.cancel(consumerTag)
  return messages
}

async function messagesComeBackWhole(connection) {
  const channel = await connection.createConfirmChannel()
  const { queue } = await channel.assertQueue(name, { autoDelete: true })
  const headers = {
    text: 'firth \u00e9', int: -5, long: 2 ** 40, float: 2.5, yes: true, nothing: null, bytes: Buffer.from([0, 255]),
    list: ['a', 1, [false]], table: { inner: { deep: 1 } }, when: { '!': 'timestamp', value: 1357000000 },
    byte: { '!': 'int8', value: -7 }, short: { '!': 'int16', value: -300 }, precise: { '!': 'decimal', value: { places: 2, digits: 314 } },
  }
  const options = {
    contentType: 'text/plain', contentEncoding: 'identity', headers, persistent: true, priority: 3, correlationId: 'c', replyTo: 'r',
    expiration: '60000', messageId: 'm', timestamp: 1357000000, type: 't', userId: 'guest', appId: 'a',
  }
  const sizes = [0, 1, 131_063, 131_064, 131_065, 1 << 20, 5_000_001]
  for (const size of sizes) channel.sendToQueue(queue, Buffer.alloc(size, `${size} `), options)
  await channel.waitForConfirms()
  const messages = await take(channel, queue, sizes.length, { noAck: true })
  same(messages.map((message) => message.content.length), sizes)
  for (const { content, properties, fields } of messages) {
    ok(content.equals(Buffer.alloc(content.length, `${content.length} `)), 'a body differs')
    same([fields.exchange, fields.routingKey, fields.redelivered], ['', queue, false])
    const { persistent, ...sent } = options
    sent.headers = { ...headers, byte: -7, short: -300 }
    same({ ...properties }, { ...sent, deliveryMode: 2, clusterId: undefined })
  }
}

async function confirmsAreCounted(connection) {
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(name, { durable: true })
  let confirmed = 0
  for (const n of numbers(0, 5000)) {
    channel.sendToQueue(name, Buffer.from(`${n}`), { persistent: true }, (error) => (confirmed += error ? 0 : 1))
  }
  await channel.waitForConfirms()
  same(confirmed, 5000)
  same((await channel.deleteQueue(name)).messageCount, 5000)

  const { queue } = await channel.assertQueue('', { exclusive: true, maxLength: 10, arguments: { 'x-overflow': 'reject-publish' } })
  const outcomes = await Promise.allSettled(
    numbers(0, 20).map(
      (n) =>
        new Promise((resolve, reject) => {
          channel.sendToQueue(queue, Buffer.from(`${n}`), {}, (error) => (error ? reject(error) : resolve(n)))
        }),
    ),
  )
  same(outcomes.map(({ status }) => status), numbers(0, 20).map((n) => (n < 10 ? 'fulfilled' : 'rejected')))

  const events = []
  channel.on('return', ({ fields }) => events.push([fields.replyCode, fields.replyText, fields.routingKey]))
  channel.publish('', `${name}-missing`, Buffer.from('x'), { mandatory: true }, () => events.push('confirmed'))
  await channel.waitForConfirms()
  same(events, [[312, 'NO_ROUTE', `${name}-missing`], 'confirmed'])
}

async function deliveriesAreSettledInEveryWay(connection) {
  const channel = await connection.createChannel()
  const dead = `${name}-dead`
  await channel.assertQueue(name, { autoDelete: false, deadLetterExchange: '', deadLetterRoutingKey: dead })
  await channel.assertQueue(dead, { exclusive: true })
  for (const n of numbers(0, 10)) channel.sendToQueue(name, Buffer.from(`${n}`))
  await channel.prefetch(6)
  const first = await take(channel, name, 6)
  same(first.map(number), numbers(0, 6))
  channel.ack(first[1], true)
  channel.nack(first[3], false, true)
  channel.reject(first[2], false)
  channel.nack(first[5], true, true)
  await until(async () => (await channel.checkQueue(name)).messageCount === 7, 'seven are ready')
  const second = await channel.get(name)
  same([number(second), second.fields.redelivered, second.fields.messageCount], [3, true, 6])
  await channel.close()

  const other = await connection.createChannel()
  await until(async () => (await other.checkQueue(name)).messageCount === 7, 'seven are ready again')
  const rest = await take(other, name, 7)
  same(rest.map((message) => [number(message), message.fields.redelivered]), numbers(3, 10).map((n) => [n, n < 6]))
  await other.recover()
  await until(async () => (await other.checkQueue(name)).messageCount === 7, 'seven are ready once more')
  for (const n of numbers(3, 10)) same(number(await other.get(name)), n)
  other.nackAll(false)
  await until(async () => (await other.checkQueue(dead)).messageCount === 8, 'eight have died')
  await other.deleteQueue(name)
  const letter = await other.get(dead, { noAck: true })
  const [death] = letter.properties.headers['x-death']
  same([number(letter), death.reason, death.queue, Number(death.count), death['routing-keys']], [2, 'rejected', name, 1, [name]])
  same(number(await other.get(dead)), 3)
}

async function topologiesAreDeclared(connection) {
  const channel = await connection.createConfirmChannel()
  const options = { autoDelete: true, durable: false }
  await channel.assertExchange(`${name}-last`, 'fanout', options)
  await channel.assertExchange(`${name}-topic`, 'topic', { ...options, alternateExchange: `${name}-last` })
  await channel.assertExchange(`${name}-direct`, 'direct', options)
  await channel.assertExchange(`${name}-headers`, 'headers', options)
  const queues = {}
  for (const each of ['topic', 'direct', 'headers', 'last']) queues[each] = (await channel.assertQueue('', { exclusive: true })).queue
  await channel.bindQueue(queues.topic, `${name}-topic`, 'a.*.#')
  await channel.bindQueue(queues.direct, `${name}-direct`, 'a.b')
  await channel.bindQueue(queues.headers, `${name}-headers`, '', { 'x-match': 'all', kind: 'tide' })
  await channel.bindQueue(queues.last, `${name}-last`, '')
  await channel.bindExchange(`${name}-direct`, `${name}-topic`, '#')
  await channel.bindExchange(`${name}-headers`, `${name}-direct`, 'a.b')
  channel.publish(`${name}-topic`, 'a.b', Buffer.from('1'), { headers: { kind: 'tide' } })
  await channel.waitForConfirms()
  for (const each of ['topic', 'direct', 'headers']) ok(await channel.get(queues[each], { noAck: true }), `${each} has it`)
  await channel.unbindExchange(`${name}-direct`, `${name}-topic`, '#')
  channel.publish(`${name}-topic`, 'b', Buffer.from('2'))
  await channel.waitForConfirms()
  same(number(await channel.get(queues.last, { noAck: true })), 2)
  for (const each of ['topic', 'direct', 'headers']) same(await channel.get(queues[each], { noAck: true }), false)

  await refused(connection, 404, "NOT_FOUND - no queue 'missing", (other) => other.checkQueue(`missing-${name}`))
  await refused(connection, 404, "NOT_FOUND - no exchange 'missing", (other) => other.checkExchange(`missing-${name}`))
  await refused(connection, 406, "inequivalent arg 'type'", (other) => other.assertExchange(`${name}-topic`, 'direct', options))
  await refused(connection, 403, "contains reserved prefix 'amq.*'", (other) => other.assertQueue('amq.mine'))
  const second = await amqp.connect(url())
  await refused(second, 405, 'RESOURCE_LOCKED', (other) => other.checkQueue(queues.topic))
  await second.close()

  const told = new Promise((resolve) => channel.consume(queues.direct, (message) => message ?? resolve('cancelled')))
  await channel.deleteQueue(queues.direct)
  same(await told, 'cancelled')
}

async function requestsAreAnswered(connection) {
  const server = await connection.createChannel()
  await server.assertQueue(name, { exclusive: true })
  await server.consume(
    name,
    ({ content, properties }) => server.sendToQueue(properties.replyTo, content, { correlationId: properties.correlationId }),
    { noAck: true },
  )
  const client = await (await amqp.connect(url())).createChannel()
  const waiting = new Map()
  const pseudo = 'amq.rabbitmq.reply-to'
  await client.consume(pseudo, (message) => waiting.get(message.properties.correlationId)(number(message)), { noAck: true })
  const ask = (n) =>
    new Promise((resolve) => {
      waiting.set(`${n}`, resolve)
      client.sendToQueue(name, Buffer.from(`${n}`), { correlationId: `${n}`, replyTo: pseudo })
    })
  same(await Promise.all(numbers(0, 300).map(ask)), numbers(0, 300))
  await client.connection.close()
}

async function prioritiesAndTimesAreKept(connection) {
  const channel = await connection.createConfirmChannel()
  const { queue } = await channel.assertQueue('', { exclusive: true, maxPriority: 5 })
  for (const n of [1, 5, 3, 5, 0]) channel.sendToQueue(queue, Buffer.from(`${n}`), { priority: n })
  await channel.waitForConfirms()
  same((await take(channel, queue, 5, { noAck: true })).map(number), [5, 5, 3, 1, 0])
  const expiring = await channel.assertQueue('', { exclusive: true, messageTtl: 200 })
  channel.sendToQueue(expiring.queue, Buffer.from('1'))
  channel.sendToQueue(queue, Buffer.from('2'), { expiration: 100 })
  await channel.waitForConfirms()
  for (const each of [expiring.queue, queue]) {
    await until(async () => (await channel.checkQueue(each)).messageCount === 0, 'they expire')
  }
}

async function streamsAreReadAgain(connection) {
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'stream' } })
  for (const n of numbers(0, 50)) channel.sendToQueue(name, Buffer.from(`${n}`))
  await channel.waitForConfirms()
  await channel.prefetch(100)
  for (const [offset, begin] of [['first', 0], [20, 20]]) {
    const messages = await take(channel, name, 50 - begin, { arguments: { 'x-stream-offset': offset } })
    same(messages.map(number), numbers(begin, 50))
    same(messages.map((message) => message.properties.headers['x-stream-offset']), numbers(begin, 50))
  }
  await channel.deleteQueue(name)
}

async function manyChannelsWorkAtOnce(connection) {
  const work = async (n) => {
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    for (const k of numbers(0, 50)) channel.sendToQueue(queue, Buffer.from(`${n * 1000 + k}`))
    const messages = await take(channel, queue, 50)
    same(messages.map(number), numbers(n * 1000, n * 1000 + 50))
    channel.ackAll()
    await channel.waitForConfirms()
    same((await channel.deleteQueue(queue)).messageCount, 0)
  }
  await Promise.all(numbers(0, 100).map(work))
}

async function strangersAreRefused() {
  await rejects(amqp.connect(url('guest:wrong')), /ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN/)
}

async function idleConnectionsStay() {
  const connection = await amqp.connect(url('guest:guest', '?heartbeat=1'))
  const channel = await connection.createChannel()
  await channel.assertQueue(name, { exclusive: true })
  await pause(4000)
  same((await channel.checkQueue(name)).messageCount, 0)
  await connection.close()
}

const SCENARIOS = {
  messages_come_back_whole: messagesComeBackWhole,
  confirms_are_counted: confirmsAreCounted,
  deliveries_are_settled_in_every_way: deliveriesAreSettledInEveryWay,
  topologies_are_declared: topologiesAreDeclared,
  requests_are_answered: requestsAreAnswered,
  priorities_and_times_are_kept: prioritiesAndTimesAreKept,
  streams_are_read_again: streamsAreReadAgain,
  many_channels_work_at_once: manyChannelsWorkAtOnce,
  strangers_are_refused: strangersAreRefused,
  idle_connections_stay: idleConnectionsStay,
}

const connection = await amqp.connect(url())
await SCENARIOS[scenario](connection)
await connection.close()
