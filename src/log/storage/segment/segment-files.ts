import { partitionName, type Offset, type TopicPartition } from '../../api/record.ts'

/**
 * Names of the files in a data directory. They are Kafka's own names, so that Kafka's tools can read a closed
 * directory:
 *
 * ```
 * <directory>/<topic>-<partition>/00000000000000000042.log         batches back to back
 *                                 00000000000000000042.index       offset → file position
 *                                 00000000000000000042.timeindex   timestamp → offset
 *                                 00000000000000000042.txnindex    aborted transactions whose markers are in it
 *                                 00000000000000000099.snapshot    state of the producers before this offset
 *                                 leader-epoch-checkpoint, partition.metadata
 * <directory>/<topic>-<partition>.<uuid>-delete/                   of a deleted topic, until both checkpoints contain it
 * <directory>/lost+found/                                          files that belong to nothing; they are never deleted
 * ```
 */
export type SegmentSuffix = '.log' | '.index' | '.timeindex' | '.txnindex' | '.snapshot' | '.log.cleaned' | '.log.swap'

export const lostAndFound = 'lost+found'
export const leaderEpochFile = 'leader-epoch-checkpoint'
export const partitionMetadataFile = 'partition.metadata'

/** A segment's file name: the base offset in 20 digits and the suffix. */
export function segmentFile(base: Offset, suffix: SegmentSuffix): string {
  return `${String(base).padStart(20, '0')}${suffix}`
}

/** The base offset of a segment's `.log`, or null for any other name. */
export function logFileBase(name: string): Offset | null {
  return /^\d{20}\.log$/.test(name) ? Number(name.slice(0, 20)) : null
}

export function partitionPath(directory: string, at: TopicPartition): string {
  return `${directory}/${partitionName(at)}`
}

/** Directory of a deleted topic's partition until its deletion is carried out: a new topic may use the old name. */
export function deletedPartitionPath(directory: string, at: TopicPartition, topicId: string): string {
  const hex = Buffer.from(topicId, 'base64url').toString('hex')
  // Kafka limits the name to 255 bytes by shortening the topic; the id alone makes it unique.
  const suffix = `-${at.partition}.${hex}-delete`
  return `${directory}/${at.topic.slice(0, 255 - suffix.length)}${suffix}`
}

/** The topic and partition that a directory is named after, or null if it is not a partition's directory. */
export function partitionOfName(name: string): TopicPartition | null {
  const match = /^([a-zA-Z0-9._-]{1,249})-(\d{1,10})$/.exec(name)
  if (match === null || match[1] === undefined || match[2] === undefined) return null
  return { topic: match[1], partition: Number(match[2]) }
}
