import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteWriter, compareBytes } from '../../src/base/bytes.ts'
import type { KeyCodec } from '../../src/codec/codec.ts'
import { bytesKey, longKey, stringKey, taggedKey } from '../../src/codec/key-codecs.ts'

function encode<K>(codec: KeyCodec<K>, key: K): Buffer {
  const writer = new ByteWriter(4)
  codec.write(key, writer)
  return writer.toBytes()
}

/** Reads from the middle of a larger buffer, so that offsets count. */
function decode<K>(codec: KeyCodec<K>, bytes: Uint8Array): K {
  const framed = Buffer.concat([Buffer.from([9, 9, 9]), bytes, Buffer.from([7])])
  return codec.read(framed, 3, 3 + bytes.length)
}

const text = fc.string({ unit: 'grapheme', maxLength: 80 }).filter((value) => value.isWellFormed())
const atom = fc.oneof(
  text,
  fc.double({ noNaN: true }).map((value) => (value === 0 ? 0 : value)),
  fc.integer(),
  fc.bigInt(),
  fc.boolean(),
)
const element = fc.oneof(atom, fc.constant(null), fc.constant('a\0b'), fc.constant('\0'))
const key = fc.oneof(
  atom,
  fc.array(element, { maxLength: 4 }),
  fc.array(fc.array(element, { maxLength: 2 }), { maxLength: 2 }),
  fc.dictionary(
    text.filter((name) => name !== '' && name !== '__proto__'),
    element,
    { maxKeys: 3 },
  ),
)

const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? { n: String(inner) } : inner)) ?? 'null',
  )

describe('tagged keys', () => {
  test('are read back as they were written', () => {
    fc.assert(
      fc.property(key, (value) => {
        expect(plain(decode(taggedKey, encode(taggedKey, value)))).toEqual(plain(value))
      }),
    )
  })

  test('have identities that are equal exactly when their bytes are', () => {
    fc.assert(
      fc.property(key, key, (left, right) => {
        const sameBytes = compareBytes(encode(taggedKey, left), encode(taggedKey, right)) === 0
        expect(taggedKey.identity(left) === taggedKey.identity(right)).toBe(sameBytes)
      }),
    )
    expect(taggedKey.identity('1')).not.toBe(taggedKey.identity(1))
    expect(taggedKey.identity(1n)).not.toBe(taggedKey.identity(1))
    expect(taggedKey.identity(['a'])).toBe(taggedKey.identity(['a']))
  })

  test('have bytes that order numbers and bigints by value, strings by UTF-8, and tuples by element', () => {
    const sign = (value: number): number => Math.sign(value)
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), (left, right) => {
        expect(sign(compareBytes(encode(taggedKey, left), encode(taggedKey, right)))).toBe(
          left < right ? -1 : left > right ? 1 : 0,
        )
      }),
    )
    fc.assert(
      fc.property(fc.bigInt(), fc.bigInt(), (left, right) => {
        expect(sign(compareBytes(encode(taggedKey, left), encode(taggedKey, right)))).toBe(
          left < right ? -1 : left > right ? 1 : 0,
        )
      }),
    )
    fc.assert(
      fc.property(text, text, (left, right) => {
        const byUtf8 = sign(Buffer.compare(Buffer.from(left), Buffer.from(right)))
        expect(sign(compareBytes(encode(taggedKey, [left, 1]), encode(taggedKey, [right, 1])))).toBe(byUtf8)
      }),
    )
    expect(compareBytes(encode(taggedKey, ['a', 9]), encode(taggedKey, ['a\0', 1]))).toBeLessThan(0)
  })

  test('do not distinguish -0 from 0, the order of fields, or undefined fields from absent ones', () => {
    expect(encode(taggedKey, -0)).toEqual(encode(taggedKey, 0))
    expect(encode(taggedKey, [-0])).toEqual(encode(taggedKey, [0]))
    expect(taggedKey.identity(-0)).toBe(0)
    expect(encode(taggedKey, { b: 1, a: 'x', c: undefined })).toEqual(encode(taggedKey, { a: 'x', b: 1 }))
  })

  test('refuse values without canonical bytes', () => {
    for (const value of [
      Number.NaN,
      [Number.NaN],
      new Date(0),
      new Map(),
      () => 1,
      undefined,
      null,
      '\ud800',
      ['\ud800'],
    ]) {
      expect(() => encode(taggedKey, value)).toThrow(/INVALID_RECORD/)
    }
    expect(() => taggedKey.identity('a\udc00')).toThrow(/surrogate/)
    expect(() => taggedKey.identity(Number.NaN)).toThrow(/NaN/)
    let deep: unknown = 1
    for (let depth = 0; depth < 30; depth++) deep = [deep]
    expect(() => encode(taggedKey, deep)).toThrow(/deep/)
  })

  test('refuse foreign bytes or read a valid key from them, and refuse keys that are cut short', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
        let read: unknown
        try {
          read = decode(taggedKey, bytes)
        } catch (error) {
          expect(String(error)).toMatch(/INVALID_RECORD/)
          return
        }
        expect(taggedKey.identity(read)).toBeDefined()
      }),
      { numRuns: 1000 },
    )
    for (const cut of [1, 5, 9]) {
      const whole = encode(taggedKey, ['ab', 12])
      expect(() => decode(taggedKey, whole.subarray(0, whole.length - cut))).toThrow(/INVALID_RECORD/)
    }
  })
})

describe('raw keys', () => {
  test('are the UTF-8 bytes of a string, whatever its length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (value) => {
        fc.pre(value.isWellFormed())
        expect(encode(stringKey, value)).toEqual(Buffer.from(value, 'utf8'))
        expect(decode(stringKey, Buffer.from(value, 'utf8'))).toBe(value)
      }),
    )
    const long = 'x'.repeat(100)
    expect(encode(stringKey, long)).toEqual(Buffer.from(long))
    expect(encode(stringKey, `${long}é`)).toEqual(Buffer.from(`${long}é`))
  })

  test('refuse a lone surrogate and bytes that are not UTF-8', () => {
    expect(() => encode(stringKey, 'a\ud83d')).toThrow(/surrogate/)
    expect(() => encode(stringKey, `${'x'.repeat(90)}\ud83d`)).toThrow(/surrogate/)
    expect(() => decode(stringKey, Uint8Array.of(0x61, 0xff))).toThrow(/UTF-8/)
    expect(decode(stringKey, Buffer.from('a\uFFFDb'))).toBe('a\uFFFDb')
  })

  test('are the eight bytes of a long, big-endian, as in Kafka', () => {
    expect(encode(longKey, 258).toString('hex')).toBe('0000000000000102')
    expect(encode(longKey, -2).toString('hex')).toBe('fffffffffffffffe')
    for (const value of [0, 1, -1, 2 ** 40, -(2 ** 40) - 7, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
      expect(decode(longKey, encode(longKey, value))).toBe(value)
    }
    expect(() => encode(longKey, 1.5)).toThrow(/safe integer/)
    expect(() => decode(longKey, Buffer.from('7fffffffffffffff', 'hex'))).toThrow(/2\^53/)
    expect(() => decode(longKey, Buffer.from('00', 'hex'))).toThrow(/8 bytes/)
  })

  test('are copied when they are read as bytes', () => {
    const source = Uint8Array.of(1, 2, 3)
    const read = bytesKey.read(source, 1, 3)
    source[1] = 9
    expect([...read]).toEqual([2, 3])
  })
})
