import { ByteWriter } from '../base/bytes.ts'
import type { Codec } from './codec.ts'
import { CodecError } from './codec-error.ts'

/** Records of one side of a join, with the same key and timestamp, that have no partner yet, in order of arrival. */
export interface Unmatched {
  readonly isLeft: boolean
  readonly values: unknown[]
}

/**
 * The codec of {@link Unmatched}: `u8 side (0: right, 1: left) | (u32 length | value)*`, with the values in the codec
 * of that side.
 */
export function unmatchedCodec(left: Codec<unknown>, right: Codec<unknown>): Codec<Unmatched> {
  const scratch = new ByteWriter(256)
  return Object.freeze({
    id: `unmatched(${left.id}, ${right.id})`,
    write: ({ isLeft, values }, to) => {
      const codec = isLeft ? left : right
      to.u8(isLeft ? 1 : 0)
      for (const value of values) {
        scratch.clear()
        codec.write(value, scratch)
        to.u32(scratch.length)
        to.raw(scratch.bytes, 0, scratch.length)
      }
    },
    read: (bytes, start, end) => {
      const isLeft = bytes[start] === 1
      const codec = isLeft ? left : right
      const values: unknown[] = []
      for (let at = start + 1; at < end;) {
        if (at + lengthBytes > end) throw torn(end - start)
        const length = readLength(bytes, at)
        const from = at + lengthBytes
        if (from + length > end) throw torn(end - start)
        values.push(codec.read(bytes, from, from + length))
        at = from + length
      }
      return { isLeft, values }
    },
  } satisfies Codec<Unmatched>)
}

function readLength(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

function torn(bytes: number): CodecError {
  return new CodecError('INVALID_RECORD', `${bytes} bytes of unmatched records end in the middle of one`, { bytes })
}

const lengthBytes = 4
