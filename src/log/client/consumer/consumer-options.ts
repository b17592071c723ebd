import type { OptionNames } from '../../../base/option-names.ts'
import type { Topic } from '../../../codec/topic.ts'
import type { GroupAssignor } from '../../api/assignor.ts'
import { checkOptions } from '../../api/checked-options.ts'
import type { Isolation } from '../../api/log.ts'
import type { Header, Offset, TopicPartition } from '../../api/record.ts'
import { checkFunction, checkOptionalFunction, checkSignal } from '../checked-arguments.ts'
import { consumerNumbers } from '../client-options.ts'
import type { OffsetReset } from '../offset-reset.ts'

/** Options of `log.consumer`; all of them have defaults. */
export interface ConsumerOptions<K, V> {
  /**
   * The group whose offsets are used and whose members share the partitions. Default none: no offsets are committed.
   * Kafka: `group.id`.
   */
  readonly group?: string
  /**
   * Makes the member static: a consumer with this name that returns within `sessionTimeoutMs` gets back the partitions it
   * had, without a rebalance. Default none. Kafka: `group.instance.id`.
   */
  readonly groupInstanceId?: string
  /** Shown in descriptions of the group, and the first part of member ids. Default `consumer`. Kafka: `client.id`. */
  readonly clientId?: string
  /**
   * Declared topics: their records arrive decoded and validated, and no other topics may be read. Default none:
   * all topics may be read, as bytes.
   */
  readonly topics?: readonly Topic<K, V, never, never>[]
  /**
   * How partitions are assigned to the members, in order of preference: `range`, `roundrobin`, `cooperative-sticky`, or one of
   * your own. Default `cooperative-sticky`; Kafka's default is range. Kafka: `partition.assignment.strategy`.
   */
  readonly assignors?: readonly (AssignorName | GroupAssignor)[]
  /** Where a partition without a committed offset starts. Default `latest`, as in Kafka. Kafka: `auto.offset.reset`. */
  readonly autoOffsetReset?: OffsetReset
  /** Time between automatic commits. Default 5000 ms; 0: no automatic commits. Kafka: `auto.commit.interval.ms`. */
  readonly autoCommitIntervalMs?: number
  /** Most records that one poll returns, or that a listener has at a time. Default 500. Kafka: `max.poll.records`. */
  readonly maxPollRecords?: number
  /**
   * Longest time between polls, or in one call of a listener, before the consumer leaves its group and others get its
   * partitions. Also how long a rebalance waits for this member. Default 300,000 ms. Kafka: `max.poll.interval.ms`.
   */
  readonly maxPollIntervalMs?: number
  /**
   * How long the group waits for a heartbeat before it expels the member. Default 45,000 ms. Kafka: `session.timeout.ms`.
   */
  readonly sessionTimeoutMs?: number
  /** Time between heartbeats; less than the session timeout. Default 3000 ms. Kafka: `heartbeat.interval.ms`. */
  readonly heartbeatIntervalMs?: number
  /** Most bytes that are fetched at a time. Default 1 MiB. Kafka: `fetch.max.bytes`. */
  readonly fetchBytesMax?: number
  /** Which records are visible. Default `committed`: transactions that were committed. Kafka: `isolation.level`. */
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

/** How a group assigns its partitions; see `assignors` of {@link ConsumerOptions}. */
export type AssignorName = 'range' | 'roundrobin' | 'cooperative-sticky'

/**
 * Called inside `poll`, while the group waits for this member. It may commit, seek, pause and read positions. Kafka:
 * `ConsumerRebalanceListener`.
 */
export interface RebalanceListener {
  /** The consumer owns these partitions from now on; a cooperative assignor lists only new ones. Ends every rebalance. */
  onPartitionsAssigned?(at: readonly TopicPartition[]): void | Promise<void>
  /**
   * These partitions are about to be given up. The consumer still owns them, so their progress can be committed now. An eager
   * assignor begins every rebalance with this call, even without partitions; a cooperative one calls it only if there are any.
   */
  onPartitionsRevoked?(at: readonly TopicPartition[]): void | Promise<void>
  /**
   * The group has expelled the consumer, or the consumer left in the middle of a rebalance: others may own these partitions
   * already, and commits are refused. Default: `onPartitionsRevoked` is called.
   */
  onPartitionsLost?(at: readonly TopicPartition[]): void | Promise<void>
}

export const rebalanceListenerNames: OptionNames<RebalanceListener> = {
  onPartitionsAssigned: true,
  onPartitionsRevoked: true,
  onPartitionsLost: true,
}

export function checkRebalanceListener(listener: RebalanceListener): void {
  checkOptions('the rebalance listener', listener, rebalanceListenerNames)
  for (const name of Object.keys(rebalanceListenerNames)) checkOptionalFunction(name, Reflect.get(listener, name))
}

/**
 * A record as it was read. Bytes are views of memory that does not change and stays allocated as long as they are in use.
 */
export interface ConsumerRecord<out K, out V> {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  /** Milliseconds since the epoch. */
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
  /** How long to wait for the first record. Default 0 ms; `Infinity` waits without a limit. */
  readonly waitMs?: number
  /** Aborting it ends the wait; the poll then resolves without records. */
  readonly signal?: AbortSignal
}

export const pollOptionNames: OptionNames<PollOptions> = { waitMs: true, signal: true }

/** How a listener is called, and until when. */
export interface ListenOptions {
  /** Calls of the listener that may run at the same time. Default 1, at most 10,000. */
  readonly concurrency?: number
  /** Aborting it ends listening: running calls are finished, their progress is committed, and the promise resolves. */
  readonly signal?: AbortSignal
}

export const listenOptionNames: OptionNames<ListenOptions> = { concurrency: true, signal: true }

/** Requires a listener and its options. */
export function checkListening(listener: unknown, options: ListenOptions): void {
  checkFunction('listener', listener)
  checkSignal(options.signal)
}

/** How the listener of `eachRecord` is called, and in which order. */
export interface RecordListenOptions<in K = never, in V = never> extends ListenOptions {
  /**
   * Which records are processed one after the other. `key` (default): records of a partition with the same key; records
   * without a key count as having the same one. `partition`: all records of a partition. `none`: no order is kept.
   */
  readonly order?: 'key' | 'partition' | 'none'
  /**
   * The wall-clock time, in ms since the epoch, before which a record is not processed; records that must not overtake it wait
   * as well. Each partition then has its own share of `maxPollRecords`, so that one that waits does not hold up the others.
   * Default: no waiting.
   */
  readonly notBefore?: (record: ConsumerRecord<K, V>) => number
}

export const recordListenOptionNames: OptionNames<RecordListenOptions> = {
  ...listenOptionNames,
  order: true,
  notBefore: true,
}

/** How far a consumer is behind the end of a partition. */
export interface PartitionLag {
  readonly at: TopicPartition
  readonly position: Offset
  /** One past the last record that can be read. */
  readonly end: Offset
  /** At most this many records are still to be read; fewer where offsets have gaps. */
  readonly lag: number
}
