import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { topic } from '../../../src/codec/topic.ts'
import { long } from '../../../src/codec/value-codecs.ts'
import type { Stream } from '../../../src/dsl/stream.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { tumbling } from '../../../src/dsl/windows.ts'
import type { Committer, Log } from '../../../src/log/api/log.ts'
import type { Topology } from '../../../src/streams/topology/topology.ts'
import { StreamsHarness, type InputRecord } from '../../harness/streams-harness.ts'
import { RecordedRun } from '../../harness/task-replay.ts'
import { sequencesOf, writtenRecords } from '../../harness/written-sequences.ts'

/**
 * Under `emit: 'update'` no output depends on where commits fall, however late the input is: with a full backlog every
 * output partition gets the same bytes in the same order from each sub-topology, hop after hop, also from an application
 * that crashes again and again.
 */
const text = { key: z.string(), value: z.string(), format: 'string' } as const
const clicks = topic('clicks', text)
const prices = topic('prices', { ...text, tombstones: true })
const traces = topic('traces', { key: z.string(), value: long })

/** Each value depends on all values before it, so that every order of the same records gives another output. */
function traced(stream: Stream<string, number>, name: string): Stream<string, number> {
  return stream
    .groupByKey({ name: `by-${name}`, key: z.string(), value: long })
    .aggregate({ name, value: long, initial: () => 7, add: (trace, value) => (trace * 31 + value) % 1_000_003, emit })
    .toStream()
}

const emit = 'update'
const tenSeconds = tumbling('10s', { grace: '4s' })

const topologies: { readonly [name: string]: () => Topology } = {
  'a window with grace between two re-keyings': () => {
    const builder = new StreamsBuilder()
    const counts = builder
      .stream(clicks)
      .groupBy((page) => page, { name: 'by-page', key: z.string() })
      .windowedBy(tenSeconds)
      .count({ name: 'per-page', emit })
      .toStream()
    traced(
      counts.map((count, { key, start }) => [`${Math.floor(start / 10_000) % 3} ${key.length}`, count]),
      'second',
    ).to(traces)
    return builder.build()
  },
  'three re-keyings': () => {
    const builder = new StreamsBuilder()
    const first = traced(
      builder.stream(clicks).map((page, visitor) => [page, visitor.length]),
      'first',
    )
    const second = traced(
      first.selectKey((value) => `second ${value % 5}`),
      'second',
    )
    traced(
      second.selectKey((value) => `third ${value % 2}`),
      'third',
    ).to(traces)
    return builder.build()
  },
  'a stream-table join behind a repartition': () => {
    const builder = new StreamsBuilder()
    const table = builder.table(prices, { name: 'prices' })
    const priced = builder
      .stream(clicks)
      .map((page, visitor) => [page, visitor])
      .repartition({ name: 'by-page', key: z.string(), value: z.string() })
      .leftJoinTable(table, (visitor, price) => visitor.length * 1000 + Number(price ?? -1))
    traced(
      priced.selectKey((value) => `group ${value % 3}`),
      'groups',
    ).to(traces)
    return builder.build()
  },
  'a join of two streams behind repartitions': () => {
    const builder = new StreamsBuilder()
    const byPage = builder.stream(clicks).map((page, visitor) => [page, visitor])
    const offers = builder
      .stream(prices)
      .filter((price) => price !== null)
      .map((price, page) => [page, Number(price)])
    const joined = byPage.leftJoin(offers, (visitor, price) => visitor.length * 1000 + (price ?? 0), {
      name: 'offered',
      within: '500ms',
      grace: '3s',
      key: z.string(),
      value: z.string(),
      otherValue: long,
    })
    traced(
      joined.selectKey((value) => `group ${value % 3}`),
      'groups',
    ).to(traces)
    return builder.build()
  },
  'two repartition topics of several writers, merged': () => {
    const builder = new StreamsBuilder()
    const first = traced(
      builder.stream(clicks).map((page, visitor) => [page, visitor.length]),
      'first',
    )
    const moved = builder
      .stream(prices)
      .filter((price) => price !== null)
      .map((price, page): [string, number] => [page, Number(price)])
      .repartition({ name: 'moved', key: z.string(), value: long })
    const both = first.repartition({ name: 'first-moved', key: z.string(), value: long }).merge(moved)
    traced(
      both.selectKey((value) => `group ${value % 4}`),
      'second',
    ).to(traces)
    return builder.build()
  },
}

/** Up to 20 s late, some far more. */
function inputs(seed: number): { readonly clicks: InputRecord[]; readonly prices: InputRecord[] } {
  const random = new SeededRandom(seed)
  const found = { clicks: [] as InputRecord[], prices: [] as InputRecord[] }
  for (let time = 30_000; time < 90_000; time += 1 + random.below(400)) {
    const timestamp = random.chance(0.3) ? time - random.below(random.chance(0.1) ? 30_000 : 6000) : time
    const page = `/${'p'.repeat(1 + random.below(9))}`
    if (random.chance(0.2)) found.prices.push([page, String(random.below(900)), timestamp])
    else found.clicks.push([`visitor-${'v'.repeat(random.below(30))}`, page, timestamp])
  }
  return found
}

interface Outcome {
  readonly sequences: ReadonlyMap<string, readonly string[]>
  readonly commits: number
}

async function run(topology: Topology, seed: number, disturbance: SeededRandom | null): Promise<Outcome> {
  const app = await StreamsHarness.open(
    topology,
    { clicks: 4, prices: 4, traces: 2 },
    { purgeIntervalMs: 1_000_000_000 },
    { journalFileBytesMin: 256 * 1024 },
  )
  const { clicks: left, prices: right } = inputs(seed)
  await app.send('clicks', left)
  await app.send('prices', right)
  if (disturbance === null) await app.start()
  else await startAndCrash(app, disturbance)
  await app.settle()
  const recorded = await app.pump(RecordedRun.read(app.log, topology, 'app'))
  const names = app.log.admin.listTopics().map(({ name }) => name)
  const own = names.filter((name) => name === 'traces' || name.endsWith('-repartition'))
  const sequences = sequencesOf(await app.pump(writtenRecords(app.log, recorded, own)))
  await app.close()
  return { sequences, commits: recorded.commits.length }
}

/** Starts and crashes several times, then starts for good. */
async function startAndCrash(app: StreamsHarness, random: SeededRandom): Promise<void> {
  for (let crashes = 0; crashes < 6; crashes++) {
    await app.start(undefined, committingAnywhere(app.log, random))
    await app.harness.clock.run(random.below(12))
    await app.crash()
  }
  await app.start(undefined, committingAnywhere(app.log, random))
}

/** A log whose commits claim to be full after a few records or after many, so that the worker commits there. */
function committingAnywhere(log: Log, random: SeededRandom): Log {
  const committing = (committer: Committer): Committer => ({
    id: committer.id,
    close: () => committer.close(),
    begin: () => {
      const staged = committer.begin()
      const bytesMax = random.below(random.chance(0.3) ? 3000 : 300)
      return new Proxy(staged, {
        get: (target, name) => {
          if (name === 'bytes') return target.bytes > bytesMax ? Number.MAX_SAFE_INTEGER : target.bytes
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    },
  })
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'openCommitter') {
        return async (options: { readonly id: string }) => committing(await target.openCommitter(options))
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

describe.each(Object.entries(topologies))('%s', (_, topology) => {
  test.each([1, 2])('writes the same sequences wherever commits and crashes fall (seed %i)', async (seed) => {
    const undisturbed = await run(topology(), seed, null)
    const disturbed = await run(topology(), seed, new SeededRandom(seed * 1000))

    expect(disturbed.commits).toBeGreaterThan(undisturbed.commits + 20)
    expect([...disturbed.sequences.keys()].toSorted()).toEqual([...undisturbed.sequences.keys()].toSorted())
    for (const [name, sequence] of undisturbed.sequences) {
      const found = disturbed.sequences.get(name) ?? []
      const at = sequence.findIndex((record, index) => record !== found[index])
      expect(`${name}, ${found.length} records, differs at ${at}`).toBe(
        `${name}, ${sequence.length} records, differs at -1`,
      )
    }
  })
})
