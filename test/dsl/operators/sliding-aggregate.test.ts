import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../src/codec/topic.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { sliding } from '../../../src/dsl/windows.ts'
import { TopologyTestDriver } from '../../../src/testing/topology-test-driver.ts'
import type { InputRecord } from '../../harness/streams-harness.ts'
import { lastResults, windowResults, type WindowResult } from '../../harness/windowed-results.ts'

/** The windows of one key: one that ends at each record, and one that starts just after each record with followers. */
function windowsOf(times: readonly number[], size: number): Set<number> {
  const starts = new Set<number>()
  for (const time of times) {
    starts.add(Math.max(0, time - size))
    if (times.some((other) => other > time && other <= time + 1 + size)) starts.add(time + 1)
  }
  return starts
}

/** How many records are in each window, if none is late. */
function counts(records: readonly InputRecord[], size: number): Map<string, string> {
  const expected = new Map<string, string>()
  for (const key of new Set(records.map((record) => record[0] ?? ''))) {
    const times = records.filter((record) => record[0] === key).map((record) => record[2])
    for (const start of windowsOf(times, size)) {
      const count = times.filter((time) => time >= start && time <= start + size).length
      expected.set(`${key} ${start}..${start + size}`, String(count))
    }
  }
  return expected
}

async function counted(
  emit: 'update' | 'commit' | 'final',
  { size, grace }: { readonly size: number; readonly grace: number },
  parts: readonly (readonly InputRecord[])[],
): Promise<{ readonly results: WindowResult[]; readonly dropped: number }> {
  return await windowResults(
    (grouped) => grouped.windowedBy(sliding(size, { grace })).count({ name: 'counts', emit }),
    parts,
  )
}

test('sliding windows count exactly their records, for any order of timestamps, across a crash and a restart', async () => {
  const scenario = fc.record({
    size: fc.integer({ min: 1, max: 12 }),
    records: fc.array(fc.tuple(fc.constantFrom('a', 'aa', 'b'), fc.nat(6), fc.nat(20)), {
      minLength: 1,
      maxLength: 40,
    }),
    cut: fc.nat(40),
  })
  await fc.assert(
    fc.asyncProperty(scenario, async ({ size, records, cut }) => {
      let time = 0
      const inputs = records.map(([key, step, back]): InputRecord => {
        time += step
        return [key, 'v', Math.max(0, time - back)]
      })
      const grace = 1000
      const expected = counts(inputs, size)
      const parts = [inputs.slice(0, cut), inputs.slice(cut)].filter((part) => part.length > 0)

      const updated = await counted('update', { size, grace }, parts)
      expect(lastResults(updated.results)).toEqual(expected)
      const committed = await counted('commit', { size, grace }, parts)
      expect(lastResults(committed.results)).toEqual(expected)
      const end: InputRecord = ['end', 'v', time + 2 * grace]
      const closed = await counted('final', { size, grace }, [...parts, [end]])
      expect(new Map(closed.results.map(([window, value]) => [window, value]))).toEqual(expected)
      expect(closed.results.length).toBe(expected.size)
    }),
    { numRuns: 20 },
  )
})

test('a closed window takes no more records, and they count as dropped', async () => {
  const { results, dropped } = await counted('update', { size: 5, grace: 0 }, [
    [
      ['k', 'v', 10],
      ['k', 'v', 30],
      ['k', 'v', 11],
    ],
  ])

  expect(results.map(([window]) => window)).toEqual(['k 5..10', 'k 25..30'])
  expect(dropped).toBe(1)
})

test('a window that is the right one of a record and the left one of another is counted once downstream', async () => {
  const events = topic('events', { key: z.string(), value: z.string() })
  const builder = new StreamsBuilder()
  builder
    .stream(events)
    .groupByKey()
    .windowedBy(sliding(7))
    .count({ name: 'counts', emit: 'update' })
    .groupBy((count) => count)
    .count({ name: 'windows-by-count' })
  const driver = await TopologyTestDriver.open(builder.build())
  for (const timestamp of [104, 106, 114]) await driver.input(events).pipe({ key: 'k', value: 'v', timestamp })

  expect(await driver.store('windows-by-count').all()).toEqual([
    [1, 3],
    [2, 1],
  ])
  await driver.close()
})
