import { expect, test } from 'vitest'
import { ByteWriter } from '../../../src/base/bytes.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../../src/log/group/consumer-protocol.ts'
import {
  decodeGroupKey,
  decodeGroupRecord,
  encodeGroupKey,
  encodeGroupRecord,
} from '../../../src/log/group/group-record.ts'

const hex = (encoded: Uint8Array): string => Buffer.from(encoded).toString('hex')
/** Hexadecimal digits; the spaces between fields are for the reader. */
const bytes = (digits: string): Uint8Array => Buffer.from(digits.replaceAll(' ', ''), 'hex')

test('a subscription is encoded as in Kafka', () => {
  const subscription = {
    topics: ['ab', 'c'],
    userData: Uint8Array.of(9),
    owned: [
      { topic: 'ab', partition: 1 },
      { topic: 'ab', partition: 3 },
    ],
    generation: 7,
  }
  const encoded = encodeSubscription(subscription)
  expect(hex(encoded)).toBe(
    hex(bytes('0003 00000002 00026162 000163 00000001 09 00000001 00026162 00000002 00000001 00000003 00000007 ffff')),
  )
  expect(decodeSubscription(encoded)).toEqual(subscription)
})

test('subscriptions of older and newer versions are read, and missing fields get defaults', () => {
  expect(decodeSubscription(bytes('0000 00000001 000163 ffffffff'))).toEqual({
    topics: ['c'],
    userData: null,
    owned: [],
    generation: -1,
  })
  const owned = bytes('0001 00000001 000163 ffffffff 00000001 000163 00000001 00000004')
  expect(decodeSubscription(owned).owned).toEqual([{ topic: 'c', partition: 4 }])
  const newer = bytes('0009 00000000 ffffffff 00000000 00000002 ffff abcdef')
  expect(decodeSubscription(newer).generation).toBe(2)
})

test('an assignment is encoded as in Kafka, and no bytes are an empty assignment', () => {
  const assignment = { partitions: [{ topic: 'c', partition: 4 }], userData: null }
  const encoded = encodeAssignment(assignment)
  expect(hex(encoded)).toBe(hex(bytes('0003 00000001 000163 00000001 00000004 ffffffff')))
  expect(decodeAssignment(encoded)).toEqual(assignment)
  expect(decodeAssignment(new Uint8Array(0)).partitions).toEqual([])
})

test('a subscription that claims more elements than it has bytes is refused', () => {
  for (const bad of ['0003 7fffffff', '0003 ffffffff', '0003 00000001 7fff', '00'])
    expect(() => decodeSubscription(bytes(bad)), bad).toThrow(RangeError)
})

test('a group’s record is encoded as in Kafka', () => {
  const record = {
    protocolType: 'consumer',
    generation: 3,
    protocol: 'range',
    leader: 'm',
    phaseSince: 5,
    members: [
      {
        memberId: 'm',
        groupInstanceId: null,
        clientId: 'c',
        clientHost: '/h',
        rebalanceTimeoutMs: 2,
        sessionTimeoutMs: 1,
        metadata: Uint8Array.of(1),
        assignment: Uint8Array.of(2, 3),
      },
    ],
  }
  const encoded = encodeGroupRecord(record)
  expect(hex(encoded)).toBe(
    hex(
      bytes(
        '0003 0008636f6e73756d6572 00000003 000572616e6765 00016d 0000000000000005 00000001 00016d ffff 000163 00022f68 00000002 00000001 00000001 01 00000002 0203',
      ),
    ),
  )
  expect(decodeGroupRecord(encoded)).toEqual(record)
  const key = new ByteWriter()
  encodeGroupKey(key, 'g')
  expect(hex(key.toBytes())).toBe(hex(bytes('0002 000167')))
  expect([decodeGroupKey(key.toBytes()), decodeGroupKey(bytes('0001 000167'))]).toEqual(['g', null])
})

test('a group’s record of version 0 is read', () => {
  const first = bytes('0000 0001 63 00000003 ffff ffff 00000001 00016d 000163 00022f68 00000009 00000000 00000000')
  expect(decodeGroupRecord(first)).toMatchObject({
    phaseSince: -1,
    protocol: null,
    members: [{ groupInstanceId: null, sessionTimeoutMs: 9, rebalanceTimeoutMs: 9 }],
  })
})
