import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { long, string } from '../../../src/codec/value-codecs.ts'
import { windowed } from '../../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { tumbling } from '../../../src/dsl/windows.ts'
import type { Topology } from '../../../src/streams/topology/topology.ts'
import { StreamsHarness, type InputRecord, type OutputRecord } from '../../harness/streams-harness.ts'

const clicks = topic('clicks', { key: stringKey, value: string })
const prices = topic('prices', { key: stringKey, value: string })
const highest = topic('highest', { key: windowed(stringKey, tumbling('10s')), value: long })
const priced = topic('priced', { key: stringKey, value: string })
const paired = topic('paired', { key: stringKey, value: string })
const late = topic('late', { key: windowed(stringKey, tumbling('1s')), value: long })

/**
 * Everything that scheduling could disturb: a window that emits at commit, re-keyed into a window with grace 0; and a
 * re-keyed stream that joins a table and a stream, which it may neither run ahead of nor fall behind.
 */
function disturbable(): Topology {
  const builder = new StreamsBuilder()
  const stream = builder.stream(clicks)
  stream
    .groupByKey()
    .windowedBy(tumbling('10s'))
    .count({ name: 'by-visitor' })
    .toStream()
    .selectKey((_count, key) => `group-${key.key.length % 2}`)
    .groupByKey()
    .windowedBy(tumbling('10s'))
    .reduce({ name: 'highest', value: long, add: (most, count) => Math.max(most, count) })
    .toStream()
    .to(highest)
  const byPage = stream.selectKey((page) => page)
  byPage.groupByKey().windowedBy(tumbling('1s')).count({ name: 'per-second' }).toStream().to(late)
  byPage
    .leftJoinTable(builder.table(prices), (page, price) => `${page} at ${price ?? 'no price'}`, {
      name: 'by-price',
      value: string,
    })
    .to(priced)
  byPage
    .join(builder.stream(prices), (page, price) => `${page} near ${price}`, {
      name: 'pairs',
      within: '100ms',
      value: string,
    })
    .to(paired)
  return builder.build()
}

function inputs(seed: number): { readonly clicks: InputRecord[]; readonly prices: InputRecord[] } {
  const random = new SeededRandom(seed)
  const found = { clicks: [] as InputRecord[], prices: [] as InputRecord[] }
  for (let timestamp = 1; timestamp < 60_000; timestamp += 1 + random.below(40)) {
    if (random.chance(0.2)) found.prices.push([`page-${random.below(9)}`, String(random.below(1000)), timestamp])
    else found.clicks.push([`visitor-${random.below(120)}`, `page-${random.below(9)}`, timestamp])
  }
  return found
}

async function run(partitions: number, seed: number, commitBytesMax: number): Promise<Answers> {
  const app = await StreamsHarness.open(
    disturbable(),
    { clicks: partitions, prices: partitions, highest: 1, priced: 1, paired: 1, late: 1 },
    { commitBytesMax },
  )
  const { clicks: left, prices: right } = inputs(seed)
  await app.send('clicks', left)
  await app.send('prices', right)
  await app.start()
  await app.settle()
  const { droppedByReason, commits } = app.runtime.metrics()
  const answers = {
    dropped: droppedByReason,
    commits,
    highest: last(await app.read('highest', { value: 'long', windowed: true })),
    late: last(await app.read('late', { value: 'long', windowed: true })),
    priced: byKey(await app.read('priced')),
    paired: byKey(await app.read('paired')),
  }
  await app.close()
  return answers
}

interface Answers {
  readonly dropped: object
  readonly commits: number
  readonly highest: object
  readonly late: object
  readonly priced: object
  readonly paired: object
}

function last(records: readonly OutputRecord[]): object {
  return Object.fromEntries(records.map(({ key, start, value }) => [`${key}@${start}`, value]))
}

function byKey(records: readonly OutputRecord[]): object {
  const found: { [key: string]: unknown[] } = {}
  for (const { key, value } of records) (found[key ?? ''] ??= []).push(value)
  return found
}

describe('in-order input with a full backlog over four partitions', () => {
  test.each([
    [1, 8_000_000],
    [2, 4_000],
    [3, 500],
  ])(
    'drops nothing and equals a run over one partition (seed %i, commits of %i bytes)',
    async (seed, commitBytesMax) => {
      const one = await run(1, seed, 8_000_000)
      const four = await run(4, seed, commitBytesMax)

      expect(four.dropped).toEqual({})
      expect(one.dropped).toEqual({})
      expect(four.highest).toEqual(one.highest)
      expect(four.late).toEqual(one.late)
      expect(four.priced).toEqual(one.priced)
      expect(four.paired).toEqual(one.paired)
      expect(Object.keys(four.priced).length).toBe(9)
      expect(Object.keys(four.paired).length).toBe(9)
      if (commitBytesMax < 5000) expect(four.commits).toBeGreaterThan(10)
    },
  )
})
