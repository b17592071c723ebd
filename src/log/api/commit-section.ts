import type { Offset, TopicPartition } from './record.ts'

/** A task's sub-topology and partition, like `0_1`. */
export type TaskId = string

/** A range of a partition's offsets, end exclusive. */
export interface OffsetRange {
  readonly at: TopicPartition
  readonly start: Offset
  readonly end: Offset
}

/** What one task did in one commit: enough to run it again, byte for byte, and to find out where a value came from. */
export interface TaskSection {
  readonly task: TaskId
  /** For each input partition, the offset that was read first and the offset to read next. */
  readonly inputs: readonly OffsetRange[]
  /** The number of records that the task processed in this commit. Causes and picks count them from 0. */
  readonly inputCount: number
  /** Digests of the changelog records and of the output records: key, value, timestamp and headers, in order. */
  readonly changelogDigest: string
  readonly outputDigest: string
  /**
   * For each output and changelog record, in the order of appends: the index of the input that caused it; -1 for a
   * punctuation or the commit itself. In a section that a task gives to a commit, it is memory that the task uses again
   * for its next one: `commit` has read it when it returns.
   */
  readonly causes: ArrayLike<number>
  /**
   * Operator state by operator name, such as stream time, the last closed window, next punctuations and buffer
   * sequences.
   */
  readonly operators: { readonly [operator: string]: OperatorState }
  /** The highest timestamp processed in each input partition. */
  readonly partitionTimes: readonly { readonly at: TopicPartition; readonly time: number }[]
  readonly streamTime: number
  /** Wall-clock readings given to user code: each time, and the first input that it was given for. */
  readonly clock: readonly { readonly input: number; readonly now: number }[]
  /** Wall-clock punctuations that fired: the input before which they did, their operator and their time. */
  readonly punctuations: readonly { readonly input: number; readonly operator: string; readonly now: number }[]
  /**
   * The order in which input partitions were read, as runs of (index into `inputs`, count). Only present where it
   * differs from the order of the smallest heads (clock, sequence, rank), which can be recomputed from `inputs`.
   */
  readonly picks?: readonly { readonly input: number; readonly count: number }[]
  /** The position in each global table's topic at the commit. */
  readonly globals: readonly { readonly at: TopicPartition; readonly next: Offset }[]
}

export type OperatorState = { readonly [name: string]: number | string | readonly number[] }

/** A section with the offset ranges that its records got. */
export interface PlacedSection extends TaskSection {
  readonly outputs: readonly OffsetRange[]
  readonly changelogs: readonly OffsetRange[]
}

/** A section as read from the log. */
export interface RecordedSection extends PlacedSection {
  readonly causes: readonly number[]
}

/**
 * What is kept at hand of a task's newest section, for a task that continues, and what every checkpoint contains. It lacks
 * what grows with the number of records: whoever replays a commit reads that from the log.
 */
export type LastSection = Omit<TaskSection, 'causes' | 'clock' | 'punctuations' | 'picks'>

/** One worker's commit as recorded in `__millrace_commits`. */
export interface CommitRecord<Section extends PlacedSection = RecordedSection> {
  readonly application: string
  readonly generation: number
  /** The number of the build that made it, or null if it could not be determined. */
  readonly build: number | null
  /** Wall-clock time of the commit, in ms. */
  readonly at: number
  /** A fingerprint of those settings that change answers. */
  readonly configuration: string
  readonly sections: readonly Section[]
}
