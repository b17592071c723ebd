import { assert } from '../../base/assert.ts'
import type { Offset } from '../api/record.ts'
import type { PartitionState, SegmentState } from '../journal/checkpoint.ts'
import type { ProducedBatch } from './producers/produced-batch.ts'
import { ProducerStates } from './producers/producer-state.ts'
import { floorSegment } from './segment/segment-stretch.ts'

/** What has to be known of a batch to update its partition's state. */
export interface PlacedBatch {
  readonly baseOffset: Offset
  /** Offset after the batch's last record. */
  readonly nextOffset: Offset
  readonly leaderEpoch: number
  readonly maxTimestamp: number
  readonly segmentBase: Offset
  readonly filePosition: number
  readonly bytes: number
  /** Wall-clock time of the append. */
  readonly appendedAt: number
  /** The batch's producer part, or null if it has no producer. */
  readonly produced: ProducedBatch | null
}

/** Segments that compaction replaced by a new one, with the state of the new one. */
export interface SegmentReplacement {
  readonly oldBases: readonly Offset[]
  readonly segment: SegmentState
}

/**
 * The state of one partition's files, updated with every append. The sequencer keeps it for the promoted part of the
 * journal, and recovery while it replays. It is pure bookkeeping and touches no files. Noting a batch twice changes
 * nothing.
 */
export class PartitionSegments {
  readonly topicId: string
  readonly partition: number
  #logStart: Offset
  #end: Offset
  #segments: SegmentState[]
  #epochs: { readonly epoch: number; readonly start: Offset }[]
  /** Null until a producer with an id writes: most partitions have none. */
  #producers: ProducerStates | null

  constructor(state: PartitionState) {
    this.topicId = state.topicId
    this.partition = state.partition
    this.#logStart = state.logStart
    this.#end = state.end
    this.#segments = [...state.segments]
    this.#epochs = [...state.epochs]
    const { producers, aborted } = state
    // Empty lists count too, after all producers have expired: whether there ever was one decides which files exist
    // beside the segments.
    this.#producers = producers === undefined && aborted === undefined ? null : new ProducerStates(producers, aborted)
  }

  static empty(topicId: string, partition: number): PartitionSegments {
    return new PartitionSegments({ topicId, partition, logStart: 0, end: 0, segments: [], epochs: [] })
  }

  get logStart(): Offset {
    return this.#logStart
  }

  get end(): Offset {
    return this.#end
  }

  /** Ordered by base offset; the last is the active segment. */
  get segments(): readonly SegmentState[] {
    return this.#segments
  }

  /** Whether a segment has this base. Uses a binary search, because recovery asks for every batch. */
  hasSegment(base: Offset): boolean {
    return this.#segments[floorSegment(this.#segments, base)]?.base === base
  }

  get epochs(): PartitionState['epochs'] {
    return this.#epochs
  }

  get producers(): ProducerStates | null {
    return this.#producers
  }

  /** All transactions below this offset are completed: Kafka's last stable offset. */
  get stableEnd(): Offset {
    const unstable = this.#producers?.firstUnstableOffset ?? -1
    return unstable < 0 ? this.#end : unstable
  }

  appended(batch: PlacedBatch): void {
    if (batch.nextOffset <= this.#end) return
    assert(batch.baseOffset >= this.#end, `batch at ${batch.baseOffset}, the log ends at ${this.#end}`)
    const last = this.#segments.at(-1)
    if (last === undefined || last.base !== batch.segmentBase) {
      assert(batch.filePosition === 0, `a new segment ${batch.segmentBase} starts at ${batch.filePosition}`)
      this.#segments.push({
        base: batch.segmentBase,
        bytes: batch.bytes,
        firstAppendAt: batch.appendedAt,
        lastAppendAt: batch.appendedAt,
        maxTimestamp: batch.maxTimestamp,
      })
    } else {
      assert(batch.filePosition === last.bytes, `batch at ${batch.filePosition}, the segment ends at ${last.bytes}`)
      this.#segments[this.#segments.length - 1] = {
        ...last,
        bytes: last.bytes + batch.bytes,
        lastAppendAt: Math.max(last.lastAppendAt, batch.appendedAt),
        maxTimestamp: Math.max(last.maxTimestamp, batch.maxTimestamp),
      }
    }
    this.#end = batch.nextOffset
    const epoch = this.#epochs.at(-1)
    if (epoch === undefined || epoch.epoch < batch.leaderEpoch) {
      this.#epochs.push({ epoch: batch.leaderEpoch, start: batch.baseOffset })
    }
    if (batch.produced === null) return
    this.#producers ??= new ProducerStates()
    this.#producers.note(batch.produced, batch.baseOffset, batch.appendedAt)
  }

  /** Moves the log start and drops segments that lie wholly below it; returns their bases, to be unlinked later. */
  logStartMoved(offset: Offset): readonly Offset[] {
    if (offset <= this.#logStart) return []
    assert(offset <= this.#end, `log start ${offset}, the log ends at ${this.#end}`)
    this.#logStart = offset
    const dropped: Offset[] = []
    while (this.#segments.length > 1 && (this.#segments[1]?.base ?? Infinity) <= offset) {
      const first = this.#segments.shift()
      if (first !== undefined) dropped.push(first.base)
    }
    // Batches below the log start remain in the first segment. Whoever checks its file needs their leader epochs.
    const stored = this.#segments[0]?.base ?? offset
    while (this.#epochs.length > 1 && (this.#epochs[1]?.start ?? Infinity) <= stored) this.#epochs.shift()
    this.#producers?.aborted.forgetBelow(offset)
    return dropped
  }

  /** Returns false if the old segments no longer exist, because the replacement was noted before. */
  replaced(replacement: SegmentReplacement): boolean {
    const bases = new Set(replacement.oldBases)
    const first = this.#segments.findIndex((segment) => segment.base === replacement.oldBases[0])
    const old = this.#segments.slice(first, first + bases.size)
    if (first < 0 || !old.every((segment) => bases.has(segment.base))) return false
    this.#segments.splice(first, bases.size, replacement.segment)
    return true
  }

  /** Compaction has examined everything below `offset`: segments wholly below it are no longer dirty. */
  cleanedUpTo(offset: Offset): void {
    for (const [index, { dirtyFrom, ...cleaned }] of this.#segments.entries())
      if (dirtyFrom !== undefined && (this.#segments[index + 1]?.base ?? Infinity) <= offset)
        this.#segments[index] = cleaned
  }

  state(): PartitionState {
    return {
      topicId: this.topicId,
      partition: this.partition,
      logStart: this.#logStart,
      end: this.#end,
      segments: [...this.#segments],
      epochs: [...this.#epochs],
      ...(this.#producers === null
        ? {}
        : { producers: this.#producers.states(), aborted: [...this.#producers.aborted.list] }),
    }
  }
}
