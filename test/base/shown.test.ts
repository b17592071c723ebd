import { expect, test } from 'vitest'
import { shown } from '../../src/base/shown.ts'

class Price {
  readonly cents = 5
}

test.each([
  ['text', '"text"'],
  [5, '5'],
  [5n, '5n'],
  [Number.NaN, 'NaN'],
  [null, 'null'],
  [undefined, 'undefined'],
  [{ a: [1, 2n] }, '{"a":[1,"2n"]}'],
  [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
  [new Date(0), '"1970-01-01T00:00:00.000Z"'],
  [new Uint8Array(3), '3 bytes'],
  [new Price(), 'Price {"cents":5}'],
  [new Set(['a']), 'Set(1)'],
  [{ tags: new Map([['a', 1]]) }, '{"tags":"Map(1)"}'],
  [Price, 'the function Price'],
  [() => 5, 'a function'],
])('a value in an error message is shown as what it is: %s', (value, text) => {
  expect(shown(value)).toBe(text)
})

test('a value that has no JSON is shown by its kind, and a long one is cut', () => {
  const circular: { self?: unknown } = {}
  circular.self = circular
  expect(shown(circular)).toBe('[object Object]')
  expect(shown('x'.repeat(500))).toHaveLength(121)
})
