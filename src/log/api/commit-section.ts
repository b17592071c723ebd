import type { Offset, TopicPartition } from './record.ts'

/** `0_1`: sub-topology and partition. */
export type TaskId = string

/** A run of a partition's offsets, end exclusive. */
export interface OffsetRange {
  readonly at: TopicPartition
  readonly start: Offset
  readonly end: Offset
}

/** What one task did in one commit: enough to run it again, byte for byte, and to ask where a value came from. */
export interface TaskSection {
  readonly task: TaskId
  /** Per input partition the offset read first and the offset to read next. */
  readonly inputs: readonly OffsetRange[]
  /** How many records the task processed in this commit; causes and pick runs count them from 0. */
  readonly inputCount: number
  /** Digest of the changelog records, then of the output records: key, value, timestamp, headers, in order. */
  readonly changelogDigest: string
  readonly outputDigest: string
  /** Per output and changelog record, in order of append: the index of its input; -1 for a punctuation or the commit. */
  readonly causes: readonly number[]
  /** Operator state by operator name: stream time, last closed window, next punctuations, buffer sequences. */
  readonly operators: { readonly [operator: string]: OperatorState }
  /** Highest timestamp processed per input partition. */
  readonly partitionTimes: readonly { readonly at: TopicPartition; readonly time: number }[]
  readonly streamTime: number
  /** Wall-clock readings given to user code: from which input on, and the time. */
  readonly clock: readonly { readonly input: number; readonly now: number }[]
  /** Wall-clock punctuations that fired: before which input, of which operator, and at what time. */
  readonly punctuations: readonly { readonly input: number; readonly operator: string; readonly now: number }[]
  /**
   * The order in which input partitions were read, as runs of (index into `inputs`, count), only where it differs from
   * that of the smallest heads (clock, sequence, rank) replayed over `inputs`; absent when it does not differ.
   */
  readonly picks?: readonly { readonly input: number; readonly count: number }[]
  /** Position of each global table's topic at the commit. */
  readonly globals: readonly { readonly at: TopicPartition; readonly next: Offset }[]
}

export type OperatorState = { readonly [name: string]: number | string | readonly number[] }

/** A section as it stands in the log: the log itself adds where the records went. */
export interface RecordedSection extends TaskSection {
  readonly outputs: readonly OffsetRange[]
  readonly changelogs: readonly OffsetRange[]
}

/** One worker's commit as recorded in `__millrace_commits`. */
export interface CommitRecord {
  readonly application: string
  readonly generation: number
  /** Number of the build that made it, or null if it could not be known. */
  readonly build: number | null
  /** Wall-clock time of the commit, in ms. */
  readonly at: number
  /** Fingerprint of the configuration that changes answers. */
  readonly configuration: string
  readonly sections: readonly RecordedSection[]
}
