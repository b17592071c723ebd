import type { Clock } from '../base/clock.ts'
import { checkOptions } from './api/checked-options.ts'
import type { LastSection, TaskId } from './api/commit-section.ts'
import type {
  Bounds,
  CommitHints,
  Committer,
  EpochQuery,
  GroupOptions,
  Isolation,
  Log,
  Membership,
  OffsetEntry,
  Position,
  Reader,
  TimeQuery,
} from './api/log.ts'
import type { TopicPartition } from './api/record.ts'
import type { TopicInfo, TopicSpec } from './api/topic.ts'
import type { Broker } from './broker/broker.ts'
import { Admin } from './client/admin.ts'
import { checkList, checkPlaces, checkPlacesIn, checkPositions, checkText } from './client/checked-arguments.ts'
import type { ConsumerOptions } from './client/consumer/consumer-options.ts'
import { Consumer } from './client/consumer/consumer.ts'
import { checkedIsolation } from './client/offset-reset.ts'
import type { ProducerOptions } from './client/producer/producer-options.ts'
import { Producer } from './client/producer/producer.ts'
import type { BytesOut } from './client/record-format.ts'
import { RetryTopics, type RetryTopicsOptions } from './client/retry/retry-topics.ts'
import type { LogConfig } from './config.ts'

/**
 * The log in this process: the `Log` that topologies use, and the place to get producers, consumers and admin. The
 * broker does all the work.
 */
export class EmbeddedLog implements Log {
  readonly commitHints: CommitHints
  /** Topics, groups and transactions: creates, describes, changes and deletes them. */
  readonly admin: Admin
  readonly #broker: Broker
  readonly #clock: Clock

  constructor(broker: Broker, clock: Clock, config: Pick<LogConfig, 'commitMinIntervalMs' | 'pipelineDepth'>) {
    this.#broker = broker
    this.#clock = clock
    this.admin = new Admin(broker)
    this.commitHints = { minIntervalMs: config.commitMinIntervalMs, pipelineDepth: config.pipelineDepth }
  }

  /** The broker that the embedded clients use. */
  get broker(): Broker {
    return this.#broker
  }

  /**
   * A producer, which writes records to topics. Close it before the log. Throws INVALID_CONFIG.
   * @example const producer = log.producer({ compression: 'zstd' })
   */
  producer(options: ProducerOptions = {}): Producer {
    return new Producer(this.#broker, this.#clock, options)
  }

  /**
   * A consumer, which reads records from topics. Close it before the log. Throws INVALID_CONFIG, INVALID_GROUP_ID.
   * @example const consumer = log.consumer({ group: 'report', topics: [pageViews], autoOffsetReset: 'earliest' })
   */
  consumer<K = BytesOut, V = BytesOut>(options: ConsumerOptions<K, V> = {}): Consumer<K, V> {
    return new Consumer(this.#broker, this.#clock, options)
  }

  /**
   * Processes topics some of whose records fail: they are retried with delays and finally go to a dead-letter topic.
   * Close it before the log. Throws INVALID_CONFIG.
   * @example await log.retryTopics({ group: 'billing', topics: [orders], process: ({ value }) => charge(value) }).run()
   */
  retryTopics<K = BytesOut, V = BytesOut>(options: RetryTopicsOptions<K, V>): RetryTopics<K, V> {
    return new RetryTopics(this.#broker, this.#clock, options)
  }

  async topics(names: readonly string[]): Promise<readonly TopicInfo[]> {
    checkList('names of topics', names)
    return names.flatMap((name) => this.#broker.topic(name) ?? [])
  }

  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    checkList('topics', specs)
    return this.#broker.ensureTopics(specs)
  }

  async openReader(options: { readonly isolation: Isolation }): Promise<Reader> {
    checkOptions('the reader', options, { isolation: true })
    checkedIsolation(options.isolation)
    return this.#broker.openReader(options)
  }

  async joinGroup(options: GroupOptions): Promise<Membership> {
    checkOptions('joinGroup', options, { group: true, topics: true })
    checkList('topics', options.topics)
    return this.#broker.joinGroup(options)
  }

  async openCommitter(options: { readonly id: string }): Promise<Committer> {
    checkOptions('the committer', options, { id: true })
    checkText('id of the committer', options.id)
    return this.#broker.openCommitter(options)
  }

  async committedOffsets(group: string, at: readonly TopicPartition[]): Promise<readonly OffsetEntry[]> {
    checkPlaces('partitions', at)
    return this.#broker.committedOffsets(group, at)
  }

  async bounds(at: readonly TopicPartition[], isolation: Isolation): Promise<readonly Bounds[]> {
    checkPlaces('partitions', at)
    return this.#broker.bounds(at, isolation)
  }

  async offsetsForTime(at: readonly TimeQuery[], isolation: Isolation = 'durable'): Promise<readonly Position[]> {
    checkPlacesIn('times to look for', at)
    return this.#broker.offsetsForTime(at, isolation)
  }

  async epochEnds(at: readonly EpochQuery[]): Promise<readonly Position[]> {
    checkPlacesIn('epochs to look for', at)
    return this.#broker.epochEnds(at)
  }

  async lastSections(group: string, tasks?: readonly TaskId[]): Promise<readonly LastSection[]> {
    return this.#broker.lastSections(group, tasks)
  }

  async purgeBefore(at: readonly Position[]): Promise<void> {
    checkPositions('offsets to purge below', at)
    // The log purges repartition topics by itself once they were read, but not as long as a rewind may need their
    // records.
    const asked = at.filter(({ at: { topic } }) => this.#broker.topic(topic)?.config.purgedWhenRead !== true)
    if (asked.length > 0) await this.#broker.purgeBefore(asked)
  }

  /**
   * Resolves when everything that was acknowledged is on the device. Under `sync: 'os'` this comes before a store is
   * flushed, so that the store is never ahead of its changelog; under `sync: 'commit'` it resolves at once.
   */
  sync(): Promise<void> {
    return this.#broker.sync()
  }

  close(): Promise<void> {
    return this.#broker.close()
  }
}
