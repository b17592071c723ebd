import { expect, test } from 'vitest'
import { LogError } from '../../../src/log/api/errors.ts'
import { decompress } from '../../../src/log/format/compression.ts'
import { BatchCursor } from '../../../src/log/format/record-cursor.ts'
import { checkBatch, stampBatch, stampChecksum } from '../../../src/log/format/record-batch.ts'
import { batchOf, readAll, type Row } from './batch-case.ts'

const rows: readonly Row[] = [
  { key: 'a', value: 'one', timestamp: 5000 },
  { key: null, value: 'two', timestamp: 4000, headers: [{ key: 'h', value: null }] },
  { key: 'b', value: null, timestamp: 900_000_000_000 },
]

function codeOf(act: () => unknown): string {
  try {
    act()
    return 'none'
  } catch (error) {
    return error instanceof LogError ? error.code : String(error)
  }
}

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
  'every flipped bit of a batch is detected, except in the base offset and the leader epoch (%s)',
  (compression) => {
    const batch = batchOf(rows, { compression })
    stampBatch(batch, 0, 1000, 7)
    for (let bit = 0; bit < batch.length * 8; bit++) {
      const harmed = batch.slice()
      harmed[bit >> 3] = (harmed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const code = codeOf(() => checkBatch(harmed, 0, harmed.length))
      const at = bit >> 3
      // The log knows these two, and compares them where it reads the batch from a file. Negative ones are refused here.
      const isKnownToTheLog = at < 8 || (at >= 12 && at < 16)
      if (isKnownToTheLog) expect(code, `bit ${bit}`).toMatch(/^(none|CORRUPT_BATCH)$/)
      else expect(code, `bit ${bit}`).toBe('CORRUPT_BATCH')
    }
  },
)

test('a flipped bit in the length is detected, whatever follows the batch', () => {
  const batch = batchOf(rows)
  const followed = Buffer.concat([batch, batchOf(rows), Buffer.alloc(4096)])
  for (let bit = 8 * 8; bit < 12 * 8; bit++) {
    const harmed = Uint8Array.from(followed)
    harmed[bit >> 3] = (harmed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(
      codeOf(() => checkBatch(harmed, 0, harmed.length)),
      `bit ${bit}`,
    ).toBe('CORRUPT_BATCH')
  }
})

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
  'a batch cut short anywhere is CORRUPT_BATCH (%s)',
  (compression) => {
    const batch = batchOf(rows, { compression })
    for (let size = 0; size < batch.length; size++) {
      const cut = batch.slice(0, size)
      expect(
        codeOf(() => checkBatch(cut, 0, cut.length)),
        `${size} bytes`,
      ).toBe('CORRUPT_BATCH')
      if (size > 0)
        expect(
          codeOf(() => readAll([cut])),
          `${size} bytes`,
        ).toBe('CORRUPT_BATCH')
    }
  },
)

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
  'a batch whose records were cut short by its writer is CORRUPT_BATCH (%s)',
  (compression) => {
    const batch = batchOf(rows, { compression })
    for (let size = 61; size < batch.length; size++) {
      const cut = batch.slice(0, size)
      new DataView(cut.buffer).setInt32(8, size - 12)
      stampChecksum(cut, 0)
      // The last bytes of a gzip or zstd stream are checksums: a decoder may do without them and return all records.
      const code = codeOf(() => expect(readAll([cut])).toEqual(readAll([batch])))
      expect(['CORRUPT_BATCH', 'none'], `${size} bytes`).toContain(code)
      if (compression === 'none') expect(code).toBe('CORRUPT_BATCH')
    }
  },
)

test('damaged records under a valid checksum never read out of bounds and fail as CORRUPT_BATCH', () => {
  const batch = batchOf(rows)
  let refused = 0
  for (let at = 21; at < batch.length; at++) {
    for (const byte of [0x00, 0x01, 0x02, 0x7f, 0x80, 0xfe, 0xff]) {
      const harmed = batch.slice()
      harmed[at] = byte
      stampChecksum(harmed, 0)
      const code = codeOf(() => readAll([harmed], 0, { inflatedBytesMax: 1024 }))
      expect(['none', 'CORRUPT_BATCH', 'UNSUPPORTED_COMPRESSION'], `byte ${at} = ${byte}`).toContain(code)
      if (code !== 'none') refused += 1
    }
  }
  expect(refused).toBeGreaterThan(100)
})

test('a varint of more than ten bytes or beyond the safe integers is CORRUPT_BATCH', () => {
  const withTimestampDelta = (delta: readonly number[]): Uint8Array => {
    const record = [0, ...delta, 0, 1, 1, 0]
    const batch = batchOf([{ key: null, value: null, timestamp: 0 }])
    const made = Buffer.concat([batch.subarray(0, 61), Uint8Array.from([record.length * 2, ...record])])
    made.writeInt32BE(made.length - 12, 8)
    stampChecksum(made, 0)
    return made
  }
  const overlong = withTimestampDelta([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0])
  expect(codeOf(() => readAll([overlong]))).toBe('CORRUPT_BATCH')
  const huge = withTimestampDelta([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])
  expect(codeOf(() => readAll([huge]))).toBe('CORRUPT_BATCH')
  const padded = withTimestampDelta([0x82, 0x80, 0])
  expect(readAll([padded]).map((row) => row.timestamp)).toEqual([1])
})

test('a batch with missing or extra bytes, headers or offsets is CORRUPT_BATCH', () => {
  const holding = (records: readonly number[], count: number): Uint8Array => {
    const made = Buffer.concat([
      batchOf(Array.from({ length: count }, () => empty)).subarray(0, 61),
      Uint8Array.from(records),
    ])
    made.writeInt32BE(made.length - 12, 8)
    stampChecksum(made, 0)
    return made
  }
  const empty: Row = { key: null, value: null, timestamp: 0 }
  const record = (offsetDelta: number): number[] => [12, 0, 0, offsetDelta * 2, 1, 1, 0]
  expect(codeOf(() => readAll([holding([...record(0), ...record(1)], 2)]))).toBe('none')
  for (const [what, bytes] of [
    ['bytes behind the last record', holding([...record(0), ...record(1)], 1)],
    ['an offset twice', holding([...record(0), ...record(0)], 2)],
    ['offsets that go back', holding([...record(1), ...record(0)], 2)],
    ['an offset behind the last', holding([...record(0), ...record(2)], 2)],
    ['more headers than there are bytes', holding([14, 0, 0, 0, 1, 1, 2, 0], 1)],
    ['bytes after no headers', holding([14, 0, 0, 0, 1, 1, 0, 0], 1)],
    ['a negative number of headers', holding([12, 0, 0, 0, 1, 1, 1], 1)],
    ['a header that ends before its record', holding([20, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0], 1)],
    ['a key length below null', holding([12, 0, 0, 0, 3, 1, 0], 1)],
  ] as const) {
    expect(
      codeOf(() => readAll([bytes])),
      what,
    ).toBe('CORRUPT_BATCH')
  }
})

test('a compressed block that copies from before its start is refused', () => {
  // snappy: 4 bytes copied from 1 byte back; LZ4: the same as a match without literals before it
  expect(codeOf(() => decompress(2, Uint8Array.of(4, 1, 1)))).toBe('CORRUPT_BATCH')
  const frame = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 4, 0, 0, 0, 0x00, 1, 0, 0x00, 0, 0, 0, 0]
  expect(codeOf(() => decompress(3, Uint8Array.from(frame)))).toBe('CORRUPT_BATCH')
})

test('a cursor returns no record after a broken one', () => {
  const harmed = batchOf(rows)
  harmed[61] = 0xfe
  const cursor = new BatchCursor([harmed, batchOf(rows)], 0)
  expect(codeOf(() => cursor.next())).toBe('CORRUPT_BATCH')
  expect(cursor.next()).toBe(false)
})
