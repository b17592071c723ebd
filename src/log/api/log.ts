import type { LastSection, TaskId, TaskSection, OffsetRange } from './commit-section.ts'
import type { Offset, OutgoingRecord, RecordCursor, TopicPartition } from './record.ts'
import type { TopicInfo, TopicSpec } from './topic.ts'

/**
 * The seam between streams and logs: everything that a topology needs from a log, and nothing that an embedded journal
 * or Kafka's transactions cannot do. Messages are plain data and buffers. No code relies on the difference between two
 * offsets, because logs have gaps.
 */
export interface Log {
  /**
   * The interval below which more frequent commits bring nothing, and the number of commits that may be in flight:
   * embedded 2 ms and 2, Kafka 100 ms and 1.
   */
  readonly commitHints: CommitHints
  /** The existing topics with these names, in the order of `names`; absent ones are left out. */
  topics(names: readonly string[]): Promise<readonly TopicInfo[]>
  /**
   * Creates the topics that are missing. Rejects with TOPIC_MISMATCH, naming both sides, if one exists with another
   * number of partitions or other codecs.
   */
  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]>
  /** Opens a reader of records as bytes. It reads nothing until it is assigned partitions. */
  openReader(options: { readonly isolation: Isolation }): Promise<Reader>
  /** Joins an application's group. Rejects with GROUP_IN_USE if the group cannot take another member. */
  joinGroup(options: GroupOptions): Promise<Membership>
  /** Opens the only committer of this id, and fences an older one: its commits fail with FENCED from now on. */
  openCommitter(options: { readonly id: string }): Promise<Committer>
  /** The group's committed offsets for these partitions; partitions without one are left out. */
  committedOffsets(group: string, at: readonly TopicPartition[]): Promise<readonly OffsetEntry[]>
  /** What can be read of each partition with this isolation, in the order of `at`. */
  bounds(at: readonly TopicPartition[], isolation: Isolation): Promise<readonly Bounds[]>
  /**
   * For each query, the offset of the first record with at least that timestamp, or the partition's end offset if there
   * is none. Never beyond what the isolation shows. Default isolation: `durable`.
   */
  offsetsForTime(at: readonly TimeQuery[], isolation?: Isolation): Promise<readonly Position[]>
  /**
   * For each query, the offset at which that leader epoch ended in its partition: where the next epoch starts, or the
   * log's end. A store whose changelog offset is beyond it is ahead of the log and must be rebuilt.
   */
  epochEnds(at: readonly EpochQuery[]): Promise<readonly Position[]>
  /**
   * The newest recorded section of each of these tasks of the group; tasks without one are left out. Without `tasks`,
   * those of every task that the group ever had, in the order of their commits.
   */
  lastSections(group: string, tasks?: readonly TaskId[]): Promise<readonly LastSection[]>
  /** Moves the log start of each partition up to the offset: records below it may be deleted. */
  purgeBefore(at: readonly Position[]): Promise<void>
  /**
   * Resolves when everything that was acknowledged is on the device, which is at once for Kafka, and embedded under
   * `sync: 'commit'`. A store is flushed only after that, so that it is never ahead of its changelog.
   */
  sync(): Promise<void>
  /** Ends the log. What was acknowledged is there when it is opened again. */
  close(): Promise<void>
}

export interface CommitHints {
  readonly minIntervalMs: number
  readonly pipelineDepth: number
}

/**
 * What a reader may see.
 * - `committed`: durable records that are not part of an open or aborted transaction. Reading stops where the oldest
 *   open transaction starts. Kafka: `read_committed`.
 * - `sequenced`: the same, but including everything that has its place in the order, also ends of transactions. It may
 *   still vanish in a crash, so it is only for readers whose own commits vanish with it.
 * - `durable`: everything that is written, regardless of transactions. Kafka: `read_uncommitted`.
 *
 * Workers' commits are not part of any transaction: each is atomic by itself and waits for none.
 */
export type Isolation = 'sequenced' | 'durable' | 'committed'

/** A position in a partition: the next offset to read. */
export interface Position {
  readonly at: TopicPartition
  readonly offset: Offset
}

/** The range of a partition that can be read. */
export interface Bounds {
  readonly at: TopicPartition
  /** The first offset that can be read. */
  readonly start: Offset
  /** One past the last offset that is visible with this isolation. */
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
  /** The leader epoch of the last record that was read; -1 if it is not known. */
  readonly leaderEpoch: number
  /** Free text kept with the offset, empty if there is none. Streams keeps the partition time here. */
  readonly metadata: string
}

export interface GroupOptions {
  readonly group: string
  readonly topics: readonly string[]
}

/** A membership in a group. In the embedded log, an application's group has one member, which has all partitions. */
export interface Membership {
  readonly group: string
  readonly generation: number
  readonly assigned: readonly TopicPartition[]
  leave(): Promise<void>
}

/**
 * Reads partitions batch by batch, each from its offset on. For code below the level of consumers: records are bytes.
 */
export interface Reader {
  /**
   * Replaces the assignment; reading starts at each offset. A log that buffers keeps its buffer for partitions that
   * stay at their offset.
   */
  assign(at: readonly Position[]): void
  /** Sets the assigned partitions that `poll` skips from now on. It replaces the previous ones. */
  setPaused(at: readonly TopicPartition[]): void
  /**
   * Resolves with the available records, at most `bytesMax` bytes of them (but at least one batch if there is any),
   * after waiting for the first for at most `waitMs`. Rejects with OFFSET_OUT_OF_RANGE, CORRUPT_BATCH or READ_FAILED,
   * naming the partition, or with ABORTED if records that were read as sequenced did not become durable.
   */
  poll(limits: { readonly bytesMax: number; readonly waitMs: number }): Promise<readonly Chunk[]>
  /** Ends a waiting poll early; it resolves without records. */
  wakeup(): void
  close(): Promise<void>
}

/**
 * A run of one partition's records, in the order of their offsets. Its bytes never change once `poll` has returned it,
 * until it is released.
 */
export interface Chunk {
  readonly at: TopicPartition
  /** The offset to continue at: after the records, and after markers, gaps and whatever the isolation hides. */
  readonly nextOffset: Offset
  /**
   * The partition's end offset for this isolation when the chunk was read. If it is beyond `nextOffset`, there is a
   * lag.
   */
  readonly endOffset: Offset
  /** The leader epoch at `nextOffset - 1`. The two together identify how far a reader has read, see `epochEnds`. */
  readonly leaderEpoch: number
  readonly bytes: number
  /** A new cursor over the records, from the start of the chunk. */
  cursor(): RecordCursor
  /**
   * Says that neither the chunk nor its cursors nor anything that shares memory with them will be used any more, so that
   * a log that has this method may use the memory for another chunk. A caller that cannot promise this does not call
   * it. It is called at most once.
   */
  release?(): void
}

/** Makes the commits of a worker, one after the other. */
export interface Committer {
  readonly id: string
  /** Begins a commit. At most `pipelineDepth` commits may have begun and not be sequenced yet. */
  begin(): Staged
  close(): Promise<void>
}

/** A commit that is being built. No reader sees it before `commit`. */
export interface Staged {
  /**
   * The part of the commit for this partition. Call it once per partition and commit, not per record. Throws
   * UNKNOWN_TOPIC or UNKNOWN_PARTITION.
   */
  to(at: TopicPartition): StagedPartition
  /** The bytes collected so far, over all partitions. */
  readonly bytes: number
  /** Resolves when the log can accept more, which makes callers wait while it is overloaded (back-pressure). */
  ready(): Promise<void>
  commit(progress: Progress): Sequenced
  /** Discards what was collected. */
  discard(): void
}

/** The part of a commit that goes to one partition. */
export interface StagedPartition {
  readonly at: TopicPartition
  /**
   * Appends a copy of the record for the section with this index in `Progress.sections`, or -1 if it belongs to none.
   * `kind` says in which list of the section its range is recorded. Throws MESSAGE_TOO_LARGE or INVALID_TIMESTAMP.
   */
  append(record: OutgoingRecord, section: number, kind: 'output' | 'changelog'): void
  readonly count: number
}

/** What a commit states besides its records: how far its inputs were read, and what each task did. */
export interface Progress {
  /** The consumer group whose offsets advance; its name is also that of the application. */
  readonly group: string
  readonly generation: number
  readonly offsets: readonly OffsetEntry[]
  readonly sections: readonly TaskSection[]
  readonly build: number | null
  readonly configuration: string
}

/**
 * The outcome of a commit. Fails with FENCED, ABORTED (repeat from the last commit) or OUTCOME_UNKNOWN (recreate from
 * the committed offsets).
 */
export interface Sequenced {
  /** The ranges of the records, if they are known at once (embedded); otherwise the receipt contains them. */
  readonly placements: readonly Placement[] | null
  readonly sequenced: Promise<void>
  readonly durable: Promise<Receipt>
}

/** The range of offsets that this commit wrote in a partition. */
export interface Placement extends OffsetRange {
  readonly leaderEpoch: number
}

/** The ranges of a durable commit's records. */
export interface Receipt {
  readonly placements: readonly Placement[]
}
