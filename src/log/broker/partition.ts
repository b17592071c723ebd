import { crc32c } from '../../base/crc32c.ts'
import { noBytes, partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { TopicConfig } from '../api/topic.ts'
import { batchHeaderBytes } from '../format/record-batch.ts'
import type { PartitionState, RememberedBatch, SegmentState } from '../journal/checkpoint.ts'
import type { Isolation } from '../api/log.ts'
import type { AbortedTransactions } from '../storage/aborted-transactions.ts'
import type { CompactionResult } from '../storage/compaction.ts'
import { PartitionSegments, type PlacedBatch, type SegmentReplacement } from '../storage/partition-segments.ts'
import type { ProducedBatch, ProducedRecords } from '../storage/produced-batch.ts'
import { ProducerStates } from '../storage/producer-state.ts'
import type { Topic } from './catalog.ts'

/** A batch with its place. The sequencer makes it, the journal gives it its memory, the tail ring keeps it for readers. */
export class TailBatch implements PlacedBatch {
  /** Another one once its topic is gone: {@link Partition.forgetTail}. */
  of: Partition
  readonly baseOffset: Offset
  readonly nextOffset: Offset
  readonly leaderEpoch: number
  readonly segmentBase: Offset
  readonly filePosition: number
  readonly bytes: number
  readonly maxTimestamp: number
  readonly appendedAt: number
  readonly produced: ProducedBatch | null
  /**
   * The batch in the group's memory, and the group; set when the journal has taken the entry. Other bytes are there once it
   * has left the tail ring: copy what is to be kept beyond this turn.
   */
  memory: Uint8Array = noBytes
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
  }

  /** Nobody waits for a batch itself, only for the append or commit that carried it. */
  settle(): void {}
}

/**
 * Where one partition stands: what is promoted, what is pending behind that, the batches that only memory has yet, and what
 * is known of its producers. It places batches and rolls segments; it reads and writes no file.
 */
export class Partition {
  readonly topic: Topic
  readonly index: number
  readonly at: TopicPartition
  readonly name: string
  /** Pending; the promoted counterparts are `logStart` and `end`. */
  pendingLogStart: Offset = 0
  pendingEnd: Offset = 0
  #activeBase: Offset = -1
  #activeBytes = 0
  #activeSince = 0
  /** Entries that the offset index of the active segment has or may have, and the bytes since the last of them. */
  #indexEntries = 0
  #bytesSinceEntry = 0
  /** Below this offset everything is in the segment files; from here on it is in `tail` (ascending, from `tailHead`). */
  tailStart: Offset = 0
  tail: TailBatch[] = []
  tailHead = 0
  #promoted: PartitionSegments
  /** Pending: what the next batch of a producer is held against. Null until a producer with an id writes. */
  #pendingProducers: ProducerStates | null = null
  /** Compacted segments whose files are not known to stand where readers look, in the order of their groups. */
  #replacing: {
    readonly sequence: number
    readonly old: readonly SegmentState[]
    readonly newBase: Offset
  }[] = []
  /** Replaced segments stand in their place since somebody has read, who may have the old files open. */
  #hasReplaced = false

  constructor(topic: Topic, index: number) {
    this.topic = topic
    this.index = index
    this.at = { topic: topic.name, partition: index }
    this.name = partitionName(this.at)
    this.#promoted = PartitionSegments.empty(topic.id, index)
  }

  /** First offset that can be read. */
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

  /** Promoted: what is known of its producers, or null if it had none. */
  get producers(): ProducerStates | null {
    return this.#promoted.producers
  }

  /** The same with all that is on its way. */
  get pendingProducers(): ProducerStates | null {
    return this.#pendingProducers
  }

  /** Up to here every transaction is decided: Kafka's last stable offset. */
  get stableEnd(): Offset {
    return this.#promoted.stableEnd
  }

  /** Up to here every transaction is decided, given all that is on its way. */
  get pendingStableEnd(): Offset {
    const unstable = this.#pendingProducers?.firstUnstableOffset ?? -1
    return unstable < 0 ? this.pendingEnd : unstable
  }

  /** One past the last offset that a reader of this isolation is shown. */
  visibleEnd(isolation: Isolation): Offset {
    if (isolation === 'durable') return this.end
    return isolation === 'sequenced' ? this.pendingStableEnd : this.stableEnd
  }

  /** The aborted transactions that such a reader leaves out; null where it shows them, or there are none. */
  hiddenFrom(isolation: Isolation): AbortedTransactions | null {
    if (isolation === 'durable') return null
    const aborted = (isolation === 'sequenced' ? this.#pendingProducers : this.producers)?.aborted
    return aborted === undefined || aborted.list.length === 0 ? null : aborted
  }

  /** Null if the batch is new; what is remembered of it if it came before. Throws what {@link ProducerStates} throws. */
  checkProduced(batch: ProducedRecords): RememberedBatch | null {
    this.#pendingProducers ??= new ProducerStates()
    return this.#pendingProducers.check(batch, this.name)
  }

  /** A batch of a producer was sequenced at its place. */
  noteProduced(batch: ProducedBatch, placed: PlacedBatch): void {
    this.#pendingProducers ??= new ProducerStates()
    this.#pendingProducers.note(batch, placed.baseOffset, placed.appendedAt)
  }

  /** Forgets producers that were not used since `before`, by what is on its way too. */
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

  /**
   * The place of the next batch; pending state moves on as if it were there. A segment is closed when the batch would
   * make it too large, when its first append is too old, or when an index is full or could not hold the offset.
   */
  place(batch: BatchShape, context: PlaceContext): TailBatch {
    const { config } = this.topic
    const baseOffset = this.pendingEnd + context.gap
    const lastOffset = baseOffset + batch.lastOffsetDelta
    const rolls =
      this.#activeBase < 0 ||
      (this.#activeBytes > 0 &&
        (this.#activeBytes + batch.bytes > config.segmentBytes ||
          context.now - this.#activeSince > rollMs(this, this.#activeBase) ||
          this.#indexEntries >= indexEntriesMax(config) ||
          lastOffset - this.#activeBase > offsetDeltaMax))
    if (rolls) {
      this.#activeBase = baseOffset
      this.#activeBytes = 0
      this.#activeSince = context.now
      this.#indexEntries = 0
      this.#bytesSinceEntry = 0
    }
    if (this.#bytesSinceEntry > config.indexIntervalBytes) {
      this.#indexEntries += 1
      this.#bytesSinceEntry = 0
    }
    this.#bytesSinceEntry += batch.bytes
    const placed = new TailBatch(this, {
      baseOffset,
      nextOffset: lastOffset + 1,
      leaderEpoch: context.leaderEpoch,
      segmentBase: this.#activeBase,
      filePosition: this.#activeBytes,
      bytes: batch.bytes,
      maxTimestamp: batch.maxTimestamp,
      appendedAt: context.now,
      produced: batch.produced,
    })
    this.#activeBytes += batch.bytes
    this.pendingEnd = lastOffset + 1
    return placed
  }

  /** Where pending state stands, to go back to if the entry is refused before anything else was placed. */
  mark(): PendingMark {
    return {
      partition: this,
      end: this.pendingEnd,
      activeBase: this.#activeBase,
      activeBytes: this.#activeBytes,
      activeSince: this.#activeSince,
      indexEntries: this.#indexEntries,
      bytesSinceEntry: this.#bytesSinceEntry,
    }
  }

  returnTo(mark: PendingMark): void {
    this.pendingEnd = mark.end
    this.#activeBase = mark.activeBase
    this.#activeBytes = mark.activeBytes
    this.#activeSince = mark.activeSince
    this.#indexEntries = mark.indexEntries
    this.#bytesSinceEntry = mark.bytesSinceEntry
  }

  promoteBatch(batch: PlacedBatch): void {
    this.#promoted.appended(batch)
  }

  /** Moves the log start up; returns the bases of the segments that are no longer part of the log. */
  promoteLogStart(offset: Offset): readonly Offset[] {
    this.#pendingProducers?.aborted.forgetBelow(offset)
    return this.#promoted.logStartMoved(offset)
  }

  /**
   * Forgets the aborted transactions of which compaction found nothing in the files; nothing more can come to be there. What
   * is read from memory is as it was before any compaction: there they are known on.
   */
  forgetAborted({ readUpTo, abortsLeft }: Pick<CompactionResult, 'readUpTo' | 'abortsLeft'>): void {
    const below = Math.min(readUpTo, this.tailStart)
    this.#pendingProducers?.aborted.forgetEmpty(below, abortsLeft)
    this.producers?.aborted.forgetEmpty(below, abortsLeft)
  }

  /** Compaction has gone through all below: what an earlier pass left for later is done. */
  cleanedUpTo(offset: Offset): void {
    this.#promoted.cleanedUpTo(offset)
  }

  /**
   * Compacted segments take the place of old ones. Until the applier has put their file where readers look, readers go
   * on with the old ones, whose files stay for at least two checkpoints.
   */
  promoteReplaced(replacement: SegmentReplacement, sequence: number): boolean {
    const bases = new Set(replacement.oldBases)
    const old = this.segments.filter(({ base }) => bases.has(base))
    if (!this.#promoted.replaced(replacement)) return false
    // A pass replaces several runs of segments at once, and begins only where all of the one before stands in its place:
    // nobody may ever read, and what compaction has done must not gather until somebody does.
    const before = this.#replacing.length
    this.#replacing = this.#replacing.filter((each) => each.sequence >= sequence)
    if (this.#replacing.length < before) this.#hasReplaced = true
    this.#replacing.push({ sequence, old, newBase: replacement.segment.base })
    return true
  }

  /** The segments to read, given what is applied; `replaced` is called when new ones take over. */
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

  /** Whether the files are those that {@link Partition.segments} speaks of, given what is applied. */
  hasFiles(appliedSequence: number): boolean {
    return this.#replacing.every(({ sequence }) => sequence <= appliedSequence)
  }

  /** Below it everything is in the files, given what is applied: whoever reads files himself may only look there. */
  appliedEnd(appliedSequence: number): Offset {
    for (let index = this.tailHead; index < this.tail.length; index++) {
      const batch = this.tail[index]
      if (batch !== undefined && batch.sequence > appliedSequence) return batch.segmentBase
    }
    return this.end
  }

  /** Where epoch `leaderEpoch` ended: the start of the next one here, or the end of the log. */
  epochEnd(leaderEpoch: number): Offset {
    return this.epochs.find((entry) => entry.epoch > leaderEpoch)?.start ?? this.end
  }

  /** The leader epoch that wrote at this offset. */
  epochAt(offset: Offset): number {
    return this.epochs.findLast(({ start }) => start <= offset)?.epoch ?? -1
  }

  /** Index in the tail of the batch that holds `offset` or else the first after it; the tail's length without one. */
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
   * The topic is gone: nobody reads its tail any more. The ring has the batches until they are old; as those of another they
   * do not keep in memory what is known of a topic and all its partitions.
   */
  forgetTail(nobodys: Partition): void {
    for (const batch of this.tail) batch.of = nobodys
    this.tail = []
    this.tailHead = 0
  }

  dropPending(): void {
    this.tail.length = this.tailIndex(this.end)
    this.#resume()
  }

  /** What recovery found: nothing is pending, nothing is in memory. */
  restore(state: PartitionState): void {
    this.#promoted = new PartitionSegments(state)
    this.tailStart = this.end
    this.#resume()
  }

  #resume(): void {
    const last = this.segments.at(-1)
    this.pendingEnd = this.end
    this.pendingLogStart = this.logStart
    const { producers } = this.#promoted
    this.#pendingProducers = producers === null ? null : new ProducerStates(producers.states(), producers.aborted.list)
    this.#activeBase = last?.base ?? -1
    this.#activeBytes = last?.bytes ?? 0
    this.#activeSince = last?.firstAppendAt ?? 0
    // How many entries there are, the index would say; at most this many, the bytes say.
    this.#indexEntries = Math.floor(
      this.#activeBytes / Math.max(this.topic.config.indexIntervalBytes, batchHeaderBytes),
    )
    this.#bytesSinceEntry = 0
  }

  state(): PartitionState {
    return this.#promoted.state()
  }

  /** Whether there is anything to say about it: untouched partitions have no directory and stand in no checkpoint. */
  get touched(): boolean {
    return this.end > 0 || this.segments.length > 0
  }
}

/** What readers are given of a partition's segments. */
export interface ReadableSegments {
  readonly segments: readonly SegmentState[]
  /**
   * Compaction has replaced some of them, and the applier may be about to put its files beside theirs: all are to be read
   * under their final names, which they have, for no partition is compacted before all of it stands there.
   */
  readonly inPlace: boolean
}

export interface PendingMark {
  readonly partition: Partition
  readonly end: Offset
  readonly activeBase: Offset
  readonly activeBytes: number
  readonly activeSince: number
  readonly indexEntries: number
  readonly bytesSinceEntry: number
}

/** What placing needs to know of a batch. */
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
  /** Offsets left out before the batch: 0, but for the tests that prove that nobody minds. */
  readonly gap: number
}

/** Kafka's indexes hold offsets as 32-bit distances from the segment's base. */
const offsetDeltaMax = 2 ** 31 - 1

/** Entries of 8 bytes in the offset index, of 12 in the time index, which also keeps room for its closing one. */
function indexEntriesMax({ segmentIndexBytes }: TopicConfig): number {
  return Math.min(Math.floor(segmentIndexBytes / 8), Math.floor(segmentIndexBytes / 12) - 1)
}

/** The age at which a segment is closed: each has its own part of the jitter, the same whenever it is asked. */
function rollMs({ name, topic: { config } }: Partition, base: Offset): number {
  const { segmentMs, segmentJitterMs, cleanupPolicy, maxCompactionLagMs } = config
  // What is in the active segment is never compacted: it must not be active for longer than a record may wait.
  const bound = cleanupPolicy === 'delete' ? segmentMs : Math.min(segmentMs, maxCompactionLagMs)
  if (segmentJitterMs === 0) return bound
  return bound - (crc32c(Buffer.from(`${name}/${base}`)) % Math.min(segmentJitterMs, bound))
}
