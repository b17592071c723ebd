import type { AnyTopic } from '../../codec/topic.ts'
import { LogError, unknownPartition, unknownTopic } from '../api/errors.ts'
import type { TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import { bytesFormat, checkFormat, declaredFormat, type RecordFormat } from './record-format.ts'

/**
 * The topics that a consumer was given with their types, and thereby the format of every partition that it may read.
 *
 * - With declared topics it reads no others, so that its records have the declared types. Without any it reads all
 *   topics, as bytes.
 * - A declaration is checked against the codecs that the log has stored for the topic.
 */
export class DeclaredTopics {
  readonly #broker: Broker
  readonly #byName: ReadonlyMap<string, AnyTopic>

  constructor(broker: Broker, topics: readonly AnyTopic[]) {
    this.#broker = broker
    for (const topic of topics as readonly unknown[]) {
      if (typeof topic === 'object' && topic !== null && 'name' in topic) continue
      const given = typeof topic === 'string' ? `the name ${topic}` : 'something else'
      throw new LogError(
        'INVALID_CONFIG',
        `topics contains ${given}, but must contain topics declared with topic(): leave topics out to read any topic as bytes`,
      )
    }
    this.#byName = new Map(topics.map((topic) => [topic.name, topic]))
  }

  get names(): readonly string[] {
    return [...this.#byName.keys()]
  }

  /** Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, TOPIC_MISMATCH, or INVALID_CONFIG for a topic that is not declared. */
  formatOf(at: TopicPartition): RecordFormat {
    const info = this.#broker.topic(at.topic)
    if (info === undefined) throw unknownTopic(at.topic)
    if (!Number.isInteger(at.partition) || at.partition < 0 || at.partition >= info.partitions)
      throw unknownPartition(at, info.partitions)
    const declared = this.#byName.get(at.topic)
    if (declared === undefined) {
      // The types promise records of the declared topics, so bytes of another topic must not be among them.
      if (this.#byName.size === 0) return bytesFormat(at.topic)
      throw new LogError('INVALID_CONFIG', `topic ${at.topic} is not among the declared ones: ${this.names.join(', ')}`)
    }
    const format = declaredFormat(declared)
    checkFormat(info, format)
    return format
  }
}
