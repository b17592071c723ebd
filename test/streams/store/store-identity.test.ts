import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { versions, type Declared } from '../../../src/codec/schema.ts'
import { topic } from '../../../src/codec/topic.ts'
import { long, string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { tumbling } from '../../../src/dsl/windows.ts'
import type { Topology } from '../../../src/streams/topology/topology.ts'
import { windowed } from '../../../src/codec/windowed-codec.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })

const first = z.object({ count: z.number() })
const second = z.object({ count: z.number(), last: z.string() })
const third = z.object({ total: z.number() })
const two = versions(first, second, ({ count }) => ({ count, last: '' }))
const three = versions(two, third, ({ count }) => ({ total: count }))

/** Counts into an object of the schema `value`, which `add` produces. */
function counting(value: Declared, add: (before: never, text: string) => unknown, name = 'totals'): Topology {
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .groupByKey()
    .aggregate({ name, value: value as typeof first, initial: () => ({ count: 0, total: 0 }), add: add as never })
    .toStream()
    .mapValues((total) => JSON.stringify(total))
    .to(output)
  return builder.build()
}

const asFirst = counting(first, ({ count }: { count: number }) => ({ count: count + 1 }))
const asSecond = counting(second, ({ count }: { count: number }, last) => ({ count: count + 1, last }))
const asTwo = counting(two, ({ count }: { count: number }, last) => ({ count: count + 1, last }))
const asThree = counting(three, ({ total }: { total: number }) => ({ total: total + 1 }))

/** Runs the topology over one more record and returns the latest output. */
async function runOnce(app: StreamsHarness, topology: Topology, text: string): Promise<unknown> {
  await app.send('in', [['k', text, 1]])
  await app.start(topology)
  await app.settle()
  await app.stop()
  return JSON.parse(String((await app.read('out')).at(-1)?.value))
}

describe('a store whose value schema changed', () => {
  test('is refused at start, naming store and remedy, and still works with the old schema', async () => {
    const app = await StreamsHarness.open(asFirst, { in: 1, out: 1 })
    expect(await runOnce(app, asFirst, 'a')).toEqual({ count: 1 })

    await expect(app.start(asSecond)).rejects.toThrow(
      /STORE_MISMATCH: store totals was written with another value schema.*versions\(old, new, upgrade\).*another name/,
    )
    expect(await runOnce(app, asFirst, 'b')).toEqual({ count: 2 })
  })

  test('is accepted if the versions are declared, whichever of them wrote the rows', async () => {
    const app = await StreamsHarness.open(asFirst, { in: 1, out: 1 })
    expect(await runOnce(app, asFirst, 'a')).toEqual({ count: 1 })
    expect(await runOnce(app, asTwo, 'b')).toEqual({ count: 2, last: 'b' })
    expect(await runOnce(app, asThree, 'c')).toEqual({ total: 3 })
    await app.crash()
    expect(await runOnce(app, asThree, 'd')).toEqual({ total: 4 })
  })

  test('is refused if only the oldest or only the newest of its versions is declared', async () => {
    const app = await StreamsHarness.open(asTwo, { in: 1, out: 1 })
    await runOnce(app, asTwo, 'a')
    await expect(app.start(asFirst)).rejects.toThrow(/STORE_MISMATCH.*newer build/)
    await expect(app.start(asSecond)).rejects.toThrow(/STORE_MISMATCH/)
    expect(await runOnce(app, asTwo, 'b')).toEqual({ count: 2, last: 'b' })
  })

  test('starts empty under another name', async () => {
    const app = await StreamsHarness.open(asFirst, { in: 1, out: 1 })
    await runOnce(app, asFirst, 'a')
    const renamed = counting(
      second,
      ({ count }: { count: number }, last) => ({ count: count + 1, last }),
      'totals-with-last',
    )
    expect(await runOnce(app, renamed, 'b')).toEqual({ count: 1, last: 'b' })
  })
})

test('a store whose window size or codec changed is refused', async () => {
  const windows = (size: '1m' | '5m', value: Declared): Topology => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .groupByKey()
      .windowedBy(tumbling(size))
      .aggregate({ name: 'w', value: value as typeof string, initial: () => '', add: () => 'x' })
    return builder.build()
  }
  const app = await StreamsHarness.open(windows('1m', string), { in: 1 })
  await app.send('in', [['k', 'v', 1]])
  await app.start()
  await app.settle()
  await app.stop()

  await expect(app.start(windows('5m', string))).rejects.toThrow(
    /STORE_MISMATCH: store w was written with shape window 60000 ms, but is declared with window 300000 ms/,
  )
  await expect(app.start(windows('1m', long))).rejects.toThrow(/STORE_MISMATCH: store w was written with valueCodec/)
})

test('a window store still finds its rows after its retention was lengthened or shortened', async () => {
  const keeping = (grace: string): Topology => {
    const windows = tumbling('1m', { grace })
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .groupByKey()
      .windowedBy(windows)
      .count({ name: 'kept', emit: 'update' })
      .toStream()
      .to(topic('counts', { key: windowed(stringKey, windows), value: long }))
    return builder.build()
  }
  // given: counts of ten minutes in the store
  const app = await StreamsHarness.open(keeping('15m'), { in: 1, counts: 1 })
  const minutes = Array.from({ length: 10 }, (_, minute) => ['k', 'v', minute * 60_000] as const)
  await runWith(app, keeping('15m'), minutes)
  // when: the grace changes, and late records arrive for each of them
  for (const [runs, grace] of ['40m', '20m', '30m'].entries()) {
    await runWith(app, keeping(grace), minutes)
    // then: they are added to the existing counts
    const told = await app.read('counts', { value: 'long', windowed: true })
    const latest = new Map(told.map(({ start, value }) => [start, value]))
    expect([...latest.values()]).toEqual(minutes.map(() => runs + 2))
    // and the changelog has the same retention as the store
    const [changelog] = await app.log.topics(['app-kept-changelog'])
    expect(changelog?.config.windowRetentionMs).toBe(60_000 + Number.parseInt(grace, 10) * 60_000)
  }
})

async function runWith(
  app: StreamsHarness,
  topology: Topology,
  records: readonly (readonly [string, string, number])[],
): Promise<void> {
  await app.start(topology)
  await app.send('in', records)
  await app.settle()
  await app.stop()
}
