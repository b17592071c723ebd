import { crc32c } from '../../../base/crc32c.ts'
import type { Offset } from '../../api/record.ts'
import type { TopicConfig } from '../../api/topic.ts'
import { batchHeaderBytes } from '../../format/record-batch.ts'
import type { SegmentState } from '../../journal/checkpoint.ts'

/**
 * The segment that the next batch of a partition goes to, and the place in it, as if everything in flight were there.
 *
 * - This alone decides when a segment begins: the journal records the place of each batch, and the applier writes the
 *   batch there.
 * - How full the indexes are is estimated from the batches; the estimate is never too low.
 */
export class ActiveSegment {
  readonly #partition: string
  #base: Offset = -1
  #bytes = 0
  #firstAppendAt = 0
  /** An upper bound on the entries in its offset index, and the bytes since the last entry. */
  #indexEntries = 0
  #bytesSinceEntry = 0

  constructor(partition: string) {
    this.#partition = partition
  }

  /** The offset of its first batch; -1 if there is no segment yet. */
  get base(): Offset {
    return this.#base
  }

  /** Its size, which is the file position of the next batch. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Begins a new segment if a batch with these offsets would make the present one too large, if the first append to it
   * is too long ago, or if an index is full or could not hold the offset.
   */
  makeRoom(
    batch: { readonly baseOffset: Offset; readonly lastOffset: Offset; readonly bytes: number },
    config: TopicConfig,
    now: number,
  ): void {
    const begins =
      this.#base < 0 ||
      (this.#bytes > 0 &&
        (this.#bytes + batch.bytes > config.segmentBytes ||
          now - this.#firstAppendAt > this.#rollMs(config) ||
          this.#indexEntries >= indexEntriesMax(config) ||
          batch.lastOffset - this.#base > offsetDeltaMax))
    if (!begins) return
    this.#base = batch.baseOffset
    this.#bytes = 0
    this.#firstAppendAt = now
    this.#indexEntries = 0
    this.#bytesSinceEntry = 0
  }

  /** Takes the next bytes for a batch. */
  take(bytes: number, { indexIntervalBytes }: TopicConfig): void {
    if (this.#bytesSinceEntry > indexIntervalBytes) {
      this.#indexEntries += 1
      this.#bytesSinceEntry = 0
    }
    this.#bytesSinceEntry += bytes
    this.#bytes += bytes
  }

  /** A snapshot to return to. */
  mark(): ActiveSegmentMark {
    return {
      base: this.#base,
      bytes: this.#bytes,
      firstAppendAt: this.#firstAppendAt,
      indexEntries: this.#indexEntries,
      bytesSinceEntry: this.#bytesSinceEntry,
    }
  }

  returnTo(mark: ActiveSegmentMark): void {
    this.#base = mark.base
    this.#bytes = mark.bytes
    this.#firstAppendAt = mark.firstAppendAt
    this.#indexEntries = mark.indexEntries
    this.#bytesSinceEntry = mark.bytesSinceEntry
  }

  /** Continues at the end of the partition's last segment, or without one. */
  continueAt(last: SegmentState | undefined, { indexIntervalBytes }: TopicConfig): void {
    this.#base = last?.base ?? -1
    this.#bytes = last?.bytes ?? 0
    this.#firstAppendAt = last?.firstAppendAt ?? 0
    // Only the index knows the exact number of its entries; the segment's size gives an upper bound.
    this.#indexEntries = Math.floor(this.#bytes / Math.max(indexIntervalBytes, batchHeaderBytes))
    this.#bytesSinceEntry = 0
  }

  /**
   * The age at which the segment is closed. Each segment has its own share of the jitter, which is the same at every
   * call.
   */
  #rollMs({ segmentMs, segmentJitterMs, cleanupPolicy, maxCompactionLagMs }: TopicConfig): number {
    // It is never compacted while it is active, so it must not stay so for longer than a record may wait for
    // compaction.
    const bound = cleanupPolicy === 'delete' ? segmentMs : Math.min(segmentMs, maxCompactionLagMs)
    if (segmentJitterMs === 0) return bound
    return bound - (crc32c(Buffer.from(`${this.#partition}/${this.#base}`)) % Math.min(segmentJitterMs, bound))
  }
}

export interface ActiveSegmentMark {
  readonly base: Offset
  readonly bytes: number
  readonly firstAppendAt: number
  readonly indexEntries: number
  readonly bytesSinceEntry: number
}

/** Kafka's indexes hold offsets as 32-bit distances from the segment's base. */
const offsetDeltaMax = 2 ** 31 - 1

/**
 * An offset index entry has 8 bytes and a time index entry 12; the time index also reserves room for its closing entry.
 */
function indexEntriesMax({ segmentIndexBytes }: TopicConfig): number {
  return Math.min(Math.floor(segmentIndexBytes / 8), Math.floor(segmentIndexBytes / 12) - 1)
}
