// kafkajs: pure JavaScript. It reads as a member of a group or not at all, and leaves all codecs but gzip to others.

import { deepStrictEqual as same, ok, rejects } from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import zlib from 'node:zlib'

import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, Partitioners, logLevel } = kafkajs
const PATIENCE_MS = 60_000
const FIRST_TIMESTAMP_MS = 1_700_000_000_000
const NON_EMPTY_GROUP = 68
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
const [scenario, bootstrap, topic, group, codec] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'describes itself', brokers: [bootstrap], logLevel: logLevel.ERROR })
const admin = kafka.admin()

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => promisify(zlib.zstdCompress)(encoder.buffer),
  decompress: (buffer) => promisify(zlib.zstdDecompress)(buffer),
})

const numbers = (begin, end) => Array.from({ length: end - begin }, (_, n) => begin + n)

async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS
  while (!condition()) {
    ok(Date.now() < deadline, `never: ${what}`)
    await pause(10)
  }
}

async function create(numPartitions, configEntries = []) {
  ok(await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] }))
}

async function send(messages, settings = {}) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true })
  await producer.connect()
  const reports = await producer.send({ topic, messages, acks: -1, ...settings })
  await producer.disconnect()
  return reports
}

/** Records whose values are numbers, one after the other to each partition, ten milliseconds apart. */
async function fill(values, partitions) {
  const message = (n) => ({ value: `${n}`, partition: n % partitions, timestamp: `${FIRST_TIMESTAMP_MS + 10 * n}` })
  await send(values.map(message))
}

/** A member of the group that gives each record to `take`, and shows which partitions it has now. */
async function join(take, settings = { autoCommitThreshold: 1 }, groupId = group) {
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 200, maxWaitTimeInMs: 100 })
  const member = { consumer, partitions: [], rebalances: 0 }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.partitions = (payload.memberAssignment[topic] ?? []).toSorted()
    member.rebalances += 1
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ ...settings, eachMessage: (payload) => take(payload, consumer) })
  return member
}

async function records_come_back_whole() {
  await create(2)
  const sent = [[], []]
  for (const n of numbers(0, 1500)) {
    sent[n % 2].push({
      partition: n % 2,
      timestamp: `${FIRST_TIMESTAMP_MS + n}`,
      key: `key ${n % 9}`,
      value: `value ${n} `.repeat((n % 20) + 1),
      headers: { n: `${n}` },
    })
  }
  const reports = await send(sent.flat(), { compression: CODECS[codec] })
  same(reports.map(({ partition, baseOffset }) => [partition, baseOffset]).toSorted(), [[0, '0'], [1, '0']])

  const found = [[], []]
  const { consumer } = await join(({ partition, message }) => {
    same(message.offset, `${found[partition].length}`)
    const headers = { n: `${message.headers.n}` }
    const { timestamp } = message
    found[partition].push({ partition, timestamp, key: `${message.key}`, value: `${message.value}`, headers })
  })
  await until(() => found[0].length + found[1].length === 1500, 'all records are read')
  same(found, sent)
  await consumer.disconnect()
}

async function members_come_and_go() {
  await create(4)
  await fill(numbers(0, 200), 4)
  const seen = new Set()
  const take = ({ message }) => seen.add(Number(message.value))
  const all = [0, 1, 2, 3]
  const first = await join(take)
  await until(() => first.partitions.length === 4 && seen.size === 200, 'the first member reads all')
  const second = await join(take)
  const shared = () => first.partitions.length === 2 && second.partitions.length === 2
  await until(shared, 'two members share the partitions')
  same([...first.partitions, ...second.partitions].toSorted(), all)
  await fill(numbers(200, 400), 4)
  await until(() => seen.size === 400, 'two members read all')
  await first.consumer.disconnect()
  await until(() => second.partitions.length === 4, 'what the first had is taken over')
  ok(second.rebalances >= 2, 'the second member saw no rebalance')
  await fill(numbers(400, 600), 4)
  await until(() => seen.size === 600, 'the second member reads all')
  await second.consumer.disconnect()
}

async function commits_are_resumed() {
  await create(1)
  await fill(numbers(0, 100), 1)
  for (const begin of [0, 40]) {
    const values = []
    let committed = false
    const take = async ({ message }, consumer) => {
      if (values.length === 40) return
      values.push(Number(message.value))
      if (values.length < 40) return
      const metadata = `up to ${begin + 40}`
      await consumer.commitOffsets([{ topic, partition: 0, offset: `${begin + 40}`, metadata }])
      committed = true
    }
    const { consumer } = await join(take, { autoCommit: false })
    await until(() => committed, 'forty records are read and committed')
    same(values, numbers(begin, begin + 40))
    await consumer.disconnect()
  }
  const expected = [{ topic, partitions: [{ partition: 0, offset: '80', metadata: 'up to 80' }] }]
  same(await admin.fetchOffsets({ groupId: group, topics: [topic] }), expected)
}

async function times_and_ends_are_found() {
  await create(1)
  await fill(numbers(0, 100), 1)
  same(await admin.fetchTopicOffsets(topic), [{ partition: 0, offset: '100', low: '0', high: '100' }])
  const found = await admin.fetchTopicOffsetsByTimestamp(topic, FIRST_TIMESTAMP_MS + 405)
  same(found, [{ partition: 0, offset: '41' }])
  // Where no record is as late as that, kafkajs itself asks for the end.
  const later = await admin.fetchTopicOffsetsByTimestamp(topic, FIRST_TIMESTAMP_MS + 9999)
  same(later, [{ partition: 0, offset: '100' }])
  const values = []
  let sought = false
  const { consumer } = await join(({ message }) => sought && values.push(Number(message.value)))
  sought = true
  consumer.seek({ topic, partition: 0, offset: '41' })
  await until(() => values.at(-1) === 99 && values.length >= 59, 'the records after the seek are read')
  same(values.slice(-59), numbers(41, 100))
  await consumer.disconnect()
}

async function config(name) {
  const asked = { type: ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }
  const { resources } = await admin.describeConfigs({ resources: [asked], includeSynonyms: true })
  same(resources.map(({ errorCode }) => errorCode), [0])
  return resources[0].configEntries.map(({ configValue, isDefault }) => [configValue, isDefault])
}

async function topics_and_groups_are_administered() {
  same((await admin.describeCluster()).brokers.length, 1)
  await create(2, [{ name: 'retention.ms', value: '3600000' }])
  ok((await admin.listTopics()).includes(topic))
  same(await config('retention.ms'), [['3600000', false]])
  const altered = { type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'retention.ms', value: '7200000' }] }
  await admin.alterConfigs({ validateOnly: false, resources: [altered] })
  same(await config('retention.ms'), [['7200000', false]])
  const grow = () => admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  await grow()
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  same(topics[0].partitions.map(({ partitionId }) => partitionId).toSorted(), [0, 1, 2, 3, 4])
  await rejects(grow, ({ type }) => type === 'INVALID_PARTITIONS')
  await fill(numbers(0, 100), 1)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '30' }] })
  const [first] = (await admin.fetchTopicOffsets(topic)).filter(({ partition }) => partition === 0)
  same([first.low, first.high], ['30', '100'])
  await groups_are_administered()
  await admin.deleteTopics({ topics: [topic] })
  ok(!(await admin.listTopics()).includes(topic), 'the deleted topic is still listed')
}

async function groups_are_administered() {
  const values = []
  const { consumer } = await join(({ message }) => values.push(Number(message.value)))
  await until(() => values.length === 70, 'what is left of the records is read')
  const { groups } = await admin.listGroups()
  same(groups.filter(({ groupId }) => groupId === group), [{ groupId: group, protocolType: 'consumer' }])
  const [described] = (await admin.describeGroups([group])).groups
  same([described.state, described.protocol], ['Stable', 'RoundRobinAssigner'])
  same(described.members.map(({ clientId }) => clientId), ['describes itself'])
  await rejects(admin.deleteGroups([group]), ({ groups: [{ errorCode }] }) => errorCode === NON_EMPTY_GROUP)
  await consumer.disconnect()
  await admin.deleteGroups([group])
  ok(!(await admin.listGroups()).groups.some(({ groupId }) => groupId === group), 'the deleted group is still listed')
}

const SCENARIOS = {
  records_come_back_whole,
  members_come_and_go,
  commits_are_resumed,
  times_and_ends_are_found,
  topics_and_groups_are_administered,
}
await admin.connect()
await SCENARIOS[scenario]()
await admin.disconnect()
