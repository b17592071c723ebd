import { expect, test } from 'vitest'
import type { Chunk } from '../../../../src/log/api/log.ts'
import { ConsumedPartition } from '../../../../src/log/client/consumer/consumed-partition.ts'
import type { ConsumerRecord } from '../../../../src/log/client/consumer/consumer-options.ts'
import { bytesFormat } from '../../../../src/log/client/record-format.ts'
import { stampBatch } from '../../../../src/log/format/record-batch.ts'
import { BatchCursor } from '../../../../src/log/format/record-cursor.ts'
import { batchOf } from '../../format/batch-case.ts'

const at = { topic: 'orders', partition: 0 }

/** A chunk of records from an offset on that ends at `nextOffset`, for example after a marker. */
function chunk(from: number, values: readonly string[], nextOffset: number): Chunk {
  const bytes = batchOf(values.map((value) => ({ key: null, value, timestamp: 0 })))
  stampBatch(bytes, 0, from, 0)
  return {
    at,
    nextOffset,
    endOffset: nextOffset,
    leaderEpoch: 4,
    bytes: bytes.length,
    cursor: () => new BatchCursor([bytes], from),
  }
}

function take(partition: ConsumedPartition, countMax: number): (string | undefined)[] {
  const records: ConsumerRecord<unknown, unknown>[] = []
  partition.take(records, countMax)
  return records.map(({ value }) => String(value))
}

test('the position moves past a marker as soon as the record before it is returned', () => {
  const partition = new ConsumedPartition(at, 'id', bytesFormat('orders'), 0)
  partition.add(chunk(0, ['a', 'b'], 3))
  partition.add(chunk(7, ['c'], 9))
  expect(partition.fetchAt).toBe(9)
  expect(take(partition, 1)).toEqual(['a'])
  expect(partition.position).toBe(1)
  expect(take(partition, 1)).toEqual(['b'])
  expect(partition.position).toBe(3)
  expect(take(partition, 5)).toEqual(['c'])
  expect(partition.progress()).toEqual({ at, offset: 9, leaderEpoch: 4, metadata: '' })
})

test('damaged bytes fail every take, and the position stays behind the last good record', () => {
  const partition = new ConsumedPartition(at, 'id', bytesFormat('orders'), 0)
  const whole = batchOf(['a', 'b'].map((value) => ({ key: null, value, timestamp: 0 })))
  // The length of the second record.
  whole[61 + 8] = 0xfe
  partition.add({ ...chunk(0, ['a'], 2), cursor: () => new BatchCursor([whole], 0) })
  expect(take(partition, 5)).toEqual(['a'])
  expect(() => take(partition, 5)).toThrow('CORRUPT_BATCH')
  expect(() => take(partition, 5)).toThrow('CORRUPT_BATCH')
  expect(partition.position).toBe(1)
  partition.moveTo(2)
  expect(take(partition, 5)).toEqual([])
})

test('records of a chunk in several pieces of memory have the bytes of their own piece', () => {
  const partition = new ConsumedPartition(at, 'id', bytesFormat('orders'), 0)
  const pieces = ['a', 'b'].map((value, offset) => {
    const bytes = batchOf([{ key: `key-${value}`, value, timestamp: 0 }])
    stampBatch(bytes, 0, offset, 0)
    return bytes
  })
  partition.add({ ...chunk(0, ['a', 'b'], 2), cursor: () => new BatchCursor(pieces, 0) })
  partition.add(chunk(2, ['c'], 3))
  const records: ConsumerRecord<unknown, unknown>[] = []
  partition.take(records, 5)
  expect(records.map(({ key, value }) => [key, value])).toEqual([
    [Buffer.from('key-a'), Buffer.from('a')],
    [Buffer.from('key-b'), Buffer.from('b')],
    [null, Buffer.from('c')],
  ])
})

test('a record is a plain object: it equals, copies and shows as an object literal of its fields', () => {
  const partition = new ConsumedPartition(at, 'id', bytesFormat('orders'), 0)
  partition.add(chunk(0, ['a'], 1))
  const records: ConsumerRecord<unknown, unknown>[] = []
  partition.take(records, 1)
  const [record] = records
  const plain = { ...at, offset: 0, timestamp: 0, key: null, value: Buffer.from('a'), headers: [] }
  expect(record).toStrictEqual(plain)
  expect(Object.getPrototypeOf(record)).toBe(Object.prototype)
  expect({ ...record }).toStrictEqual(plain)
  expect(JSON.stringify(record)).toBe(JSON.stringify(plain))
  expect(structuredClone(record)).toEqual(structuredClone(plain))
})
