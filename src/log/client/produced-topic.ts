import { shown } from '../../base/shown.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import type { TopicInfo } from '../api/topic.ts'
import type { Broker } from '../broker/broker.ts'
import type { BatchAccumulator, SealedBatch } from './batch-accumulator.ts'
import type { PartitionSender } from './partition-sender.ts'
import { Partitioner } from './partitioner.ts'
import { bytesFormat, checkFormat, declaredFormat, type RecordFormat } from './record-format.ts'

/**
 * The topics a producer sends to, as it found them: each with its format, and with what is collected for its partitions.
 *
 * - A topic is looked up for every record, because it may have been deleted and made again: then it is another topic, and
 *   what was collected for the old one is sent before anything is collected for the new one, and is answered like all else.
 * - The log's own topics are never among them.
 *
 * It sends nothing itself.
 */
export class ProducedTopics {
  readonly #broker: Broker
  readonly #byName = new Map<string, ProducedTopic>()
  #last: ProducedTopic | null = null
  /** Topics that are no more, of which something was not answered yet. */
  #replacedTopics: ProducedTopic[] = []
  /** Sends what was collected for a topic that is no more. */
  readonly #replaced: (topic: ProducedTopic) => void

  constructor(broker: Broker, replaced: (topic: ProducedTopic) => void) {
    this.#broker = broker
    this.#replaced = replaced
  }

  /** All that anything was sent to. */
  all(): Iterable<ProducedTopic> {
    if (this.#replacedTopics.length === 0) return this.#byName.values()
    this.#replacedTopics = this.#replacedTopics.filter(({ isAnswered }) => !isAnswered)
    return [...this.#byName.values(), ...this.#replacedTopics]
  }

  /** The topic that has its name now: what waited for room goes where it would go if it were sent now. */
  successorOf(topic: ProducedTopic): ProducedTopic {
    return this.#byName.get(topic.info.name) ?? topic
  }

  /** Throws UNKNOWN_TOPIC, INVALID_TOPIC (internal). */
  of(name: string): ProducedTopic {
    const info = this.#broker.topic(name)
    if (info === undefined) {
      throw new LogError('UNKNOWN_TOPIC', `topic ${shown(name)} does not exist: create it first`, {
        topic: name,
      })
    }
    // Most records go where the one before went.
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
    // The topic was deleted and made again meanwhile; what was sent to its name goes to its name.
    if (known !== undefined) {
      this.#replaced(known)
      this.#replacedTopics.push(known)
    }
    const topic = new ProducedTopic(info)
    this.#byName.set(name, topic)
    return topic
  }
}

/** One topic, under one id. */
export class ProducedTopic {
  info: TopicInfo
  /** As messages call it. */
  readonly title: string
  readonly named: RecordFormat
  readonly partitioner: Partitioner = new Partitioner()
  readonly partitions: (ProducedPartition | undefined)[] = []
  #declared: AnyTopic | null = null
  #format: RecordFormat

  constructor(info: TopicInfo) {
    this.info = info
    this.title = `topic ${info.name}`
    this.named = bytesFormat(info.name)
    this.#format = this.named
  }

  /** Whether all that was ever taken for it has been answered. */
  get isAnswered(): boolean {
    return this.partitions.every((one) => one === undefined || one.sender.answeredRecords >= one.takenRecords)
  }

  /** The format of a declaration, held once against what the topic remembers. */
  formatOf(declared: AnyTopic): RecordFormat {
    if (this.#declared === declared) return this.#format
    const format = declaredFormat(declared)
    checkFormat(this.info, format)
    this.#declared = declared
    this.#format = format
    return format
  }
}

/** What goes to one partition. */
export class ProducedPartition {
  readonly accumulator: BatchAccumulator
  readonly sender: PartitionSender
  /** Sealed, behind as many as may be on their way. `bufferBytesMax` bounds them. */
  readonly queue: { readonly batch: SealedBatch; readonly numbering: number }[] = []
  /** Its records would be on their way if there were room. */
  due: boolean = false
  /** All that were ever taken for it. */
  takenRecords: number = 0

  constructor(accumulator: BatchAccumulator, sender: PartitionSender) {
    this.accumulator = accumulator
    this.sender = sender
  }
}
