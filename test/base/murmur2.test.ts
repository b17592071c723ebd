import * as assert from 'node:assert/strict'
import { test } from 'vitest'
import { murmur2, partitionOfKey } from '../../src/base/murmur2.ts'

const known: readonly [text: string, hash: number][] = [
  ['21', -973_932_308],
  ['foobar', -790_332_482],
  ['a-little-bit-long-string', -985_981_536],
  ['a-little-bit-longer-string', -1_486_304_829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
  ['abc', 479_470_107],
]

test('hashes are the same as Kafka’s, at any position in a buffer', () => {
  for (const [text, hash] of known) {
    const bytes = Buffer.from(text)
    assert.equal(murmur2(bytes), hash, text)
    assert.equal(murmur2(Buffer.concat([Buffer.from('x'), bytes, Buffer.from('y')]), 1, 1 + bytes.length), hash, text)
  }
})

test('the partition of a key is the positive hash modulo the count', () => {
  for (const [text, hash] of known) {
    const bytes = Buffer.from(text)
    for (const count of [1, 4, 7, 100]) {
      const expected = Number(BigInt.asUintN(31, BigInt(hash)) % BigInt(count))
      assert.equal(partitionOfKey(bytes, 0, bytes.length, count), expected)
    }
  }
})
