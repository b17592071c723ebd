import { equalBytes } from '../../../base/bytes.ts'
import type { DiskFile } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import { maxTimestampOf, nextOffset } from '../../format/record-batch.ts'
import { corrupt } from './batch-frame.ts'
import type { FileCache } from './file-cache.ts'
import type { GatherMemory } from './gather-memory.ts'
import { segmentFile } from './segment-files.ts'
import { SegmentIndexes } from './segment-indexes.ts'

/** Index entries that may wait in memory: readers scan past the end of the index files. */
const indexEntriesWaitingMax = 64
/** Writes up to this size are gathered into one. */
export const gatherBytesMax: number = 1024 * 1024
/** Batches with an average size above this are written one by one: copying them together costs more than the calls. */
const gatherBatchBytesMax = 32 * 1024

/**
 * Writes one segment: the `.log` at given positions, and the indexes derived from it.
 *
 * - Every batch is written to the position in its entry, so writing it twice changes nothing.
 * - A batch is indexed once, when it continues what is indexed. When it is written again, the indexes contain it
 *   already.
 * - Small consecutive batches are gathered into one write.
 * - Time entries are written before offset entries: a reader that sees an offset entry finds the time entries up to it.
 * - Indexes are synced when the segment is complete. Until then a power cut may lose entries; opening the segment again
 *   rebuilds what is missing from the `.log`.
 * - Recovery, which runs without concurrent readers, writes its indexes in one piece when they are complete (`indexes:
 *   'at the end'`). Mostly that adds the last entry only, whereas dropping and rewriting it would take three calls per
 *   partition.
 */
export class SegmentWriter {
  readonly base: Offset
  readonly #files: FileCache
  readonly #gather: GatherMemory
  readonly #log: string
  readonly #index: string
  readonly #timeIndex: string
  readonly #indexes: SegmentIndexes
  #offsetsStored = 0
  #timesStored = 0
  /** Contents of the index files while nothing was written to them; null once they are kept up to date. */
  #stored: { readonly index: Uint8Array; readonly timeIndex: Uint8Array } | null = null
  #waiting: Uint8Array[] = []
  #waitingAt = 0
  #waitingBytes = 0

  /** Opens the segment in the directory `path`. Its first `bytes` bytes are known to be valid. */
  constructor(
    files: FileCache,
    path: string,
    segment: {
      readonly base: Offset
      readonly bytes: number
      readonly intervalBytes: number
      /** Memory for gathered writes, of {@link gatherBytesMax}; the writers of one thread share it. */
      readonly gather: GatherMemory
      readonly indexes?: 'as they grow' | 'at the end'
    },
  ) {
    this.base = segment.base
    this.#files = files
    this.#gather = segment.gather
    this.#log = `${path}/${segmentFile(segment.base, '.log')}`
    this.#index = `${path}/${segmentFile(segment.base, '.index')}`
    this.#timeIndex = `${path}/${segmentFile(segment.base, '.timeindex')}`
    const stored = { index: wholeFile(files.open(this.#index)), timeIndex: wholeFile(files.open(this.#timeIndex)) }
    const log = files.open(this.#log)
    if (log.size() < segment.bytes) {
      throw corrupt({ path: this.#log, filePosition: log.size() }, `the file lacks ${segment.bytes - log.size()} bytes`)
    }
    this.#indexes = SegmentIndexes.open(log, stored, segment)
    if (segment.indexes === 'at the end') this.#stored = stored
    else this.#replaceIndexes(stored)
  }

  /** File position where the next batch of the segment belongs. */
  get end(): number {
    return this.#indexes.countedBytes
  }

  /** Accepts a batch. It is written at the next flush, and must not change until then. */
  write(filePosition: number, batch: Uint8Array): void {
    if (filePosition > this.end) {
      throw corrupt({ path: this.#log, filePosition: this.end }, `the next batch belongs at byte ${filePosition}`)
    }
    if (filePosition === this.end) {
      this.#indexes.count(nextOffset(batch, 0), maxTimestampOf(batch, 0), batch.length)
    }
    const follows = filePosition === this.#waitingAt + this.#waitingBytes
    if (this.#waiting.length > 0 && (!follows || this.#waitingBytes + batch.length > gatherBytesMax)) this.flush()
    if (this.#waiting.length === 0) this.#waitingAt = filePosition
    this.#waiting.push(batch)
    this.#waitingBytes += batch.length
  }

  /** Writes the waiting batches, in one call if they are small. */
  flush(): void {
    if (this.#waiting.length > 0) {
      const file = this.#files.open(this.#log)
      if (this.#waitingBytes < this.#waiting.length * gatherBatchBytesMax && this.#waiting.length > 1) {
        file.write(this.#gather.join(this.#waiting), this.#waitingAt)
      } else {
        let at = this.#waitingAt
        for (const batch of this.#waiting) {
          file.write(batch, at)
          at += batch.length
        }
      }
      this.#files.written(this.#log, this.#waitingBytes)
      this.#waiting = []
      this.#waitingBytes = 0
    }
    if (this.#indexes.offsets.count - this.#offsetsStored >= indexEntriesWaitingMax) this.flushIndexes()
  }

  /** Writes the index entries that wait in memory. Call it after {@link flush}: their batches must be written first. */
  flushIndexes(): void {
    if (this.#stored !== null) return
    const { offsets, times } = this.#indexes
    if (times.count > this.#timesStored) {
      this.#append(this.#timeIndex, times.encode(this.#timesStored), this.#timesStored * 12)
      this.#timesStored = times.count
    }
    if (offsets.count > this.#offsetsStored) {
      this.#append(this.#index, offsets.encode(this.#offsetsStored), this.#offsetsStored * 8)
      this.#offsetsStored = offsets.count
    }
  }

  /** Writes everything that waits, and adds the last index entry that a closed segment has. */
  completeIndexes(): void {
    this.flush()
    this.#indexes.finish()
    if (this.#stored === null) this.flushIndexes()
    else this.#replaceIndexes(this.#stored)
  }

  /** The segment was rolled: completes its indexes and marks them to be synced. */
  finish(): void {
    this.completeIndexes()
    // Opened here already, so that the sync need not open it.
    for (const path of [this.#timeIndex, this.#index]) {
      this.#files.open(path)
      this.#files.written(path)
    }
  }

  #append(path: string, bytes: Uint8Array, filePosition: number): void {
    this.#files.open(path).write(bytes, filePosition)
  }

  #replaceIndexes(stored: { readonly index: Uint8Array; readonly timeIndex: Uint8Array }): void {
    const { offsets, times } = this.#indexes
    this.#replaceIndex(this.#timeIndex, stored.timeIndex, times.encode())
    this.#replaceIndex(this.#index, stored.index, offsets.encode())
    this.#offsetsStored = offsets.count
    this.#timesStored = times.count
    this.#stored = null
  }

  #replaceIndex(path: string, stored: Uint8Array, bytes: Uint8Array): void {
    if (equalBytes(stored, bytes)) return
    const file = this.#files.open(path)
    // It is not truncated to zero first: ext4 writes new content of such a file to the device at once.
    file.write(bytes, 0)
    if (stored.length > bytes.length) file.truncate(bytes.length)
  }
}

function wholeFile(file: DiskFile): Buffer {
  const bytes = Buffer.allocUnsafeSlow(file.size())
  return bytes.subarray(0, file.read(bytes, 0))
}
