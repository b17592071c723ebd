import type { ByteWriter } from '../base/bytes.ts'
import { utf8Slice } from '../base/bytes.ts'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'
import type { Codec } from './codec.ts'
import { bytesKey, longKey, stringKey, wrongType } from './key-codecs.ts'
import { writeUtf8 } from './utf8.ts'

export { msgpack } from './msgpack-codec.ts'

/** Strings as UTF-8. */
export const string: Codec<string> = stringKey
/** Bytes, unchanged. Reading copies them. */
export const bytes: Codec<Uint8Array> = bytesKey
/** Safe integers in 8 bytes, big-endian: what Kafka's LongSerializer writes. */
export const long: Codec<number> = longKey

/** Numbers as 8 bytes of IEEE 754, big-endian: what Kafka's DoubleSerializer writes. */
export const number: Codec<number> = Object.freeze({
  id: 'number',
  write(value: number, to: ByteWriter): void {
    if (typeof value !== 'number') throw wrongType('number', value)
    to.f64(value)
  },
  read(bytes: Uint8Array, start: number, end: number): number {
    if (end - start !== 8) {
      throw new CodecError('INVALID_RECORD', `a number has 8 bytes, not ${end - start}`, { size: end - start })
    }
    for (let index = 0; index < 8; index++) eight[index] = bytes[start + index] as number
    return eightView.getFloat64(0)
  },
})

const eight = new Uint8Array(8)
const eightView = new DataView(eight.buffer)

/** How deep arrays and objects may nest: code that processes deeper values could overflow the stack. */
export const nestingMax = 128

/** JSON, for topics that other tools read. */
export const json: Codec<unknown> = Object.freeze({
  id: 'json',
  write(value: unknown, to: ByteWriter): void {
    const text: string | undefined = JSON.stringify(value)
    if (text === undefined) throw wrongType('JSON value', value)
    writeUtf8(text, to)
  },
  read(bytes: Uint8Array, start: number, end: number): unknown {
    const text = utf8Slice(bytes, start, end)
    if (mayNestTooDeep(text)) checkJsonNesting(bytes, start, end)
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      throw new CodecError('INVALID_RECORD', `no JSON: ${shown(text)}`, { value: text }, { cause })
    }
    // JSON.parse creates an own property for `__proto__`; code that copies fields one by one would then set a
    // prototype. An escape sequence could spell the name. Searching for one character is cheaper than for two, and most
    // texts contain no escape.
    if (text.includes('__proto__') || (text.includes('\\') && text.includes('\\u'))) checkFieldNames(value)
    return value
  },
})

/**
 * Whether a text has enough brackets to nest too deep. Few texts have, and counting is much cheaper than parsing them.
 */
function mayNestTooDeep(text: string): boolean {
  // Each level needs an opening and a closing bracket.
  if (text.length <= 2 * nestingMax) return false
  let open = 0
  for (const bracket of '{[') {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1))
      if (++open > nestingMax) return true
  }
  return false
}

function checkJsonNesting(bytes: Uint8Array, start: number, end: number): void {
  let depth = 0
  let inString = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at]
    if (inString) {
      if (byte === 0x5c) at++
      else if (byte === 0x22) inString = false
    } else if (byte === 0x22) inString = true
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > nestingMax) throw tooDeep()
    } else if (byte === 0x7d || byte === 0x5d) depth--
  }
}

function checkFieldNames(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  if (Object.hasOwn(value, '__proto__')) {
    throw new CodecError('INVALID_RECORD', 'a field may not be called "__proto__"', { path: '__proto__' })
  }
  for (const inner of Object.values(value)) checkFieldNames(inner)
}

function tooDeep(): CodecError {
  return new CodecError('INVALID_RECORD', `arrays and objects nest deeper than ${nestingMax}`, { nestingMax })
}
