import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { OverlayEntry } from '../../../../src/streams/store/overlay/overlay-entry.ts'
import { TimeQueue } from '../../../../src/streams/store/overlay/time-queue.ts'

function rowOf(time: number, key: number): OverlayEntry {
  const row = new OverlayEntry(null, time, 'v', time)
  row.slab = Uint8Array.of(key >>> 8, key & 0xff)
  row.keyEnd = 2
  return row
}

test('rows are ordered by time and key, whatever is added and removed', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.boolean()), { minLength: 500, maxLength: 1500 }), (steps) => {
      const queue = new TimeQueue()
      const model: OverlayEntry[] = []
      for (const [index, [time, leaves]] of steps.entries()) {
        const gone = leaves ? model.splice((index * 7919) % Math.max(1, model.length), 1)[0] : undefined
        if (gone === undefined) {
          const row = rowOf(time, index)
          queue.add(row)
          model.push(row)
        } else queue.remove(gone)
      }
      model.sort((left, right) => left.start - right.start || Buffer.compare(left.slab, right.slab))

      expect(queue.rows()).toEqual(model)
      expect(queue.oldest).toBe(model[0] ?? null)
      expect(queue.second).toBe(model[1] ?? null)
      expect(queue.youngest).toBe(model.at(-1) ?? null)
      for (const time of [0, 7, 39, 41]) {
        expect(queue.atOrAfter(time)).toBe(model.find((row) => row.start >= time) ?? null)
      }
    }),
    { numRuns: 20 },
  )
})
