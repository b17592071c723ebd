import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { joinedReaderOf } from '../../src/codec/joined-reader.ts'
import { bytes, json, msgpack, nestingMax } from '../../src/codec/value-codecs.ts'

/** What the codec reads for each value alone; null if it refuses one of them. */
function readAlone(values: readonly Uint8Array[]): unknown[] | null {
  try {
    return values.map((value) => json.read(value, 0, value.length))
  } catch {
    return null
  }
}

/** Reads values that are in one buffer with other bytes between them, as in a batch. */
function readJoined(values: readonly Uint8Array[]): unknown[] | null {
  const { buffer, ranges } = inOneBuffer(values)
  return joinedReaderOf(json)?.(buffer, ranges, values.length) ?? null
}

function inOneBuffer(values: readonly Uint8Array[], between = '"{['): { buffer: Buffer; ranges: Int32Array } {
  const ranges = new Int32Array(values.length * 2)
  let at = 0
  const parts = values.flatMap((value, index) => {
    at += between.length
    ranges.set([at, at + value.length], index * 2)
    at += value.length
    return [Buffer.from(between), value]
  })
  return { buffer: Buffer.concat(parts), ranges }
}

const texts = (...values: readonly string[]): Buffer[] => values.map((value) => Buffer.from(value))

const flat = fc.dictionary(
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.nat()),
  ),
  { maxKeys: 5, noNullPrototype: true },
)

describe('JSON values that are read together', () => {
  test('are what each of them is alone', () => {
    const values = texts(
      '{"id":"1","text":"a \\" ] , [ é"}',
      '{}',
      '{ "id" : 2, "list": [1, [2], []] }',
      '{"id":"1","id":"twice"}',
    )

    const read = readJoined(values)

    expect(read).not.toBeNull()
    expect(read).toEqual(readAlone(values))
  })

  test('are what each of them is alone, whatever flat objects they are', () => {
    let together = 0
    fc.assert(
      fc.property(fc.array(flat, { minLength: 1, maxLength: 8 }), (objects) => {
        const values = texts(...objects.map((object) => JSON.stringify(object)))
        const read = readJoined(values)
        if (read === null) return
        together += 1
        expect(read).toEqual(readAlone(values))
      }),
    )
    expect(together).toBeGreaterThan(20)
  })

  test('are not read if one of them is malformed, even if its neighbors make up for it', () => {
    const cases = [
      ['{"a":"x}', '{","b":1}'],
      ['{"a":"x}', '{","b":1},{"c":2}'],
      ['{"a":"x}', '{","b":1}', '{"c":2},3'],
      ['{"a":"x}', '","b":1}', '2,{"c":3}'],
      ['{"a":"x}', '{","b":1}', '{"c":2},{"d":3}'],
      ['{"a":"x}', '{","b":"}', '{"}', '{"a":1}'],
      ['{"a":[1}', '{"b":2}]}'],
      ['{"a":[1', '2]}'],
      ['{"a":{"b":1}', '{"c":2}}'],
      ['{"a":1', '"b":2}'],
      ['{"a":1},5,{"b":2}', '{"c":3}'],
      ['{"a":1}],[{"b":2}', '{}'],
      ['{"a":1},5', '6,{"b":1}'],
      ['{"a":1},', '{"b":1}'],
      ['', '{"b":1}'],
      ['{', '}'],
      ['{"a":"\\}', '{"}'],
      ['{"a":1}}', '{{"b":1}'],
      ['{"a":1}', '{"b":tru}'],
    ]
    for (const values of cases.map((one) => texts(...one))) {
      expect(readAlone(values), values.join(' ')).toBeNull()
      expect(readJoined(values), values.join(' ')).toBeNull()
    }
  })

  test('are read only if each of them can be read alone, whatever their bytes are', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '"a"',
      '"a":',
      '1',
      ' ',
      '},{',
      '":"',
      '},{"a":',
      '__proto__',
      '\\u',
    )
    const byte = fc.constantFrom(0x80, 0xc3, 0xe2, 0xf0, 0x9f, 0x00)
    const piece = fc.oneof(
      { weight: 9, arbitrary: token.map((text) => Buffer.from(text)) },
      { weight: 1, arbitrary: byte.map((value) => Buffer.of(value)) },
    )
    const value = fc
      .tuple(
        fc.array(piece, { maxLength: 6 }),
        fc.constantFrom('{}', '{"a":', '{"a":1', '{"a":"', '{"a":["', '{"'),
        fc.boolean(),
      )
      .map(([pieces, start, isClosed]) =>
        Buffer.concat([Buffer.from(start), ...pieces, Buffer.from(isClosed ? '}' : '')]),
      )
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
        const read = readJoined(values)
        if (read !== null) expect(read).toEqual(readAlone(values))
      }),
      { numRuns: 5000 },
    )
  })

  test('are not read if one of them has a field that is refused, or nests too deep', () => {
    for (const bad of [
      '{"__proto__":1}',
      '{"\\u005f_proto__":1}',
      '{"\\u005F\\u005Fproto\\u005F\\u005F":1}',
      `{"a":${'['.repeat(nestingMax)}${']'.repeat(nestingMax)}}`,
    ]) {
      const values = texts('{"a":1}', bad, '{"b":1}')
      expect(readAlone(values)).toBeNull()
      expect(readJoined(values)).toBeNull()
    }
  })

  test('replace invalid UTF-8 as each of them does alone', () => {
    const bytes = (...middle: number[]): Buffer =>
      Buffer.concat([Buffer.from('{"a":"'), Buffer.from(middle), Buffer.from('"}')])
    const values = [bytes(0xe2, 0x82), bytes(0xac), bytes(0xf0, 0x9f, 0x98), bytes(0xff, 0xc3), bytes(0xed, 0xa0, 0x80)]

    const read = readJoined(values)

    expect(read).not.toBeNull()
    expect(read).toEqual(readAlone(values))
  })
})

describe('Bytes that are read together', () => {
  test('are Buffers of their own memory, which overlap neither each other nor later ones', () => {
    const values = texts('first', '', 'third value')
    const { buffer, ranges } = inOneBuffer(values)

    const read = joinedReaderOf(bytes)?.(buffer, ranges, values.length) as Buffer[]
    buffer.fill(0)

    expect(read).toEqual(values)
    expect(read.every((value) => Buffer.isBuffer(value))).toBe(true)
    read[0]?.fill(0)
    expect(read[2]).toEqual(values[2])
    for (let round = 0; round < 1000; round++) {
      const more = inOneBuffer(texts('later value', `${round}`))
      expect(joinedReaderOf(bytes)?.(more.buffer, more.ranges, 2)).toEqual(texts('later value', `${round}`))
    }
    expect(read.slice(1)).toEqual(values.slice(1))
    expect(read.every((value) => value.buffer.byteLength <= 16 * 1024)).toBe(true)
  })

  test('cannot be transferred, which would empty the others', () => {
    const values = texts('first', 'second')
    const { buffer, ranges } = inOneBuffer(values)
    const read = joinedReaderOf(bytes)?.(buffer, ranges, 2) as Buffer<ArrayBuffer>[]
    const [first = Buffer.alloc(0), second] = read

    expect(() => structuredClone(first, { transfer: [first.buffer] })).toThrow(/could not be cloned|transfer/i)
    expect(structuredClone(first)).toEqual(new Uint8Array(Buffer.from('first')))
    expect(second).toEqual(Buffer.from('second'))
  })

  test('are read one by one if what is between them would keep too much memory', () => {
    const values = texts('first', 'second')
    const near = inOneBuffer(values, 'x'.repeat(16_000))
    const far = inOneBuffer(values, 'x'.repeat(17_000))

    expect(joinedReaderOf(bytes)?.(near.buffer, near.ranges, values.length)).toEqual(values)
    expect(joinedReaderOf(bytes)?.(far.buffer, far.ranges, values.length)).toBeNull()
  })
})

test('a codec that was made from another one, or is none of these, reads every value by itself', () => {
  expect(joinedReaderOf({ ...json, id: 'json-of-mine', read: () => 'mine' })).toBeNull()
  expect(joinedReaderOf({ ...bytes })).toBeNull()
  expect(joinedReaderOf(msgpack)).toBeNull()
})
