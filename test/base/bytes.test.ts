import * as assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import {
  ByteReader,
  ByteWriter,
  compareBytes,
  copyBytes,
  copySharedBytes,
  equalBytes,
  latin1Slice,
  utf8Slice,
  ViewedBytes,
} from '../../src/base/bytes.ts'

const safeInteger = fc.oneof(
  fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
  fc.integer({ min: -300, max: 300 }),
  fc.constantFrom(2 ** 30, 2 ** 30 - 1, -(2 ** 30), -(2 ** 30) - 1, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 52),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER),
)

describe('varints', () => {
  test('are zig-zag in groups of seven bits, low first', () => {
    const vectors: readonly [number, string][] = [
      [0, '00'],
      [-1, '01'],
      [1, '02'],
      [63, '7e'],
      [-64, '7f'],
      [64, '8001'],
      [2 ** 31 - 1, 'feffffff0f'],
      [-(2 ** 31), 'ffffffff0f'],
    ]
    for (const [value, hex] of vectors) {
      const writer = new ByteWriter()
      writer.varint(value)
      assert.equal(writer.toBytes().toString('hex'), hex)
      assert.equal(new ByteReader(Buffer.from(hex, 'hex')).varint(), value)
    }
  })

  test('hold every safe integer', () => {
    fc.assert(
      fc.property(safeInteger, (value) => {
        const writer = new ByteWriter(1)
        writer.varint(value)
        const reader = new ByteReader(writer.toBytes())
        assert.equal(reader.varint(), value === 0 ? 0 : value)
        assert.equal(reader.remaining, 0)
      }),
      { numRuns: 3000, seed: 5 },
    )
  })

  test('of more than ten bytes are refused', () => {
    assert.throws(() => new ByteReader(Buffer.alloc(20, 0xff)).varint(), RangeError)
  })
})

describe('writer and reader', () => {
  test('read back what was written, in order, with buffers of any size', () => {
    const part = fc.oneof(
      fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ kind: fc.constant('i16' as const), value: fc.integer({ min: -32_768, max: 32_767 }) }),
      fc.record({ kind: fc.constant('i32' as const), value: fc.integer() }),
      fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
      fc.record({ kind: fc.constant('i64' as const), value: safeInteger }),
      fc.record({ kind: fc.constant('varint' as const), value: safeInteger }),
      fc.record({ kind: fc.constant('f64' as const), value: fc.double() }),
      fc.record({ kind: fc.constant('string' as const), value: fc.string({ unit: 'grapheme' }) }),
    )
    fc.assert(
      fc.property(fc.array(part), fc.integer({ min: 1, max: 64 }), (parts, capacity) => {
        const writer = new ByteWriter(capacity)
        for (const { kind, value } of parts) {
          if (kind === 'string') writer.string(value)
          else writer[kind](value)
        }
        const reader = new ByteReader(writer.toBytes())
        for (const { kind, value } of parts) {
          const found = reader[kind]()
          assert.ok(kind === 'f64' ? Object.is(found, value) : found === value, `${kind} ${value}: ${found}`)
        }
        assert.equal(reader.remaining, 0)
      }),
      { numRuns: 300, seed: 5 },
    )
  })

  test('write integers big-endian', () => {
    const writer = new ByteWriter()
    writer.i16(-2)
    writer.i32(1)
    writer.i64(-(2 ** 32))
    assert.equal(writer.toBytes().toString('hex'), 'fffe00000001ffffffff00000000')
  })

  test('leave bytes taken earlier unchanged when the writer is cleared', () => {
    const writer = new ByteWriter()
    writer.string('before')
    const before = writer.toBytes()
    writer.clear()
    writer.u8(1)
    assert.deepEqual([...writer.toBytes()], [1])
    assert.equal(new ByteReader(before).string(), 'before')
  })

  test('throw on reading past the end, also inside a larger buffer', () => {
    const reader = new ByteReader(Buffer.alloc(20), 4, 10)
    assert.equal(reader.remaining, 6)
    reader.i32()
    assert.throws(() => reader.i32(), RangeError)
    assert.throws(() => reader.raw(-1), RangeError)
    assert.equal(reader.raw(2).length, 2)
    const lying = new ByteWriter()
    lying.varint(1000)
    assert.throws(() => new ByteReader(lying.toBytes()).string(), RangeError)
  })
})

describe('runs of bytes', () => {
  test('are copied correctly whether short or long', () => {
    const source = Uint8Array.from({ length: 300 }, (_, index) => index & 0xff)
    for (const [start, end] of [
      [0, 0],
      [0, 300],
      [3, 51],
      [3, 52],
      [250, 300],
    ] as const) {
      const target = new Uint8Array(310).fill(9)
      copyBytes(source, start, end, target, 5)
      assert.ok(equalBytes(target.subarray(5, 5 + end - start), source.subarray(start, end)))
      assert.equal(target[5 + end - start], 9)
    }
  })

  test('are copied between memory that is shared and memory that is not, and never beyond the end', () => {
    const kinds = [(size: number) => new ArrayBuffer(size), (size: number) => new SharedArrayBuffer(size)]
    for (const from of kinds) {
      for (const to of kinds) {
        for (const length of [0, 1, 2, 7, 300]) {
          for (const start of [0, 4]) {
            const source = new Uint8Array(from(length + 11), 3).map((_, index) => (index + 1) & 0xff)
            const end = start === 0 && length > 1 ? source.length : start + length
            const target = new Uint8Array(to(length + 20), 1).fill(9)
            copySharedBytes(source, start, end, target, 5)
            assert.deepEqual([...target.subarray(5, 5 + end - start)], [...source.subarray(start, end)])
            assert.ok(target.subarray(0, 5).every((byte) => byte === 9))
            assert.ok(target.subarray(5 + end - start).every((byte) => byte === 9))
            assert.throws(() => copySharedBytes(source, start, source.length + 1, target, 0), RangeError)
            assert.throws(() => copySharedBytes(source, -1, end, target, 0), RangeError)
            if (end === start) continue

            const short = new Uint8Array(to(end - start + 4)).fill(9)
            assert.throws(() => copySharedBytes(source, start, end, short, 5), RangeError)
            assert.throws(() => copySharedBytes(source, start, end, short, -1), RangeError)
            assert.ok(
              short.every((byte) => byte === 9),
              'nothing is written of what does not fit',
            )
          }
        }
      }
    }
  })

  test('are compared as unsigned bytes, a prefix before what it begins', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), fc.uint8Array({ maxLength: 6 }), (left, right) => {
        assert.equal(Math.sign(compareBytes(left, right)), Buffer.compare(left, right))
        assert.equal(equalBytes(left, right), Buffer.compare(left, right) === 0)
        const text = latin1Slice(left, 0, left.length)
        const other = latin1Slice(right, 0, right.length)
        assert.equal(text < other ? -1 : text > other ? 1 : 0, Buffer.compare(left, right))
      }),
      { numRuns: 500, seed: 5 },
    )
  })

  test('are viewed, whatever array they are in, as Buffers that share their memory', () => {
    const inside = new Uint8Array(100).subarray(7, 27)
    for (const bytes of [inside, Buffer.from(inside.buffer, 50, 20), Buffer.alloc(20), new Uint8Array(20)]) {
      const view = new ViewedBytes(bytes).view(3, 12)
      assert.ok(Buffer.isBuffer(view))
      assert.equal(view.length, 9)
      bytes[3] = 1
      bytes[11] = 2
      assert.deepEqual([view[0], view[8]], [1, 2])
    }
  })

  test('decode as UTF-8 from any position', () => {
    const bytes = new Uint8Array(Buffer.from('xmüllerx'))
    assert.equal(utf8Slice(bytes, 1, bytes.length - 1), 'müller')
  })
})
