import { expect, test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { RecordDigest } from '../../../src/streams/task/digest.ts'

const none = new Uint8Array(0)

function digestOf(value: Uint8Array, start: number, end: number): string {
  const digest = new RecordDigest()
  digest.record(none, -1, -1, value, start, end, 1_700_000_000_123, [])
  return digest.toString()
}

test('a digest is the same in every version, because replays compare it with recorded ones', () => {
  for (const [length, expected] of [
    [0, '791de9b07ca56acd'],
    [3, '9c5d5818286e6abb'],
    [63, '4a34be5768f4beff'],
    [64, '3698817d9df0d00a'],
    [65, 'e5367c3343abd91f'],
    [66, 'e041a059942be670'],
    [67, 'e7f792c075daf460'],
    [130, '8dc0f45fcc285e45'],
    [1000, 'bbfd3a82a52ebf93'],
  ] as const) {
    const value = Uint8Array.from({ length }, (_none, index) => (index * 37 + 11) & 0xff)

    expect(digestOf(value, 0, length), `${length} bytes`).toBe(expected)
  }
})

test('a digest depends on the bytes and not on where they are', () => {
  const random = new SeededRandom(1)
  for (let length = 0; length < 200; length++) {
    const value = Uint8Array.from({ length }, () => random.below(256))
    const memory = new Uint8Array(1000)
    const shifted = new Uint8Array(memory.buffer, 5)
    shifted.set(value, 11)

    expect(digestOf(shifted, 11, 11 + length)).toBe(digestOf(value, 0, length))
  }
})

test('one digest takes keys and values from arrays in turn', () => {
  const [first, second] = [Buffer.alloc(300, 'a'), Buffer.alloc(300, 'b')]
  const [turns, copies] = [new RecordDigest(), new RecordDigest()]
  for (let round = 0; round < 3; round++) {
    turns.record(first, 100, 200, second, 50, 250, round, [])
    copies.record(first.subarray(100, 200), 0, 100, second.subarray(50, 250), 0, 200, round, [])
  }

  expect(turns.toString()).toBe(copies.toString())
})
