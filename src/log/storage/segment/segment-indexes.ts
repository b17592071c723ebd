import type { DiskFile } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import { batchHeaderBytes, nextOffset as nextOffsetOf } from '../../format/record-batch.ts'
import { BatchScanner } from './batch-scanner.ts'
import { OffsetIndex } from './offset-index.ts'
import { TimeIndex } from './time-index.ts'

/**
 * Both indexes of one segment, and Kafka's rule for adding entries: a batch gets an offset entry if more than
 * `index.interval.bytes` came since the last entry, not counting the batch itself; then the highest timestamp so far
 * gets a time entry if it rose. The rule depends on the batches alone, so a rebuilt index equals a written one.
 */
export class SegmentIndexes {
  readonly offsets: OffsetIndex
  readonly times: TimeIndex
  readonly #intervalBytes: number
  #maxTimestamp = -1
  #maxTimestampOffset: Offset = -1
  #bytesSinceEntry = 0
  /** False if stored time entries may lack their tail: entries appended after such a gap would make false claims. */
  #timesComplete = true
  /** The position in the `.log` up to which batches were counted, and the offset after the last of them. */
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
   * Indexes of a segment whose first `bytes` bytes are valid, from the contents of its index files (null: no file).
   * Entries beyond the valid bytes are dropped, the last entry is checked against its batch, and the batches after it
   * are counted. In any doubt both are rebuilt.
   *
   * A power cut may remove entries from either file, so time entries may be missing that offset entries would need. The
   * highest timestamp is certain only where a time entry states it. Therefore counting starts before the batch of the
   * last time entry. With rising timestamps, the usual case, that is one index interval or two.
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

  /** The contents of index files, unchecked: for a reader, which checks each entry that it follows. */
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

  /** Indexes built from the `.log` alone. */
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
    // A closing time entry may refer to batches after the last offset entry, which are counted again below.
    const times = TimeIndex.decode(segment.base, timeIndex)
    times.dropAbove(offsets.lastOffset)
    // Zeros at the start of the file were decoded as an entry.
    if (times.count === 0 || times.timestampAt(0) === 0) return null
    const timestamp = times.lastTimestamp
    const offset = times.lastOffset
    times.dropAbove(offset - 1)
    offsets.dropAbove(offset - 1)
    if (offsets.count === 0 || !leadsToItsBatch(log, offsets, offsets.count - 1)) return null

    const indexes = new SegmentIndexes(segment.base, segment.intervalBytes, offsets, times)
    indexes.#goOnAfterLastEntry()
    indexes.countTo(log, segment.bytes)
    // Counting must have produced the same entry again, otherwise it did not describe these batches.
    const again = times.floor(timestamp)
    return again >= 0 && times.timestampAt(again) === timestamp && times.offsetAt(again) === offset ? indexes : null
  }

  #goOnAfterLastEntry(): void {
    const { offsets, times } = this
    this.#maxTimestamp = times.lastTimestamp
    this.#maxTimestampOffset = times.lastOffset
    // The entry's batch is counted after its entry was added, so counting continues with that batch.
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

  /** Counts the batches in the file, from the end of the last counted one up to `end`. */
  countTo(log: DiskFile, end: number): void {
    if (this.#countedBytes >= end) return
    const range = { start: this.#countedBytes, end, from: this.#nextOffset, contiguous: false }
    const scanner = new BatchScanner(log, range)
    while (scanner.next()) this.count(scanner.nextOffset, scanner.maxTimestamp, scanner.bytes)
  }

  /** Adds the entry that Kafka adds when a segment is rolled or closed. */
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
