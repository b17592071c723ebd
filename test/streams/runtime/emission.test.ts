import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { sortedByTime } from '../../../src/streams/runtime/emission.ts'

test('places are sorted by time, and those with equal times keep their order, however many are late', () => {
  const update = fc.record({ time: fc.nat(20), isLast: fc.boolean() })
  fc.assert(
    fc.property(fc.array(update, { maxLength: 60 }), (updates) => {
      // Times rise, with late ones among them and many that are equal.
      const times = Float64Array.from(updates, ({ time }, index) => Math.floor(time + index / 4))
      const places = Uint32Array.from(updates.keys().filter((place) => updates[place]?.isLast === true))
      const expected = [...places].toSorted((left, right) => (times[left] ?? 0) - (times[right] ?? 0) || left - right)

      expect([...sortedByTime(places, times)]).toEqual(expected)
    }),
    { numRuns: 500 },
  )
})
