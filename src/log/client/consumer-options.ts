import type { OptionNames } from '../../base/option-names.ts'
import type { Topic } from '../../codec/topic.ts'
import type { GroupAssignor } from '../api/assignor.ts'
import type { Isolation } from '../api/log.ts'
import type { Header, Offset, TopicPartition } from '../api/record.ts'
import { consumerNumbers } from './client-options.ts'
import type { OffsetReset } from './offset-reset.ts'

/** What `log.consumer` takes; all of it has defaults. */
export interface ConsumerOptions<K, V> {
  /** Whose committed offsets are used. Default none: nothing is committed. Kafka: `group.id`. */
  readonly group?: string
  /**
   * Makes the member static: under this name it comes back to the partitions it had, without a rebalance, if that takes
   * less than `sessionTimeoutMs`. Default none. Kafka: `group.instance.id`.
   */
  readonly groupInstanceId?: string
  /** Shown where groups are described, and the beginning of member ids. Default `consumer`. Kafka: `client.id`. */
  readonly clientId?: string
  /** Declared topics: their records come decoded and validated, and no others may be read. Default: bytes of any topic. */
  readonly topics?: readonly Topic<K, V, never, never>[]
  /**
   * How the group shares its partitions out, what is liked best first: `range`, `roundrobin`, `cooperative-sticky`, or one of
   * your own. Default `cooperative-sticky`; Kafka's default is range. Kafka: `partition.assignment.strategy`.
   */
  readonly assignors?: readonly (AssignorName | GroupAssignor)[]
  /** Default `latest`, as Kafka has it. */
  readonly autoOffsetReset?: OffsetReset
  /** Time between automatic commits. Default 5000 ms with a group; 0: off. Kafka: `auto.commit.interval.ms`. */
  readonly autoCommitIntervalMs?: number
  /** Records of one poll, and records that listeners have at a time. Default 500. Kafka: `max.poll.records`. */
  readonly maxPollRecords?: number
  /**
   * Time that may pass between polls, or in a listener, before the consumer leaves its group and others get its partitions.
   * Also how long a rebalance waits for this member. Default 300000 ms. Kafka: `max.poll.interval.ms`.
   */
  readonly maxPollIntervalMs?: number
  /** Silence after which the group gives a member up. Default 45000 ms. Kafka: `session.timeout.ms`. */
  readonly sessionTimeoutMs?: number
  /** Time between signs of life; less than the session timeout. Default 3000 ms. Kafka: `heartbeat.interval.ms`. */
  readonly heartbeatIntervalMs?: number
  /** Bytes fetched at a time. Default 1 MiB. Kafka: `fetch.max.bytes`. */
  readonly fetchBytesMax?: number
  /** Default `committed`. Kafka: `isolation.level`. */
  readonly isolation?: Isolation
}

export const consumerOptionNames: OptionNames<ConsumerOptions<never, never>> = {
  ...consumerNumbers,
  group: { kafka: 'group.id' },
  groupInstanceId: true,
  clientId: true,
  topics: true,
  assignors: { kafka: 'partition.assignment.strategy' },
  autoOffsetReset: true,
  isolation: { kafka: 'isolation.level' },
}

/** How a group shares out its partitions; see `assignors` of {@link ConsumerOptions}. */
export type AssignorName = 'range' | 'roundrobin' | 'cooperative-sticky'

/**
 * Called inside `poll`, while the group waits for this member. It may commit, seek, pause and read positions. Kafka:
 * `ConsumerRebalanceListener`.
 */
export interface RebalanceListener {
  /** These partitions are the consumer's from now on; under a cooperative assignor only what is new. Ends every rebalance. */
  onPartitionsAssigned?(at: readonly TopicPartition[]): void | Promise<void>
  /**
   * These partitions go to somebody else. They are still the consumer's: what is done with them can be committed now. Begins
   * every rebalance under an eager assignor, also with none; comes only with some under a cooperative one.
   */
  onPartitionsRevoked?(at: readonly TopicPartition[]): void | Promise<void>
  /**
   * The group gave the consumer up, or it left in the middle of a rebalance: these partitions may be somebody else's already,
   * and commits are refused. Default: as revoked.
   */
  onPartitionsLost?(at: readonly TopicPartition[]): void | Promise<void>
}

export const rebalanceListenerNames: OptionNames<RebalanceListener> = {
  onPartitionsAssigned: true,
  onPartitionsRevoked: true,
  onPartitionsLost: true,
}

/** A record as it was read. Bytes are views of memory that does not change, and that lives as long as they do. */
export interface ConsumerRecord<out K, out V> {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestamp: number
  readonly key: K
  readonly value: V
  readonly headers: readonly Header[]
}

/** Records of one partition, in order. */
export interface RecordBatch<out K, out V> extends TopicPartition {
  readonly records: readonly ConsumerRecord<K, V>[]
}

/** How long a poll waits. */
export interface PollOptions {
  /** How long to wait for the first record. Default 0. */
  readonly waitMs?: number
  /** Aborting it ends the wait; the poll resolves with nothing. */
  readonly signal?: AbortSignal
}

export const pollOptionNames: OptionNames<PollOptions> = { waitMs: true, signal: true }

/** How a listener is called, and until when. */
export interface ListenOptions {
  /** Calls of the listener that may be going on at a time. Default 1. */
  readonly concurrency?: number
  /** Aborting it ends listening: calls under way are finished, what they did is committed, the promise resolves. */
  readonly signal?: AbortSignal
}

export const listenOptionNames: OptionNames<ListenOptions> = { concurrency: true, signal: true }

/** How the listener of `eachRecord` is called, and in which order. */
export interface RecordListenOptions<in K = never, in V = never> extends ListenOptions {
  /**
   * What must be done one after the other: records of a partition with the same key (default; those without a key count as
   * having the same), all records of a partition, or nothing.
   */
  readonly order?: 'key' | 'partition' | 'none'
  /**
   * Wall-clock time (ms) before which a record waits, and what must not overtake it with it. Each partition then has its share
   * of `maxPollRecords`, so that one that waits keeps no other from going on. Default: at once.
   */
  readonly notBefore?: (record: ConsumerRecord<K, V>) => number
}

export const recordListenOptionNames: OptionNames<RecordListenOptions> = {
  ...listenOptionNames,
  order: true,
  notBefore: true,
}

/** How far a consumer is behind in a partition. */
export interface PartitionLag {
  readonly at: TopicPartition
  readonly position: Offset
  /** One past the last record that can be read. */
  readonly end: Offset
  /** At most so many records are still to come; fewer where offsets have gaps. */
  readonly lag: number
}
