import { ByteWriter, latin1Slice, utf8Slice } from '../base/bytes.ts'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'
import type { Identity, KeyCodec } from './codec.ts'
import { checkWellFormed, readUtf8, writeUtf8 } from './utf8.ts'

/**
 * The built-in codec for keys that are not declared as strings: numbers, strings, bigints, booleans, bytes, nested
 * nulls, and tuples and plain objects of these. One codec serves all of them, so that a key computed by `groupBy` and a
 * declared key of the same value have the same bytes.
 *
 * Invariants
 * - canonical: equal keys have equal bytes (-0 becomes 0, object fields are sorted, undefined fields do not count) and
 *   different keys have different bytes (1, 1n and '1' differ); NaN equals nothing and is refused
 * - ordered: bytes compare like the keys, kind by kind in the order of the tags; tuples element by element
 *
 * A key is one element, which is a tag byte and its content:
 *
 *     01           null (inside tuples and objects only)
 *     02 text      string, UTF-8
 *     03 bytes     bytes
 *     04 f64       number: 8 bytes of IEEE 754, sign flipped for positives, all bits flipped for negatives
 *     05 00 !len !magnitude  |  05 01 len magnitude     bigint: sign, u32 length, big-endian; negatives complemented
 *     06 | 07      false | true
 *     08 elements… 00           tuple
 *     09 (name value)… 00       object, names are strings without tag, sorted
 *
 * Inside a tuple or object, text and bytes end with 00, and a 00 in them becomes 00 ff, so that a prefix sorts first.
 */
export const taggedKey: KeyCodec<unknown> = Object.freeze({
  id: 'tagged',
  write(key: unknown, to: ByteWriter): void {
    if (typeof key === 'string') {
      to.u8(tagString)
      writeUtf8(key, to)
    } else if (key instanceof Uint8Array) {
      to.u8(tagBytes)
      to.raw(key)
    } else if (key === null || key === undefined) throw refused(key, 'an absent key has no bytes')
    else writeElement(key, to, 0)
  },
  read(bytes: Uint8Array, start: number, end: number): unknown {
    if (start >= end) throw malformed(start)
    if (bytes[start] === tagString) return readUtf8(bytes, start + 1, end)
    if (bytes[start] === tagBytes) return Uint8Array.prototype.slice.call(bytes, start + 1, end)
    const walk: Walk = { bytes, at: start, end, depth: 0 }
    const key = readElement(walk)
    if (walk.at !== end || key === null) throw malformed(walk.at)
    return key
  },
  identity(key: unknown): Identity {
    if (typeof key === 'string') {
      checkWellFormed(key)
      return key
    }
    if (typeof key === 'number') {
      if (Number.isNaN(key)) throw refused(key, 'NaN equals nothing, not even itself')
      return key === 0 ? 0 : key
    }
    if (typeof key === 'bigint' || typeof key === 'boolean') return key
    scratch.clear()
    taggedKey.write(key, scratch)
    // It starts with half a surrogate pair. No well-formed string does, so no string key has this identity.
    return `\uD800${latin1Slice(scratch.bytes, 0, scratch.length)}`
  },
})

const tagNull = 1
const tagString = 2
const tagBytes = 3
const tagNumber = 4
const tagBigint = 5
const tagFalse = 6
const tagTrue = 7
const tagTuple = 8
const tagObject = 9

/** Keys are small. A key that nests deeper is a mistake or an attack. */
const depthMax = 16

// Only used within one synchronous call.
const scratch = new ByteWriter(256)

function writeElement(key: unknown, to: ByteWriter, depth: number): void {
  if (depth > depthMax) throw refused(key, `keys nest at most ${depthMax} deep`)
  switch (typeof key) {
    case 'string':
      to.u8(tagString)
      writeEscaped(key, to)
      return
    case 'number':
      to.u8(tagNumber)
      writeOrderedNumber(key, to)
      return
    case 'boolean':
      to.u8(key ? tagTrue : tagFalse)
      return
    case 'bigint':
      to.u8(tagBigint)
      writeOrderedBigint(key, to)
      return
    case 'object':
      break
    case 'undefined':
    case 'function':
    case 'symbol':
      throw refused(key, 'it has no canonical bytes')
  }
  if (key === null) to.u8(tagNull)
  else if (key instanceof Uint8Array) {
    to.u8(tagBytes)
    escapeInto(key, 0, key.length, to)
  } else if (Array.isArray(key)) {
    to.u8(tagTuple)
    for (const element of key) writeElement(element, to, depth + 1)
    to.u8(0)
  } else writeObject(key, to, depth)
}

function writeObject(key: object, to: ByteWriter, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(key)
  if (prototype !== Object.prototype && prototype !== null) {
    throw refused(key, 'only plain objects have canonical bytes; give a codec or a key of plain fields')
  }
  to.u8(tagObject)
  const fields = Object.entries(key).filter(([, value]) => value !== undefined)
  // By code units, because a locale's order could differ between machines.
  fields.sort(([left], [right]) => (left < right ? -1 : 1))
  for (const [name, value] of fields) {
    if (name === '' || name === '__proto__') throw refused(key, `a field may not be called ${shown(name)}`)
    writeEscaped(name, to)
    writeElement(value, to, depth + 1)
  }
  to.u8(0)
}

function writeEscaped(text: string, to: ByteWriter): void {
  if (!text.includes('\0')) {
    writeUtf8(text, to)
    to.u8(0)
    return
  }
  checkWellFormed(text)
  const bytes = Buffer.from(text, 'utf8')
  escapeInto(bytes, 0, bytes.length, to)
}

function escapeInto(bytes: Uint8Array, start: number, end: number, to: ByteWriter): void {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    to.u8(byte)
    if (byte === 0) to.u8(0xff)
  }
  to.u8(0)
}

function writeOrderedNumber(key: number, to: ByteWriter): void {
  if (Number.isNaN(key)) throw refused(key, 'NaN equals nothing, not even itself')
  const at = to.reserve(8)
  const bytes = to.bytes
  bytes.writeDoubleBE(key === 0 ? 0 : key, at)
  if (((bytes[at] as number) & 0x80) === 0) bytes[at] = (bytes[at] as number) ^ 0x80
  else for (let index = at; index < at + 8; index++) bytes[index] = (bytes[index] as number) ^ 0xff
}

function writeOrderedBigint(key: bigint, to: ByteWriter): void {
  const negative = key < 0n
  const hex = key === 0n ? '' : (negative ? -key : key).toString(16)
  const magnitude = Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex')
  to.u8(negative ? 0 : 1)
  to.u32(negative ? ~magnitude.length : magnitude.length)
  const mask = negative ? 0xff : 0
  for (const byte of magnitude) to.u8(byte ^ mask)
}

interface Walk {
  readonly bytes: Uint8Array
  readonly end: number
  at: number
  depth: number
}

function readElement(walk: Walk): unknown {
  const tag = take(walk, 1)
  switch (walk.bytes[tag] as number) {
    case tagNull:
      return null
    case tagString:
      return readEscapedText(walk)
    case tagBytes:
      return readEscaped(walk)
    case tagNumber:
      return readOrderedNumber(walk)
    case tagBigint:
      return readOrderedBigint(walk)
    case tagFalse:
      return false
    case tagTrue:
      return true
    case tagTuple: {
      const elements: unknown[] = []
      deeper(walk)
      while (!atTerminator(walk)) elements.push(readElement(walk))
      walk.depth--
      return elements
    }
    case tagObject: {
      const fields: { [name: string]: unknown } = {}
      deeper(walk)
      while (!atTerminator(walk)) {
        const name = readEscapedText(walk)
        if (name === '' || name === '__proto__') throw malformed(walk.at)
        fields[name] = readElement(walk)
      }
      walk.depth--
      return fields
    }
    default:
      throw malformed(tag)
  }
}

function deeper(walk: Walk): void {
  if (++walk.depth > depthMax + 1) throw malformed(walk.at)
}

function atTerminator(walk: Walk): boolean {
  if (walk.at >= walk.end) throw malformed(walk.at)
  if (walk.bytes[walk.at] !== 0) return false
  walk.at++
  return true
}

function readEscapedText(walk: Walk): string {
  const bytes = walk.bytes
  const start = walk.at
  let at = start
  while (at < walk.end && bytes[at] !== 0) at++
  if (at < walk.end && bytes[at + 1] !== 0xff) {
    walk.at = at + 1
    return readUtf8(bytes, start, at)
  }
  const unescaped = readEscaped(walk)
  return utf8Slice(unescaped, 0, unescaped.length)
}

function readEscaped(walk: Walk): Uint8Array {
  const bytes: number[] = []
  for (;;) {
    const byte = walk.bytes[take(walk, 1)] as number
    if (byte !== 0) bytes.push(byte)
    else if (walk.at < walk.end && walk.bytes[walk.at] === 0xff) {
      bytes.push(0)
      walk.at++
    } else return Uint8Array.from(bytes)
  }
}

const eight = new DataView(new ArrayBuffer(8))

function readOrderedNumber(walk: Walk): number {
  const at = take(walk, 8)
  const positive = ((walk.bytes[at] as number) & 0x80) !== 0
  for (let index = 0; index < 8; index++) {
    const mask = positive ? (index === 0 ? 0x80 : 0) : 0xff
    eight.setUint8(index, (walk.bytes[at + index] as number) ^ mask)
  }
  const key = eight.getFloat64(0)
  if (Number.isNaN(key) || Object.is(key, -0)) throw malformed(at)
  return key
}

function readOrderedBigint(walk: Walk): bigint {
  const start = take(walk, 5)
  const bytes = walk.bytes
  const negative = bytes[start] === 0
  const mask = negative ? 0xff : 0
  let length = 0
  for (let index = 1; index <= 4; index++) length = length * 256 + ((bytes[start + index] as number) ^ mask)
  const at = take(walk, length)
  const magnitude = Buffer.from(bytes.subarray(at, at + length))
  for (let index = 0; index < length; index++) magnitude[index] = (magnitude[index] as number) ^ mask
  const value = length === 0 ? 0n : BigInt(`0x${magnitude.toString('hex')}`)
  return negative ? -value : value
}

function take(walk: Walk, count: number): number {
  const at = walk.at
  if (at + count > walk.end) throw malformed(at)
  walk.at = at + count
  return at
}

function refused(key: unknown, why: string): CodecError {
  return new CodecError('INVALID_RECORD', `${shown(key)} cannot be a key: ${why}`, { value: key })
}

function malformed(at: number): CodecError {
  return new CodecError('INVALID_RECORD', `the bytes are not a tagged key, at ${at}: another codec wrote them`, { at })
}
