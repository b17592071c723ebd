import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteWriter } from '../../../../src/base/bytes.ts'
import {
  decodeOffsetKey,
  decodeOffsetValue,
  encodeOffsetKey,
  encodeOffsetValue,
  offsetsPartition,
} from '../../../../src/log/broker/groups/offset-records.ts'

const at = { topic: 'events', partition: 7 }

test('an offset is recorded in the layout of Kafka’s OffsetCommitKey 1 and OffsetCommitValue 3', () => {
  const key = new ByteWriter()
  encodeOffsetKey(key, 'group', at)
  expect(key.toBytes().toString('hex')).toBe(
    [
      '0001',
      '0005',
      Buffer.from('group').toString('hex'),
      '0006',
      Buffer.from('events').toString('hex'),
      '00000007',
    ].join(''),
  )
  const value = new ByteWriter()
  encodeOffsetValue(value, { at, offset: 42, leaderEpoch: 3, metadata: 'm' }, 1_700_000_000_000)
  expect(value.toBytes().toString('hex')).toBe(
    ['0003', '000000000000002a', '00000003', '0001', '6d', '0000018bcfe56800'].join(''),
  )
})

test('keys and values are read as they were written', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.nat(),
      fc.nat({ max: 2 ** 50 }),
      fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      fc.string({ maxLength: 100 }),
      (group, partition, offset, leaderEpoch, metadata) => {
        const writer = new ByteWriter()
        encodeOffsetKey(writer, group, { topic: 'events', partition })
        expect(decodeOffsetKey(writer.toBytes())).toEqual({ group, at: { topic: 'events', partition } })
        writer.clear()
        encodeOffsetValue(writer, { at, offset, leaderEpoch, metadata }, 5)
        expect(decodeOffsetValue(writer.toBytes())).toEqual({ offset, leaderEpoch, metadata, committedAt: 5 })
      },
    ),
  )
})

test('records of other kinds are not taken for offsets, and values of newer versions are refused', () => {
  expect(decodeOffsetKey(Buffer.from('0002000161', 'hex'))).toBeNull()
  expect(() => decodeOffsetValue(Buffer.from('0004', 'hex'))).toThrow(/NEWER_FORMAT/)
})

test('a group\u2019s partition is the absolute value of Java\u2019s hash of its name', () => {
  // "polygenelubricants".hashCode() is the smallest integer, whose absolute value Kafka takes as 0.
  expect(offsetsPartition('polygenelubricants', 50)).toBe(0)
  // "hello".hashCode() is 99162322.
  expect(offsetsPartition('hello', 50)).toBe(22)
  expect(offsetsPartition('', 50)).toBe(0)
})
