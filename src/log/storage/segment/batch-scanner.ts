import { crc32c } from '../../../base/crc32c.ts'
import type { DiskFile } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  leaderEpochOf,
  maxTimestampOf,
  nextOffset as nextOffsetOf,
} from '../../format/record-batch.ts'
import { checkHeader, corrupt } from './batch-frame.ts'

/**
 * Adds a batch to the checksum of a compacted segment. The first 21 bytes are enough: they contain the base offset,
 * which cannot be predicted after compaction, and the batch's own checksum, which covers the rest.
 */
export function foldHeader(sum: number, bytes: Uint8Array, at: number): number {
  const folded = Buffer.alloc(4 + summedHeaderBytes)
  folded.writeUInt32BE(sum)
  folded.set(bytes.subarray(at, at + summedHeaderBytes), 4)
  return crc32c(folded)
}

/** The checksum of a whole segment, built with {@link foldHeader}. */
export function segmentChecksum(file: DiskFile, segment: { readonly base: Offset; readonly bytes: number }): number {
  const scanner = new BatchScanner(file, { start: 0, end: segment.bytes, from: segment.base, contiguous: false })
  let sum = 0
  while (scanner.next()) sum = scanner.foldInto(sum)
  return sum
}

const summedHeaderBytes = 21
const chunkBytes = 32 * 1024

/**
 * Iterates over the headers of a segment's batches. It reads no more of the records than shares a chunk with a header.
 * After `next()` returned true, the fields describe the current batch; false means that `end` is reached.
 */
export class BatchScanner {
  filePosition = 0
  bytes = 0
  baseOffset: Offset = 0
  nextOffset: Offset
  maxTimestamp = -1
  leaderEpoch = -1
  readonly #file: DiskFile
  readonly #end: number
  readonly #contiguous: boolean
  #position: number
  #first = true
  readonly #chunk: Buffer
  #chunkStart = 0
  #chunkLength = 0

  /**
   * Scans from file position `start`, where a batch with a base offset of at least `from` begins, to `end`. With
   * `contiguous`, each batch must follow its predecessor without a gap.
   */
  constructor(
    file: DiskFile,
    range: { readonly start: number; readonly end: number; readonly from: Offset; readonly contiguous: boolean },
  ) {
    this.#file = file
    this.#position = range.start
    this.#end = range.end
    this.nextOffset = range.from
    this.#contiguous = range.contiguous
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(batchHeaderBytes, Math.min(chunkBytes, range.end - range.start)))
  }

  next(): boolean {
    const position = this.#position
    if (position >= this.#end) return false
    const place = {
      path: this.#file.path,
      filePosition: position,
      bytesLeft: this.#end - position,
      baseOffset: this.nextOffset,
      exactly: this.#contiguous && !this.#first,
      below: Infinity,
    }
    if (position < this.#chunkStart || position + batchHeaderBytes > this.#chunkStart + this.#chunkLength) {
      this.#chunkStart = position
      this.#chunkLength = Math.min(this.#file.read(this.#chunk, position), this.#end - position)
      if (this.#chunkLength < batchHeaderBytes) throw corrupt(place, `the file ends after ${this.#chunkLength} bytes`)
    }
    const at = position - this.#chunkStart
    checkHeader(this.#chunk, at, place)
    this.filePosition = position
    this.bytes = batchBytesOf(this.#chunk, at)
    this.baseOffset = baseOffsetOf(this.#chunk, at)
    this.nextOffset = nextOffsetOf(this.#chunk, at)
    this.maxTimestamp = maxTimestampOf(this.#chunk, at)
    this.leaderEpoch = leaderEpochOf(this.#chunk, at)
    this.#first = false
    this.#position = position + this.bytes
    return true
  }

  /** Adds the current batch to a segment's checksum. */
  foldInto(sum: number): number {
    return foldHeader(sum, this.#chunk, this.filePosition - this.#chunkStart)
  }
}
