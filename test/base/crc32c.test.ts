import * as assert from 'node:assert/strict'
import { test } from 'vitest'
import { crc32c, joinCrc32c } from '../../src/base/crc32c.ts'
import { SeededRandom } from '../../src/base/seeded-random.ts'

/** The definition, bit by bit. */
function slowCrc32c(bytes: Uint8Array): number {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1
  }
  return ~crc >>> 0
}

test('the checksum of 123456789 is e3069283, and that of no bytes is 0', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe306_9283)
  assert.equal(crc32c(new Uint8Array(0)), 0)
})

test('the checksum of any length, at any position in a buffer, is that of the bitwise definition', () => {
  const random = new SeededRandom(3)
  const bytes = Uint8Array.from({ length: 3000 }, () => random.below(256))
  for (const length of [0, 1, 7, 8, 9, 63, 64, 100, 511, 512, 513, 514, 1000, 2048, 2990]) {
    for (const start of [0, 1, 3, 8]) {
      const part = bytes.subarray(start, start + length)
      const expected = slowCrc32c(part)
      assert.equal(crc32c(bytes, start, start + length), expected)
      assert.equal(crc32c(part), expected)
      assert.equal(crc32c(part.slice()), expected)
    }
  }
})

test('the checksum of shared memory is the same', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(2000)).fill(5)
  assert.equal(crc32c(shared), slowCrc32c(shared))
  assert.equal(crc32c(shared, 10, 100), slowCrc32c(shared.subarray(10, 100)))
})

test('the checksums of two parts can be joined to that of the whole, whatever their lengths', () => {
  const random = new SeededRandom(4)
  const bytes = Uint8Array.from({ length: 300_000 }, () => random.below(256))
  for (const [cut, end] of [
    [0, 0],
    [0, 5],
    [5, 5],
    [1, 2],
    [100, 612],
    [3, 70_003],
    [40_000, 40_001],
    [131_072, 262_144],
    [17, 300_000],
  ] as const) {
    const first = crc32c(bytes, 0, cut)
    const whole = crc32c(bytes, 0, end)
    assert.equal(joinCrc32c(first, crc32c(bytes, cut, end), end - cut), whole, `${cut} and ${end - cut} bytes`)
    assert.equal(crc32c(bytes, cut, end, first), whole, `${end - cut} bytes behind ${cut}`)
  }
})
