import * as assert from 'node:assert/strict'
import { test } from 'vitest'
import { SeededRandom } from '../../src/base/seeded-random.ts'

test('the same seed always gives the same numbers', () => {
  const random = new SeededRandom(42)
  assert.deepEqual(
    Array.from({ length: 5 }, () => random.below(1000)),
    [601, 448, 852, 669, 174],
  )
})

test('numbers stay within their bounds and reach both ends', () => {
  const random = new SeededRandom(1)
  const seen = new Set(Array.from({ length: 500 }, () => random.between(-2, 2)))
  assert.deepEqual(
    [...seen].sort((left, right) => left - right),
    [-2, -1, 0, 1, 2],
  )
  assert.throws(() => random.pick([]), RangeError)
  assert.ok(['a', 'b'].includes(random.pick(['a', 'b'])))
})
