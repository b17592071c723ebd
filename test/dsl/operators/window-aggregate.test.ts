import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { long, string } from '../../../src/codec/value-codecs.ts'
import { windowed } from '../../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { hopping } from '../../../src/dsl/windows.ts'
import { StreamsHarness, type InputRecord } from '../../harness/streams-harness.ts'

interface Windows {
  readonly sizeMs: number
  readonly advanceMs: number
  readonly graceMs: number
}

type Row = readonly [key: string | null, start: number | undefined, count: unknown, timestamp: number]

/** The semantics of windows, written as plainly as possible. */
class Oracle {
  readonly updates: Row[] = []
  readonly finals: Row[] = []
  late = 0
  readonly #windows: Windows
  readonly #rows = new Map<string, { key: string; start: number; count: number; timestamp: number }>()
  #time = -1

  constructor(windows: Windows) {
    this.#windows = windows
  }

  record(key: string, timestamp: number): void {
    const { sizeMs, advanceMs, graceMs } = this.#windows
    this.#time = Math.max(this.#time, timestamp)
    for (let start = 0; start <= timestamp; start += advanceMs) {
      if (start + sizeMs <= timestamp) continue
      if (start + sizeMs <= this.#time - graceMs) {
        this.late += 1
        continue
      }
      const row = this.#rows.get(`${start} ${key}`) ?? { key, start, count: 0, timestamp: -1 }
      row.count += 1
      row.timestamp = Math.max(row.timestamp, timestamp)
      this.#rows.set(`${start} ${key}`, row)
      this.updates.push([key, start, row.count, row.timestamp])
    }
    const closed = [...this.#rows.values()]
      .filter((row) => row.start + sizeMs <= this.#time - graceMs)
      .sort((left, right) => left.start - right.start || (left.key < right.key ? -1 : 1))
    for (const { key: name, start, count, timestamp: at } of closed) {
      this.finals.push([name, start, count, at])
      this.#rows.delete(`${start} ${name}`)
    }
  }
}

const events = topic('events', { key: stringKey, value: string })

async function counted(
  windows: Windows,
  emit: 'update' | 'final' | 'commit',
  parts: readonly (readonly InputRecord[])[],
): Promise<{ readonly rows: Row[]; readonly late: number }> {
  const window = hopping(windows.sizeMs, { advance: windows.advanceMs, grace: windows.graceMs })
  const out = topic('out', { key: windowed(stringKey, window), value: long })
  const builder = new StreamsBuilder()
  builder.stream(events).groupByKey().windowedBy(window).count({ name: 'c', emit }).toStream().to(out)
  const app = await StreamsHarness.open(builder.build(), { events: 1, out: 1 }, { storeFlushIntervalMs: 1 })
  let late = 0
  for (const [index, part] of parts.entries()) {
    await app.send('events', part)
    await app.start()
    await app.settle()
    late += app.runtime.metrics().dropped
    if (index % 2 === 0) await app.crash()
    else await app.stop()
  }
  const rows = (await app.read('out', { value: 'long', windowed: true })).map(
    ({ key, start, value, timestamp }): Row => [key, start, value, timestamp],
  )
  return { rows, late }
}

const scenario = fc.record({
  size: fc.integer({ min: 1, max: 12 }),
  advance: fc.integer({ min: 1, max: 12 }),
  graceMs: fc.constantFrom(0, 1, 5, 30),
  records: fc.array(fc.tuple(fc.constantFrom('a', 'aa', 'b'), fc.nat(8), fc.nat(12)), { minLength: 1, maxLength: 60 }),
  cut: fc.nat(60),
})

test('window counts equal those of a plain loop, for any order of timestamps, across a crash and a restart', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ size, advance, graceMs, records, cut }) => {
      const windows = { sizeMs: size, advanceMs: Math.min(size, advance), graceMs }
      const oracle = new Oracle(windows)
      const inputs: InputRecord[] = []
      let time = 0
      for (const [key, step, back] of records) {
        time += step
        inputs.push([key, 'v', Math.max(0, time - back)])
      }
      for (const [key, , timestamp] of inputs) oracle.record(key ?? '', timestamp)
      const parts = [inputs.slice(0, cut), inputs.slice(cut)].filter((part) => part.length > 0)

      const updated = await counted(windows, 'update', parts)
      expect(updated.rows).toEqual(oracle.updates)
      expect(updated.late).toBe(oracle.late)
      const closed = await counted(windows, 'final', parts)
      expect(closed.rows).toEqual(oracle.finals)
      const committed = await counted(windows, 'commit', parts)
      const last = new Map(oracle.updates.map((row) => [`${row[0]}@${row[1]}`, row]))
      expect(new Map(committed.rows.map((row) => [`${row[0]}@${row[1]}`, row]))).toEqual(last)
    }),
    { numRuns: 60 },
  )
})
