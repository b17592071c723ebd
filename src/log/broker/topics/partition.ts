import type { Isolation } from '../../api/log.ts'
import { noBytes, partitionName, type Offset, type TopicPartition } from '../../api/record.ts'
import type { PartitionState, RememberedBatch, SegmentState } from '../../journal/checkpoint.ts'
import type { CompactionResult } from '../../storage/compaction/compaction.ts'
import { PartitionSegments, type PlacedBatch, type SegmentReplacement } from '../../storage/partition-segments.ts'
import type { AbortedTransactions } from '../../storage/producers/aborted-transactions.ts'
import type { ProducedBatch, ProducedRecords } from '../../storage/producers/produced-batch.ts'
import { ProducerStates } from '../../storage/producers/producer-state.ts'
import { ActiveSegment, type ActiveSegmentMark } from './active-segment.ts'
import type { Topic } from './catalog.ts'

/**
 * A batch with its place. The sequencer creates it, the journal gives it its memory, and the tail ring keeps it for
 * readers.
 */
export class TailBatch implements PlacedBatch {
  /** The batch's partition; replaced by a placeholder once the topic is gone, see {@link Partition.forgetTail}. */
  of: Partition
  readonly baseOffset: Offset
  readonly nextOffset: Offset
  readonly leaderEpoch: number
  readonly segmentBase: Offset
  readonly filePosition: number
  readonly bytes: number
  readonly maxTimestamp: number
  readonly appendedAt: number
  /** Null once it is promoted: the ring has many batches, and each of these is an object of a hundred bytes. */
  produced: ProducedBatch | null
  /**
   * The batch's bytes are `memory[start, start + bytes)`, in the memory of the group with that sequence. Set when the
   * journal has taken the entry. The memory is reused once the batch has left the tail ring: copy whatever must be kept
   * beyond this turn.
   */
  memory: Uint8Array = noBytes
  start = 0
  sequence = 0

  constructor(of: Partition, place: PlacedBatch) {
    this.of = of
    this.baseOffset = place.baseOffset
    this.nextOffset = place.nextOffset
    this.leaderEpoch = place.leaderEpoch
    this.segmentBase = place.segmentBase
    this.filePosition = place.filePosition
    this.bytes = place.bytes
    this.maxTimestamp = place.maxTimestamp
    this.appendedAt = place.appendedAt
    this.produced = place.produced
  }

  promote(): void {
    this.of.promoteBatch(this)
    this.produced = null
  }

  /** Nothing waits for a batch itself, only for the append or commit that carried it. */
  settle(): void {}
}

/**
 * The state of one partition: what is promoted, what is pending after that, the batches that are only in memory so far,
 * and what is known of its producers. It places batches; it reads and writes no files.
 */
export class Partition {
  readonly topic: Topic
  readonly index: number
  readonly at: TopicPartition
  readonly name: string
  /** Pending; `logStart` and `end` are the promoted counterparts. */
  pendingLogStart: Offset = 0
  pendingEnd: Offset = 0
  /** Pending. */
  readonly #active: ActiveSegment
  /**
   * Everything below this offset is in the segment files; everything from here on is in `tail` (ascending, from
   * `tailHead`).
   */
  tailStart: Offset = 0
  tail: TailBatch[] = []
  tailHead = 0
  /**
   * The newest promoted group when somebody last read, or found nothing to read, in the tail; -1 if nobody has, or not
   * since the ring kept batches for it in vain.
   */
  tailReadAt = -1
  #promoted: PartitionSegments
  /** Pending: the state that a producer's next batch is checked against. Null until a producer with an id writes. */
  #pendingProducers: ProducerStates | null = null
  /**
   * Replacements by compaction whose files are not yet known to be where readers look, in the order of their groups.
   */
  #replacing: {
    readonly sequence: number
    readonly old: readonly SegmentState[]
    readonly newBase: Offset
  }[] = []
  /**
   * Whether replacements have taken effect since the last read; cached readers may then still have the old files open.
   */
  #hasReplaced = false

  constructor(topic: Topic, index: number) {
    this.topic = topic
    this.index = index
    this.at = { topic: topic.name, partition: index }
    this.name = partitionName(this.at)
    this.#active = new ActiveSegment(this.name)
    this.#promoted = PartitionSegments.empty(topic.id, index)
  }

  /** The first offset that can be read. */
  get logStart(): Offset {
    return this.#promoted.logStart
  }

  /** One past the last promoted record. */
  get end(): Offset {
    return this.#promoted.end
  }

  get deleted(): boolean {
    return this.topic.phase === 'deleted'
  }

  /** Promoted: what is known of its producers, or null if it never had any. */
  get producers(): ProducerStates | null {
    return this.#promoted.producers
  }

  /** Like `producers`, but including everything in flight. */
  get pendingProducers(): ProducerStates | null {
    return this.#pendingProducers
  }

  /** Every transaction below this offset is decided. Kafka: last stable offset. */
  get stableEnd(): Offset {
    return this.#promoted.stableEnd
  }

  /** Like `stableEnd`, but including everything in flight. */
  get pendingStableEnd(): Offset {
    const unstable = this.#pendingProducers?.firstUnstableOffset ?? -1
    return unstable < 0 ? this.pendingEnd : unstable
  }

  /** One past the last offset that a reader of this isolation is shown. */
  visibleEnd(isolation: Isolation): Offset {
    if (isolation === 'durable') return this.end
    return isolation === 'sequenced' ? this.pendingStableEnd : this.stableEnd
  }

  /** The aborted transactions that a reader of this isolation skips; null if it shows them or there are none. */
  hiddenFrom(isolation: Isolation): AbortedTransactions | null {
    if (isolation === 'durable') return null
    const aborted = (isolation === 'sequenced' ? this.#pendingProducers : this.producers)?.aborted
    return aborted === undefined || aborted.list.length === 0 ? null : aborted
  }

  /**
   * Null if the batch is new, or what is remembered of it if it is a duplicate. Throws what {@link ProducerStates}
   * throws.
   */
  checkProduced(batch: ProducedRecords): RememberedBatch | null {
    this.#pendingProducers ??= new ProducerStates()
    return this.#pendingProducers.check(batch, this.name)
  }

  /** Records that a producer's batch was sequenced at its place. */
  noteProduced(batch: ProducedBatch, placed: PlacedBatch): void {
    this.#pendingProducers ??= new ProducerStates()
    this.#pendingProducers.note(batch, placed.baseOffset, placed.appendedAt)
  }

  /**
   * Forgets producers without an open transaction that have not been used since `before`. Promoted state keeps those
   * that pending state knows.
   */
  expireProducers(before: number): number {
    const pending = this.#pendingProducers
    pending?.expire(before)
    return this.producers?.expire(before, pending) ?? 0
  }

  get segments(): readonly SegmentState[] {
    return this.#promoted.segments
  }

  get epochs(): PartitionState['epochs'] {
    return this.#promoted.epochs
  }

  /** Takes the place of the next batch and advances the pending state as if the batch were there. */
  place(batch: BatchShape, context: PlaceContext): TailBatch {
    const { config } = this.topic
    const active = this.#active
    const baseOffset = this.pendingEnd + context.gap
    const lastOffset = baseOffset + batch.lastOffsetDelta
    active.makeRoom({ baseOffset, lastOffset, bytes: batch.bytes }, config, context.now)
    const placed = new TailBatch(this, {
      baseOffset,
      nextOffset: lastOffset + 1,
      leaderEpoch: context.leaderEpoch,
      segmentBase: active.base,
      filePosition: active.bytes,
      bytes: batch.bytes,
      maxTimestamp: batch.maxTimestamp,
      appendedAt: context.now,
      produced: batch.produced,
    })
    active.take(batch.bytes, config)
    this.pendingEnd = lastOffset + 1
    return placed
  }

  /** A snapshot of the pending state, to return to if the entry is refused before anything else has been placed. */
  mark(): PendingMark {
    return { partition: this, end: this.pendingEnd, active: this.#active.mark() }
  }

  returnTo({ end, active }: PendingMark): void {
    this.pendingEnd = end
    this.#active.returnTo(active)
  }

  promoteBatch(batch: PlacedBatch): void {
    this.#promoted.appended(batch)
  }

  /** Moves the log start up, and returns the bases of the segments that are no longer part of the log. */
  promoteLogStart(offset: Offset): readonly Offset[] {
    this.#pendingProducers?.aborted.forgetBelow(offset)
    return this.#promoted.logStartMoved(offset)
  }

  /**
   * Forgets the aborted transactions of which compaction found no records left in the files: none can be added there
   * any more. Batches that are read from memory have not been compacted, so transactions that end in memory are kept.
   */
  forgetAborted({ readUpTo, abortsLeft }: Pick<CompactionResult, 'readUpTo' | 'abortsLeft'>): void {
    const below = Math.min(readUpTo, this.tailStart)
    this.#pendingProducers?.aborted.forgetEmpty(below, abortsLeft)
    this.producers?.aborted.forgetEmpty(below, abortsLeft)
  }

  /** Notes that compaction has processed everything below `offset`, including what an earlier pass left for later. */
  cleanedUpTo(offset: Offset): void {
    this.#promoted.cleanedUpTo(offset)
  }

  /**
   * Puts compacted segments in the place of old ones. Until the applier has moved the new file to where readers look,
   * readers continue with the old segments, whose files remain for at least two checkpoints.
   */
  promoteReplaced(replacement: SegmentReplacement, sequence: number): boolean {
    const bases = new Set(replacement.oldBases)
    const old = this.segments.filter(({ base }) => bases.has(base))
    if (!this.#promoted.replaced(replacement)) return false
    // A pass replaces several runs of segments at once, and only begins when every replacement of the previous pass is
    // in place. Replacements in place are removed here, too, because a partition that is never read must not accumulate
    // them.
    const before = this.#replacing.length
    this.#replacing = this.#replacing.filter((each) => each.sequence >= sequence)
    if (this.#replacing.length < before) this.#hasReplaced = true
    this.#replacing.push({ sequence, old, newBase: replacement.segment.base })
    return true
  }

  /** The segments to read, given what has been applied. `replaced` is called when new segments have taken over. */
  segmentsToRead(appliedSequence: number, replaced: () => void): ReadableSegments {
    if (this.#replacing.length === 0) return { segments: this.segments, inPlace: false }
    const waiting = this.#replacing.filter(({ sequence }) => sequence > appliedSequence)
    if (this.#hasReplaced || waiting.length < this.#replacing.length) replaced()
    this.#hasReplaced = false
    this.#replacing = waiting
    if (waiting.length === 0) return { segments: this.segments, inPlace: false }
    const old = new Map(waiting.map((each) => [each.newBase, each.old]))
    return { segments: this.segments.flatMap((segment) => old.get(segment.base) ?? [segment]), inPlace: true }
  }

  /** Whether the files match {@link Partition.segments}, given what has been applied. */
  hasFiles(appliedSequence: number): boolean {
    return this.#replacing.every(({ sequence }) => sequence <= appliedSequence)
  }

  /**
   * Everything below this offset is in the files, given what has been applied. Code that reads the files directly must
   * stay below it.
   */
  appliedEnd(appliedSequence: number): Offset {
    for (let index = this.tailHead; index < this.tail.length; index++) {
      const batch = this.tail[index]
      if (batch !== undefined && batch.sequence > appliedSequence) return batch.segmentBase
    }
    return this.end
  }

  /**
   * The offset at which epoch `leaderEpoch` ended: the start of the next epoch in this partition, or the end of the
   * log.
   */
  epochEnd(leaderEpoch: number): Offset {
    return this.epochs.find((entry) => entry.epoch > leaderEpoch)?.start ?? this.end
  }

  /** The leader epoch that wrote at this offset. */
  epochAt(offset: Offset): number {
    return this.epochs.findLast(({ start }) => start <= offset)?.epoch ?? -1
  }

  /**
   * The index in the tail of the batch that holds `offset`, or of the first batch after it; the tail's length if there
   * is none.
   */
  tailIndex(offset: Offset): number {
    let low = this.tailHead
    let high = this.tail.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.tail[middle] as TailBatch).nextOffset > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  /**
   * Drops the tail of a deleted topic, which is no longer read. The ring keeps its batches for a while; giving them to
   * a placeholder lets the topic and all its partitions be garbage-collected before that.
   */
  forgetTail(placeholder: Partition): void {
    for (const batch of this.tail) batch.of = placeholder
    this.tail = []
    this.tailHead = 0
  }

  dropPending(): void {
    this.tail.length = this.tailIndex(this.end)
    this.#resume()
  }

  /** Sets the state that recovery found, in which nothing is pending and nothing is in memory. */
  restore(state: PartitionState): void {
    this.#promoted = new PartitionSegments(state)
    this.tailStart = this.end
    this.#resume()
  }

  #resume(): void {
    this.pendingEnd = this.end
    this.pendingLogStart = this.logStart
    const { producers } = this.#promoted
    this.#pendingProducers = producers === null ? null : new ProducerStates(producers.states(), producers.aborted.list)
    this.#active.continueAt(this.segments.at(-1), this.topic.config)
  }

  state(): PartitionState {
    return this.#promoted.state()
  }

  /** Whether the partition was ever written to: untouched partitions have no directory and are in no checkpoint. */
  get touched(): boolean {
    return this.end > 0 || this.segments.length > 0
  }
}

/** What readers get of a partition's segments. */
export interface ReadableSegments {
  readonly segments: readonly SegmentState[]
  /**
   * Whether compaction has replaced some of them and the applier may be about to put the new files beside the old ones.
   * All of them must then be read under their final names. They have these names, because a partition is not compacted
   * before all of its files are in place.
   */
  readonly inPlace: boolean
}

export interface PendingMark {
  readonly partition: Partition
  readonly end: Offset
  readonly active: ActiveSegmentMark
}

/** What `place` needs to know about a batch. */
export interface BatchShape {
  readonly bytes: number
  readonly lastOffsetDelta: number
  readonly maxTimestamp: number
  readonly produced: ProducedBatch | null
}

export interface PlaceContext {
  /** Wall-clock time of the append. */
  readonly now: number
  readonly leaderEpoch: number
  /** Offsets skipped before the batch: always 0, except in tests that prove that gaps do no harm. */
  readonly gap: number
}
