import { ByteWriter, copyBytes, utf8Slice, ViewedBytes } from '../base/bytes.ts'
import { untransferableMemory } from '../base/untransferable-memory.ts'
import type { Codec } from './codec.ts'
import { bytes as bytesCodec, json, nestingMax } from './value-codecs.ts'

/**
 * Reads several values together: value `i` is in `bytes[ranges[2 * i], ranges[2 * i + 1])`. Returns exactly what the
 * codec reads for each of them, or null if they have to be read one by one, for whatever reason.
 */
export type JoinedReader = (bytes: Uint8Array, ranges: Int32Array, count: number) => unknown[] | null

/**
 * The joined reader of a codec, or null if it has none. It is found by the codec itself and is not a method of it,
 * because a codec that was made from another one (`{ ...json, read }`) must not inherit it.
 */
export function joinedReaderOf(codec: Codec<unknown>): JoinedReader | null {
  if (codec === json) return readJoinedJson
  return codec === bytesCodec ? readJoinedBytes : null
}

/**
 * Copies the values and what is between them at once, and gives each its view of the copy. A view keeps its whole slab
 * in memory, so that must not be large.
 */
function readJoinedBytes(bytes: Uint8Array, ranges: Int32Array, count: number): Uint8Array[] | null {
  const start = ranges[0] as number
  const size = (ranges[count * 2 - 1] as number) - start
  if (size > slabBytes) return null
  if (slabUsed + size > slabBytes) {
    slab = new ViewedBytes(untransferableMemory(slabBytes))
    slabUsed = 0
  }
  const shift = slabUsed - start
  copyBytes(bytes, start, start + size, slab.bytes, slabUsed)
  slabUsed += size
  const values: Uint8Array[] = []
  for (let index = 0; index < count; index++) {
    values.push(slab.view((ranges[index * 2] as number) + shift, (ranges[index * 2 + 1] as number) + shift))
  }
  return values
}

const slabBytes = 16 * 1024
let slab = new ViewedBytes(new Uint8Array(0))
/** More than any slab has, because there is none yet. */
let slabUsed = slabBytes + 1

/**
 * Parses the text `[value,value,...]`. JSON.parse compares the fields of an object with those of the object before it
 * in the array, which takes less time than to look them up, and one text is decoded instead of many.
 *
 * The result is right only if no value is malformed in a way that its neighbors make up for: a string, an array or an
 * object that is not closed, a comma too many. So each value must begin with `{`, end with `}` and contain no other
 * `{`, and the text must parse to as many elements as there are values. This suffices:
 *
 * - A quote is not among the characters `},{` between two values, so they are all part of one string, or none is. The
 *   first `{` and the last `}` of the text are in no string.
 * - Let there be `n` values, and `k` places between two values that are in no string. Outside of strings are then
 *   `k + 1` of `{`: that of the first value, and those at the `k` places. All `{` of the text begin a value, so there are
 *   no others. Each `}` at such a place, and the last one, is outside of strings too, so these `k + 1` are all that
 *   there are, or the text would not parse.
 * - So outside of strings, `{` and `}` alternate. Objects are never in one another, and an object ends before the next
 *   one begins, with only a comma between them. So they are all elements of the outer array, which has no other ones:
 *   it has `k + 1` elements.
 * - `k + 1 = n` then means that each object is exactly one value.
 *
 * Invalid UTF-8 is replaced as in each value alone, because a value begins and ends with ASCII.
 */
function readJoinedJson(bytes: Uint8Array, ranges: Int32Array, count: number): unknown[] | null {
  joined.clear()
  for (let index = 0; index < count; index++) {
    const start = ranges[index * 2] as number
    const end = ranges[index * 2 + 1] as number
    if (end - start < 2 || bytes[start] !== openingBrace || bytes[end - 1] !== closingBrace) return null
    joined.u8(index === 0 ? openingBracket : comma)
    joined.raw(bytes, start, end)
  }
  joined.u8(closingBracket)
  const text = utf8Slice(joined.bytes, 0, joined.length)
  if (!occursAtMost(text, '{', count) || !occursAtMost(text, '[', nestingMax)) return null
  // The field name that the codec refuses, or an escape sequence that could spell it.
  if (text.includes('__proto__') || text.includes('\\u')) return null
  try {
    const values = JSON.parse(text) as unknown[]
    return values.length === count ? values : null
  } catch {
    // Whichever value it is, reading it alone gives the error.
    return null
  }
}

function occursAtMost(text: string, character: string, max: number): boolean {
  let count = 0
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) if (++count > max) return false
  return true
}

const joined = new ByteWriter(8 * 1024)
const openingBrace = 0x7b
const closingBrace = 0x7d
const openingBracket = 0x5b
const closingBracket = 0x5d
const comma = 0x2c
