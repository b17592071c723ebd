import { ViewedBytes } from '../../../base/bytes.ts'
import type { Clock } from '../../../base/clock.ts'
import type { OptionNames } from '../../../base/option-names.ts'
import { shown } from '../../../base/shown.ts'
import type { AnyTopic, Topic } from '../../../codec/topic.ts'
import { checkOptions } from '../../api/checked-options.ts'
import { LogError, unknownTopic } from '../../api/errors.ts'
import type { Header } from '../../api/record.ts'
import { checkTopicName, type TopicConfig, type TopicInfo } from '../../api/topic.ts'
import type { Broker } from '../../broker/broker.ts'
import { checkGroupName } from '../../group/group-coordinator.ts'
import { checkFunction, checkList, checkObject, checkSignal } from '../checked-arguments.ts'
import { consumerOptionNames, type ConsumerOptions, type ConsumerRecord } from '../consumer/consumer-options.ts'
import { Consumer } from '../consumer/consumer.ts'
import { checkedConcurrency } from '../consumer/record-listening.ts'
import type { BytesRecord } from '../producer/producer-options.ts'
import { bytesFormat, checkFormat, declaredFormat, type BytesOut, type RecordFormat } from '../record-format.ts'
import { RetryHandOver, RetryTransactions } from './retry-hand-over.ts'

/**
 * Processes topics some of whose records fail, without being held up by them. A record whose processing throws goes to a
 * retry topic and is tried again after a delay; if it fails again, it goes to the next retry topic, with a longer delay,
 * and after the last one to a dead-letter topic, with the cause in its headers. The records behind it are processed
 * meanwhile.
 *
 * ```
 * orders ──fails──► g-orders-retry-1 ──fails──► g-orders-retry-2 ──fails──► g-orders-dead-letter
 *                   waits 10 s                  waits 1 min                 nobody reads it here
 * ```
 *
 * - **A record is handed over exactly once.** Its copy in the next topic and the offset that moves past the original are one
 *   transaction, so no crash loses or duplicates it. Readers of these topics must read committed records, which is the default.
 * - **It is processed at least once.** After a crash between a call of `process` and the commit, the record is delivered again
 *   as the same attempt. Processing a record twice should do no harm.
 * - A record is handed over when all records before it in its partition are done. Up to `maxPollRecords` records wait for that;
 *   then no more are read.
 * - **Order.** Records of one key are processed in order until one of them fails; the ones behind it then overtake it.
 * - A run with fewer delays than the one before also empties the retry topics that it no longer needs, after its last delay;
 *   records that fail there go to the dead-letter topic.
 * - Retry topics have as many partitions as their source, and a record keeps its partition, key, value, headers and timestamp.
 * - A record that cannot be read as declared goes to the dead-letter topic at once, because retrying would not help.
 * - A record that waits in a retry topic does not count towards `concurrency`. It holds up only records that failed behind it in
 *   its partition, which are due later anyway.
 *
 * Copies have these headers, all of them text: `millrace-retry-topic`, `-partition` and `-offset` (where the record came
 * from originally), `-attempt` (how often it was tried), `-at` (when it failed last, in ms), `-error` (name and message
 * of the cause).
 */
export class RetryTopics<out K = BytesOut, out V = BytesOut> {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #options: CheckedOptions
  readonly #process: (record: ConsumerRecord<never, never>, attempt: number) => void | Promise<void>
  #transactions: RetryTransactions | null = null
  readonly #consumers: Consumer[] = []
  #phase: 'created' | 'running' | 'closed' = 'created'
  #closing: Promise<void> | null = null

  constructor(broker: Broker, clock: Clock, options: RetryTopicsOptions<K, V>) {
    this.#broker = broker
    this.#clock = clock
    this.#options = checkedOptions(options)
    this.#process = options.process
  }

  /** The names of the retry topics of a topic, in the order in which a record passes through them. */
  retryTopicsOf(topic: string): readonly string[] {
    return this.#options.delaysMs.map((_, level) => this.#retryTopic(topic, level))
  }

  /** The name of the dead-letter topic of a topic. */
  deadLetterTopicOf(topic: string): string {
    return this.#options.deadLetterTopic ?? `${this.#options.group}-${topic}-dead-letter`
  }

  #retryTopic(topic: string, level: number): string {
    return `${this.#options.group}-${topic}-retry-${level + 1}`
  }

  /**
   * Creates the topics that are missing, then processes until the signal is aborted or `close` is called. Rejects if the log
   * fails; a record that was not done is delivered again in the next run.
   */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkOptions('run', options, { signal: true })
    checkSignal(options.signal)
    if (this.#phase !== 'created')
      throw new LogError(
        'CLOSED',
        `retry topics of ${this.#options.group} were run or closed before: create them again`,
      )
    this.#phase = 'running'
    const stop = new AbortController()
    const ended = (): void => stop.abort()
    options.signal?.addEventListener('abort', ended)
    if (options.signal?.aborted === true) stop.abort()
    try {
      const sources = await this.#makeTopics()
      if (this.#hasEnded) return
      const transactions = new RetryTransactions(this.#broker, this.#clock, this.#options.group)
      this.#transactions = transactions
      // First end the transaction that a previous run left open: until then its offsets are not known.
      await transactions.init()
      if (this.#hasEnded) return
      const levels = Array.from({ length: 1 + this.#levelsOf(sources.keys()) }, (_, index) => index - 1)
      const running = levels.map((level) => this.#listen(level, sources, transactions, stop))
      const results = await Promise.allSettled(running)
      const failed = results.find((result) => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    } finally {
      options.signal?.removeEventListener('abort', ended)
      await this.close()
    }
  }

  /** Whether it was closed while it was still starting. */
  get #hasEnded(): boolean {
    return this.#phase === 'closed'
  }

  /**
   * Ends processing: running calls are finished and committed. Every call waits for the same end. Do not await it inside
   * `process`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#phase = 'closed'
    const closings = await Promise.allSettled(this.#consumers.map((consumer) => consumer.close()))
    await this.#transactions?.close()
    const failed = closings.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async #makeTopics(): Promise<ReadonlyMap<string, RecordFormat>> {
    const formats = new Map<string, RecordFormat>()
    for (const topic of this.#options.topics) {
      const name = typeof topic === 'string' ? topic : topic.name
      const known = this.#broker.topic(name)
      if (known === undefined) throw unknownTopic(name)
      const format = typeof topic === 'string' ? bytesFormat(name) : declaredFormat(topic)
      checkFormat(known, format)
      formats.set(name, format)
      await this.#broker.ensureTopics(
        [...this.retryTopicsOf(name), this.deadLetterTopicOf(name)]
          .filter((made) => this.#broker.topic(made) === undefined)
          .map((made) => ({ name: made, partitions: known.partitions, config: configOf(known) })),
      )
    }
    return formats
  }

  /** The number of delays, or more if an earlier run with more delays has left retry topics. */
  #levelsOf(topics: Iterable<string>): number {
    let levels = this.#options.delaysMs.length
    for (const topic of topics) while (this.#broker.topic(this.#retryTopic(topic, levels)) !== undefined) levels += 1
    return levels
  }

  /** Level -1 reads the source topics themselves, level n the n-th retry topic of each. */
  async #listen(
    level: number,
    sources: ReadonlyMap<string, RecordFormat>,
    transactions: RetryTransactions,
    stop: AbortController,
  ): Promise<void> {
    const { group, delaysMs, concurrency, consumer: options } = this.#options
    const delayMs = delaysMs[level] ?? delaysMs.at(-1) ?? 0
    const byTopic = new Map(
      [...sources]
        .map(([name, format]) => [this.#topicAt(name, level), { name, format }] as const)
        .filter(([topic]) => this.#broker.topic(topic) !== undefined),
    )
    const handOver = new RetryHandOver(this.#broker, this.#clock, transactions)
    const consumer = new Consumer(
      this.#broker,
      this.#clock,
      // A copy counts only if its transaction is committed: an aborted copy is written again.
      { autoOffsetReset: 'earliest', ...options, ...(level < 0 ? {} : { isolation: 'committed' }), group },
      handOver,
    )
    this.#consumers.push(consumer)
    try {
      consumer.subscribe([...byTopic.keys()], { onPartitionsRevoked: (at) => handOver.forget(at) })
      await consumer.eachRecord(
        async (record) => {
          const source = byTopic.get(record.topic)
          if (source === undefined) return
          const line = handOver.lineOf(record)
          const copy = await this.#attempt(source, level, record)
          if (copy !== null) handOver.add(line, record.offset, copy)
        },
        {
          concurrency,
          signal: stop.signal,
          ...(level < 0 ? {} : { order: 'partition', notBefore: (record) => failedAt(record) + delayMs }),
        },
      )
    } finally {
      // If one level ends, it ends the others: half of a pipeline would only pile up records for the other half.
      stop.abort()
    }
  }

  #topicAt(topic: string, level: number): string {
    return level < 0 ? topic : this.#retryTopic(topic, level)
  }

  /** Processes a record. Returns the copy to hand over if it failed, otherwise null. */
  async #attempt(
    source: { readonly name: string; readonly format: RecordFormat },
    level: number,
    record: ConsumerRecord<BytesOut, BytesOut>,
  ): Promise<BytesRecord | null> {
    let read: ConsumerRecord<unknown, unknown>
    try {
      read = {
        ...record,
        key: decoded(record.key, (...of) => source.format.readKey(...of)),
        value: decoded(record.value, (...of) => source.format.readValue(...of)),
      }
    } catch (error) {
      return this.#copy(this.deadLetterTopicOf(source.name), record, { error, attempt: level + 2 })
    }
    try {
      // The declared topics say that their records have these types, and `format` has validated them.
      await this.#process(read as ConsumerRecord<never, never>, level + 2)
      return null
    } catch (error) {
      const isLast = level + 1 >= this.#options.delaysMs.length
      const to = isLast ? this.deadLetterTopicOf(source.name) : this.#retryTopic(source.name, level + 1)
      return this.#copy(to, record, { error, attempt: level + 2 })
    }
  }

  #copy(
    to: string,
    record: ConsumerRecord<BytesOut, BytesOut>,
    { error, attempt }: { readonly error: unknown; readonly attempt: number },
  ): BytesRecord {
    const kept = record.headers.filter(({ key }) => !key.startsWith(headerPrefix))
    const first = (name: string, otherwise: string): string => headerOf(record, name) ?? otherwise
    const cause =
      error instanceof Error ? `${error.name}: ${error.message}` : typeof error === 'string' ? error : shown(error)
    const headers = [
      ...kept,
      header('topic', first('topic', record.topic)),
      header('partition', first('partition', `${record.partition}`)),
      header('offset', first('offset', `${record.offset}`)),
      header('attempt', `${attempt}`),
      header('at', `${this.#clock.now()}`),
      header('error', cause.slice(0, causeLengthMax)),
    ]
    const { key, value, timestamp } = record
    const partitions = this.#broker.topic(to)?.partitions ?? 1
    return { topic: to, key, value, timestamp, headers, partition: record.partition % partitions }
  }
}

/** Options of `log.retryTopics`: what to process, how, and how long to wait between attempts. */
export interface RetryTopicsOptions<K, V> {
  /** The consumer group that reads the topics; retry topics are named after it. */
  readonly group: string
  /** What to process: declared topics, whose records arrive decoded, or names of topics, whose records are bytes. */
  readonly topics: readonly (string | Topic<K, V, never, never>)[]
  /** Called with each record and the number of the attempt, starting at 1. If it throws, the record is handed over. */
  readonly process: (record: ConsumerRecord<K, V>, attempt: number) => void | Promise<void>
  /** How long a record waits in each retry topic, in ms; there is one topic per delay. Default 10 s, 1 min, 10 min. */
  readonly delaysMs?: readonly number[]
  /** Calls of `process` that may run at the same time, for the topics and for each delay. Default 1. */
  readonly concurrency?: number
  /** One dead-letter topic for all topics. Default: one for each topic, `<group>-<topic>-dead-letter`. */
  readonly deadLetterTopic?: string
  /** Options of the consumers inside. `autoOffsetReset` is `earliest` by default; `autoCommitIntervalMs` must not be 0. */
  readonly consumer?: Omit<ConsumerOptions<BytesOut, BytesOut>, 'group' | 'topics' | 'groupInstanceId'>
}

const retryTopicsOptionNames: OptionNames<RetryTopicsOptions<never, never>> = {
  group: true,
  topics: true,
  process: true,
  delaysMs: true,
  concurrency: true,
  deadLetterTopic: true,
  consumer: true,
}
const { group: _group, topics: _topics, groupInstanceId: _id, ...innerConsumerOptionNames } = consumerOptionNames

interface CheckedOptions {
  readonly group: string
  readonly topics: readonly (string | AnyTopic)[]
  readonly delaysMs: readonly number[]
  readonly concurrency: number
  readonly deadLetterTopic: string | undefined
  readonly consumer: Omit<ConsumerOptions<BytesOut, BytesOut>, 'group' | 'topics' | 'groupInstanceId'>
}

function checkedOptions<K, V>(options: RetryTopicsOptions<K, V>): CheckedOptions {
  checkOptions('retryTopics', options, retryTopicsOptionNames)
  const {
    group,
    topics,
    process,
    delaysMs = [10_000, 60_000, 600_000],
    concurrency = 1,
    deadLetterTopic,
    consumer = {},
  } = options
  checkGroupName(group)
  checkFunction('process', process)
  checkList('topics', topics)
  checkList('delaysMs', delaysMs)
  checkOptions('the consumers of retryTopics', consumer, innerConsumerOptionNames)
  if (consumer.autoCommitIntervalMs === 0)
    throw new LogError(
      'INVALID_CONFIG',
      `retry topics of ${group}: autoCommitIntervalMs is 0, but nothing else commits the records that were processed; use 1 or more, or leave it out`,
      { autoCommitIntervalMs: 0 },
    )
  if (deadLetterTopic !== undefined) checkTopicName(deadLetterTopic)
  checkedConcurrency({ concurrency })
  if (topics.length === 0) throw new LogError('INVALID_CONFIG', `retry topics of ${group}: name a topic to process`)
  for (const topic of topics as readonly unknown[])
    if (typeof topic !== 'string') checkObject('topic to process', topic)
  for (const delayMs of delaysMs)
    if (!Number.isSafeInteger(delayMs) || delayMs < 0)
      throw new LogError('INVALID_CONFIG', `a delay of ${shown(delayMs)}: use milliseconds, an integer of 0 or more`, {
        delayMs,
      })
  return { group, topics, delaysMs, concurrency, deadLetterTopic, consumer }
}

/**
 * The topic's stored codecs apply to the copies too, which have the same bytes and a few more headers. Their timestamps
 * were accepted once, so they are accepted however far they are from the clock by now.
 */
function configOf({ config }: TopicInfo): Partial<TopicConfig> {
  const { keyCodec, valueCodec, maxMessageBytes } = config
  return {
    ...(keyCodec === undefined ? {} : { keyCodec }),
    ...(valueCodec === undefined ? {} : { valueCodec }),
    maxMessageBytes: Math.min(maxMessageBytes + headersBytesMax, largestMessageBytes),
    timestampAfterMaxMs: Number.MAX_SAFE_INTEGER,
    timestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  }
}

function decoded(bytes: BytesOut, read: (from: ViewedBytes, start: number, end: number) => unknown): unknown {
  return bytes === null ? read(new ViewedBytes(noBytes), -1, -1) : read(new ViewedBytes(bytes), 0, bytes.length)
}

const noBytes = new Uint8Array(0)
const headerPrefix = 'millrace-retry-'
const causeLengthMax = 1000
/** Maximum size of the headers of a copy, with three bytes per character of the error text. */
const headersBytesMax = 4096
/** The largest value that `maxMessageBytes` may have. */
const largestMessageBytes = 32 * 1024 * 1024

function header(name: string, text: string): Header {
  return { key: headerPrefix + name, value: Buffer.from(text) }
}

function headerOf(record: ConsumerRecord<BytesOut, BytesOut>, name: string): string | undefined {
  const found = record.headers.find(({ key }) => key === headerPrefix + name)?.value
  return found === undefined || found === null ? undefined : Buffer.from(found).toString()
}

/** When the record failed last. A copy without that header was not written by this class and is due at once. */
function failedAt(record: ConsumerRecord<BytesOut, BytesOut>): number {
  const at = Number(headerOf(record, 'at') ?? 0)
  return Number.isFinite(at) ? at : 0
}
