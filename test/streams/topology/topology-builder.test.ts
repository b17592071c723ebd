import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { msgpack } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { defaultTopicConfig } from '../../../src/log/api/topic.ts'
import type { TopicInfo } from '../../../src/log/api/topic.ts'
import { describeTopology, topologyToJson } from '../../../src/streams/topology/describe.ts'
import { topologyFingerprint } from '../../../src/streams/topology/fingerprint.ts'
import { planTopics } from '../../../src/streams/topology/internal-topics.ts'
import type { StoreSpec } from '../../../src/streams/topology/node.ts'
import { TopologyBuilder } from '../../../src/streams/topology/topology-builder.ts'
import type { Topology } from '../../../src/streams/topology/topology.ts'

const numbers = (name: string, partitions?: number) =>
  topic(name, { key: z.string(), value: z.number(), ...(partitions === undefined ? {} : { partitions }) })
const store = (name: string): StoreSpec => ({
  name,
  shape: { kind: 'keyValue' },
  engine: 'memory',
  key: stringKey,
  value: msgpack,
  logged: true,
  emit: 'commit',
})
const supplier = () => ({ process: () => undefined })
const existing = (name: string, partitions: number): TopicInfo => ({
  name,
  id: 'AAAAAAAAAAAAAAAAAAAAAA',
  partitions,
  config: defaultTopicConfig,
})

/** `a` and `b` share one store, `c` is a sub-topology of its own. */
function meeting(a: number | undefined, b: number | undefined): Topology {
  return new TopologyBuilder()
    .addSource({ name: 'a', topic: numbers('a', a) })
    .addSource({ name: 'c', topic: numbers('c', 3) })
    .addSource({ name: 'b', topic: numbers('b', b) })
    .addStore(store('rows'))
    .addProcessor({ name: 'left', parents: ['a'], stores: ['rows'], supplier })
    .addProcessor({ name: 'right', parents: ['b'], stores: ['rows'], supplier })
    .addSink({ name: 'out', parents: ['right', 'left'], topic: numbers('out') })
    .addSink({ name: 'c-out', parents: ['c'], topic: numbers('c-out') })
    .build()
}

describe('a legal topology', () => {
  const builder = (): TopologyBuilder => new TopologyBuilder().addSource({ name: 'in', topic: numbers('in') })

  test('defines parents before children, names each parent once, and has nothing after a sink', () => {
    expect(() => builder().addProcessor({ name: 'p', parents: ['later'], supplier })).toThrow(/parent later.*not there/)
    expect(() => builder().addProcessor({ name: 'p', parents: ['in', 'in'], supplier })).toThrow(/names a parent twice/)
    expect(() => builder().addProcessor({ name: 'p', parents: [], supplier })).toThrow(/no parent/)
    expect(() =>
      builder()
        .addSink({ name: 'out', parents: ['in'], topic: numbers('out') })
        .addProcessor({ name: 'p', parents: ['out'], supplier }),
    ).toThrow(/cannot follow the sink out/)
  })

  test('has a source, and reads each topic once', () => {
    expect(() => new TopologyBuilder().build()).toThrow(/TOPOLOGY_INVALID.*no source/)
    expect(() => builder().addSource({ name: 'again', topic: numbers('in') })).toThrow(/both read in/)
  })

  test('reads and writes no topic that has the name of one of its internal topics', () => {
    const counted = new StreamsBuilder()
    const orders = counted.stream(numbers('orders-changelog'))
    orders.groupByKey().count({ name: 'orders' })
    expect(() => counted.build()).toThrow(/TOPOLOGY_INVALID.*orders-changelog.*changelog topic.*rename/)
    const moved = new StreamsBuilder()
    moved.stream(numbers('in')).repartition({ name: 'orders' }).to(numbers('orders-repartition'))
    expect(() => moved.build()).toThrow(/TOPOLOGY_INVALID.*orders-repartition.*repartition topic.*rename/)
  })

  test('has unique names that can be part of topic and directory names', () => {
    for (const name of ['', '..', 'a/b', 'ä', 'x'.repeat(200)]) {
      expect(() => builder().addProcessor({ name, parents: ['in'], supplier })).toThrow(/TOPOLOGY_INVALID.*name/)
    }
    expect(() => new TopologyBuilder().addSource({ name: 'in', topic: numbers('../up') })).toThrow(/INVALID_TOPIC/)
    expect(() => builder().addSource({ name: 'in', topic: numbers('other') })).toThrow(/two nodes named in/)
    expect(() => builder().addSink({ name: 'o', parents: ['in'], topic: numbers('__consumer_offsets') })).toThrow(
      /log itself/,
    )
  })

  test('retains window rows for at least the window size', () => {
    const rows: StoreSpec = { ...store('rows'), shape: { kind: 'window', sizeMs: 10, retentionMs: 9 } }
    expect(() =>
      builder()
        .addStore(rows)
        .addProcessor({ name: 'p', parents: ['in'], stores: ['rows'], supplier })
        .build(),
    ).toThrow(/retention of 9 ms/)
  })

  test('is frozen', () => {
    const topology = meeting(1, 1)
    for (const part of [topology, topology.nodes, topology.stores, topology.subTopologies, topology.subTopologies[0]]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })
})

test('nodes that share parents or stores form one sub-topology, numbered in order of first nodes', () => {
  const names = meeting(2, 2).subTopologies.map((part) => part.sources.map((source) => source.name))
  expect(names).toEqual([['a', 'b'], ['c']])
  expect(meeting(2, 2).subTopologies.map((part) => part.copartitioned)).toEqual([[['a', 'b']], []])
})

describe('the plan of topics', () => {
  test('gives tasks and changelogs the partition count of their sources, and sinks that of their writers', () => {
    const plan = planTopics(meeting(4, 4), 'app', [])
    expect(plan.tasks).toEqual([4, 3])
    expect(Object.fromEntries(plan.specs.map((spec) => [spec.name, spec.partitions]))).toEqual({
      a: 4,
      b: 4,
      c: 3,
      out: 4,
      'c-out': 3,
      'app-rows-changelog': 4,
    })
  })

  test('keeps the partition counts of existing topics', () => {
    const plan = planTopics(meeting(undefined, undefined), 'app', [
      existing('a', 5),
      existing('b', 5),
      existing('out', 2),
    ])
    expect(plan.tasks).toEqual([5, 3])
    expect(plan.partitions.get('out')).toBe(2)
  })

  test('refuses topics of different partition counts that share a store, naming both counts and the remedy', () => {
    expect(() => planTopics(meeting(4, 2), 'app', [])).toThrow(
      /NOT_COPARTITIONED: a has 4 partitions and b has 2.*repartition\(\)/,
    )
    expect(() => planTopics(meeting(undefined, 2), 'app', [existing('a', 3)])).toThrow(/a has 3 partitions and b has 2/)
  })

  test('refuses topics of different key codecs that share a store', () => {
    const byNumber = topic('b', { key: z.number(), value: z.number(), partitions: 4 })
    const topology = new TopologyBuilder()
      .addSource({ name: 'a', topic: numbers('a', 4) })
      .addSource({ name: 'b', topic: byNumber })
      .addStore(store('rows'))
      .addProcessor({ name: 'both', parents: ['a', 'b'], stores: ['rows'], supplier })
      .build()
    expect(() => planTopics(topology, 'app', [])).toThrow(/NOT_COPARTITIONED.*"string".*"tagged"/)
  })

  test('refuses a topic that is read but does not exist, with TOPIC_MISSING', () => {
    expect(() => planTopics(meeting(undefined, 2), 'app', [existing('b', 2)])).toThrow(/TOPIC_MISSING: topic a is read/)
  })

  test('names the topic that does not exist, not the repartition topic behind it', () => {
    const builder = new StreamsBuilder()
    builder
      .stream(numbers('absent'))
      .groupBy((value) => `${value}`)
      .count({ name: 'counts' })
    expect(() => planTopics(builder.build(), 'app', [])).toThrow(/TOPIC_MISSING: topic absent is read .*ensureTopics/)
  })

  test('gives repartition topics the largest partition count of their inputs, through any number of hops', () => {
    const builder = new StreamsBuilder()
    const [small, large] = [numbers('small', 2), numbers('large', 6)]
    builder
      .stream([small, large])
      .selectKey((value) => `${value}`)
      .repartition({ name: 'first' })
      .selectKey((value) => `${value}!`)
      .repartition({ name: 'second' })
      .groupByKey()
      .count({ name: 'counts' })
    const plan = planTopics(builder.build(), 'app', [])
    expect(plan.tasks).toEqual([6, 6, 6])
    expect(plan.partitions.get('second-repartition')).toBe(6)
    expect(plan.partitions.get('counts-changelog')).toBe(6)
  })

  test('gives a repartition topic its declared partition count, and its co-partitioned neighbours the same', () => {
    const builder = new StreamsBuilder()
    const left = builder
      .stream(numbers('left', 2))
      .selectKey((value) => `${value}`)
      .repartition({ name: 'l', partitions: 7 })
    const right = builder
      .stream(numbers('right', 3))
      .selectKey((value) => `${value}`)
      .repartition({ name: 'r' })
    left.merge(right).groupByKey().count({ name: 'counts' })
    const plan = planTopics(builder.build(), 'app', [])
    expect([plan.partitions.get('l-repartition'), plan.partitions.get('r-repartition')]).toEqual([7, 7])
    expect(plan.tasks).toEqual([2, 7, 3])
  })

  test('gives repartition topics in a cycle of sub-topologies the partition count that enters from outside', () => {
    const builder = new StreamsBuilder()
    const first = builder
      .stream(numbers('in', 4))
      .selectKey((value) => `${value}`)
      .repartition({ name: 'first' })
    const counted = first
      .groupBy((value) => value, { name: 'by-value' })
      .count({ name: 'counts' })
      .toStream()
    first
      .join(
        counted.selectKey((_, value) => `${value}`),
        (value, count) => value + count,
        { name: 'meeting', within: '1m' },
      )
      .to(numbers('out'))
    const plan = planTopics(builder.build(), 'app', [])
    expect(plan.tasks).toEqual([4, 4, 4])
    expect(plan.partitions.get('by-value-repartition')).toBe(4)
  })

  test('refuses a cycle of sub-topologies whose outside input does not exist, with TOPIC_MISSING', () => {
    const builder = new StreamsBuilder()
    const first = builder.stream(numbers('nowhere')).repartition({ name: 'first' })
    first
      .merge(
        first
          .selectKey((value) => `${value}`)
          .repartition({ name: 'second' })
          .mapValues((value) => value + 1)
          .repartition({ name: 'third' }),
      )
      .groupByKey()
      .count({ name: 'counts' })
    expect(() => planTopics(builder.build(), 'app', [])).toThrow(/TOPIC_MISSING/)
  })
})

test('a topology prints in the layout of Kafka’s describe()', () => {
  expect(describeTopology(meeting(1, 1))).toBe(
    [
      'Topologies:',
      '   Sub-topology: 0',
      '    Source: a (topics: [a])',
      '      --> left',
      '    Source: b (topics: [b])',
      '      --> right',
      '    Processor: left (stores: [rows])',
      '      --> out',
      '      <-- a',
      '    Processor: right (stores: [rows])',
      '      --> out',
      '      <-- b',
      '    Sink: out (topic: out)',
      '      <-- right, left',
      '',
      '   Sub-topology: 1',
      '    Source: c (topics: [c])',
      '      --> c-out',
      '    Sink: c-out (topic: c-out)',
      '      <-- c',
      '',
      '',
    ].join('\n'),
  )
  expect(JSON.parse(JSON.stringify(topologyToJson(meeting(1, 1)))).subTopologies[0].stores).toEqual([
    {
      name: 'rows',
      kind: 'keyValue',
      engine: 'memory',
      logged: true,
      emit: 'commit',
      keyCodec: 'string',
      valueCodec: 'msgpack',
    },
  ])
})

test('equal programs have equal fingerprints, and another partition count gives another one', () => {
  expect(topologyFingerprint(meeting(2, 2))).toBe(topologyFingerprint(meeting(2, 2)))
  expect(topologyFingerprint(meeting(2, 2))).not.toBe(topologyFingerprint(meeting(3, 3)))
})

describe('global tables', () => {
  const topicOf = (name: string) => topic(name, { key: z.string(), value: z.number(), tombstones: true })
  const reading = (table: string): TopologyBuilder =>
    new TopologyBuilder()
      .addSource({ name: 'views', topic: numbers('views', 2) })
      .addGlobalTable({ name: 'pages', topic: topicOf('pages-topic') })
      .addProcessor({ name: 'enrich', parents: ['views'], globals: [table], supplier })

  test('belong to no sub-topology, need no co-partitioning with their readers, and appear in the description', () => {
    const topology = reading('pages').build()

    expect(topology.subTopologies.map((part) => part.sources.map((source) => source.name))).toEqual([['views']])
    expect(topology.subTopologies[0]?.copartitioned).toEqual([])
    expect(describeTopology(topology)).toContain('Global table: pages (topic: pages-topic)')
    expect(topologyToJson(topology).globalTables).toEqual([
      { name: 'pages', topic: 'pages-topic', keyCodec: 'string', valueCodec: 'msgpack' },
    ])
  })

  test('can be read only if they are declared', () => {
    expect(() => reading('users').build()).toThrow(/enrich reads the global table users, which is not there/)
  })

  test('share no name with each other or with a store, and no topic with a source', () => {
    expect(() => reading('pages').addGlobalTable({ name: 'pages', topic: topicOf('other') })).toThrow(
      /two global tables/,
    )
    const named = reading('pages')
      .addStore(store('pages'))
      .addProcessor({ name: 'user', parents: ['views'], stores: ['pages'], supplier })
    expect(() => named.build()).toThrow(/pages is the name of a store and of a global table/)
    const twice = reading('pages').addSource({ name: 'again', topic: topicOf('views-2') })
    expect(() => twice.addGlobalTable({ name: 'g', topic: topicOf('views-2') }).build()).toThrow(
      /topic views-2 is read as the global table g and by a source/,
    )
  })

  test('must be on the log before the application starts', () => {
    expect(() => planTopics(reading('pages').build(), 'app', [])).toThrow(
      /topic pages-topic is read but does not exist/,
    )
    const plan = planTopics(reading('pages').build(), 'app', [existing('pages-topic', 7)])
    expect(plan.partitions.get('pages-topic')).toBe(7)
  })
})
