import { utf8Slice, type ByteReader, type ByteWriter } from '../../base/bytes.ts'

/**
 * Strings and byte fields of Kafka's records and of its messages in non-flexible versions:
 *
 * ```
 * string          i16 length | UTF-8         a nullable one has length -1 for null
 * bytes           i32 length | bytes         a nullable one has length -1 for null
 * ```
 */
export function writeString(into: ByteWriter, text: string): void {
  const size = Buffer.byteLength(text)
  into.i16(size)
  const at = into.reserve(size)
  into.bytes.write(text, at, size, 'utf8')
}

export function readString(from: ByteReader): string {
  const size = from.i16()
  const bytes = from.raw(size)
  return utf8Slice(bytes, 0, bytes.length)
}

export function writeNullableString(into: ByteWriter, text: string | null): void {
  if (text === null) into.i16(-1)
  else writeString(into, text)
}

export function readNullableString(from: ByteReader): string | null {
  const size = from.i16()
  if (size < 0) return null
  const bytes = from.raw(size)
  return utf8Slice(bytes, 0, bytes.length)
}

export function writeNullableBytes(into: ByteWriter, bytes: Uint8Array | null): void {
  into.i32(bytes === null ? -1 : bytes.length)
  if (bytes !== null) into.raw(bytes)
}

/** A view of the bytes, or null. */
export function readNullableBytes(from: ByteReader): Uint8Array | null {
  const size = from.i32()
  return size < 0 ? null : from.raw(size)
}
