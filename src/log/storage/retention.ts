import type { Offset } from '../api/record.ts'
import type { TopicConfig } from '../api/topic.ts'
import type { PartitionState, SegmentState } from '../journal/checkpoint.ts'

/** The result of retention: a new log start, and the segments that are then wholly below it. */
export interface DueSegments {
  readonly bases: readonly Offset[]
  /** The base of the first remaining segment; never below the present log start. */
  readonly logStart: Offset
}

/**
 * Determines which segments retention deletes. It is pure: the caller journals the log start and unlinks once both
 * checkpoints contain the deletion.
 *
 * - Oldest first, up to the first segment that is not due; never the active segment.
 * - A segment below the log start is deleted under every policy; by time and size only under `delete`.
 * - The age counts from the segment's last append, on the wall clock, not from its records' timestamps: data from 2015
 *   that is imported today is new, and a record with a future timestamp does not keep its segment forever.
 * - Kafka also rolls and then deletes an active segment that is too old. Here the active segment always stays.
 */
export function segmentsDue(
  partition: Pick<PartitionState, 'segments' | 'logStart'>,
  config: Pick<TopicConfig, 'cleanupPolicy' | 'retentionMs' | 'retentionBytes'>,
  now: number,
): DueSegments {
  const { segments } = partition
  const deletes = config.cleanupPolicy !== 'compact'
  const bases: Offset[] = []
  let bytes = 0
  for (const segment of segments) bytes += segment.bytes

  let logStart = partition.logStart
  for (let index = 0; index + 1 < segments.length; index++) {
    const segment = segments[index] as SegmentState
    const next = segments[index + 1] as SegmentState
    const below = next.base <= partition.logStart
    const tooOld = deletes && config.retentionMs >= 0 && now - segment.lastAppendAt > config.retentionMs
    const tooMuch = deletes && config.retentionBytes >= 0 && bytes - segment.bytes >= config.retentionBytes
    if (!below && !tooOld && !tooMuch) break
    bases.push(segment.base)
    bytes -= segment.bytes
    logStart = Math.max(logStart, next.base)
  }
  return { bases, logStart }
}
