import type { Offset } from '../api/record.ts'
import type { TopicConfig } from '../api/topic.ts'

/**
 * A commit entry: what one caller wants to become durable and visible as one. It is a list of parts, whole or absent.
 * Every part carries what is needed to apply it again after a crash, to files that may or may not hold it already.
 */
export type EntryPart =
  | BatchPart
  | TopicCreatedPart
  | TopicDeletedPart
  | TopicConfigPart
  | LogStartPart
  | SegmentsReplacedPart
  | IncarnationPart

/** A record batch at its place: applying it is a positioned write. */
export interface BatchPart {
  readonly kind: 'batch'
  readonly topicId: string
  readonly partition: number
  readonly leaderEpoch: number
  /** Base offset of the segment, which names its files. */
  readonly segmentBase: Offset
  /** Where in the segment's file the batch starts. 0 starts a segment. */
  readonly filePosition: number
  /** Exactly Kafka's bytes, base offset and leader epoch stamped. */
  readonly bytes: Uint8Array
}

export interface TopicCreatedPart {
  readonly kind: 'topicCreated'
  readonly topicId: string
  readonly name: string
  readonly partitions: number
  readonly config: TopicConfig
}

export interface TopicDeletedPart {
  readonly kind: 'topicDeleted'
  readonly topicId: string
}

export interface TopicConfigPart {
  readonly kind: 'topicConfig'
  readonly topicId: string
  readonly config: TopicConfig
}

/** Records below `offset` are gone; whole segments below it may be unlinked once the entry is below both checkpoints. */
export interface LogStartPart {
  readonly kind: 'logStart'
  readonly topicId: string
  readonly partition: number
  readonly offset: Offset
}

/**
 * Compaction has written `<newBase>.log.cleaned` and synced it; from this entry on it stands for the old segments.
 * Applying renames it to `.log.swap`; the old files go when the entry lies below both checkpoints.
 */
export interface SegmentsReplacedPart {
  readonly kind: 'segmentsReplaced'
  readonly topicId: string
  readonly partition: number
  readonly oldBases: readonly Offset[]
  readonly newBase: Offset
  readonly newBytes: number
}

/** The log was opened for writing once more. The number is the leader epoch of everything appended until the next. */
export interface IncarnationPart {
  readonly kind: 'incarnation'
  readonly number: number
}
