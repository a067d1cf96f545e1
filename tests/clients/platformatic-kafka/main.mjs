// @platformatic/kafka: the newest client for Node, with streams, codecs of its own and the newest versions of requests.

import { deepStrictEqual as same, ok, rejects } from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'

import {
  Admin, ConfigResourceTypes, Consumer, IncrementalAlterConfigOperationTypes, ListOffsetTimestamps, MessagesStreamFallbackModes,
  MessagesStreamModes, Producer, stringDeserializers, stringSerializers,
} from '@platformatic/kafka'

const PATIENCE_MS = 60_000
const FIRST_TIMESTAMP_MS = 1_700_000_000_000
const [scenario, bootstrap, topic, group, codec] = process.argv.slice(2)
const base = { clientId: 'describes-itself', bootstrapBrokers: [bootstrap] }
const admin = new Admin(base)

const numbers = (begin, end) => Array.from({ length: end - begin }, (_, n) => begin + n)
const failsWith = (id) => (error) => ok(error.findBy('apiId', id), `${error} is not ${id}`) ?? true

async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS
  while (!condition()) {
    ok(Date.now() < deadline, `never: ${what}`)
    await pause(10)
  }
}

async function create(partitions, configs = []) {
  const [{ name }] = await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  same(name, topic)
}

async function send(messages, settings = {}) {
  const producer = new Producer({ ...base, serializers: stringSerializers, idempotent: true, ...settings })
  const { offsets } = await producer.send({ messages })
  await producer.close()
  return offsets
}

/** Records whose values are numbers, one after the other to each partition, ten milliseconds apart. */
async function fill(values, partitions) {
  const message = (n) => ({ topic, value: `${n}`, partition: n % partitions, timestamp: BigInt(FIRST_TIMESTAMP_MS + 10 * n) })
  await send(values.map(message))
}

/** A member of the group that gives each record to `take`, and shows which partitions it has now. */
async function join(take, settings = {}) {
  const consumer = new Consumer({
    ...base, groupId: group, deserializers: stringDeserializers, heartbeatInterval: 200, sessionTimeout: 10_000, maxWaitTime: 100,
  })
  const member = { consumer, partitions: [], rebalances: 0 }
  consumer.on('consumer:group:join', ({ assignments }) => {
    member.partitions = assignments.flatMap(({ partitions }) => partitions).toSorted()
    member.rebalances += 1
  })
  const committed = { mode: MessagesStreamModes.COMMITTED, fallbackMode: MessagesStreamFallbackModes.EARLIEST }
  member.stream = await consumer.consume({ topics: [topic], autocommit: 100, ...committed, ...settings })
  member.stream.on('data', take)
  return member
}

async function leave({ consumer, stream }) {
  await stream.close()
  await consumer.close()
}

async function records_come_back_whole() {
  await create(2)
  const sent = [[], []]
  for (const n of numbers(0, 1500)) {
    sent[n % 2].push({
      topic,
      partition: n % 2,
      timestamp: BigInt(FIRST_TIMESTAMP_MS + n),
      key: `key ${n % 9}`,
      value: `value ${n} `.repeat((n % 20) + 1),
      headers: { n: `${n}` },
    })
  }
  const reports = await send(sent.flat(), { compression: codec })
  same(reports.map(({ partition, offset }) => [partition, offset]).toSorted(), [[0, 0n], [1, 0n]])

  const found = [[], []]
  const member = await join(({ partition, offset, timestamp, key, value, headers }) => {
    same(offset, BigInt(found[partition].length))
    found[partition].push({ topic, partition, timestamp, key, value, headers: Object.fromEntries(headers) })
  })
  await until(() => found[0].length + found[1].length === 1500, 'all records are read')
  same(found, sent)
  await leave(member)
}

async function members_come_and_go() {
  await create(4)
  await fill(numbers(0, 200), 4)
  const seen = new Set()
  const take = ({ value }) => seen.add(Number(value))
  const first = await join(take)
  await until(() => first.partitions.length === 4 && seen.size === 200, 'the first member reads all')
  const second = await join(take)
  const shared = () => first.partitions.length === 2 && second.partitions.length === 2
  await until(shared, 'two members share the partitions')
  same([...first.partitions, ...second.partitions].toSorted(), [0, 1, 2, 3])
  await fill(numbers(200, 400), 4)
  await until(() => seen.size === 400, 'two members read all')
  await leave(first)
  await until(() => second.partitions.length === 4, 'what the first had is taken over')
  ok(second.rebalances >= 2, 'the second member saw no rebalance')
  await fill(numbers(400, 600), 4)
  await until(() => seen.size === 600, 'the second member reads all')
  await leave(second)
}

async function commits_are_resumed() {
  await create(1)
  await fill(numbers(0, 100), 1)
  for (const begin of [0, 40]) {
    const values = []
    let commit = null
    const take = (message) => {
      if (values.length === 40) return
      values.push(Number(message.value))
      if (values.length === 40) commit = message.commit()
    }
    const member = await join(take, { autocommit: false })
    await until(() => commit, 'forty records are read')
    await commit
    same(values, numbers(begin, begin + 40))
    const committed = await member.consumer.listCommittedOffsets({ topics: [{ topic, partitions: [0] }] })
    same(committed.get(topic), [BigInt(begin + 40)])
    await leave(member)
  }
  const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [group] })
  same(topics.map(({ name, partitions }) => [name, partitions[0].committedOffset]), [[topic, 80n]])
}

async function offsetAt(timestamp) {
  const [found] = await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }] })
  return [found.partitions[0].offset, found.partitions[0].timestamp]
}

async function times_and_ends_are_found() {
  await create(1)
  await fill(numbers(0, 100), 1)
  same(await offsetAt(ListOffsetTimestamps.EARLIEST), [0n, -1n])
  same(await offsetAt(ListOffsetTimestamps.LATEST), [100n, -1n])
  const [offset, timestamp] = await offsetAt(BigInt(FIRST_TIMESTAMP_MS + 405))
  same([offset, timestamp], [41n, BigInt(FIRST_TIMESTAMP_MS + 410)])
  same(await offsetAt(BigInt(FIRST_TIMESTAMP_MS + 9999)), [-1n, -1n])
  const values = []
  const manual = { mode: MessagesStreamModes.MANUAL, offsets: [{ topic, partition: 0, offset }], fallbackMode: undefined }
  const member = await join(({ value }) => values.push(Number(value)), manual)
  await until(() => values.length >= 59, 'the records after the seek are read')
  same(values, numbers(41, 100))
  await leave(member)
}

const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }

async function config(name) {
  const [{ configs }] = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: [name] }] })
  return configs.map(({ value }) => value)
}

async function alter(name, operation, value) {
  const change = { name, configOperation: IncrementalAlterConfigOperationTypes[operation], ...(value && { value }) }
  await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [change] }] })
}

async function topics_and_groups_are_administered() {
  await create(2, [{ name: 'retention.ms', value: '3600000' }])
  same((await admin.metadata({ topics: [topic] })).brokers.size, 1)
  await rejects(create(2), failsWith('TOPIC_ALREADY_EXISTS'))
  ok((await admin.listTopics()).includes(topic))
  same(await config('retention.ms'), ['3600000'])
  await alter('retention.ms', 'SET', '7200000')
  same(await config('retention.ms'), ['7200000'])
  await alter('retention.ms', 'DELETE')
  same(await config('retention.ms'), ['604800000'])
  await rejects(alter('retention.ms', 'SET', 'soon'), failsWith('INVALID_CONFIG'))
  const grow = () => admin.createPartitions({ topics: [{ name: topic, count: 5 }] })
  await grow()
  await rejects(grow, failsWith('INVALID_PARTITIONS'))
  const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true })
  same(topics.get(topic).partitionsCount, 5)
  await fill(numbers(0, 100), 1)
  const records = [{ name: topic, partitions: [{ partition: 0, offset: 30n }] }]
  same(await admin.deleteRecords({ topics: records }), [{ name: topic, partitions: [{ partition: 0, lowWatermark: 30n }] }])
  await groups_are_administered()
  await admin.deleteTopics({ topics: [topic] })
  ok(!(await admin.listTopics()).includes(topic), 'the deleted topic is still listed')
}

async function groups_are_administered() {
  const values = []
  const member = await join(({ value }) => values.push(Number(value)))
  await until(() => values.length === 70, 'what is left of the records is read')
  const listed = (await admin.listGroups()).get(group)
  same([listed.state, listed.protocolType, listed.groupType], ['Stable', 'consumer', 'classic'])
  const described = (await admin.describeGroups({ groups: [group] })).get(group)
  same([described.state, described.protocol], ['Stable', 'roundrobin'])
  const [only, ...others] = described.members.values()
  same([only.clientId, only.assignments.get(topic).partitions, others], ['describes-itself', [0, 1, 2, 3, 4], []])
  await rejects(admin.deleteGroups({ groups: [group] }), failsWith('NON_EMPTY_GROUP'))
  await leave(member)
  const offset = { partition: 0, offset: 50n }
  await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets: [offset] }] })
  const asked = { groupId: group, topics: [{ name: topic, partitionIndexes: [0] }] }
  const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [asked] })
  same(topics[0].partitions[0].committedOffset, 50n)
  await admin.deleteConsumerGroupOffsets(asked)
  await admin.deleteGroups({ groups: [group] })
  ok(!(await admin.listGroups()).has(group), 'the deleted group is still listed')
}

const SCENARIOS = {
  records_come_back_whole,
  members_come_and_go,
  commits_are_resumed,
  times_and_ends_are_found,
  topics_and_groups_are_administered,
}
await SCENARIOS[scenario]()
await admin.close()
