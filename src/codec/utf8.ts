import type { ByteWriter } from '../base/bytes.ts'
import { utf8Slice } from '../base/bytes.ts'
import { isUtf8 } from 'node:buffer'
import { shown } from '../base/shown.ts'
import { CodecError } from './codec-error.ts'

/** Up to this length a loop is faster than the call into C++. */
const loopLengthMax = 64

/**
 * Appends `text` as UTF-8. A lone surrogate has no UTF-8 encoding and is refused: different strings would get equal
 * bytes.
 */
export function writeUtf8(text: string, to: ByteWriter): void {
  const length = text.length
  if (length <= loopLengthMax) {
    const start = to.reserve(length)
    const bytes = to.bytes
    let index = 0
    for (; index < length; index++) {
      const unit = text.charCodeAt(index)
      if (unit > 0x7f) break
      bytes[start + index] = unit
    }
    if (index === length) return
    to.length = start
  }
  checkWellFormed(text)
  const size = Buffer.byteLength(text)
  const at = to.reserve(size)
  if (size === length) to.bytes.write(text, at, size, 'latin1')
  else to.bytes.write(text, at, size, 'utf8')
}

/** Reads UTF-8 and refuses invalid bytes, because the decoded string would encode to other bytes. */
export function readUtf8(bytes: Uint8Array, start: number, end: number): string {
  const text = utf8Slice(bytes, start, end)
  // Decoding replaces invalid bytes by U+FFFD, but a valid string may contain that character as well.
  if (text.includes('\uFFFD') && !isUtf8(bytes.subarray(start, end))) {
    throw new CodecError('INVALID_RECORD', `a string is UTF-8, these bytes are not: it would read ${shown(text)}`, {
      value: text,
    })
  }
  return text
}

/** Throws if `readUtf8` would. */
export function checkUtf8(bytes: Uint8Array, start: number, end: number): void {
  for (let index = start; index < end; index++) {
    if ((bytes[index] as number) < 0x80) continue
    readUtf8(bytes, start, end)
    return
  }
}

export function checkWellFormed(text: string): void {
  if (text.isWellFormed()) return
  throw new CodecError('INVALID_RECORD', `the string ${shown(text)} has half of a surrogate pair and no UTF-8`, {
    value: text,
  })
}
