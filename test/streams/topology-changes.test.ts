import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import type { TableSourceOptions } from '../../src/dsl/options.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { sessions, sliding, tumbling } from '../../src/dsl/windows.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { StreamsHarness, type InputRecord, type OutputRecord } from '../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string, tombstones: true })
const right = topic('right', { key: stringKey, value: string })
const other = topic('other', { key: stringKey, value: string })
const elsewhere = topic('elsewhere', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string, tombstones: true })
const windows = tumbling(10)
const counts = topic('counts', { key: windowed(stringKey, windows), value: long })
const topics = { in: 1, right: 1, other: 1, elsewhere: 1, out: 1, counts: 1 }

type Part = (builder: StreamsBuilder) => void

/** A topology of these parts, each a sub-topology; they are numbered in this order. */
function topologyOf(...parts: readonly Part[]): Topology {
  const builder = new StreamsBuilder()
  for (const part of parts) part(builder)
  return builder.build()
}

const passing: Part = (builder) => builder.stream(other).to(elsewhere)

const closedWindows: Part = (builder) =>
  builder
    .stream(input)
    .groupByKey()
    .windowedBy(windows)
    .count({ name: 'per-window', emit: 'final', retention: 1000 })
    .toStream()
    .to(counts)

const joined: Part = (builder) =>
  builder
    .stream(input)
    .join(builder.stream(right), (left, more) => `${left}${more}`, { name: 'pairs', within: 100 })
    .to(output)

/** Starts the application, processes the records and stops it. */
async function live(
  app: StreamsHarness,
  topology: Topology,
  records: readonly InputRecord[],
  to = 'in',
): Promise<void> {
  await app.start(topology)
  await app.send(to, records)
  await app.settle()
  await app.stop()
}

function told(records: readonly OutputRecord[]): readonly string[] {
  return records.map(({ key, start, value }) => `${key}@${start} ${value}`)
}

describe('a topology whose sub-topologies are renumbered', () => {
  test('emits no closed window again, and late records stay late', async () => {
    const app = await StreamsHarness.open(topologyOf(closedWindows), topics)
    await live(app, topologyOf(closedWindows), [
      ['k', 'v', 1],
      ['k', 'v', 25],
    ])

    await live(app, topologyOf(passing, closedWindows), [
      ['k', 'late', 2],
      ['k', 'v', 26],
    ])
    await live(app, topologyOf(closedWindows), [
      ['k', 'late', 3],
      ['k', 'v', 40],
    ])

    expect(told(await app.read('counts', { value: 'long', windowed: true }))).toEqual(['k@0 1', 'k@20 2'])
  })

  test('still refuses a store whose value schema changed', async () => {
    const objects =
      (value: z.ZodType): Part =>
      (builder) =>
        builder
          .stream(input)
          .groupByKey()
          .aggregate({ name: 'objects', value, initial: () => ({ n: 1 }), add: (before) => before })
    const before = objects(z.object({ n: z.number() }))
    const app = await StreamsHarness.open(topologyOf(before), topics)
    await live(app, topologyOf(before), [['k', 'v', 1]])

    await expect(app.start(topologyOf(passing, objects(z.object({ n: z.number(), m: z.number() }))))).rejects.toThrow(
      /STORE_MISMATCH: store objects was written with another value schema/,
    )
  })

  test('keeps the rows of a store without a changelog', async () => {
    const unlogged: Part = (builder) => builder.stream(input).groupByKey().count({ name: 'n', changelog: false })
    const app = await StreamsHarness.open(topologyOf(unlogged), topics)
    await live(app, topologyOf(unlogged), [['k', 'v', 1]])

    await app.start(topologyOf(passing, unlogged))
    await app.send('in', [['k', 'v', 2]])
    await app.settle()

    expect(await app.pump(app.runtime.query('n').get('k'))).toBe(2)
    await app.close()
  })

  test('loses nothing in a crash before the first commit of the renumbered part', async () => {
    const app = await StreamsHarness.open(topologyOf(closedWindows), topics)
    await live(app, topologyOf(closedWindows), [
      ['k', 'v', 1],
      ['k', 'v', 25],
    ])
    // when: the other part, which now has the number that the windows had, commits alone
    await app.start(topologyOf(passing, closedWindows))
    await app.send('other', [['k', 'v', 1]])
    await app.settle()
    await app.crash()
    await live(app, topologyOf(passing, closedWindows), [
      ['k', 'late', 2],
      ['k', 'v', 40],
    ])

    expect(told(await app.read('counts', { value: 'long', windowed: true }))).toEqual(['k@0 1', 'k@20 1'])
  })

  test('keeps the rows of a join', async () => {
    const app = await StreamsHarness.open(topologyOf(joined), topics)
    await live(app, topologyOf(joined), [
      ['k', 'a', 5],
      ['k', 'b', 5],
    ])
    await live(app, topologyOf(passing, joined), [['k', 'c', 5]])
    await live(app, topologyOf(joined), [['k', 'd', 5]])
    await live(app, topologyOf(joined), [['k', '!', 5]], 'right')

    expect((await app.read('out')).map(({ value }) => value)).toEqual(['a!', 'b!', 'c!', 'd!'])
  })
})

describe('an operator that was removed', () => {
  test('continues where it was when it is added again', async () => {
    const app = await StreamsHarness.open(topologyOf(closedWindows), topics)
    await live(app, topologyOf(closedWindows), [
      ['k', 'v', 1],
      ['k', 'v', 25],
    ])
    await live(app, topologyOf(passing), [['k', 'v', 1]], 'other')
    await live(app, topologyOf(closedWindows), [
      ['k', 'late', 2],
      ['k', 'v', 26],
      ['k', 'v', 40],
    ])
    expect(told(await app.read('counts', { value: 'long', windowed: true }))).toEqual(['k@0 1', 'k@20 2'])
  })
})

describe('a table that is declared with another kind of changelog than before', () => {
  const table =
    (options: TableSourceOptions): Part =>
    (builder) =>
      builder
        .table(input, { name: 'table', ...options })
        .toStream()
        .to(output)

  async function rowsAfter(app: StreamsHarness, options: TableSourceOptions, key: string): Promise<readonly string[]> {
    await app.start(topologyOf(table(options)))
    await app.send('in', [[key, 'v', 1]])
    await app.settle()
    const rows = await app.pump(app.runtime.query<string, string>('table').rows())
    await app.stop()
    return rows.map((row) => row.key)
  }

  test.each<readonly [string, TableSourceOptions, TableSourceOptions]>([
    ['its topic', {}, { changelog: 'source' }],
    ['none', {}, { changelog: false }],
    ['none, and was its topic before', { changelog: 'source' }, { changelog: false }],
    ['its topic, and there was none before', { changelog: false }, { changelog: 'source' }],
    ['its own, and the store moves to memory', {}, { engine: 'memory' }],
  ])('keeps its rows when the changelog is %s', async (_, before, after) => {
    const app = await StreamsHarness.open(topologyOf(table(before)), topics)
    expect(await rowsAfter(app, before, 'a')).toEqual(['a'])
    expect(await rowsAfter(app, after, 'b')).toEqual(['a', 'b'])
    expect(await rowsAfter(app, after, 'c')).toEqual(['a', 'b', 'c'])
  })

  test.each<readonly [string, TableSourceOptions]>([
    ['the changelog in', { changelog: 'source' }],
    ['no changelog', { changelog: false }],
  ])('cannot get a changelog of its own if it had %s; the refusal loses no rows', async (former, before) => {
    const app = await StreamsHarness.open(topologyOf(table(before)), topics)
    await rowsAfter(app, before, 'a')
    await expect(app.start(topologyOf(table({})))).rejects.toThrow(
      `STORE_MISMATCH: store table was written with ${former}, but is declared with a changelog of its own, which does not contain its rows; go back to the former declaration`,
    )
    expect(await rowsAfter(app, before, 'b')).toEqual(['a', 'b'])
  })

  test('keeps rows that were committed but not yet flushed to its directory', async () => {
    const app = await StreamsHarness.open(topologyOf(table({})), topics, { storeFlushIntervalMs: 1_000_000_000 })
    await app.start()
    await app.send('in', [['a', 'v', 1]])
    await app.settle()
    await app.crash()
    expect(await rowsAfter(app, { changelog: false }, 'b')).toEqual(['a', 'b'])
  })

  test('has the rows of a recreated topic, and none of the deleted one', async () => {
    const app = await StreamsHarness.open(topologyOf(table({ changelog: 'source' })), topics)
    await rowsAfter(app, { changelog: 'source' }, 'a')
    await app.pump(app.log.admin.deleteTopic('in'))
    await app.harness.topic('in', 1)
    await app.send('in', [
      ['b', 'v', 1],
      ['c', 'v', 1],
    ])
    expect(await rowsAfter(app, { changelog: 'source' }, 'd')).toEqual(['b', 'c', 'd'])
  })

  test('does not bring back from disk rows that were deleted while it was kept in memory', async () => {
    const app = await StreamsHarness.open(topologyOf(table({})), topics)
    await rowsAfter(app, {}, 'a')
    await app.start(topologyOf(table({ engine: 'memory' })))
    await app.send('in', [['a', null, 2]])
    await app.settle()
    await app.stop()
    expect(app.harness.disk.exists('/stores/0_0/table')).toBe(false)
    expect(await rowsAfter(app, {}, 'b')).toEqual(['b'])
  })
})

test('a store of tumbling windows is refused for sliding windows', async () => {
  const counting =
    (of: typeof windows): Part =>
    (builder) =>
      builder.stream(input).groupByKey().windowedBy(of).count({ name: 'counts' })
  const app = await StreamsHarness.open(topologyOf(counting(windows)), topics)
  await live(app, topologyOf(counting(windows)), [['k', 'v', 1]])
  await expect(app.start(topologyOf(counting(sliding(10))))).rejects.toThrow(
    /STORE_MISMATCH: store counts was written with shape window 10 ms, but is declared with sliding window 10 ms/,
  )
})

test('a store of rows without windows is refused for windows or sessions, and the other way round', async () => {
  const grouped = (builder: StreamsBuilder) => builder.stream(input).groupByKey()
  const plain: Part = (builder) => grouped(builder).count({ name: 'counts' })
  const timed: Part = (builder) => grouped(builder).windowedBy(windows).count({ name: 'counts' })
  const visits: Part = (builder) => grouped(builder).windowedBy(sessions(10)).count({ name: 'counts' })
  const refuses = async (before: Part, after: Part): Promise<void> => {
    const app = await StreamsHarness.open(topologyOf(before), topics)
    await live(app, topologyOf(before), [['k', 'v', 1]])
    await expect(app.start(topologyOf(after))).rejects.toThrow(
      /STORE_MISMATCH: store counts was written with .*, but is declared with .*; go back to the former declaration, or give the store another name to begin anew/,
    )
  }

  await refuses(plain, timed)
  await refuses(plain, visits)
  await refuses(timed, plain)
  await refuses(timed, visits)
})

test('a window store without a changelog cannot change its retention: its rows would not be found', async () => {
  const keeping =
    (retention: number): Part =>
    (builder) =>
      builder.stream(input).groupByKey().windowedBy(windows).count({ name: 'counts', changelog: false, retention })
  const app = await StreamsHarness.open(topologyOf(keeping(100)), topics)
  await live(app, topologyOf(keeping(100)), [['k', 'v', 1]])
  await expect(app.start(topologyOf(keeping(200)))).rejects.toThrow(
    /STORE_MISMATCH: store counts was written to keep rows for 100 ms, but is declared to keep them for 200 ms/,
  )
  await live(app, topologyOf(keeping(100)), [['k', 'v', 1]])
})

describe('a topic that was extended by partitions', () => {
  const counting: Part = (builder) => builder.stream(input).groupByKey().count({ name: 'n' })
  const regrouped: Part = (builder) =>
    builder
      .stream(input)
      .groupBy((value) => value)
      .count({ name: 'n' })

  test('is refused as the input of a store, and the advised repartition() keeps the rows', async () => {
    const app = await StreamsHarness.open(topologyOf(counting), { ...topics, in: 2 })
    const records = ['a', 'b', 'c', 'd'].map((key) => [key, 'v', 1] as const)
    await live(app, topologyOf(counting), records)
    await app.pump(app.log.admin.createPartitions('in', 4))

    await expect(app.start(topologyOf(counting))).rejects.toThrow(
      'STORE_MISMATCH: store n has its rows in 2 partitions, but its input now has 4, which distributes keys differently; put repartition({ name, partitions: 2 }) in front of it to keep its rows, or give the store another name to begin anew',
    )

    const advised: Part = (builder) =>
      builder.stream(input).repartition({ name: 'as-before', partitions: 2 }).groupByKey().count({ name: 'n' })
    await app.start(topologyOf(advised))
    await app.send('in', records)
    await app.settle()
    const counts = await app.pump(app.runtime.query<string, number>('n').all())
    expect(new Map(counts)).toEqual(new Map(records.map(([key]) => [key, 2])))
    await app.close()
  })

  test('is refused as the input of a repartition topic, naming both numbers and the remedy', async () => {
    const app = await StreamsHarness.open(topologyOf(regrouped), { ...topics, in: 2 })
    await live(app, topologyOf(regrouped), [['k', 'v', 1]])
    await app.pump(app.log.admin.createPartitions('in', 4))
    await expect(app.start(topologyOf(regrouped))).rejects.toThrow(
      /TOPIC_MISMATCH: repartition topic app-n-repartition has 2 partitions and would now have 4, as many as its input.*repartition\(\{ name, partitions: 2 \}\)/,
    )
  })
})

test('deleting a topic that a running application reads stops it with an error that names the remedy', async () => {
  const app = await StreamsHarness.open(topologyOf(closedWindows), topics)
  await app.start()
  await app.send('in', [['k', 'v', 1]])
  await app.settle()
  await app.pump(app.log.admin.deleteTopic('in'))
  await expect(app.pump(app.runtime.finished())).rejects.toThrow(
    /TOPIC_MISSING: a topic of app was deleted while it ran .*in.*create it again or remove it from the topology/,
  )
})

test('a schedule that has become more frequent does not wait until the former one would have been due', async () => {
  const every =
    (interval: number): Part =>
    (builder) =>
      builder
        .stream(input)
        .process<string, string>(() => ({
          init: (context) =>
            void context.schedule({ every: interval, by: 'streamTime' }, (timestamp) =>
              context.forward({ key: 'k', value: `of ${interval}`, timestamp }),
            ),
          process: () => {},
        }))
        .to(output)
  const app = await StreamsHarness.open(topologyOf(every(1000)), topics)
  await live(app, topologyOf(every(1000)), [['k', 'v', 5]])
  await live(app, topologyOf(every(10)), [
    ['k', 'v', 8],
    ['k', 'v', 12],
  ])
  expect((await app.read('out')).map(({ value, timestamp }) => `${value} at ${timestamp}`)).toEqual([
    'of 1000 at 5',
    'of 10 at 12',
  ])
})
