import { crc32c } from '../../base/crc32c.ts'
import { LogError } from '../api/errors.ts'
import type { Offset } from '../api/record.ts'
import { baseOffsetOf, batchBytesOf, batchHeaderBytes, crcOf, magicOf, nextOffset } from '../format/record-batch.ts'

/**
 * What the place of a batch says about its header. The batch's checksum covers [21, end); the base offset, length, epoch
 * and magic before it are held against this, so that no flipped bit of a stored batch stays unseen.
 */
export interface BatchPlace {
  readonly path: string
  readonly filePosition: number
  /** Bytes from there to the end of what is valid in the file. */
  readonly bytesLeft: number
  /** The base offset must be this one (`exactly`), or at least this one where compaction leaves gaps. */
  readonly baseOffset: Offset
  readonly exactly: boolean
  /** The base offset lies below this: the next segment, or the end. */
  readonly below: Offset
}

/** Throws CORRUPT_BATCH unless the header at `at` can be what its place says. Needs 61 bytes; sums nothing. */
export function checkHeader(bytes: Uint8Array, at: number, place: BatchPlace): void {
  const magic = magicOf(bytes, at)
  if (magic !== 2) throw corrupt(place, `its magic is ${magic}, not 2`)
  const size = batchBytesOf(bytes, at)
  if (size < batchHeaderBytes || size > place.bytesLeft) {
    throw corrupt(place, `its length is ${size} bytes, there are ${place.bytesLeft}`)
  }
  const base = baseOffsetOf(bytes, at)
  const next = nextOffset(bytes, at)
  const follows = place.exactly ? base === place.baseOffset : base >= place.baseOffset
  if (!follows || next <= base || base >= place.below) {
    const wanted = `${place.exactly ? 'exactly' : 'at least'} ${place.baseOffset} and below ${place.below}`
    throw corrupt(place, `it says offsets ${base} to ${next - 1}, its base offset must be ${wanted}`)
  }
}

/** Throws CORRUPT_BATCH unless the whole batch at `at`, whose header was checked, has its checksum. */
export function checkSum(bytes: Uint8Array, at: number, place: Pick<BatchPlace, 'path' | 'filePosition'>): void {
  const stored = crcOf(bytes, at)
  const sum = crc32c(bytes, at + 21, at + batchBytesOf(bytes, at))
  if (sum !== stored) throw corrupt(place, `its checksum is ${sum}, the header says ${stored}`)
}

export function corrupt(place: Pick<BatchPlace, 'path' | 'filePosition'>, what: string): LogError {
  return new LogError(
    'CORRUPT_BATCH',
    `the batch at byte ${place.filePosition} of ${place.path} is damaged: ${what}; restore the file from a copy, or move the log start past it`,
    { path: place.path, filePosition: place.filePosition },
  )
}
