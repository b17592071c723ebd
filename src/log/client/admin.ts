import type { OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { checkOptions } from '../api/checked-options.ts'
import { LogError, unknownPartition } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import type { Bounds, Isolation, OffsetEntry, Position } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import { checkTopicName, type TopicConfig, type TopicInfo, type TopicSpec } from '../api/topic.ts'
import type { Broker, PartitionSize, ProducerState, TransactionState } from '../broker/broker.ts'
import type { GroupDescription, GroupListing } from '../broker/groups/group-admin.ts'
import type { Damage } from '../broker/scrubber.ts'
import { checkGroupName } from '../group/group-coordinator.ts'
import {
  checkInteger,
  checkList,
  checkObject,
  checkPlace,
  checkPlaces,
  checkPositions,
  checkText,
} from './checked-arguments.ts'
import { groupOffsetResetNames, plannedReset, type GroupOffsetReset, type MovedOffset } from './group-offset-reset.ts'
import { checkedIsolation } from './offset-reset.ts'

/**
 * Administers a log: its topics, consumer groups, transactions and producers, and how much of the disk they use. Kafka:
 * `Admin`.
 */
export class Admin {
  readonly #broker: Broker

  constructor(broker: Broker) {
    this.#broker = broker
  }

  /**
   * Creates topics, either all or none. A declared topic has its own partitions (default 1), settings and codecs. Rejects with
   * TOPIC_EXISTS, INVALID_TOPIC or INVALID_CONFIG. Kafka: `createTopics`.
   * @example await log.admin.createTopics([{ name: 'orders', partitions: 4, config: { retentionMs: 86_400_000 } }])
   */
  async createTopics(topics: readonly (TopicSpec | AnyTopic)[]): Promise<readonly TopicInfo[]> {
    const specs = checkedSpecs(topics)
    return await this.#broker.createTopics(specs)
  }

  /**
   * Creates the topics that are missing. Rejects with TOPIC_MISMATCH if one exists with other partitions, codecs or
   * partitioner, INVALID_TOPIC or INVALID_CONFIG.
   * @example await log.admin.ensureTopics([pageViews])
   */
  async ensureTopics(topics: readonly (TopicSpec | AnyTopic)[]): Promise<readonly TopicInfo[]> {
    const specs = checkedSpecs(topics)
    return await this.#broker.ensureTopics(specs)
  }

  /**
   * Deletes a topic with all its records. Rejects with UNKNOWN_TOPIC, or INVALID_TOPIC for the log's own. Kafka:
   * `deleteTopics`.
   */
  async deleteTopic(name: string): Promise<void> {
    this.#known(name)
    refuseInternal(name, 'delete')
    await this.#broker.deleteTopic(name)
  }

  /** All topics, sorted by name; the log's own only with `internal: true`. Kafka: `listTopics`. */
  listTopics(options: { readonly internal?: boolean } = {}): readonly TopicInfo[] {
    checkOptions('listTopics', options, { internal: true })
    const all = this.#broker.listTopics()
    return options.internal === true ? all : all.filter((topic) => !isInternalTopic(topic.name))
  }

  /** A topic with the first and last offsets of its partitions. Throws UNKNOWN_TOPIC. Kafka: `describeTopics`. */
  describeTopic(name: string, isolation: Isolation = 'committed'): TopicDescription {
    const info = this.#known(name)
    checkedIsolation(isolation)
    const at = Array.from({ length: info.partitions }, (_, partition): TopicPartition => ({ topic: name, partition }))
    return { ...info, bounds: this.#broker.bounds(at, isolation) }
  }

  /**
   * Stored records that have been found damaged since the log was opened. Closed segments are reread in the background, see
   * `scrubBytesPerSecond`. Nothing is repaired or removed; restore the named files from a copy.
   */
  listDamage(): readonly Damage[] {
    return this.#broker.damage
  }

  /** How much of the disk each partition uses, including those of the log's own topics. Kafka: `describeLogDirs`. */
  describeLogDirs(): readonly PartitionSize[] {
    return this.#broker.logDirs()
  }

  /**
   * Increases the number of a topic's partitions to `partitions`. Kafka: `createPartitions`.
   *
   * The partition of a record is the hash of its key modulo the number of partitions. From now on, records of a key may
   * therefore go to another partition than before: order per key holds among the old and among the new records, but not
   * between them; tables and joins on the topic would find the rows of a key in the wrong task; and a topology that reads the
   * topic refuses it with TOPIC_MISMATCH until its declaration agrees. Where keys matter, create a new topic and copy the
   * records. Rejects with INVALID_CONFIG unless the number is greater than before, UNKNOWN_TOPIC, or INVALID_TOPIC for the
   * log's own.
   * @example await log.admin.createPartitions('clicks', 8)
   */
  async createPartitions(name: string, partitions: number): Promise<TopicInfo> {
    this.#known(name)
    refuseInternal(name, 'change')
    return await this.#broker.addPartitions(name, partitions)
  }

  /**
   * Changes settings of a topic; those that are not named stay as they are. The changes take effect without reopening
   * anything: sizes and ages of segments with the next append, retention and compaction with their next run. Rejects with
   * INVALID_CONFIG, naming what is out of bounds, UNKNOWN_TOPIC, or INVALID_TOPIC for the log's own, and then nothing has
   * changed. Kafka: `incrementalAlterConfigs`.
   * @example await log.admin.alterTopicConfig('orders', { retentionMs: 7 * 86_400_000 })
   */
  async alterTopicConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo> {
    this.#known(name)
    refuseInternal(name, 'change')
    checkObject(`settings of topic ${name}`, changes)
    return await this.#broker.alterTopicConfig(name, changes)
  }

  /**
   * For each partition, the first offset that can be read, the one after the last, or that of the first record with at least
   * the given timestamp in ms (the end if there is none), as readers of committed records see them; Kafka's default is
   * `read_uncommitted`. Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION. Kafka: `listOffsets`.
   */
  offsets(
    at: readonly TopicPartition[],
    which: 'earliest' | 'latest' | { readonly timestamp: number },
  ): readonly Position[] {
    checkPlaces('partitions', at)
    for (const { topic, partition } of at) {
      const { partitions } = this.#known(topic)
      if (Number.isInteger(partition) && partition >= 0 && partition < partitions) continue
      throw unknownPartition({ topic, partition }, partitions)
    }
    const asked: unknown = which
    if (typeof asked === 'object' && asked !== null && 'timestamp' in asked) {
      if (!Number.isSafeInteger(asked.timestamp)) throw noTimestamp(asked.timestamp)
    } else if (asked !== 'earliest' && asked !== 'latest') {
      throw new LogError(
        'INVALID_CONFIG',
        `offsets are requested for ${shown(asked)}: use 'earliest', 'latest' or { timestamp: milliseconds }`,
        { asked },
      )
    }
    if (typeof which === 'object') {
      const queries = at.map((place) => ({ at: place, timestamp: which.timestamp }))
      return this.#broker.offsetsForTime(queries, 'committed')
    }
    const bounds = this.#broker.bounds(at, 'committed')
    return bounds.map(({ at, start, end }) => ({ at, offset: which === 'earliest' ? start : end }))
  }

  /**
   * Deletes the records below these offsets (-1 for all records) and resolves with the first offsets that can still be read.
   * The deletion is durable and final. Reading below it is OFFSET_OUT_OF_RANGE. Whole segments below it are removed from the
   * disk. Rejects with OFFSET_OUT_OF_RANGE for an offset beyond the end, POLICY_VIOLATION for a topic that is only compacted,
   * or INVALID_TXN_STATE for an offset behind the start of an open transaction. Kafka: `deleteRecords`.
   */
  async deleteRecords(at: readonly Position[]): Promise<readonly Position[]> {
    checkPositions('offsets to delete below', at)
    for (const { at: place } of at) refuseInternal(place.topic, 'delete records of')
    return await this.#broker.deleteRecords(at)
  }

  /** All groups, each with its kind, its phase and the number of its members. Kafka: `listGroups`. */
  listGroups(): readonly GroupListing[] {
    return this.#broker.groupAdmin.list()
  }

  /**
   * A group with its members, the partitions of each, and the lag of every partition. Throws GROUP_ID_NOT_FOUND. Kafka:
   * `describeGroups`.
   */
  describeGroup(group: string): GroupDescription {
    return this.#broker.groupAdmin.describe(group)
  }

  /**
   * Deletes a group that has no members, along with its offsets. Rejects with NON_EMPTY_GROUP or GROUP_ID_NOT_FOUND. The
   * stores of an application are not affected: delete them too. Kafka: `deleteGroups`.
   */
  async deleteGroup(group: string): Promise<void> {
    await this.#broker.groupAdmin.delete(group)
  }

  /**
   * Deletes the offsets of partitions whose topics no member reads, also those that an open transaction carries. Rejects with
   * GROUP_SUBSCRIBED_TO_TOPIC, GROUP_ID_NOT_FOUND, UNKNOWN_TOPIC or UNKNOWN_PARTITION. Kafka: `deleteConsumerGroupOffsets`.
   */
  async deleteGroupOffsets(group: string, at: readonly TopicPartition[]): Promise<void> {
    checkPlaces('partitions', at)
    await this.#broker.groupAdmin.deleteOffsets(group, at)
  }

  /**
   * Resolves with where the offsets of a group would be moved, and moves them there with `execute: true`. The group must not
   * have members: NON_EMPTY_GROUP. Targets outside a partition's bounds are moved inside. A group that does not exist is
   * created if topics or partitions are named, otherwise it is GROUP_ID_NOT_FOUND. The stores of an application are not
   * affected: records that are read again are counted again. Kafka: `kafka-consumer-groups --reset-offsets`.
   * @example await admin.resetGroupOffsets('report', { topics: ['orders'], to: { ago: 3_600_000 } }) // a dry run
   */
  async resetGroupOffsets(group: string, reset: GroupOffsetReset): Promise<readonly MovedOffset[]> {
    checkGroupName(group)
    checkOptions('resetGroupOffsets', reset, groupOffsetResetNames)
    if (reset.topics !== undefined) checkList('topics', reset.topics)
    if (reset.partitions !== undefined) checkPlaces('partitions', reset.partitions)
    this.#broker.groupAdmin.checkEmpty(group)
    const moved = plannedReset(this.#broker, group, reset)
    if (reset.execute === true) {
      const offsets = moved.map(({ at, to }): OffsetEntry => ({ at, offset: to, leaderEpoch: -1, metadata: '' }))
      await this.#broker.commitOffsets(group, -1, offsets)
    }
    return moved
  }

  /** Every transactional id with the phase of its transaction, sorted by id. Kafka: `listTransactions`. */
  listTransactions(): readonly TransactionState[] {
    return this.#broker
      .listTransactions()
      .toSorted((left, right) => (left.transactionalId < right.transactionalId ? -1 : 1))
  }

  /** The state of a transactional id. Throws TRANSACTIONAL_ID_NOT_FOUND. Kafka: `describeTransactions`. */
  describeTransaction(transactionalId: string): TransactionState {
    checkText('transactional id', transactionalId)
    return this.#broker.describeTransaction(transactionalId)
  }

  /**
   * What a partition remembers of its producers: what each wrote last, and where its open transaction begins. Throws
   * UNKNOWN_TOPIC, UNKNOWN_PARTITION. Kafka: `describeProducers`.
   */
  describeProducers(at: TopicPartition): readonly ProducerState[] {
    checkPlace('partition', at)
    return this.#broker.describeProducers(at)
  }

  /**
   * Aborts the open transaction of an id and fences its producer: all that it can still do is to close. Rejects with
   * TRANSACTIONAL_ID_NOT_FOUND, or INVALID_TXN_STATE where none is open. Kafka: `fenceProducers`.
   */
  async abortTransaction(transactionalId: string): Promise<void> {
    checkText('transactional id', transactionalId)
    await this.#broker.abortTransaction(transactionalId)
  }

  /**
   * Aborts a transaction that a producer has open in a partition although no transactional id owns it. Until then, readers of
   * committed records cannot get past it. Kafka: `kafka-transactions.sh abort`.
   */
  async abortHangingTransaction(at: TopicPartition, producerId: number): Promise<void> {
    checkPlace('partition', at)
    checkInteger('producer id', producerId)
    await this.#broker.abortHangingTransaction(at, producerId)
  }

  /**
   * The offsets that a group has committed for these partitions; those without one are left out. Kafka:
   * `listConsumerGroupOffsets`.
   */
  committedOffsets(group: string, at: readonly TopicPartition[]): readonly OffsetEntry[] {
    checkPlaces('partitions', at)
    return this.#broker.committedOffsets(group, at)
  }

  #known(name: string): TopicInfo {
    const info = this.#broker.topic(name)
    if (info !== undefined) return info
    throw new LogError(
      'UNKNOWN_TOPIC',
      `topic ${shown(name)} does not exist: create it, or name one that listTopics has`,
      { topic: name },
    )
  }
}

/** A topic with the bounds of its partitions. */
export interface TopicDescription extends TopicInfo {
  /** Per partition, in order: first offset, end offset, leader epoch. */
  readonly bounds: readonly Bounds[]
}

/** A {@link TopicSpec} is enough, but a caller that copies a topic may pass its description unchanged. */
const topicDescriptionNames: OptionNames<TopicDescription> = {
  name: true,
  partitions: true,
  config: true,
  id: true,
  bounds: true,
}

/**
 * How a declared topic is created: its partitions, its settings, and the ids of its codecs and partitioner, which the log
 * remembers.
 */
function specOf(topic: TopicSpec | AnyTopic): TopicSpec {
  if (!('key' in topic)) {
    checkOptions<object>(`topic ${shown(topic.name)}`, topic, topicDescriptionNames)
    return topic
  }
  const { name, key, value, partitions, partitioner, config } = topic
  return {
    name,
    partitions: partitions ?? 1,
    config: {
      ...config,
      keyCodec: key.codec.id,
      valueCodec: value.codec.id,
      ...(partitioner === undefined ? {} : { partitioner: partitioner.id }),
    },
  }
}

/** Throws INVALID_CONFIG, INVALID_TOPIC. */
function checkedSpecs(topics: readonly (TopicSpec | AnyTopic)[]): readonly TopicSpec[] {
  checkList('topics', topics)
  return topics.map((topic) => {
    checkObject('topic', topic)
    const spec = specOf(topic)
    checkTopicName(spec.name)
    refuseInternal(spec.name, 'create')
    if (spec.config !== undefined) checkObject(`settings of topic ${spec.name}`, spec.config)
    return spec
  })
}

function noTimestamp(timestamp: unknown): LogError {
  return new LogError('INVALID_TIMESTAMP', `offsets at time ${shown(timestamp)}: use milliseconds, an integer`, {
    timestamp,
  })
}

function refuseInternal(name: string, what: 'create' | 'delete' | 'change' | 'delete records of'): void {
  if (!isInternalTopic(name)) return
  throw new LogError('INVALID_TOPIC', `${what} topic ${name}: it is the log's own; name one of yours`, { topic: name })
}
