import type { OptionNames } from '../../base/option-names.ts'
import { shown } from '../../base/shown.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { checkOptions } from '../api/checked-options.ts'
import { LogError, unknownPartition } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import type { Bounds, Isolation, OffsetEntry, Position } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import { checkTopicName, type TopicConfig, type TopicInfo, type TopicSpec } from '../api/topic.ts'
import type { Damage } from '../broker/scrubber.ts'
import type { Broker, PartitionSize, ProducerState, TransactionState } from '../broker/broker.ts'
import type { GroupDescription, GroupListing } from '../broker/group-admin.ts'
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

/** Creates, describes and deletes topics, and answers where their records are. */
export class Admin {
  readonly #broker: Broker

  constructor(broker: Broker) {
    this.#broker = broker
  }

  /**
   * Creates topics, all or none. A declared topic brings its partitions (default 1), settings and codecs. Rejects with
   * TOPIC_EXISTS, INVALID_TOPIC or INVALID_CONFIG.
   */
  async createTopics(topics: readonly (TopicSpec | AnyTopic)[]): Promise<readonly TopicInfo[]> {
    const specs = checkedSpecs(topics)
    return await this.#broker.createTopics(specs)
  }

  /** Creates what is missing; TOPIC_MISMATCH where one exists with other partitions, codecs or partitioner. */
  async ensureTopics(topics: readonly (TopicSpec | AnyTopic)[]): Promise<readonly TopicInfo[]> {
    const specs = checkedSpecs(topics)
    return await this.#broker.ensureTopics(specs)
  }

  /** Deletes a topic with all its records. UNKNOWN_TOPIC; INVALID_TOPIC for the log's own. */
  async deleteTopic(name: string): Promise<void> {
    this.#known(name)
    refuseInternal(name, 'delete')
    await this.#broker.deleteTopic(name)
  }

  /** Topics by name; the log's own only if asked for. */
  listTopics(options: { readonly internal?: boolean } = {}): readonly TopicInfo[] {
    checkOptions('listTopics', options, { internal: true })
    const all = this.#broker.listTopics()
    return options.internal === true ? all : all.filter((topic) => !isInternalTopic(topic.name))
  }

  /** A topic with the offsets of its partitions. Throws UNKNOWN_TOPIC. */
  describeTopic(name: string, isolation: Isolation = 'committed'): TopicDescription {
    const info = this.#known(name)
    checkedIsolation(isolation)
    const at = Array.from({ length: info.partitions }, (_, partition): TopicPartition => ({ topic: name, partition }))
    return { ...info, bounds: this.#broker.bounds(at, isolation) }
  }

  /**
   * Stored records that were found damaged since the log was opened: closed segments are read again in the background, see
   * `scrubBytesPerSecond`. Nothing is repaired or removed; restore the files that are named from a copy.
   */
  listDamage(): readonly Damage[] {
    return this.#broker.damage
  }

  /** What every partition takes on the disk, the log's own included. Kafka: `DescribeLogDirs`. */
  describeLogDirs(): readonly PartitionSize[] {
    return this.#broker.logDirs()
  }

  /**
   * Gives a topic more partitions, `partitions` in all. Kafka: `createPartitions`.
   *
   * A record's key chooses its partition by its hash modulo their number. So from here on records of a key may go to
   * another partition than those before: order per key holds among the old and among the new, not between them, tables
   * and joins on the topic would find a key's rows in the wrong task, and a topology that reads the topic refuses it with
   * TOPIC_MISMATCH until it is declared so. Where keys matter, make a new topic and copy. Rejects with INVALID_CONFIG unless
   * the number is greater than it is, UNKNOWN_TOPIC, or INVALID_TOPIC for the log's own.
   * @example await log.admin.createPartitions('clicks', 8)
   */
  async createPartitions(name: string, partitions: number): Promise<TopicInfo> {
    this.#known(name)
    refuseInternal(name, 'change')
    return await this.#broker.addPartitions(name, partitions)
  }

  /**
   * Changes settings of a topic; those that are not named stay. They count at once, without opening anything again: sizes
   * and ages of segments at the next append, retention and compaction at their next turn. Kafka: `incrementalAlterConfigs`.
   * INVALID_CONFIG names what is out of bounds, and nothing has changed.
   */
  async alterTopicConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo> {
    this.#known(name)
    refuseInternal(name, 'change')
    checkObject(`settings of topic ${name}`, changes)
    return await this.#broker.alterTopicConfig(name, changes)
  }

  /**
   * Per partition the first offset that can be read, the one after the last, or that of the first record with at least
   * that timestamp (without one, the end).
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
        `offsets are asked for by ${shown(asked)}: use 'earliest', 'latest' or { timestamp: milliseconds }`,
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
   * Deletes the records below these offsets, -1 for all that there are, and resolves with the first offsets that can be
   * read: durable, and never moved back. Who reads below gets OFFSET_OUT_OF_RANGE. Files go when no segment needs them.
   * Rejects with OFFSET_OUT_OF_RANGE beyond the end, POLICY_VIOLATION for a topic that is only compacted. Kafka:
   * `deleteRecords`.
   */
  async deleteRecords(at: readonly Position[]): Promise<readonly Position[]> {
    checkPositions('offsets to delete below', at)
    for (const { at: place } of at) refuseInternal(place.topic, 'delete records of')
    return await this.#broker.deleteRecords(at)
  }

  /** All groups: what kind each is, its phase, and how many members it has. Kafka: `ListGroups`. */
  listGroups(): readonly GroupListing[] {
    return this.#broker.groupAdmin.list()
  }

  /** A group with its members, what each has, and the lag of every partition. GROUP_ID_NOT_FOUND. Kafka: `DescribeGroups`. */
  describeGroup(group: string): GroupDescription {
    return this.#broker.groupAdmin.describe(group)
  }

  /**
   * Deletes a group without members, with its offsets. NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND. An application's stores know
   * nothing of it: delete them too. Kafka: `DeleteGroups`.
   */
  async deleteGroup(group: string): Promise<void> {
    await this.#broker.groupAdmin.delete(group)
  }

  /** Forgets offsets of topics that no member reads: GROUP_SUBSCRIBED_TO_TOPIC, GROUP_ID_NOT_FOUND. Kafka: `OffsetDelete`. */
  async deleteGroupOffsets(group: string, at: readonly TopicPartition[]): Promise<void> {
    checkPlaces('partitions', at)
    await this.#broker.groupAdmin.deleteOffsets(group, at)
  }

  /**
   * Says where the offsets of a group would go, and moves them there with `execute: true`. Only a group without members:
   * NON_EMPTY_GROUP. What lies outside a partition's bounds is brought inside. A group that does not exist begins with it.
   * Kafka: `kafka-consumer-groups --reset-offsets`.
   * @example admin.resetGroupOffsets('report', { topics: ['orders'], to: { ago: 3_600_000 } }) // a dry run
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

  /** Every transactional id with the phase of its transaction, by id. Kafka: `listTransactions`. */
  listTransactions(): readonly TransactionState[] {
    return this.#broker
      .listTransactions()
      .toSorted((left, right) => (left.transactionalId < right.transactionalId ? -1 : 1))
  }

  /** TRANSACTIONAL_ID_NOT_FOUND if there is none. Kafka: `describeTransactions`. */
  describeTransaction(transactionalId: string): TransactionState {
    checkText('transactional id', transactionalId)
    return this.#broker.describeTransaction(transactionalId)
  }

  /** What a partition remembers of its producers: what each wrote last, and since where one has a transaction open. */
  describeProducers(at: TopicPartition): readonly ProducerState[] {
    checkPlace('partition', at)
    return this.#broker.describeProducers(at)
  }

  /**
   * Aborts the open transaction of the id and fences its producer. Rejects with TRANSACTIONAL_ID_NOT_FOUND, or
   * INVALID_TXN_STATE where none is open. Kafka: `abortTransaction`, `fenceProducers`.
   */
  async abortTransaction(transactionalId: string): Promise<void> {
    checkText('transactional id', transactionalId)
    await this.#broker.abortTransaction(transactionalId)
  }

  /**
   * Aborts what a producer has open in a partition and no transactional id owns: without it readers of committed records
   * stay behind it for ever. Kafka: `kafka-transactions.sh abort`.
   */
  async abortHangingTransaction(at: TopicPartition, producerId: number): Promise<void> {
    checkPlace('partition', at)
    checkInteger('producer id', producerId)
    await this.#broker.abortHangingTransaction(at, producerId)
  }

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

/** What is made need be no more than a {@link TopicSpec}; but who copies a topic hands over what it is described by. */
const topicDescriptionNames: OptionNames<TopicDescription> = {
  name: true,
  partitions: true,
  config: true,
  id: true,
  bounds: true,
}

/** What a declared topic is made as: its partitions, its settings, and the ids of its codecs and partitioner, which the log remembers. */
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
