import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type CountedBatch, OutputRuns, type RangeKind } from '../../../../src/log/broker/commits/output-runs.ts'

/** Batches of at most three records, with a gap of offsets after each. */
function placedBatches(records: number, base: number): { placed: CountedBatch[]; offsets: number[] } {
  const placed: CountedBatch[] = []
  const offsets: number[] = []
  for (let next = base; offsets.length < records; next += 10) {
    const count = Math.min(3, records - offsets.length)
    placed.push({ batch: { baseOffset: next } as CountedBatch['batch'], count })
    for (let index = 0; index < count; index++) offsets.push(next + index)
  }
  return { placed, offsets }
}

test('each record belongs to the range of its section and kind, commit after commit', () => {
  const record = fc.record({
    section: fc.integer({ min: -1, max: 2 }),
    kind: fc.constantFrom<RangeKind>('output', 'changelog'),
  })
  fc.assert(
    fc.property(fc.array(fc.array(record, { minLength: 1, maxLength: 80 }), { maxLength: 3 }), (commits) => {
      const runs = new OutputRuns()
      for (const records of commits) {
        for (const [index, { section, kind }] of records.entries()) runs.add(index, section, kind)
        const { placed, offsets } = placedBatches(records.length, 100)
        const found = new Map<number, string>()
        runs.forEachRange(placed, (section, kind, start, end) => {
          for (const offset of offsets) if (offset >= start && offset < end) found.set(offset, `${section} ${kind}`)
        })

        const expected = records.flatMap(({ section, kind }, index) =>
          section < 0 ? [] : [[offsets[index], `${section} ${kind}`]],
        )
        expect([...found].toSorted(([left], [right]) => left - right)).toEqual(expected)
        runs.clear()
      }
    }),
  )
})
