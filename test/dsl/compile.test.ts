import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { longKey, stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { bytes, json } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import type { GroupedStream } from '../../src/dsl/grouped-stream.ts'
import type { Stream } from '../../src/dsl/stream.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { sessions, sliding, tumbling } from '../../src/dsl/windows.ts'
import type { ProcessorNode, SinkNode, SourceNode, TopologyNode } from '../../src/streams/topology/node.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'

const views = topic('views', {
  key: z.string(),
  value: z.object({ path: z.string(), status: z.number() }),
  partitions: 4,
})
const out = topic('out', { key: z.string(), value: z.number() })

function nodeOf(topology: Topology, name: string): TopologyNode {
  const found = topology.nodes.find((node) => node.name === name)
  if (found === undefined) throw new Error(`${name} is none of ${topology.nodes.map((node) => node.name).join(', ')}`)
  return found
}
const processor = (topology: Topology, name: string): ProcessorNode => nodeOf(topology, name) as ProcessorNode
const sink = (topology: Topology, name: string): SinkNode => nodeOf(topology, name) as SinkNode
const source = (topology: Topology, name: string): SourceNode => nodeOf(topology, name) as SourceNode

test('every topic name that Kafka allows can be read and written; any other is refused by the name of the topic', () => {
  const named = (name: string) => topic(name, { key: z.string(), value: z.string(), partitions: 1 })
  const longest = 'x'.repeat(248)
  const builder = new StreamsBuilder()
  builder.stream(named(`${longest}i`)).to(named(`${longest}o`))
  builder.stream(named(`${longest}o`), { onInvalid: { deadLetter: named(`${longest}d`) } }).foreach(() => {})
  expect(builder.build().declaredTopics.map(({ name }) => name.slice(-1))).toEqual(['i', 'o'])

  for (const name of ['page views', 'ä', 'x'.repeat(250)]) {
    const reading = new StreamsBuilder()
    reading.stream(named(name)).foreach(() => {})
    expect(() => reading.build()).toThrow(`INVALID_TOPIC: topic name ${JSON.stringify(name).slice(0, 100)}`)
    const writing = new StreamsBuilder()
    writing.stream(named('in')).to(named(name))
    expect(() => writing.build()).toThrow(`INVALID_TOPIC: topic name ${JSON.stringify(name).slice(0, 100)}`)
  }
})

function compiled(describe: (stream: Stream<string, { path: string; status: number }>) => void): Topology {
  const builder = new StreamsBuilder()
  describe(builder.stream(views))
  return builder.build()
}

describe('the program of the README', () => {
  const minute = tumbling('1m', { grace: '10s' })
  const perMinute = topic('views-per-minute', { key: windowed(z.string(), minute), value: z.number() })
  const topology = compiled((stream) => {
    stream
      .filter((view) => view.status < 400)
      .groupBy((view) => view.path)
      .windowedBy(minute)
      .count({ name: 'views-by-path' })
      .toStream()
      .to(perMinute)
  })

  test('is two sub-topologies with a repartition topic named after the store between them', () => {
    expect(topology.subTopologies.map((part) => part.sources.flatMap((each) => each.topics))).toEqual([
      ['views'],
      ['views-by-path-repartition'],
    ])
    expect(topology.internalTopics.map(({ name, role }) => [name, role])).toEqual([
      ['views-by-path-repartition', 'repartition'],
      ['views-by-path-changelog', 'changelog'],
    ])
    expect(sink(topology, 'views-by-path-repartition-sink')).toMatchObject({ internal: true, dropsNullKeys: true })
    expect(source(topology, 'views-by-path-repartition-source').value.validate).toBeUndefined()
  })

  test('retains windows for size plus grace, and their changelog as long by the clock of the store', () => {
    expect(topology.stores[0]?.shape).toEqual({ kind: 'window', sizeMs: 60_000, retentionMs: 70_000 })
    expect(topology.internalTopics[1]?.config).toMatchObject({
      cleanupPolicy: 'compact,delete',
      windowRetentionMs: 70_000,
      storeClock: 'store views-by-path',
    })
  })

  test('partitions windowed results by their inner key', () => {
    const key = { key: '/home', start: 0, end: 60_000, kind: 'time' }
    const inner = sink(topology, 'views-per-minute-sink').partitionKey?.(key)
    expect([inner?.codec.id, inner?.key]).toEqual(['string', '/home'])
  })

  test('declares for each node whether it reads or changes the key and the value', () => {
    const flags = (name: string): unknown => {
      const { readsKey, readsValue, changesKey, changesValue } = processor(topology, name)
      return { readsKey, readsValue, changesKey, changesValue }
    }
    expect(flags('filter')).toEqual({ readsKey: false, readsValue: true, changesKey: false, changesValue: false })
    expect(flags('group-by')).toEqual({ readsKey: false, readsValue: true, changesKey: true, changesValue: false })
    expect(flags('views-by-path')).toEqual({ readsKey: true, readsValue: false, changesKey: true, changesValue: true })
  })
})

describe('repartitioning', () => {
  const repartitions = (describe: Parameters<typeof compiled>[0]): readonly string[] =>
    compiled(describe)
      .internalTopics.filter((each) => each.role === 'repartition')
      .map((each) => each.name)

  test('precedes an aggregation only if the key may have changed', () => {
    expect(
      repartitions((stream) =>
        stream
          .mapValues((view) => view.path)
          .groupByKey()
          .count({ name: 'a' }),
      ),
    ).toEqual([])
    for (const change of [
      (stream: Stream<string, { path: string }>) => stream.selectKey((view) => view.path).groupByKey(),
      (stream: Stream<string, { path: string }>) => stream.map((view) => [view.path, 1]).groupByKey(),
      (stream: Stream<string, { path: string }>) => stream.flatMap((view) => [[view.path, 1]]).groupByKey(),
      (stream: Stream<string, { path: string }>) =>
        stream.process<string, number>(() => ({ process: () => undefined })).groupByKey(),
      (stream: Stream<string, { path: string }>) => stream.groupBy((view) => view.path),
    ]) {
      expect(repartitions((stream) => change(stream).count({ name: 'a' }))).toEqual(['a-repartition'])
    }
    expect(repartitions((stream) => stream.selectKey((view) => view.path).to(views))).toEqual([])
  })

  test('is done once: after an explicit repartition() none follows', () => {
    expect(
      repartitions((stream) =>
        stream
          .selectKey((view) => view.path)
          .repartition({ name: 'by-path', partitions: 8 })
          .groupByKey()
          .count({ name: 'a' }),
      ),
    ).toEqual(['by-path-repartition'])
  })

  test('carries only the presence of values to a count, unless the topic is named, their codec is given or they are read', () => {
    const carried = (describe: Parameters<typeof compiled>[0]): readonly (string | undefined)[] =>
      compiled(describe).internalTopics.flatMap(({ role, config }) =>
        role === 'repartition' ? [config?.valueCodec] : [],
      )
    const byPath = (view: { path: string }): string => view.path

    expect(carried((stream) => stream.groupBy(byPath).count({ name: 'a' }))).toEqual(['presence'])
    expect(carried((stream) => stream.groupBy(byPath).windowedBy(sessions('1m')).count({ name: 'a' }))).toEqual([
      'presence',
    ])
    expect(carried((stream) => stream.groupBy(byPath, { name: 'by-path' }).count({ name: 'a' }))).toEqual(['msgpack'])
    expect(carried((stream) => stream.groupBy(byPath, { value: json }).count({ name: 'a' }))).toEqual(['json'])
    expect(carried((stream) => stream.groupBy(byPath).reduce({ name: 'a', add: (_reduced, view) => view }))).toEqual([
      'msgpack',
    ])
    expect(
      carried((stream) => stream.selectKey(byPath).repartition({ name: 'r' }).groupByKey().count({ name: 'a' })),
    ).toEqual(['msgpack'])
  })

  test('is shared by the aggregations of one named grouping, and two groupings of one name are refused', () => {
    expect(
      repartitions((stream) => {
        const grouped = stream.groupBy((view) => view.path, { name: 'by-path' })
        grouped.count({ name: 'a' })
        grouped.windowedBy(tumbling('1m')).count({ name: 'b' })
      }),
    ).toEqual(['by-path-repartition'])
    expect(() =>
      compiled((stream) => {
        stream.groupBy((view) => view.path, { name: 'same' }).count({ name: 'a' })
        stream.groupBy((view) => view.status, { name: 'same' }).count({ name: 'b' })
      }),
    ).toThrow(/TOPOLOGY_INVALID.*same-repartition/)
  })
})

describe('codecs', () => {
  test('a key or value that is still the source’s keeps its codec, and a new one is tagged or msgpack', () => {
    const raw = topic('raw', { key: longKey, value: bytes, partitions: 1 })
    const builder = new StreamsBuilder()
    builder
      .stream(raw)
      .filter((value) => value.length > 0)
      .repartition({ name: 'same' })
      .groupByKey()
      .count({ name: 'a' })
    builder
      .stream(raw)
      .map((value) => [String(value.length), 1])
      .repartition({ name: 'new' })
      .to(topic('o', { key: z.string(), value: z.number() }))
    const topology = builder.build()

    const codecs = (name: string): unknown => [sink(topology, name).key.codec.id, sink(topology, name).value.codec.id]
    expect(codecs('same-repartition-sink')).toEqual(['long', 'bytes'])
    expect(codecs('new-repartition-sink')).toEqual(['tagged', 'msgpack'])
    expect(topology.stores[0]?.key.id).toBe('long')
  })

  test('a declared key or value takes the codec of its declaration', () => {
    const topology = compiled((stream) => {
      stream.groupBy((view) => view.path, { key: stringKey, value: json }).count({ name: 'a' })
    })
    expect(sink(topology, 'a-repartition-sink')).toMatchObject({
      key: { codec: { id: 'string' } },
      value: { codec: { id: 'json' } },
    })
    expect(topology.stores[0]?.key.id).toBe('string')
  })

  test('groupByKey() of an unchanged key refuses another codec for it', () => {
    expect(() =>
      compiled((stream) => stream.groupByKey({ key: { ...stringKey, id: 'mine' } }).count({ name: 'a' })),
    ).toThrow(/NOT_COPARTITIONED.*"mine".*"string"/)
  })

  test('a table of a computed key joins a topic if it is given the key of that topic, as the error says', () => {
    const joined = (options: { readonly key?: typeof stringKey }) => () => {
      const builder = new StreamsBuilder()
      const owners = builder.table(topic('owners', { key: z.string(), value: z.string(), partitions: 4 }))
      builder
        .stream(views)
        .groupBy((view) => view.path, options)
        .count({ name: 'counts' })
        .join(owners, (count) => count)
      builder.build()
    }
    expect(joined({})).toThrow(
      /NOT_COPARTITIONED.*owners.*"string".*counts-repartition.*"tagged".*as \{ key \} of the groupBy/,
    )
    expect(joined({ key: stringKey })).not.toThrow()
  })

  test('merged streams of different key codecs are repartitioned before they share a store', () => {
    const builder = new StreamsBuilder()
    const left = builder.stream(topic('left', { key: z.string(), value: z.number() }))
    const right = builder.stream(topic('right', { key: { ...stringKey, id: 'mine' }, value: z.number() }))
    left.merge(right).groupByKey().count({ name: 'a' })
    expect(builder.build().internalTopics.map((each) => each.name)).toContain('a-repartition')
  })
})

describe('an invalid topology is refused', () => {
  test('for a retention that is too short, an invalid emit or a missing merge', () => {
    const grouped = (): GroupedStream<string, { path: string; status: number }> =>
      new StreamsBuilder().stream(views).groupByKey()
    expect(() =>
      grouped()
        .windowedBy(tumbling('1m', { grace: '1m' }))
        .count({ name: 'a', retention: '90s' }),
    ).toThrow(/CONFIG_INVALID.*120000 ms/)
    // @ts-expect-error Type '"final"' is not assignable
    expect(() => grouped().count({ name: 'a', emit: 'final' })).toThrow(/CONFIG_INVALID.*window/)
    // From JavaScript.
    const misspelt = 'finally' as 'final'
    expect(() => grouped().windowedBy(tumbling('1m')).count({ name: 'a', emit: misspelt })).toThrow(
      /CONFIG_INVALID: a: emit is 'commit', 'update' or 'final', not finally/,
    )
    expect(() =>
      grouped()
        .windowedBy(sessions('1m', { grace: '10s' }))
        .count({ name: 'a', retention: '1m' }),
    ).toThrow(/CONFIG_INVALID.*60000 ms would forget sessions.*gap and grace together are 70000 ms/)
    expect(() => grouped().windowedBy(sliding('1m')).count({ name: 'a', retention: '1m' })).toThrow(
      /CONFIG_INVALID.*60000 ms would forget windows.*twice the size and grace together are 120000 ms/,
    )
    expect(() =>
      grouped()
        .windowedBy(sessions('1m'))
        // @ts-expect-error sessions need merge
        .aggregate({ name: 'a', value: z.number(), initial: () => 0, add: (sum) => sum + 1 }),
    ).toThrow(/CONFIG_INVALID.*a: .*merge/)
  })

  test('for two stores of one name, a processor without its store or a store without a processor', () => {
    expect(() =>
      compiled((stream) => {
        stream.groupByKey().count({ name: 'a' })
        stream.groupByKey().count({ name: 'a' })
      }),
    ).toThrow(/TOPOLOGY_INVALID.*two stores named a/)
    expect(() =>
      compiled((stream) => {
        stream.process<string, number>(() => ({ process: () => undefined }), { stores: ['seen'] })
      }),
    ).toThrow(/TOPOLOGY_INVALID.*store seen, which is not there/)
    const builder = new StreamsBuilder()
    builder.stream(views).to(views)
    builder.addStore({ name: 'seen', key: z.string(), value: z.number() })
    expect(() => builder.build()).toThrow(/no processor uses the store seen/)
  })

  test('for two operators of one name, streams of two builders or a topic declared in two ways', () => {
    expect(() =>
      compiled((stream) => void stream.filter(() => true, { name: 'f' }).filter(() => true, { name: 'f' })),
    ).toThrow(/two operators named f/)
    expect(() => new StreamsBuilder().stream(views).merge(new StreamsBuilder().stream(views))).toThrow(
      /different builders/,
    )
    const builder = new StreamsBuilder()
    builder.stream(views)
    builder.stream(
      topic('views', { key: z.number(), value: z.object({ path: z.string(), status: z.number() }), partitions: 4 }),
    )
    expect(() => builder.build()).toThrow(/TOPOLOGY_INVALID.*views is declared twice/)
  })
})

test('a split sends each record to the first branch whose predicate holds, and all others to the rest branch', () => {
  const topology = compiled((stream) => {
    const { bad, good } = stream.split({ bad: (view) => view.status >= 400 }, { name: 'by-status', rest: 'good' })
    bad.to(views)
    good.mapValues((view) => view.status).to(out)
  })
  const forwarded: string[] = []
  const split = processor(topology, 'by-status').supplier()
  split.init?.({ forwardTo: (child: string) => forwarded.push(child) } as never)
  split.process('k', { path: '/', status: 500 }, 0)
  split.process('k', { path: '/', status: 200 }, 0)
  expect(forwarded).toEqual(['by-status-bad', 'by-status-good'])
  expect(processor(topology, 'by-status-good').parents).toEqual(['by-status'])
})

test('several topics can form one stream, and a topic that is read twice is one source', () => {
  const builder = new StreamsBuilder()
  const [a, b] = ['a', 'b'].map((name) => topic(name, { key: z.string(), value: z.number() }))
  if (a === undefined || b === undefined) throw new Error('no topics')
  builder.stream([a, b]).to(out)
  builder.stream(a).foreach(() => undefined)
  const topology = builder.build()
  expect(topology.nodes.filter((node) => node.kind === 'source').map((node) => node.name)).toEqual([
    'a-source',
    'b-source',
  ])
  expect(topology.subTopologies).toHaveLength(1)
})
