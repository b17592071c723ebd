import { Packr } from 'msgpackr'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ByteWriter } from '../../src/base/bytes.ts'
import type { Codec } from '../../src/codec/codec.ts'
import { topic } from '../../src/codec/topic.ts'
import { bytes, json, long, msgpack, number, string } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import { sessions, tumbling } from '../../src/dsl/windows.ts'

function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new ByteWriter(4)
  codec.write(value, writer)
  return writer.toBytes()
}
/** Reads from the middle of a larger buffer, so that offsets count. */
function decode<T>(codec: Codec<T>, encoded: Uint8Array): T {
  return codec.read(Buffer.concat([Buffer.from([9, 9]), encoded, Buffer.from([7])]), 2, 2 + encoded.length)
}

const plain = fc.jsonValue({ maxDepth: 4 }).filter((value) => !JSON.stringify(value).includes('__proto__'))

describe('msgpack and json', () => {
  test('read back every plain value as it was written', () => {
    fc.assert(
      fc.property(plain, (value) => {
        const normal: unknown = JSON.parse(JSON.stringify(value))
        expect(decode(msgpack, encode(msgpack, normal))).toEqual(normal)
        expect(decode(json, encode(json, normal))).toEqual(normal)
      }),
    )
  })

  test('keep dates, bigints and bytes in msgpack, and copy the bytes', () => {
    const value = { at: new Date(5), count: 2n ** 40n, raw: Uint8Array.of(1, 2), note: undefined }
    const encoded = encode(msgpack, value)
    const read = msgpack.read(encoded, 0, encoded.length) as { at: Date; count: bigint; raw: Uint8Array }
    expect([read.at.getTime(), read.count, [...read.raw]]).toEqual([5, 2n ** 40n, [1, 2]])
    encoded.fill(0)
    expect([...read.raw]).toEqual([1, 2])
  })

  test('accept values larger than the encoder’s buffers', () => {
    const value = { text: 'é'.repeat(100_000), list: Array.from({ length: 20_000 }, (_, index) => index) }
    expect(decode(msgpack, encode(msgpack, value))).toEqual(value)
    expect(decode(json, encode(json, value))).toEqual(value)
  })

  test('write numbers in msgpack to the same bytes as msgpackr, and read them back', () => {
    const packr = new Packr({ useRecords: false })
    const edges = [0, 1, 0x1f, 0x20, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 2 ** 31, 2 ** 32 - 1]
    for (const value of [...edges, 2 ** 32, -1, -0, 0.5, 2 ** 53 - 1]) {
      const bytes = encode(msgpack, value)
      expect(Buffer.from(bytes), String(value)).toEqual(Buffer.from(packr.pack(value)))
      expect(decode(msgpack, bytes)).toBe(value === 0 ? 0 : value)
    }
    for (const bytes of [[0xcc], [0xcd, 1], [0xce, 1, 2, 3], [1, 2]])
      expect(() => decode(msgpack, Buffer.from(bytes))).toThrow(/INVALID_RECORD/)
  })

  test('refuse values nested deeper than 128 levels', () => {
    const deep = (levels: number): unknown => {
      let value: unknown = 1
      for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value, 'x'] : { a: value }
      return value
    }
    for (const codec of [msgpack, json]) {
      expect(decode(codec, encode(codec, deep(120)))).toEqual(deep(120))
      expect(() => decode(codec, encode(codec, deep(140)))).toThrow(/INVALID_RECORD.*deeper than 128/)
    }
    expect(() => decode(msgpack, Buffer.alloc(100_000, 0x91))).toThrow(/deeper than 128/)
    // Many containers side by side are not nested deeply.
    const wide = Array.from({ length: 1000 }, () => [{ a: [] }, {}])
    expect(decode(msgpack, encode(msgpack, wide))).toEqual(wide)
  })

  test('never let a field set a prototype', () => {
    const text = '{"a":{"__proto__":{"admin":true}}}'
    expect(() => decode(json, Buffer.from(text))).toThrow(/INVALID_RECORD.*__proto__/)
    expect(() => decode(json, Buffer.from(text.replace('__proto__', '\\u005f_proto__')))).toThrow(/__proto__/)
    expect(decode(json, Buffer.from('{"a":"__proto__"}'))).toEqual({ a: '__proto__' })
    const packed = encode(msgpack, JSON.parse('{"a":{"__proto__":{"admin":true}}}'))
    const read = decode(msgpack, packed) as { a: { admin?: boolean } }
    expect(read.a.admin).toBeUndefined()
    expect(Object.getPrototypeOf(read.a)).toBe(Object.prototype)
  })

  test('refuse foreign bytes and values that cannot be encoded', () => {
    expect(() => decode(json, Buffer.from('{"a":'))).toThrow(/INVALID_RECORD: no JSON/)
    expect(() => decode(msgpack, Buffer.from([0x92, 1]))).toThrow(/INVALID_RECORD: no msgpack/)
    expect(() => decode(msgpack, Buffer.from([1, 1]))).toThrow(/INVALID_RECORD: no msgpack/)
    expect(() => decode(msgpack, Buffer.alloc(0))).toThrow(/INVALID_RECORD/)
    for (const codec of [msgpack, json]) {
      expect(() => encode(codec, undefined)).toThrow(/INVALID_RECORD/)
      expect(() => encode(codec, () => 1)).toThrow(/INVALID_RECORD/)
    }
  })
})

test('string, bytes, number and long write the same bytes as Kafka’s serializers', () => {
  expect(encode(string, 'aé').toString('hex')).toBe('61c3a9')
  expect(encode(bytes, Uint8Array.of(1, 255)).toString('hex')).toBe('01ff')
  expect(encode(long, 7).toString('hex')).toBe('0000000000000007')
  expect(encode(number, 1.5).toString('hex')).toBe('3ff8000000000000')
  expect(decode(number, encode(number, -0.25))).toBe(-0.25)
  expect(() => encode(number, '1' as never)).toThrow(/INVALID_RECORD/)
  expect(() => decode(number, Uint8Array.of(1))).toThrow(/8 bytes/)
})

describe('windowed keys', () => {
  const minute = tumbling('1m')

  test('are encoded as inner key and start, as in Kafka; the end comes from the declaration', () => {
    const codec = windowed(z.string(), minute)
    const key = { key: 'a', start: 60_000, end: 120_000, kind: 'time' } as const
    expect(encode(codec, key).toString('hex')).toBe('61000000000000ea60')
    expect(decode(codec, encode(codec, key))).toEqual(key)
  })

  test('of sessions are encoded as inner key, end and start', () => {
    const codec = windowed(z.string(), sessions('1m'))
    const key = { key: 'a', start: 1, end: 2, kind: 'session' } as const
    expect(encode(codec, key).toString('hex')).toBe('6100000000000000020000000000000001')
    expect(decode(codec, encode(codec, key))).toEqual(key)
  })

  test('have identities that are equal exactly when key and window are equal', () => {
    const codec = windowed(z.union([z.string(), z.number()]), minute)
    const at = (key: string | number, start: number) =>
      codec.identity({ key, start, end: start + 60_000, kind: 'time' })
    expect(at('1', 0)).toBe(at('1', 0))
    expect(new Set([at('1', 0), at(1, 0), at('1', 60_000)]).size).toBe(3)
  })

  test('of another kind are refused, as are plain keys and bytes that are too short', () => {
    const codec = windowed(z.string(), minute)
    expect(() => encode(codec, 'a' as never)).toThrow(/INVALID_RECORD.*time window/)
    expect(() => encode(codec, { key: 'a', start: 0, end: 1, kind: 'session' } as never)).toThrow(/time window/)
    expect(() => decode(codec, Uint8Array.of(1, 2))).toThrow(/at least 8 bytes/)
    expect(() => decode(codec, Buffer.from('61ffffffffffffffff', 'hex'))).toThrow(/cannot begin/)
  })
})

describe('a topic', () => {
  const value = z.object({ at: z.number() })

  test('is frozen and keeps its declaration', () => {
    const views = topic('views', {
      key: z.string(),
      value,
      format: 'json',
      partitions: 4,
      timestamp: (view) => view.at,
    })
    expect(Object.isFrozen(views)).toBe(true)
    expect([views.name, views.partitions, views.key.codec.id, views.value.codec.id]).toEqual([
      'views',
      4,
      'string',
      'json',
    ])
    expect(views.timestamp?.({ at: 5 }, 'k', 9, -1)).toBe(5)
    expect(views.timestamp?.(null, 'k', 9, -1)).toBe(9)
  })

  test('accepts null only with tombstones', () => {
    expect(() => topic('t', { key: z.string(), value }).value.validate?.(null)).toThrow(/tombstones: true/)
    expect(topic('t', { key: z.string(), value, tombstones: true }).value.validate?.(null)).toBeNull()
  })

  test('that is trusted validates values only when they are sent', () => {
    const trusted = topic('t', { key: z.number(), value, trusted: true })
    expect([trusted.key.validate, trusted.value.validate]).toEqual([undefined, undefined])
    expect(() => trusted.value.validateOnSend?.({ at: 'x' })).toThrow(/INVALID_RECORD.*at/)
  })

  test('with an invalid number of partitions or format, or with a codec and a format, is refused', () => {
    for (const partitions of [0, -1, 1.5, 10_001]) {
      expect(() => topic('t', { key: z.string(), value, partitions })).toThrow(/INVALID_DECLARATION.*partitions/)
    }
    expect(() => topic('t', { key: z.string(), value: bytes, format: 'json' })).toThrow(/INVALID_DECLARATION.*format/)
    expect(() => topic('t', { key: z.string(), value, format: 'xml' as never })).toThrow(/format is one of/)
  })

  test.each<[string, () => unknown, RegExp]>([
    ['nothing', () => topic('t', undefined as never), /topic t: declare it by topic/],
    ['no name', () => topic('', { key: z.string(), value: bytes }), /declare it by topic/],
    ['no key', () => topic('t', { key: undefined as never, value: bytes }), /key of topic t: give a schema.*undefined/],
    ['no value', () => topic('t', { key: z.string(), value: undefined as never }), /value of topic t: give a schema/],
    ['the name of a type', () => topic('t', { key: 'string' as never, value: bytes }), /not "string"/],
    ['no windows', () => windowed(z.string(), undefined as never), /windowed: give windows made by tumbling/],
    ['options for windows', () => windowed(z.string(), { grace: 1 } as never), /windowed: .* not \{"grace":1\}/],
    [
      'a field for a timestamp',
      () => topic('t', { key: z.string(), value: bytes, timestamp: 'at' as never }),
      /topic t: timestamp is a function \(value, key, .*, not "at"/,
    ],
  ])('a declaration with %s says what is missing', (_, declare, message) => {
    expect(declare).toThrow(message)
    expect(declare).toThrow(expect.objectContaining({ code: 'INVALID_DECLARATION' }))
  })
})
