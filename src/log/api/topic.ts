import { shown } from '../../base/shown.ts'
import { LogError } from './errors.ts'

/**
 * What is removed from a topic: old records (`delete`), records whose key has a newer one (`compact`), or both. Kafka:
 * `cleanup.policy`.
 */
export type CleanupPolicy = 'delete' | 'compact' | 'compact,delete'

/** A topic's configuration, with Kafka's names in camel case. */
export interface TopicConfig {
  /** `cleanup.policy`. Default `delete`. */
  readonly cleanupPolicy: CleanupPolicy
  /** `retention.ms`, counted from the time of the append, not from the records' timestamps. -1 (default): for ever. */
  readonly retentionMs: number
  /** `retention.bytes` per partition. -1 (default): unlimited. */
  readonly retentionBytes: number
  /** `segment.bytes`. Default 1 GiB; at least 1 KiB. */
  readonly segmentBytes: number
  /** `segment.ms`, counted from the segment's first append. Default 7 days. */
  readonly segmentMs: number
  /**
   * `segment.jitter.ms`: segments are closed up to this much earlier than `segmentMs` says, each by an amount of its
   * own, so that they are not all rolled at the same time. Default 0; must be less than `segmentMs`.
   */
  readonly segmentJitterMs: number
  /** `segment.index.bytes`: a segment is closed when one of its indexes would exceed this size. Default 10 MiB. */
  readonly segmentIndexBytes: number
  /** `index.interval.bytes`. Default 4096. */
  readonly indexIntervalBytes: number
  /** `max.message.bytes`: the largest batch; producers count before compression. Default 1,048,588. */
  readonly maxMessageBytes: number
  /**
   * `message.timestamp.after.max.ms`: a record whose timestamp is further ahead of the log's clock is refused, because
   * a single one from the far future closes every window for good. Default 24 h, so that ticks may be dated ahead of a
   * source's end; Kafka: 1 h. Only applies to what producers send, because what a topology writes follows from its
   * inputs.
   */
  readonly timestampAfterMaxMs: number
  /** `message.timestamp.before.max.ms`: the same for records from the past. Default: unlimited. */
  readonly timestampBeforeMaxMs: number
  /** `delete.retention.ms`: how long compaction keeps a tombstone. Default 24 h. */
  readonly deleteRetentionMs: number
  /** `min.cleanable.dirty.ratio`. Default 0.5. */
  readonly minCleanableDirtyRatio: number
  /** `min.compaction.lag.ms`: how long after its append a record is not compacted. Default 0. */
  readonly minCompactionLagMs: number
  /**
   * `max.compaction.lag.ms`: how long after its append a record may wait for compaction, regardless of the dirty ratio.
   * Segments of that age are closed with the next append. Default: unlimited.
   */
  readonly maxCompactionLagMs: number
  /**
   * For the changelog of a window store: how long windows are kept, by the store's clock. Records are removed once they
   * have expired at every commit that the application can be rewound to. Requires `storeClock`.
   */
  readonly windowRetentionMs?: number
  /** The operator whose recorded `storeTime` is the store's clock. */
  readonly storeClock?: string
  /** For repartition topics: records are removed once their reader has committed past them and no rewind needs them. */
  readonly purgedWhenRead?: boolean
  /**
   * The meaning of the topic's bytes, stored with the topic: ids of the key codec, the value codec and the partitioner.
   */
  readonly keyCodec?: string
  readonly valueCodec?: string
  readonly partitioner?: string
}

export const defaultTopicConfig: TopicConfig = {
  cleanupPolicy: 'delete',
  retentionMs: -1,
  retentionBytes: -1,
  segmentBytes: 1024 * 1024 * 1024,
  segmentMs: 7 * 24 * 3_600_000,
  segmentJitterMs: 0,
  segmentIndexBytes: 10 * 1024 * 1024,
  indexIntervalBytes: 4096,
  maxMessageBytes: 1_048_588,
  timestampAfterMaxMs: 24 * 3_600_000,
  timestampBeforeMaxMs: 2 ** 53 - 1,
  deleteRetentionMs: 24 * 3_600_000,
  minCleanableDirtyRatio: 0.5,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
}

/** A topic to be created. */
export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  readonly config?: Partial<TopicConfig>
}

/** A topic that exists. */
export interface TopicInfo {
  readonly name: string
  /** 16 random bytes as 22 characters of base64url, Kafka's `Uuid`. Never reused, even if the topic's name is. */
  readonly id: string
  readonly partitions: number
  readonly config: TopicConfig
}

export const topicNameLengthMax = 249

/**
 * Throws INVALID_TOPIC unless Kafka would allow the name: 1 to 249 characters of `[a-zA-Z0-9._-]`, except `.` and `..`.
 * This check also ensures that a name cannot act as a path.
 */
export function checkTopicName(name: string): void {
  if (typeof name === 'string' && /^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== '.' && name !== '..') return
  throw new LogError(
    'INVALID_TOPIC',
    `topic name ${shown(name)}: use 1 to ${topicNameLengthMax} characters of a-z, A-Z, 0-9, '.', '_' and '-', and neither '.' nor '..'`,
    { topic: name },
  )
}
