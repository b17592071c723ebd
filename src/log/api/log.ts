import type { RecordedSection, TaskId, TaskSection, OffsetRange } from './commit-section.ts'
import type { Offset, OutgoingRecord, RecordCursor, TopicPartition } from './record.ts'
import type { TopicInfo, TopicSpec } from './topic.ts'

/**
 * The seam: all that a topology needs of a log, and nothing that both an embedded journal and Kafka's transactions
 * cannot do. Messages are plain data and buffers. Nobody computes with differences of offsets: logs have gaps.
 */
export interface Log {
  /** How often a commit pays, and how many may be on their way: embedded 2 ms and 2, Kafka 100 ms and 1. */
  readonly commitHints: CommitHints
  /** The topics of these names that exist, in the order asked for; absent ones are left out. */
  topics(names: readonly string[]): Promise<readonly TopicInfo[]>
  /**
   * Creates what is missing. A topic that exists with another number of partitions or other codecs is TOPIC_MISMATCH,
   * naming both.
   */
  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]>
  openReader(options: { readonly isolation: Isolation }): Promise<Reader>
  joinGroup(options: GroupOptions): Promise<Membership>
  /** Opens the one committer of this id and fences an older one: its commits fail with FENCED from now on. */
  openCommitter(options: { readonly id: string }): Promise<Committer>
  /** What the group has committed for these partitions; partitions without are left out. */
  committedOffsets(group: string, at: readonly TopicPartition[]): Promise<readonly OffsetEntry[]>
  bounds(at: readonly TopicPartition[], isolation: Isolation): Promise<readonly Bounds[]>
  /**
   * Per query the first record with at least that timestamp; a partition without one gives its end offset. Never beyond what
   * the isolation shows. Default: `durable`.
   */
  offsetsForTime(at: readonly TimeQuery[], isolation?: Isolation): Promise<readonly Position[]>
  /**
   * Per query the end offset of that leader epoch in its partition (where the next epoch starts, or the log's end). A
   * store whose changelog offset lies beyond it is ahead of the log and must be rebuilt.
   */
  epochEnds(at: readonly EpochQuery[]): Promise<readonly Position[]>
  /**
   * The newest recorded section of each of these tasks of the group; tasks without one are left out. Without `tasks`: of
   * every task that the group ever had, in the order of their commits.
   */
  lastSections(group: string, tasks?: readonly TaskId[]): Promise<readonly RecordedSection[]>
  /** Moves the log start of each partition up to the offset: what lies below may be deleted. */
  purgeBefore(at: readonly Position[]): Promise<void>
  /**
   * Resolves when all that was acknowledged is on the device. A store is flushed only after it, so that it is never ahead
   * of its changelog; at once where acknowledging means just that (embedded with `sync: 'commit'`, Kafka).
   */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface CommitHints {
  readonly minIntervalMs: number
  readonly pipelineDepth: number
}

/**
 * What a reader may see.
 * - `committed`: durable, and not part of an open or aborted transaction. It ends where the oldest open transaction starts.
 *   Kafka: `read_committed`.
 * - `sequenced`: the same, but what has its place in the order counts, also the end of a transaction. It may still vanish
 *   in a crash, so it is only for readers whose own commits vanish with it.
 * - `durable`: all that is synced, whatever becomes of its transaction. Kafka: `read_uncommitted`.
 *
 * What workers commit belongs to no transaction: it is whole or absent by itself, and waits for none.
 */
export type Isolation = 'sequenced' | 'durable' | 'committed'

/** A place to read from: the next offset of a partition. */
export interface Position {
  readonly at: TopicPartition
  readonly offset: Offset
}

/** What of a partition can be read. */
export interface Bounds {
  readonly at: TopicPartition
  /** The first offset that can be read. */
  readonly start: Offset
  /** One past the last offset that the isolation shows. */
  readonly end: Offset
  readonly leaderEpoch: number
}

export interface TimeQuery {
  readonly at: TopicPartition
  readonly timestamp: number
}

export interface EpochQuery {
  readonly at: TopicPartition
  readonly leaderEpoch: number
}

/** An offset that a group commits for a partition. */
export interface OffsetEntry {
  readonly at: TopicPartition
  /** The next offset to read. */
  readonly offset: Offset
  /** Epoch of the last record that was read; -1 where it is not known. */
  readonly leaderEpoch: number
  /** Free text kept with the offset, empty if there is none. Streams keeps the partition time here. */
  readonly metadata: string
}

export interface GroupOptions {
  readonly group: string
  readonly topics: readonly string[]
}

/** One member's part in its group. In the embedded log a group has one member, and it has all partitions. */
export interface Membership {
  readonly group: string
  readonly generation: number
  readonly assigned: readonly TopicPartition[]
  leave(): Promise<void>
}

/** Reads partitions batch by batch, each from its offset on. For code beneath consumers: records come as bytes. */
export interface Reader {
  /** Replaces the assignment; reading starts at each offset. Partitions that stay at their offset keep what is buffered. */
  assign(at: readonly Position[]): void
  /** The assigned partitions that `poll` leaves out for now. */
  setPaused(at: readonly TopicPartition[]): void
  /**
   * What is there, at most `bytesMax` (but at least one batch if there is any), waiting up to `waitMs` for the first.
   * Rejects with OFFSET_OUT_OF_RANGE, CORRUPT_BATCH or READ_FAILED naming the partition; ABORTED when what was read as
   * sequenced did not become durable.
   */
  poll(limits: { readonly bytesMax: number; readonly waitMs: number }): Promise<readonly Chunk[]>
  /** Ends a waiting poll early; it resolves with nothing. */
  wakeup(): void
  close(): Promise<void>
}

/** A run of one partition's records, in offset order. Its bytes never change after it was given out. */
export interface Chunk {
  readonly at: TopicPartition
  /** Where to read on: past the records, past markers, holes and what the isolation hides. */
  readonly nextOffset: Offset
  /** The end offset for this isolation when the chunk was made: `endOffset` beyond `nextOffset` means lag. */
  readonly endOffset: Offset
  /** The epoch at `nextOffset - 1`: together they say how far one has read, see `epochEnds`. */
  readonly leaderEpoch: number
  readonly bytes: number
  /** A new walk over the records from the start of the chunk. */
  cursor(): RecordCursor
}

/** Makes the commits of a worker, one after the other. */
export interface Committer {
  readonly id: string
  /** Starts to collect a commit. At most `pipelineDepth` may be begun and not yet sequenced. */
  begin(): Staged
  close(): Promise<void>
}

/** A commit in the making. Nobody reads it before `commit`. */
export interface Staged {
  /**
   * The batch that collects what goes to this partition. Ask once per partition and commit, not per record. Throws
   * UNKNOWN_TOPIC or UNKNOWN_PARTITION.
   */
  to(at: TopicPartition): StagedPartition
  /** Bytes collected so far, over all partitions. */
  readonly bytes: number
  /** Resolves when the log can take more: back-pressure. */
  ready(): Promise<void>
  commit(progress: Progress): Sequenced
  /** Drops what was collected. */
  discard(): void
}

/** The part of a commit that goes to one partition. */
export interface StagedPartition {
  readonly at: TopicPartition
  /**
   * Appends a copy, for the section with this index in `Progress.sections`; -1 if it belongs to none. `kind` says in
   * which list of the section its range is recorded. Throws MESSAGE_TOO_LARGE or INVALID_TIMESTAMP.
   */
  append(record: OutgoingRecord, section: number, kind: 'output' | 'changelog'): void
  readonly count: number
}

/** What a commit says beside its records: how far its inputs are read, and what was done for it. */
export interface Progress {
  /** The consumer group whose offsets advance, which is also the application. */
  readonly group: string
  readonly generation: number
  readonly offsets: readonly OffsetEntry[]
  readonly sections: readonly TaskSection[]
  readonly build: number | null
  readonly configuration: string
}

/** Fails with FENCED, ABORTED (repeat from the last commit) or OUTCOME_UNKNOWN (recreate from the committed offsets). */
export interface Sequenced {
  /** Where the records went, when known at once (embedded); else they come with the receipt. */
  readonly placements: readonly Placement[] | null
  readonly sequenced: Promise<void>
  readonly durable: Promise<Receipt>
}

/** The range that this commit wrote into a partition. */
export interface Placement extends OffsetRange {
  readonly leaderEpoch: number
}

/** Where the records of a durable commit lie. */
export interface Receipt {
  readonly placements: readonly Placement[]
}
