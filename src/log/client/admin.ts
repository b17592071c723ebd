import type { AnyTopic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import type { Bounds, Isolation, OffsetEntry, Position } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import type { TopicConfig, TopicInfo, TopicSpec } from '../api/topic.ts'
import type { Broker, PartitionSize } from '../broker/broker.ts'

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
    const specs = topics.map(specOf)
    for (const { name } of specs) refuseInternal(name, 'create')
    return await this.#broker.createTopics(specs)
  }

  /** Creates what is missing; TOPIC_MISMATCH where one exists with other partitions or codecs. */
  async ensureTopics(topics: readonly (TopicSpec | AnyTopic)[]): Promise<readonly TopicInfo[]> {
    const specs = topics.map(specOf)
    for (const { name } of specs) refuseInternal(name, 'create')
    return await this.#broker.ensureTopics(specs)
  }

  /** Deletes a topic with all its records. UNKNOWN_TOPIC; INVALID_TOPIC for the log's own. */
  async deleteTopic(name: string): Promise<void> {
    refuseInternal(name, 'delete')
    await this.#broker.deleteTopic(name)
  }

  /** Topics by name; the log's own only if asked for. */
  listTopics(options: { readonly internal?: boolean } = {}): readonly TopicInfo[] {
    const all = this.#broker.listTopics()
    return options.internal === true ? all : all.filter((topic) => !isInternalTopic(topic.name))
  }

  /** A topic with the offsets of its partitions. Throws UNKNOWN_TOPIC. */
  describeTopic(name: string, isolation: Isolation = 'committed'): TopicDescription {
    const info = this.#known(name)
    const at = Array.from({ length: info.partitions }, (_, partition): TopicPartition => ({ topic: name, partition }))
    return { ...info, bounds: this.#broker.bounds(at, isolation) }
  }

  /** What every partition takes on the disk, the log's own included. Kafka: `DescribeLogDirs`. */
  describeLogDirs(): readonly PartitionSize[] {
    return this.#broker.logDirs()
  }

  async alterTopicConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo> {
    refuseInternal(name, 'change')
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
    for (const { topic, partition } of at) {
      const { partitions } = this.#known(topic)
      if (Number.isInteger(partition) && partition >= 0 && partition < partitions) continue
      throw new LogError(
        'UNKNOWN_PARTITION',
        `topic ${topic} has partitions 0 to ${partitions - 1}, not ${partition}`,
        {
          topic,
          partition,
        },
      )
    }
    if (typeof which === 'object') {
      return this.#broker.offsetsForTime(at.map((place) => ({ at: place, timestamp: which.timestamp })))
    }
    const bounds = this.#broker.bounds(at, 'committed')
    return bounds.map(({ at, start, end }) => ({ at, offset: which === 'earliest' ? start : end }))
  }

  /** Deletes the records below these offsets. Kafka: `DeleteRecords`. */
  async purgeBefore(at: readonly Position[]): Promise<void> {
    for (const { at: place } of at) refuseInternal(place.topic, 'purge')
    await this.#broker.purgeBefore(at)
  }

  /** Groups that have offsets or a member. */
  listGroups(): readonly string[] {
    return this.#broker.listGroups()
  }

  committedOffsets(group: string, at: readonly TopicPartition[]): readonly OffsetEntry[] {
    return this.#broker.committedOffsets(group, at)
  }

  #known(name: string): TopicInfo {
    const info = this.#broker.topic(name)
    if (info !== undefined) return info
    throw new LogError('UNKNOWN_TOPIC', `topic ${JSON.stringify(name)} does not exist`, { topic: name })
  }
}

export interface TopicDescription extends TopicInfo {
  /** Per partition, in order: first offset, end offset, leader epoch. */
  readonly bounds: readonly Bounds[]
}

/** What a declared topic is made as: its partitions, its settings, and its codecs' ids, which the log remembers. */
function specOf(topic: TopicSpec | AnyTopic): TopicSpec {
  if (!('key' in topic)) return topic
  const { name, key, value, partitions, config } = topic
  return {
    name,
    partitions: partitions ?? 1,
    config: { ...config, keyCodec: key.codec.id, valueCodec: value.codec.id },
  }
}

function refuseInternal(name: string, what: 'create' | 'delete' | 'change' | 'purge'): void {
  if (!isInternalTopic(name)) return
  throw new LogError('INVALID_TOPIC', `${what} topic ${name}: it is the log's own`, { topic: name })
}
