import type { Offset } from '../api/record.ts'
import type { TopicConfig } from '../api/topic.ts'
import type { PartitionState, SegmentState } from '../journal/checkpoint.ts'

/** What retention asks for: a new log start, and the segments that then lie wholly below it. */
export interface DueSegments {
  readonly bases: readonly Offset[]
  /** The base of the first segment that stays; never below the present log start. */
  readonly logStart: Offset
}

/**
 * Which segments are due. Pure: the caller journals the log start and unlinks when both checkpoints know.
 *
 * - Oldest first, up to the first that is not due; the active segment never.
 * - A segment below the log start goes under every policy. By time and size only under `delete`.
 * - Age counts from the segment's last append, on the wall clock, not from its records' timestamps: data of 2015 that is
 *   read in today is new, and a record from the future pins nothing.
 * - Kafka also rolls and then deletes an active segment that is too old. Not here: the last segment stays.
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
