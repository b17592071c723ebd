import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { WindowSpaces } from '../../../../src/streams/store/overlay/window-spaces.ts'

test('the space of a time depends on nothing but the time, whichever was asked for before', () => {
  const times = fc.array(fc.oneof(fc.nat(500), fc.nat(2 ** 31 - 1)), { maxLength: 100 })
  fc.assert(
    fc.property(times, fc.integer({ min: 1, max: 400 }), fc.integer({ min: 2, max: 7 }), (asked, retention, count) => {
      const spaces = new WindowSpaces(retention, count)
      const spanMs = Math.max(1, Math.ceil(retention / (count - 1)))
      for (const time of asked.flatMap((one) => [one, Math.ceil(one / spanMs) * spanMs, one])) {
        expect(spaces.spaceOf(time)).toBe(Math.floor(time / spanMs) % count)
      }
    }),
  )
})

test('times within the retention of each other are in different spaces, or in the same stretch of time', () => {
  const spaces = new WindowSpaces(100, 3)
  for (let time = 0; time < 1000; time++) {
    for (let other = time; other < time + 100; other++) {
      if (spaces.spaceOf(time) === spaces.spaceOf(other)) expect(Math.floor(other / 50)).toBe(Math.floor(time / 50))
    }
  }
})
