import { crc32c } from '../../../base/crc32c.ts'
import { LogError } from '../../api/errors.ts'
import type { Offset } from '../../api/record.ts'
import { baseOffsetOf, batchBytesOf, batchHeaderBytes, crcOf, magicOf, nextOffset } from '../../format/record-batch.ts'

/**
 * What the position of a batch implies for its header. The batch's checksum covers the bytes from 21 to its end. The
 * base offset, length and magic before them are compared with these values, and the epoch by `segment-check.ts`, so that
 * every flipped bit of a stored batch is detected.
 */
export interface BatchPlace {
  readonly path: string
  readonly filePosition: number
  /** Bytes from there to the end of the file's valid part. */
  readonly bytesLeft: number
  /** The base offset must be this one (`exactly`), or at least this one where compaction may have left gaps. */
  readonly baseOffset: Offset
  readonly exactly: boolean
  /** The base offset must be below this: the base of the next segment, or the end of the log. */
  readonly below: Offset
}

/** Throws CORRUPT_BATCH unless the header at `at` agrees with its place. Needs 61 bytes; computes no checksum. */
export function checkHeader(bytes: Uint8Array, at: number, place: BatchPlace): void {
  const magic = magicOf(bytes, at)
  if (magic !== 2) throw corrupt(place, `its magic is ${magic}, not 2`)
  const size = batchBytesOf(bytes, at)
  if (size < batchHeaderBytes || size > place.bytesLeft) {
    throw corrupt(place, `its length is ${size} bytes, but ${place.bytesLeft} are left`)
  }
  const base = baseOffsetOf(bytes, at)
  const next = nextOffset(bytes, at)
  const follows = place.exactly ? base === place.baseOffset : base >= place.baseOffset
  if (!follows || next <= base || base >= place.below) {
    const wanted = `${place.exactly ? 'exactly' : 'at least'} ${place.baseOffset} and below ${place.below}`
    throw corrupt(place, `it has offsets ${base} to ${next - 1}, but its base offset must be ${wanted}`)
  }
}

/** Throws CORRUPT_BATCH unless the whole batch at `at`, with a checked header, matches its checksum. */
export function checkSum(bytes: Uint8Array, at: number, place: Pick<BatchPlace, 'path' | 'filePosition'>): void {
  const stored = crcOf(bytes, at)
  const sum = crc32c(bytes, at + 21, at + batchBytesOf(bytes, at))
  if (sum !== stored) throw corrupt(place, `its checksum is ${sum}, but the header says ${stored}`)
}

export function corrupt(place: Pick<BatchPlace, 'path' | 'filePosition'>, what: string): LogError {
  return new LogError(
    'CORRUPT_BATCH',
    `the batch at byte ${place.filePosition} of ${place.path} is damaged: ${what}; restore the file from a copy, or move the log start past it`,
    { path: place.path, filePosition: place.filePosition },
  )
}
