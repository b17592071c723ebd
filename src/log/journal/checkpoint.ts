import type { RecordedSection } from '../api/commit-section.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'

/**
 * All that is known to be in the files when every group up to `sequence` is applied and synced: recovery starts from it
 * and replays only what came after. Two copies are written in turn, so that a cut in one leaves the other.
 */
export interface CheckpointState {
  /** The last group whose entries are all in synced segment files. */
  readonly sequence: number
  readonly incarnation: number
  readonly topics: readonly TopicInfo[]
  readonly partitions: readonly PartitionState[]
  readonly offsets: readonly GroupOffsetState[]
  readonly sections: readonly SectionState[]
  /** Deletions whose entries lie below `sequence`, still to be carried out when both checkpoints know of them. */
  readonly deletions: readonly PendingDeletion[]
}

export interface PartitionState {
  readonly topicId: string
  readonly partition: number
  readonly logStart: Offset
  readonly end: Offset
  /** Per segment its base offset, valid bytes, and the time of its first and last append (wall clock, ms). */
  readonly segments: readonly SegmentState[]
  /** Leader epochs and where each starts in this partition, ascending. */
  readonly epochs: readonly { readonly epoch: number; readonly start: Offset }[]
}

export interface SegmentState {
  readonly base: Offset
  readonly bytes: number
  readonly firstAppendAt: number
  readonly lastAppendAt: number
  readonly maxTimestamp: number
  /** Sum of the segment's bytes after compaction replaced it; absent while batches' own checksums serve. */
  readonly checksum?: number
}

export interface GroupOffsetState {
  readonly group: string
  readonly at: TopicPartition
  readonly offset: Offset
  readonly leaderEpoch: number
  readonly metadata: string
  readonly committedAt: number
}

export interface SectionState {
  readonly group: string
  readonly section: RecordedSection
}

export interface PendingDeletion {
  readonly topicId: string
  readonly partition: number
  /** Segments to unlink; absent: the whole directory of a deleted topic. */
  readonly bases?: readonly Offset[]
}
