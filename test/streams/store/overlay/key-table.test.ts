import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { murmur2 } from '../../../../src/base/murmur2.ts'
import { KeyTable, type KeyedItem } from '../../../../src/streams/store/overlay/key-table.ts'

class Item implements KeyedItem {
  readonly keyHash: number
  readonly slab: Uint8Array
  readonly keyStart = 0
  readonly keyEnd: number

  constructor(bytes: Uint8Array, hash: number) {
    this.slab = bytes
    this.keyEnd = bytes.length
    this.keyHash = hash
  }
}

type Hash = (bytes: Uint8Array) => number

/** Applies the same operations to a table and to a Map of hex strings, and compares every answer. */
function runAgainstMap(
  operations: readonly { readonly key: Uint8Array; readonly isDelete: boolean }[],
  hash: Hash,
): void {
  const table = new KeyTable<Item>()
  const map = new Map<string, Item>()
  for (const { key, isDelete } of operations) {
    const name = Buffer.from(key).toString('hex')
    const there = map.get(name) ?? null
    expect(table.get(key, 0, key.length, hash(key))).toBe(there)
    if (isDelete && there !== null) {
      table.delete(there)
      map.delete(name)
    } else if (there === null) {
      const item = new Item(key, hash(key))
      table.add(item)
      map.set(name, item)
    }
    expect(table.size).toBe(map.size)
  }
  expect(new Set(table.values())).toEqual(new Set(map.values()))
  for (const item of map.values()) expect(table.get(item.slab, 0, item.keyEnd, item.keyHash)).toBe(item)
}

const operations = fc.array(fc.record({ key: fc.uint8Array({ maxLength: 2, max: 20 }), isDelete: fc.boolean() }), {
  maxLength: 600,
})

describe('a table keyed by bytes', () => {
  test('answers as a Map does', () => {
    fc.assert(fc.property(operations, (all) => runAgainstMap(all, (bytes) => murmur2(bytes))))
  })

  test('answers as a Map does even if hashes collide and probe runs wrap around the end', () => {
    fc.assert(fc.property(operations, (all) => runAgainstMap(all, (bytes) => -1 - ((bytes[0] ?? 0) % 3) * 0x1000_0000)))
  })

  test('keeps its items as it grows', () => {
    const table = new KeyTable<Item>()
    const items = Array.from({ length: 5000 }, (_, index) => {
      const key = Buffer.from(`key-${index}`)
      return new Item(key, murmur2(key))
    })
    for (const item of items) table.add(item)
    for (const item of items) expect(table.get(item.slab, 0, item.keyEnd, item.keyHash)).toBe(item)
    for (const item of items) table.delete(item)
    expect(table.size).toBe(0)
    expect([...table.values()]).toEqual([])
  })

  test('finds a key that is a slice of other bytes', () => {
    const table = new KeyTable<Item>()
    const key = Buffer.from('apple')
    const item = new Item(key, murmur2(key))
    table.add(item)

    const bytes = Buffer.from('an apple a day')
    expect(table.get(bytes, 3, 8, murmur2(bytes, 3, 8))).toBe(item)
    expect(table.get(bytes, 3, 7, murmur2(bytes, 3, 7))).toBe(null)
  })

  test('refuses to delete an item that it does not contain', () => {
    const key = Buffer.from('apple')
    expect(() => new KeyTable<Item>().delete(new Item(key, murmur2(key)))).toThrow(/not in the table/)
  })
})
