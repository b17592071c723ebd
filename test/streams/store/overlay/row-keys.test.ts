import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { murmur2 } from '../../../../src/base/murmur2.ts'
import { RowKeys, sessionSuffixBytes, windowSuffixBytes } from '../../../../src/streams/store/overlay/row-keys.ts'
import { undecoded } from '../../../../src/streams/store/record-context.ts'

function add(keys: RowKeys, bytes: Uint8Array): number {
  const key = keys.add(bytes, 0, bytes.length, undecoded)
  keys.gained(key)
  return key
}

function find(keys: RowKeys, bytes: Uint8Array): number {
  return keys.find(bytes, 0, bytes.length)
}

test('keys are found as a Map finds them, whichever others come and go', () => {
  const step = fc.record({ key: fc.uint8Array({ maxLength: 2, max: 20 }), leaves: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 800 }), (steps) => {
      const keys = new RowKeys(windowSuffixBytes)
      const model = new Map<string, { readonly bytes: Uint8Array; readonly key: number }>()
      for (const { key: bytes, leaves } of steps) {
        const name = Buffer.from(bytes).toString('hex')
        const there = model.get(name)
        expect(find(keys, bytes)).toBe(there?.key ?? -1)
        if (there === undefined) {
          model.set(name, { bytes, key: add(keys, bytes) })
        } else if (leaves) {
          keys.lost(there.key)
          model.delete(name)
        }
        expect(keys.size).toBe(model.size)
      }
      expect(new Set([...model.values()].map(({ key }) => key)).size).toBe(model.size)
      for (const { bytes, key } of model.values()) {
        expect(find(keys, bytes)).toBe(key)
        expect(Buffer.from(keys.bytes(key))).toEqual(Buffer.from(bytes))
      }
    }),
  )
})

test('two keys with the same hash are told apart', () => {
  const byHash = new Map<number, Uint8Array>()
  let pair: readonly [Uint8Array, Uint8Array] | null = null
  for (let number = 0; pair === null; number++) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(number)
    const same = byHash.get(murmur2(bytes))
    if (same !== undefined) pair = [same, bytes]
    byHash.set(murmur2(bytes), bytes)
    // murmur2 of 4 bytes is a bijection, so a fifth byte is needed for two to meet.
    const longer = Buffer.concat([bytes, Buffer.of(number & 0xff)])
    const other = byHash.get(murmur2(longer))
    if (other !== undefined && pair === null) pair = [other, longer]
    byHash.set(murmur2(longer), longer)
  }
  const keys = new RowKeys(windowSuffixBytes)
  const [left, right] = pair

  const first = add(keys, left)
  expect(find(keys, right)).toBe(-1)
  const second = add(keys, right)

  expect([find(keys, left), find(keys, right)]).toEqual([first, second])
  keys.lost(first)
  expect([find(keys, left), find(keys, right)]).toEqual([-1, second])
})

test('a key leaves with its last row, and its number is used again', () => {
  const keys = new RowKeys(windowSuffixBytes)
  const kept = add(keys, Buffer.from('kept'))
  const key = add(keys, Buffer.from('key'))
  keys.gained(key)

  keys.lost(key)
  expect(find(keys, Buffer.from('key'))).toBe(key)
  keys.lost(key)

  expect(find(keys, Buffer.from('key'))).toBe(-1)
  expect(add(keys, Buffer.from('other'))).toBe(key)
  expect(find(keys, Buffer.from('kept'))).toBe(kept)
})

test('a presented key of a window continues with its start and a sequence of 0, also in memory that had another key', () => {
  const keys = new RowKeys(windowSuffixBytes)
  add(keys, Buffer.from('kept'))
  const before = add(keys, Buffer.alloc(20, 0xff))
  keys.presentWindow(before, 2 ** 53 - 1)
  keys.lost(before)
  const key = add(keys, Buffer.from('a key of 19 bytes..'))

  keys.presentWindow(key, 1_400_000_000_123)

  const shown = Buffer.from(keys.memory.slice(keys.start, keys.end))
  expect(shown.subarray(0, -windowSuffixBytes).toString()).toBe('a key of 19 bytes..')
  expect(shown.readBigInt64BE(19)).toBe(1_400_000_000_123n)
  expect(shown.readInt32BE(27)).toBe(0)
})

test('a presented key of a session continues with its end and its start', () => {
  const keys = new RowKeys(sessionSuffixBytes)
  add(keys, Buffer.from('kept'))
  const key = add(keys, Buffer.from('key'))

  keys.presentSession(key, 1_400_000_000_123, 1_400_000_000_456)

  const shown = Buffer.from(keys.memory.slice(keys.start, keys.end))
  expect(shown.subarray(0, -sessionSuffixBytes).toString()).toBe('key')
  expect([shown.readBigInt64BE(3), shown.readBigInt64BE(11)]).toEqual([1_400_000_000_456n, 1_400_000_000_123n])
})

test('the numbers of all keys that have rows are listed', () => {
  const keys = new RowKeys(windowSuffixBytes)
  const added = Array.from({ length: 100 }, (_, index) => add(keys, Buffer.from(`${index}`)))
  for (const key of added.slice(0, 50)) keys.lost(key)

  expect(keys.numbers().sort((left, right) => left - right)).toEqual(added.slice(50))
})

test('the slots of keys have no gaps, and those of keys that have left are used again', () => {
  const keys = new RowKeys(windowSuffixBytes)
  const added = Array.from({ length: 10 }, (_, index) => add(keys, Buffer.from(`a key with the number ${index}`)))
  expect(added.map((key) => keys.slotOf(key))).toEqual(added.keys().toArray())

  for (const key of added.slice(3, 5)) keys.lost(key)
  const slots = ['x', 'y', 'z'].map((name) => keys.slotOf(add(keys, Buffer.from(name))))

  expect(slots.sort((left, right) => left - right)).toEqual([3, 4, 10])
})

test('a key keeps its row and the form in which it was given', () => {
  const keys = new RowKeys(windowSuffixBytes)
  const given = { id: 7 }
  const key = keys.add(Buffer.from('7'), 0, 1, given)
  keys.gained(key)
  expect(keys.newestOf(key)).toBe(-1)

  keys.setNewest(key, 12)
  for (let other = 0; other < 1000; other++) add(keys, Buffer.from(`other ${other}`))

  expect(keys.newestOf(key)).toBe(12)
  expect(keys.decodedOf(key)).toBe(given)
})
