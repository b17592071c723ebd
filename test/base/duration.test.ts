import { expect, test } from 'vitest'
import { millisecondsOf, signedMillisecondsOf } from '../../src/base/duration.ts'

test('a duration is a number of milliseconds or a text of numbers with units', () => {
  expect(['500ms', '30s', '1h30m', '7d', '0s', 250, 0].map(millisecondsOf)).toEqual([
    500,
    30_000,
    5_400_000,
    7 * 86_400_000,
    0,
    250,
    0,
  ])
  const wrong = ['', '5', 'm', '5 m', '-1s', '1.5s', '5w', -1, 1.5, Number.NaN, 2 ** 53]
  expect(wrong.map(millisecondsOf)).toEqual(wrong.map(() => null))
})

test('a signed duration may be negative, and 0 has no sign', () => {
  expect(['-5s', -5000, '5s', '-0s', -0].map(signedMillisecondsOf)).toEqual([-5000, -5000, 5000, 0, 0])
  expect(['--5s', '- 5s', -1.5].map(signedMillisecondsOf)).toEqual([null, null, null])
})

test('a value that is neither number nor text is no duration', () => {
  const wrong = [null, undefined, true, 5n, {}, ['5s'], Symbol('5s'), new Date(5)] as never[]
  expect(wrong.map(millisecondsOf)).toEqual(wrong.map(() => null))
  expect(wrong.map(signedMillisecondsOf)).toEqual(wrong.map(() => null))
})
