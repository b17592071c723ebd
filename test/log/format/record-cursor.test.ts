import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LogError } from '../../../src/log/api/errors.ts'
import { BatchBuilder } from '../../../src/log/format/batch-builder.ts'
import { compress, decompress, type Compression } from '../../../src/log/format/compression.ts'
import { encodeMarker } from '../../../src/log/format/control-batch.ts'
import { BatchCursor } from '../../../src/log/format/record-cursor.ts'
import {
  attributesOf,
  batchAttributes,
  checkBatch,
  maxTimestampOf,
  nextOffset,
  recordCountOf,
  stampBatch,
  stampChecksum,
} from '../../../src/log/format/record-batch.ts'
import { batchOf, outgoing, readAll, type Row } from './batch-case.ts'

const codecs: readonly Compression[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const anyRow: fc.Arbitrary<Row> = fc.record({
  key: fc.option(fc.string({ maxLength: 80 })),
  value: fc.option(fc.string({ maxLength: 300 })),
  timestamp: fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 1, 63, 64, 2 ** 30, 2 ** 31, 2 ** 53 - 1)),
  headers: fc.array(
    fc.record({
      key: fc.string({ unit: 'grapheme', maxLength: 20 }),
      value: fc.option(fc.uint8Array({ maxLength: 70 }).map((bytes) => Buffer.from(bytes))),
    }),
    { maxLength: 3 },
  ),
})

test('records are read as they were built: nulls, headers, timestamps in any order up to 2^53', () => {
  fc.assert(
    fc.property(fc.array(anyRow, { minLength: 1, maxLength: 80 }), fc.constantFrom(...codecs), (rows, compression) => {
      const batch = batchOf(rows, { compression })
      stampBatch(batch, 0, 42, 3)
      expect(checkBatch(batch, 0, batch.length)).toBe(batch.length)
      expect(recordCountOf(batch, 0)).toBe(rows.length)
      expect(maxTimestampOf(batch, 0)).toBe(Math.max(...rows.map((row) => row.timestamp)))
      expect(nextOffset(batch, 0)).toBe(42 + rows.length)
      expect(readAll([batch])).toEqual(rows.map((row, index) => ({ ...row, offset: 42 + index })))
    }),
    { numRuns: 200 },
  )
})

test('wouldExceed never lets a batch grow beyond bytesMax, and refuses at most 50 bytes too early', () => {
  fc.assert(
    fc.property(fc.array(anyRow, { minLength: 1, maxLength: 30 }), fc.nat(4000), (rows, bytesMax) => {
      const builder = new BatchBuilder()
      for (const row of rows) {
        const record = outgoing(row)
        const refused = builder.wouldExceed(record, bytesMax)
        builder.append(record)
        if (refused) expect(builder.bytes).toBeGreaterThan(bytesMax - 50)
        else expect(builder.bytes).toBeLessThanOrEqual(bytesMax)
        if (refused) return
      }
    }),
  )
})

test('the values of the next records are found without moving the cursor: those of the batch that are not null', () => {
  const sizeOf = (value: string | null): number => Buffer.byteLength(value ?? '')
  fc.assert(
    fc.property(
      fc.array(fc.array(anyRow, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...codecs),
      fc.nat(12),
      fc.nat(600),
      (batches, compression, room, bytesMax) => {
        const buffers = batches.map((rows) => batchOf(rows, { compression }))
        for (const [index, batch] of buffers.entries()) stampBatch(batch, 0, index * 20, 0)
        const cursor = new BatchCursor(buffers, 0)
        for (const rows of batches) {
          for (let at = 0; at < rows.length; at++) {
            expect(cursor.next()).toBe(true)
            const ranges = new Int32Array(room * 2)
            const count = cursor.valuesAhead(ranges, bytesMax)
            const found = Array.from({ length: count }, (_, place) =>
              Buffer.from(cursor.bytes.subarray(ranges[place * 2], ranges[place * 2 + 1])).toString(),
            )
            let bytes = 0
            const later = rows.slice(at + 1).flatMap(({ value }) => (value === null ? [] : [value]))
            const fitting = later.slice(0, room)
            const end = fitting.findIndex((value) => (bytes += sizeOf(value)) > bytesMax)
            expect(found).toEqual(end < 0 ? fitting : fitting.slice(0, end))
          }
        }
        expect(cursor.next()).toBe(false)
      },
    ),
    { numRuns: 200 },
  )
})

test('the values of the next records end before one that is larger than the bytes asked for, whatever its size', () => {
  for (const size of [63, 64, 8191, 8192, 2 ** 20, 2 ** 21]) {
    const row = (value: string): Row => ({ key: null, value, timestamp: 0 })
    const cursor = new BatchCursor([batchOf([row('a'), row('b'), row('x'.repeat(size)), row('c')])], 0)
    cursor.next()
    expect(cursor.valuesAhead(new Int32Array(8), 8000)).toBe(size <= 8000 ? 3 : 1)
  }
})

test('the values of the next records are within the bytes of the batch, even if it is harmed', () => {
  const harm = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) })
  fc.assert(
    fc.property(fc.array(anyRow, { minLength: 2, maxLength: 10 }), fc.array(harm, { maxLength: 4 }), (rows, harms) => {
      const batch = batchOf(rows)
      const cursor = new BatchCursor([batch], 0)
      cursor.next()
      const rest = batch.length - cursor.valueEnd
      if (cursor.valueEnd < 0 || rest === 0) return
      for (const { at, byte } of harms) batch[cursor.valueEnd + (at % rest)] = byte
      const ranges = new Int32Array(40)
      const count = cursor.valuesAhead(ranges, 10_000)
      for (let index = 0, from = cursor.valueEnd; index < count; index++) {
        const [start, end] = [ranges[index * 2] as number, ranges[index * 2 + 1] as number]
        expect(start).toBeGreaterThanOrEqual(from)
        expect(end).toBeGreaterThanOrEqual(start)
        expect(end).toBeLessThanOrEqual(batch.length)
        from = end
      }
    }),
    { numRuns: 2000 },
  )
  const batch = batchOf(['a', 'b'].map((value) => ({ key: null, value, timestamp: 0 })))
  const cursor = new BatchCursor([batch], 0)
  cursor.next()
  const second = cursor.valueEnd + 1
  const [sizeAt, valueSizeAt] = [second, second + 5]
  batch[sizeAt] = 2 * 50
  batch[valueSizeAt] = 2 * 40
  expect(cursor.valuesAhead(new Int32Array(2), 10_000)).toBe(0)
})

describe('a cursor', () => {
  const row = (value: string): Row => ({ key: null, value, timestamp: 10 })
  const placed = (offset: number, rows: readonly Row[], options = {}): Uint8Array => {
    const batch = batchOf(rows, options)
    stampBatch(batch, 0, offset, 0)
    return batch
  }
  const values = (rows: readonly Row[]): readonly (string | null)[] => rows.map((entry) => entry.value)

  test('walks many batches in many buffers, of any codec, from any offset', () => {
    const one = placed(0, [row('a'), row('b')])
    const two = placed(2, [row('c'), row('d'), row('e')], { compression: 'lz4' })
    const three = placed(9, [row('f')])
    const buffers = [Buffer.concat([one, two]), new Uint8Array(0), three]
    const all = ['a', 'b', 'c', 'd', 'e', 'f']
    for (const [start, from] of [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 6].entries()) {
      expect(values(readAll(buffers, start)), `from ${start}`).toEqual(all.slice(from))
    }
    expect(readAll(buffers).map((entry) => entry.offset)).toEqual([0, 1, 2, 3, 4, 9])
  })

  test('skips markers and the batches that isAborted names', () => {
    const marker = encodeMarker({
      outcome: 'abort',
      producerId: 5,
      producerEpoch: 0,
      coordinatorEpoch: 0,
      timestamp: 1,
    })
    stampBatch(marker, 0, 2, 0)
    const buffers = [
      placed(0, [row('gone')], { transactional: true, producerId: 5, producerEpoch: 0, baseSequence: 0 }),
      placed(1, [row('kept')], { transactional: true, producerId: 6, producerEpoch: 0, baseSequence: 0 }),
      marker,
      placed(3, [row('plain')]),
    ]
    expect(values(readAll(buffers))).toEqual(['gone', 'kept', 'plain'])
    const asked: [number, number][] = []
    const isAborted = (producerId: number, baseOffset: number): boolean => {
      asked.push([producerId, baseOffset])
      return producerId === 5
    }
    expect(values(readAll(buffers, 0, { isAborted }))).toEqual(['kept', 'plain'])
    expect(asked).toEqual([
      [5, 0],
      [6, 1],
    ])
  })

  test('returns the append time for every record of a LogAppendTime batch', () => {
    const batch = placed(0, [row('a'), { ...row('b'), timestamp: 99 }])
    batch[22] = attributesOf(batch, 0) | batchAttributes.logAppendTime
    stampChecksum(batch, 0)
    expect(readAll([batch]).map((entry) => entry.timestamp)).toEqual([99, 99])
  })

  test('returns the offsets and timestamps of a batch with gaps left by compaction', () => {
    const builder = new BatchBuilder()
    builder.appendAt(3, outgoing({ ...row('d'), timestamp: 700 }))
    builder.appendAt(5, outgoing({ ...row('f'), timestamp: 600 }))
    const batch = builder.finish({ lastOffsetDelta: 8 })
    stampBatch(batch, 0, 100, 0)
    checkBatch(batch, 0, batch.length)
    expect(readAll([batch]).map(({ offset, timestamp }) => [offset, timestamp])).toEqual([
      [103, 700],
      [105, 600],
    ])
    expect(nextOffset(batch, 0)).toBe(109)
  })

  test('copies headers: they outlive the buffer they came from', () => {
    const batch = Buffer.from(placed(0, [{ ...row('a'), headers: [{ key: 'h', value: Buffer.from('kept') }] }]))
    const cursor = new BatchCursor([batch], 0)
    cursor.next()
    const headers = cursor.headers()
    batch.fill(0)
    expect(headers).toEqual([{ key: 'h', value: new Uint8Array(Buffer.from('kept')) }])
  })

  test('never meets an invalid timestamp: the builder refuses one before it writes anything', () => {
    const builder = new BatchBuilder()
    for (const timestamp of [-1, 1.5, Number.NaN, 2 ** 53]) {
      expect(() => builder.append(outgoing({ ...row('x'), timestamp }))).toThrow('INVALID_TIMESTAMP')
    }
    expect(builder.count).toBe(0)
    builder.append(outgoing(row('x')))
    expect(values(readAll([builder.finish()]))).toEqual(['x'])
  })
})

describe.each(codecs.filter((codec) => codec !== 'none'))('%s', (codec) => {
  const code = codecs.indexOf(codec)

  test('inflates to the original bytes', () => {
    const words = fc.array(fc.constantFrom('click', 'view', ' ', '0', 'the quick brown fox'), { maxLength: 40_000 })
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 2000 }),
      words.map((list) => Buffer.from(list.join(''))),
      fc.nat(300_000).map((size) => Buffer.alloc(size, 'ab')),
      // Longer than a block and without repetition.
      fc.nat(2 ** 30).map((seed) => {
        let state = seed | 1
        return Buffer.from(
          Array.from({ length: 70_000 }, () => (state = Math.imul(state, 0x9e3779b1) ^ (state >>> 7)) >>> 24),
        )
      }),
    )
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const back = decompress(code, compress(codec, bytes))
        expect(Buffer.compare(Buffer.from(back), Buffer.from(bytes))).toBe(0)
      }),
      { numRuns: 60 },
    )
  })

  test('compresses repetitive bytes to less than a third', () => {
    const lines = Array.from({ length: 2000 }, (_, index) => `{"user":"u${index % 37}","page":"/p/${index}"}`).join(
      '\n',
    )
    expect(compress(codec, Buffer.from(lines)).length).toBeLessThan(lines.length / 3)
  })

  test('refuses to inflate beyond the given size', () => {
    const bomb = compress(codec, Buffer.alloc(1_000_000))
    expect(decompress(code, bomb, 1_000_000).length).toBe(1_000_000)
    expect(() => decompress(code, bomb, 999_999)).toThrow('CORRUPT_BATCH')
  })

  test('fails as CORRUPT_BATCH with a flipped bit, or inflates to no more than the given size', () => {
    const bytes = compress(codec, Buffer.from('the quick brown fox jumps over the quick brown dog '.repeat(4)))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const harmed = Uint8Array.from(bytes)
      harmed[bit >> 3] = (harmed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      try {
        expect(decompress(code, harmed, 5000).length).toBeLessThanOrEqual(5000)
      } catch (error) {
        expect(error instanceof LogError ? error.code : error, `bit ${bit}`).toBe('CORRUPT_BATCH')
      }
    }
  })
})

test('a codec that Kafka does not have is UNSUPPORTED_COMPRESSION', () => {
  expect(() => decompress(5, new Uint8Array(1))).toThrow('UNSUPPORTED_COMPRESSION')
})
