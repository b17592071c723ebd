import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { RowKeys, windowSuffixBytes } from '../../../../src/streams/store/overlay/row-keys.ts'
import {
  flushField,
  flushIndexField,
  newerField,
  ownField,
  slotField,
  valueBytesField,
} from '../../../../src/streams/store/overlay/rows.ts'
import { WindowRows } from '../../../../src/streams/store/overlay/window-rows.ts'
import { undecoded } from '../../../../src/streams/store/record-context.ts'

class Rows {
  readonly keys = new RowKeys(windowSuffixBytes)
  readonly rows = new WindowRows(this.keys)

  add(name: string, start: number): number {
    const bytes = Buffer.from(name)
    const found = this.keys.find(bytes, 0, bytes.length)
    const row = this.rows.add(found < 0 ? this.keys.add(bytes, 0, bytes.length, undecoded) : found, start, -1)
    this.rows.link(row)
    return row
  }

  remove(row: number): void {
    this.rows.unlink(row)
    this.rows.remove(row)
  }

  /** The rows of a key from the newest to the oldest, checked in both directions. */
  of(name: string): number[] {
    const bytes = Buffer.from(name)
    const key = this.keys.find(bytes, 0, bytes.length)
    const found: number[] = []
    for (let row = key < 0 ? -1 : this.keys.newestOf(key); row >= 0; row = this.rows.older(row)) {
      expect(this.rows.get(row, newerField)).toBe(found.at(-1) ?? -1)
      found.push(row)
    }
    return found
  }
}

test('the rows of a key are found by their start, from the newest to the oldest, whichever others come and go', () => {
  const step = fc.record({ name: fc.constantFrom('a', 'b', 'c'), start: fc.nat(30) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const store = new Rows()
      const model = new Map<string, Map<number, number>>()
      for (const { name, start } of steps) {
        const ofKey = model.get(name) ?? new Map<number, number>()
        model.set(name, ofKey)
        const there = ofKey.get(start)
        if (there === undefined) {
          const row = store.add(name, start)
          store.rows.setValue(row, `${name} ${start}`)
          ofKey.set(start, row)
        } else {
          store.remove(there)
          ofKey.delete(start)
        }
        const expected = [...ofKey].sort(([left], [right]) => right - left).map(([, row]) => row)
        expect(store.of(name)).toEqual(expected)
      }
      let count = 0
      for (const [name, ofKey] of model) {
        for (const [start, row] of ofKey) {
          count += 1
          expect(store.rows.value(row)).toBe(`${name} ${start}`)
          expect(store.rows.at(store.rows.key(row), start)).toBe(row)
        }
        for (let start = 0; start <= 30; start++) {
          const bytes = Buffer.from(name)
          const key = store.keys.find(bytes, 0, bytes.length)
          if (key >= 0 && !ofKey.has(start)) expect(store.rows.at(key, start)).toBe(-1)
        }
      }
      expect(store.rows.count).toBe(count)
    }),
  )
})

test('a row is created without a value, clean and in no flush set, also in place of another one', () => {
  const store = new Rows()
  store.add('kept', 0)
  const before = store.add('a', 5)
  store.rows.setValue(before, 'v')
  const fields = [slotField, flushField, flushIndexField, valueBytesField, ownField, ownField + 1]
  for (const field of fields) store.rows.set(before, field, 9)
  store.remove(before)

  const row = store.add('b', 7)

  expect(row).toBe(before)
  expect(store.rows.value(row)).toBeNull()
  expect([store.rows.start(row), store.rows.timestamp(row)]).toEqual([7, -1])
  expect(fields.map((field) => store.rows.get(row, field))).toEqual([-1, 0, -1, 0, 0, 0])
})

test('the memory of a store that has become empty is given back', () => {
  const store = new Rows()
  const rows = Array.from({ length: 10_000 }, (_, index) => store.add(`key-${index}`, index))
  const { length } = store.rows.doubles

  for (const row of rows) store.remove(row)

  expect(store.rows.doubles.length).toBeLessThan(length / 100)
  expect(store.keys.size).toBe(0)
  expect(store.of('key-7')).toEqual([])
  const again = store.add('key-7', 3)
  expect(store.of('key-7')).toEqual([again])
})

test('integers and doubles of a row stay the same while the memory grows', () => {
  const store = new Rows()
  const first = store.add('first', 1_400_000_000_000)
  store.rows.set(first, flushField, -(2 ** 31))

  for (let index = 0; index < 10_000; index++) store.add(`key-${index}`, index)

  expect(store.rows.start(first)).toBe(1_400_000_000_000)
  expect(store.rows.get(first, flushField)).toBe(-(2 ** 31))
})

test('a value is returned as it was set, whatever it replaced and whatever the memory was used for', () => {
  const values = [0, -0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 0.5, NaN, Infinity, '', 'v', true, null, [1], 7n]
  fc.assert(
    fc.property(fc.array(fc.record({ row: fc.nat(5), value: fc.constantFrom(...values) })), (steps) => {
      const store = new Rows()
      store.add('kept', 0)
      const rows = Array.from({ length: 6 }, (_, index) => store.add('k', index))
      const model: unknown[] = rows.map(() => null)
      for (const { row: index, value } of steps) {
        if (value === '') {
          store.remove(rows[index] as number)
          rows[index] = store.add('k', index)
          model[index] = null
        } else {
          store.rows.setValue(rows[index] as number, value)
          model[index] = value
        }
        for (const [other, row] of rows.entries()) expect(store.rows.value(row)).toBe(model[other])
      }
    }),
  )
})
