import type { DiskFile } from '../../base/disk.ts'
import type { Offset } from '../api/record.ts'
import { batchHeaderBytes, nextOffset as nextOffsetOf } from '../format/record-batch.ts'
import { BatchScanner } from './batch-scanner.ts'
import { OffsetIndex } from './offset-index.ts'
import { TimeIndex } from './time-index.ts'

/**
 * Both indexes of one segment and the rule by which batches enter them, which is Kafka's: a batch gets an offset entry
 * when more than `index.interval.bytes` came since the last one, before it is counted itself; then the highest timestamp
 * so far gets a time entry if it rose. The rule depends on the batches alone, so that a rebuilt index equals a written one.
 */
export class SegmentIndexes {
  readonly offsets: OffsetIndex
  readonly times: TimeIndex
  readonly #intervalBytes: number
  #maxTimestamp = -1
  #maxTimestampOffset: Offset = -1
  #bytesSinceEntry = 0
  /** Stored time entries may lack their tail, and going on behind a hole would claim what is not so. */
  #timesComplete = true
  /** Up to where in the `.log` batches were counted, and the offset after the last of them. */
  #countedBytes = 0
  #nextOffset: Offset

  constructor(
    base: Offset,
    intervalBytes: number,
    offsets: OffsetIndex = new OffsetIndex(base),
    times: TimeIndex = new TimeIndex(base),
  ) {
    this.offsets = offsets
    this.times = times
    this.#intervalBytes = intervalBytes
    this.#nextOffset = base
  }

  /**
   * Indexes of a segment whose first `bytes` bytes are valid, from what its index files hold (null: nothing). Entries
   * beyond are dropped, the last is checked by following it, and the batches after it are counted. Any doubt starts over.
   *
   * A power cut takes from either file what it likes, so time entries may be missing that offset entries would need. The
   * highest timestamp is known for certain only where a time entry says it: counting starts before the batch of the last
   * one. Timestamps that rise, as they mostly do, make that one interval or two.
   */
  static open(
    log: DiskFile,
    stored: { readonly index: Uint8Array | null; readonly timeIndex: Uint8Array | null },
    segment: { readonly base: Offset; readonly bytes: number; readonly intervalBytes: number },
  ): SegmentIndexes {
    if (stored.index !== null && stored.timeIndex !== null) {
      const indexes = SegmentIndexes.#resume(log, stored.index, stored.timeIndex, segment)
      if (indexes !== null) return indexes
    }
    return SegmentIndexes.build(log, segment)
  }

  /** What index files hold, as it stands: for a reader, who checks each entry that it follows. */
  static stored(
    stored: { readonly index: Uint8Array | null; readonly timeIndex: Uint8Array | null },
    base: Offset,
    intervalBytes: number,
  ): SegmentIndexes {
    if (stored.index === null || stored.timeIndex === null) return new SegmentIndexes(base, intervalBytes)
    const offsets = OffsetIndex.decode(base, stored.index)
    const indexes = new SegmentIndexes(base, intervalBytes, offsets, TimeIndex.decode(base, stored.timeIndex))
    indexes.#goOnAfterLastEntry()
    indexes.#timesComplete = false
    return indexes
  }

  /** Indexes made from the `.log` alone. */
  static build(
    log: DiskFile,
    segment: { readonly base: Offset; readonly bytes: number; readonly intervalBytes: number },
  ): SegmentIndexes {
    const indexes = new SegmentIndexes(segment.base, segment.intervalBytes)
    indexes.countTo(log, segment.bytes)
    return indexes
  }

  static #resume(
    log: DiskFile,
    index: Uint8Array,
    timeIndex: Uint8Array,
    segment: { readonly base: Offset; readonly bytes: number; readonly intervalBytes: number },
  ): SegmentIndexes | null {
    const offsets = OffsetIndex.decode(segment.base, index)
    offsets.dropFrom(segment.bytes)
    if (offsets.count === 0) return null
    // A closing time entry stands for batches after the last offset entry: they are counted again below.
    const times = TimeIndex.decode(segment.base, timeIndex)
    times.dropAbove(offsets.lastOffset)
    // Zeros where the first entry was read as one.
    if (times.count === 0 || times.timestampAt(0) === 0) return null
    const timestamp = times.lastTimestamp
    const offset = times.lastOffset
    times.dropAbove(offset - 1)
    offsets.dropAbove(offset - 1)
    if (offsets.count === 0 || !leadsToItsBatch(log, offsets, offsets.count - 1)) return null

    const indexes = new SegmentIndexes(segment.base, segment.intervalBytes, offsets, times)
    indexes.#goOnAfterLastEntry()
    indexes.countTo(log, segment.bytes)
    // The entry must have come back, or it was none of these batches'.
    const again = times.floor(timestamp)
    return again >= 0 && times.timestampAt(again) === timestamp && times.offsetAt(again) === offset ? indexes : null
  }

  #goOnAfterLastEntry(): void {
    const { offsets, times } = this
    this.#maxTimestamp = times.lastTimestamp
    this.#maxTimestampOffset = times.lastOffset
    // The entry's own batch is counted after its entry, as when the entry was made.
    this.#countedBytes = offsets.lastFilePosition
    this.#nextOffset = offsets.count < 2 ? this.base : offsets.offsetAt(offsets.count - 2) + 1
  }

  get base(): Offset {
    return this.offsets.base
  }

  get countedBytes(): number {
    return this.#countedBytes
  }

  get nextOffset(): Offset {
    return this.#nextOffset
  }

  /** Counts the batch at `countedBytes`. */
  count(nextOffset: Offset, maxTimestamp: number, bytes: number): void {
    const lastOffset = nextOffset - 1
    if (maxTimestamp > this.#maxTimestamp) {
      this.#maxTimestamp = maxTimestamp
      this.#maxTimestampOffset = lastOffset
    }
    if (this.#bytesSinceEntry > this.#intervalBytes) {
      this.offsets.append(lastOffset, this.#countedBytes)
      this.#timeEntry()
      this.#bytesSinceEntry = 0
    }
    this.#countedBytes += bytes
    this.#bytesSinceEntry += bytes
    this.#nextOffset = nextOffset
  }

  /** Counts the batches in the file from where counting stopped up to `end`. */
  countTo(log: DiskFile, end: number): void {
    if (this.#countedBytes >= end) return
    const range = { start: this.#countedBytes, end, from: this.#nextOffset, contiguous: false }
    const scanner = new BatchScanner(log, range)
    while (scanner.next()) this.count(scanner.nextOffset, scanner.maxTimestamp, scanner.bytes)
  }

  /** The entry that Kafka adds when a segment is rolled or closed. */
  finish(): void {
    this.#timeEntry()
  }

  #timeEntry(): void {
    if (this.#timesComplete && this.#maxTimestamp > this.times.lastTimestamp)
      this.times.append(this.#maxTimestamp, this.#maxTimestampOffset)
  }
}

/** Whether a batch that ends at the entry's offset starts at the entry's position. */
export function leadsToItsBatch(log: DiskFile, offsets: OffsetIndex, entry: number): boolean {
  const header = Buffer.alloc(batchHeaderBytes)
  if (log.read(header, offsets.filePositionAt(entry)) < batchHeaderBytes || header[16] !== 2) return false
  return nextOffsetOf(header, 0) === offsets.offsetAt(entry) + 1
}
