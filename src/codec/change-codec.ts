import { ByteWriter } from '../base/bytes.ts'
import { CodecError } from './codec-error.ts'
import type { Codec } from './codec.ts'

/** A change of a table's row, sent to another partition. Null: there was no value before, or there is none now. */
export interface CodedChange {
  readonly newValue: unknown
  readonly oldValue: unknown
}

/**
 * The codec of values in a repartition topic between a table and its groups. One record contains what enters the group,
 * what leaves it, or both, so that an update inside a group is one step.
 *
 *     flags u8: 1 new, 2 old | with both: length of new u32 | new | old
 */
export function changeCodec(inner: Codec<unknown>): Codec<CodedChange> {
  const scratch = new ByteWriter(256)
  return Object.freeze({
    id: `change-${inner.id}`,
    write({ newValue, oldValue }: CodedChange, to: ByteWriter): void {
      to.u8((newValue === null ? 0 : hasNew) | (oldValue === null ? 0 : hasOld))
      if (newValue !== null && oldValue !== null) {
        scratch.clear()
        inner.write(newValue, scratch)
        to.u32(scratch.length)
        to.raw(scratch.bytes, 0, scratch.length)
      } else if (newValue !== null) {
        inner.write(newValue, to)
      }
      if (oldValue !== null) inner.write(oldValue, to)
    },
    read(bytes: Uint8Array, start: number, end: number): CodedChange {
      const flags = start < end ? (bytes[start] as number) : 0
      if (flags === hasNew) return { newValue: inner.read(bytes, start + 1, end), oldValue: null }
      if (flags === hasOld) return { newValue: null, oldValue: inner.read(bytes, start + 1, end) }
      const oldStart = start + 5 + (start + 5 <= end ? lengthAt(bytes, start + 1) : 0)
      if (flags !== (hasNew | hasOld) || start + 5 > end || oldStart > end) {
        throw new CodecError('INVALID_RECORD', `no change of a table in these ${end - start} bytes`, { flags })
      }
      return { newValue: inner.read(bytes, start + 5, oldStart), oldValue: inner.read(bytes, oldStart, end) }
    },
  })
}

function lengthAt(bytes: Uint8Array, at: number): number {
  let length = 0
  for (let index = 0; index < 4; index++) length = length * 256 + (bytes[at + index] as number)
  return length
}

const hasNew = 1
const hasOld = 2
