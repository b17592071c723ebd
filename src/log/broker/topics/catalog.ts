import { assert } from '../../../base/assert.ts'
import { unknownPartition, unknownTopic } from '../../api/errors.ts'
import type { TopicPartition } from '../../api/record.ts'
import { defaultTopicConfig, type TopicConfig, type TopicInfo } from '../../api/topic.ts'
import type { PendingDeletion } from '../../journal/checkpoint.ts'
import { Partition } from './partition.ts'

/**
 * All topics and the state of their partitions, on two levels: *promoted* state comes from written groups and is what
 * everybody except `sequenced` readers sees; *pending* state is ahead of it, and is what the next append builds on.
 *
 * - Only `promote...` methods change promoted state, and only while the sequencer promotes a group.
 * - Pending offsets are never below promoted ones; when nothing is in flight, both are equal.
 * - A topic id is never used twice; a name may be.
 */
export class Catalog {
  readonly #byName = new Map<string, Topic>()
  readonly #byId = new Map<string, Topic>()
  /** How many topics have each {@link metricName}: more than one only in an old log. */
  readonly #metricNames = new Map<string, number>()
  /** Deletions that checkpoints must include until both copies know about them. */
  readonly deletions: PendingDeletion[] = []
  /** Owns the batches in memory whose topics have been deleted. */
  readonly #placeholder = new Partition(new Topic({ name: '', id: '', partitions: 0, config: defaultTopicConfig }), 0)

  /**
   * Increases whenever a topic is created, deleted or given more partitions; as long as it stays the same, an earlier
   * lookup is still valid.
   */
  revision = 0

  get topics(): Iterable<Topic> {
    return this.#byName.values()
  }

  topic(name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  byId(id: string): Topic | undefined {
    return this.#byId.get(id)
  }

  /** A topic of this name, or of one that differs from it only in `.` and `_`. */
  alike(name: string): Topic | undefined {
    const same = metricName(name)
    // Searched only to name it in an error: a search for each of thousands of new topics would take longer than creating them.
    if (!this.#metricNames.has(same)) return undefined
    return this.#byName.values().find((topic) => metricName(topic.name) === same)
  }

  /** The partition. Throws UNKNOWN_TOPIC or UNKNOWN_PARTITION. */
  partition(at: TopicPartition): Partition {
    const topic = this.#byName.get(at.topic)
    if (topic === undefined || topic.phase !== 'live') throw unknownTopic(at.topic)
    const partition = topic.partitions[at.partition]
    if (partition !== undefined) return partition
    throw unknownPartition(at, topic.partitions.length)
  }

  promoteCreated(info: TopicInfo): Topic {
    assert(!this.#byName.has(info.name), `topic ${info.name} is created twice`)
    const topic = new Topic(info)
    this.#byName.set(info.name, topic)
    this.#byId.set(info.id, topic)
    this.#countName(info.name, 1)
    this.revision += 1
    return topic
  }

  promoteDeleted(id: string): Topic | undefined {
    const topic = this.#byId.get(id)
    if (topic === undefined) return undefined
    this.#byId.delete(id)
    this.revision += 1
    this.#byName.delete(topic.name)
    this.#countName(topic.name, -1)
    topic.phase = 'deleted'
    for (const partition of topic.partitions) {
      this.deletions.push({ topicId: id, partition: partition.index })
      partition.forgetTail(this.#placeholder)
    }
    return topic
  }

  #countName(name: string, more: 1 | -1): void {
    const same = metricName(name)
    const count = (this.#metricNames.get(same) ?? 0) + more
    if (count > 0) this.#metricNames.set(same, count)
    else this.#metricNames.delete(same)
  }

  /** Resets all pending state to what is promoted: the journal failed, and whatever was in flight does not exist. */
  dropPending(): void {
    for (const topic of this.#byName.values()) for (const partition of topic.partitions) partition.dropPending()
  }
}

/** Equal for names that Kafka's metrics cannot tell apart. */
export function metricName(topic: string): string {
  return topic.replaceAll('.', '_')
}

export class Topic {
  readonly id: string
  readonly name: string
  readonly #partitions: Partition[]
  phase: 'live' | 'deleting' | 'deleted' = 'live'
  #info: TopicInfo

  constructor(info: TopicInfo) {
    this.id = info.id
    this.name = info.name
    this.#info = info
    this.#partitions = Array.from({ length: info.partitions }, (_, index) => new Partition(this, index))
  }

  get partitions(): readonly Partition[] {
    return this.#partitions
  }

  get info(): TopicInfo {
    return this.#info
  }

  get config(): TopicConfig {
    return this.#info.config
  }

  promoteConfig(config: TopicConfig): void {
    this.#info = { ...this.#info, config }
  }

  /** Adds partitions up to `count`; existing ones are not changed. */
  promotePartitions(count: number): void {
    for (let index = this.#partitions.length; index < count; index++) this.#partitions.push(new Partition(this, index))
    this.#info = { ...this.#info, partitions: this.#partitions.length }
  }
}
