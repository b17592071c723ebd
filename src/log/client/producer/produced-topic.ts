import type { AnyTopic } from '../../../codec/topic.ts'
import { LogError, unknownTopic } from '../../api/errors.ts'
import { isInternalTopic } from '../../api/internal-topics.ts'
import type { TopicInfo } from '../../api/topic.ts'
import type { Broker } from '../../broker/broker.ts'
import { bytesFormat, checkFormat, declaredFormat, type RecordFormat } from '../record-format.ts'
import type { BatchAccumulator, SealedBatch } from './batch-accumulator.ts'
import type { PartitionSender } from './partition-sender.ts'
import { Partitioner } from './partitioner.ts'

/**
 * The topics that a producer sends to, each with its format and with what is collected for its partitions.
 *
 * - A topic is looked up for every record, because it may have been deleted and created anew. Then it is another topic:
 *   what was collected for the old one is sent before anything is collected for the new one, and is answered as usual.
 * - The log's internal topics are never among them.
 *
 * It sends nothing itself.
 */
export class ProducedTopics {
  readonly #broker: Broker
  readonly #byName = new Map<string, ProducedTopic>()
  #last: ProducedTopic | null = null
  /** Deleted topics with records that were not answered yet. */
  #replacedTopics: ProducedTopic[] = []
  /** Sends what was collected for a topic that was deleted. Throws if the producer cannot go on with its successor. */
  readonly #replaced: (topic: ProducedTopic) => void

  constructor(broker: Broker, replaced: (topic: ProducedTopic) => void) {
    this.#broker = broker
    this.#replaced = replaced
  }

  /** All topics to which anything was sent. */
  all(): Iterable<ProducedTopic> {
    if (this.#replacedTopics.length === 0) return this.#byName.values()
    this.#replacedTopics = this.#replacedTopics.filter(({ isAnswered }) => !isAnswered)
    return [...this.#byName.values(), ...this.#replacedTopics]
  }

  /** The topic that has this name now: a send that waited for room goes where it would go if it were made now. */
  successorOf(topic: ProducedTopic): ProducedTopic {
    return this.#byName.get(topic.info.name) ?? topic
  }

  /** Throws UNKNOWN_TOPIC, or INVALID_TOPIC for an internal topic. */
  of(name: string): ProducedTopic {
    const info = this.#broker.topic(name)
    if (info === undefined) throw unknownTopic(name)
    // Most records go to the same topic as the previous one.
    if (this.#last?.info === info) return this.#last
    const known = this.#byName.get(name)
    if (known?.info.id === info.id) {
      known.info = info
      this.#last = known
      return known
    }
    if (isInternalTopic(name)) {
      throw new LogError('INVALID_TOPIC', `topic ${name} is the log's own: only the log writes to it`, { topic: name })
    }
    // The topic was deleted and created anew meanwhile; records sent to its name go to the new one.
    if (known !== undefined) {
      this.#replaced(known)
      this.#replacedTopics.push(known)
    }
    const topic = new ProducedTopic(info, known !== undefined)
    this.#byName.set(name, topic)
    return topic
  }
}

/** A topic, identified by its id. */
export class ProducedTopic {
  info: TopicInfo
  /**
   * The producer has sent records to an earlier topic of this name. Some of its batches may have reached this one, so
   * batches must not be numbered as if they were the first.
   */
  readonly isSuccessor: boolean
  /** The topic's name in messages. */
  readonly title: string
  readonly named: RecordFormat
  readonly partitioner: Partitioner = new Partitioner()
  readonly partitions: (ProducedPartition | undefined)[] = []
  #declared: AnyTopic | null = null
  #format: RecordFormat

  constructor(info: TopicInfo, isSuccessor: boolean) {
    this.info = info
    this.isSuccessor = isSuccessor
    this.title = `topic ${info.name}`
    this.named = bytesFormat(info.name)
    this.#format = this.named
  }

  /** Whether every record that was ever accepted for it has been answered. */
  get isAnswered(): boolean {
    return this.partitions.every((one) => one === undefined || one.answeredRecords >= one.takenRecords)
  }

  /** The format of a declaration. It is checked against the stored codecs only once. */
  formatOf(declared: AnyTopic): RecordFormat {
    if (this.#declared === declared) return this.#format
    const format = declaredFormat(declared)
    checkFormat(this.info, format)
    this.#declared = declared
    this.#format = format
    return format
  }
}

/** The batches for one partition. */
export class ProducedPartition {
  readonly accumulator: BatchAccumulator
  readonly sender: PartitionSender
  /** Sealed batches that wait because the maximum is in flight. They are bounded by `bufferBytesMax`. */
  readonly queue: { readonly batch: SealedBatch; readonly numbering: number }[] = []
  /** The open batch is to be sent as soon as there is room. */
  due: boolean = false
  /** Number of records that were ever accepted for it. */
  takenRecords: number = 0
  /** Number of those whose outcome their callers were told. */
  answeredRecords: number = 0

  constructor(accumulator: BatchAccumulator, sender: PartitionSender) {
    this.accumulator = accumulator
    this.sender = sender
  }
}
