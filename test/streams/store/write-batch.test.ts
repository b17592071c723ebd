import * as assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import { OperationCursor, type Slice, sortedOperations, WriteBatch } from '../../../src/streams/store/write-batch.ts'

describe('write batch', () => {
  test('encodes space, lengths, key and value, and a delete as length -1', () => {
    const batch = new WriteBatch()
    batch.put(258, Buffer.from('key'), Buffer.from('ab'))
    batch.delete(1, Buffer.from('x'))
    const { bytes, count } = batch.take()

    assert.equal(count, 2)
    assert.equal(Buffer.from(bytes).toString('hex'), '010200000003000000026b65796162000100000001ffffffff78')
  })

  test('is empty after take(), and the taken bytes stay unchanged', () => {
    const batch = new WriteBatch()
    batch.put(0, Buffer.from('a'), Buffer.alloc(100_000, 1))
    const first = batch.take()
    assert.deepEqual([batch.count, batch.byteLength], [0, 0])
    batch.put(0, Buffer.from('b'), Buffer.alloc(100_000, 2))

    assert.equal(first.bytes[50_000], 1)
    assert.equal(batch.take().bytes[50_000], 2)
  })

  test('is iterated by space and key, with equal keys in the order given', () => {
    const operation = fc.record(
      {
        space: fc.integer({ min: 0, max: 2 }),
        key: fc.uint8Array({ maxLength: 3, max: 2 }),
        value: fc.option(fc.uint8Array({ maxLength: 5 })),
      },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const batch = new WriteBatch()
        for (const { space, key, value } of operations) {
          if (value === null) batch.delete(space, key)
          else batch.put(space, key, value)
        }
        const cursor = new OperationCursor(batch.take())
        assert.equal(cursor.spaceMax, Math.max(-1, ...operations.map(({ space }) => space)))
        const seen = []
        while (cursor.next()) {
          const value = cursor.value()
          seen.push({ space: cursor.space, key: cursor.key().slice(), value: value === null ? null : value.slice() })
        }

        // The plain sort is stable.
        const expected = operations.toSorted(
          (left, right) => left.space - right.space || Buffer.compare(left.key, right.key),
        )
        assert.deepEqual(seen, expected)
      }),
      { numRuns: 300, seed: 9 },
    )
  })

  test('an operation is overwritten by a value of the same length, and replaced otherwise', () => {
    const batch = new WriteBatch()
    const put = batch.putSlices(0, slice('a'), slice('old'))
    batch.put(0, Buffer.from('b'), Buffer.from('b'))
    const removed = batch.deleteSlice(0, slice('c'))

    assert.equal(batch.overwrite(put, slice('new')), true)
    assert.equal(batch.overwrite(put, slice('longer')), false)
    assert.equal(batch.overwrite(removed, slice('')), false)
    const cursor = new OperationCursor(batch.take())
    const values = []
    while (cursor.next()) values.push(textOf(cursor.value()))
    assert.deepEqual(values, ['new', 'b', null])
  })

  test('an operation that was dropped is not iterated, wherever it is', () => {
    for (const gone of [0, 1, 2, 3]) {
      const batch = new WriteBatch()
      const places = ['c', 'a', 'd', 'b'].map((key) => batch.putSlices(0, slice(key), slice(key.repeat(3))))
      batch.drop(places[gone] as number)
      const cursor = new OperationCursor(batch.take())
      assert.equal(cursor.spaceMax, 0)
      const keys = []
      while (cursor.next()) keys.push(textOf(cursor.key()))

      assert.deepEqual(
        keys,
        ['a', 'b', 'c', 'd'].filter((key) => key !== ['c', 'a', 'd', 'b'][gone]),
      )
    }
  })

  test('is refused if its bytes do not match its count', () => {
    const batch = new WriteBatch()
    batch.put(0, Buffer.from('a'), Buffer.from('b'))
    const { bytes } = batch.take()
    assert.throws(() => sortedOperations({ bytes: bytes.subarray(0, bytes.length - 1), count: 1 }), RangeError)
    assert.throws(() => sortedOperations({ bytes, count: 0 }), RangeError)
    assert.throws(() => sortedOperations({ bytes, count: 2 }), RangeError)
  })
})

function slice(text: string): Slice {
  const bytes = Buffer.from(`<${text}>`)
  return { bytes, start: 1, end: bytes.length - 1 }
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}
