import { sleep, type Clock } from '../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../base/lifecycle.ts'
import { checkOptions } from '../api/checked-options.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { Broker } from '../broker/broker.ts'
import type { Delivery, SentRecord } from './batch-accumulator.ts'
import { BatchDispatch } from './batch-dispatch.ts'
import { checkGroupMetadata, checkOffsetEntries, checkOptionalName } from './checked-arguments.ts'
import { clientNumbers, producerNumbers } from './client-options.ts'
import type { ProducerIdentity } from './partition-sender.ts'
import { ProducedTopics } from './produced-topic.ts'
import {
  checkedCompression,
  isNumbered,
  producerOptionNames,
  type BytesRecord,
  type ProducerOptions,
  type TypedRecord,
} from './producer-options.ts'
import { ProducerTransactions } from './producer-transactions.ts'
import { RecordPreparer } from './record-preparer.ts'
import { SendBuffer } from './send-buffer.ts'

/**
 * Sends records to the log, in batches.
 *
 * - A record is checked, encoded and copied before `send` returns: what is sent cannot change afterwards, and a record
 *   that does not fit is refused before anything is written.
 * - Records of one partition are appended in the order of their sends.
 * - A send is answered when the log has acknowledged its batch: synced under `sync: 'commit'`. With `acks` 0 it is
 *   answered when the batch is on its way, without an offset, and nobody hears of a failure.
 * - Each record is written once (`idempotence`, the default): batches are numbered, so that one that is tried again is
 *   not written again, and none comes before its predecessor.
 * - With a `transactionalId` records are sent in transactions: what one has sent, and the offsets it carries, count
 *   together or not at all.
 * - No more than `bufferBytesMax` is taken and unanswered: beyond it `send` waits its turn, `post` returns false.
 *
 * A batch goes when it is full or `lingerMs` after its first record; with 0, in the next turn of the event loop, so that
 * all that one turn sends shares a batch. While `inFlightMax` batches of a partition are on their way the next one waits
 * and grows. What is retriable is tried again within `deliveryTimeoutMs`; a log that fails to write stays failed.
 */
export class Producer {
  readonly #broker: Broker
  readonly #transactions: ProducerTransactions | null
  /** Of a producer without transactions; null until its first batch, and without idempotence. */
  #identity: ProducerIdentity | null = null
  readonly #lifecycle = new Lifecycle<ProducerPhase>('the producer', producerTransitions, 'open')

  readonly #buffer: SendBuffer
  readonly #preparer: RecordPreparer
  readonly #dispatch: BatchDispatch

  constructor(broker: Broker, clock: Clock, options: ProducerOptions = {}) {
    checkOptions('the producer', options, producerOptionNames)
    checkOptionalName('transactionalId', options.transactionalId)
    const numbers = clientNumbers('producer', producerNumbers, options)
    const { lingerMs, deliveryTimeoutMs } = numbers
    if (lingerMs >= deliveryTimeoutMs)
      throw new LogError(
        'INVALID_CONFIG',
        `lingerMs is ${lingerMs}, deliveryTimeoutMs is ${deliveryTimeoutMs}: a batch would be given up before it goes; wait less, or raise deliveryTimeoutMs`,
        { lingerMs, deliveryTimeoutMs },
      )
    this.#broker = broker
    const { transactionalId } = options
    const numbered = isNumbered(options)
    this.#transactions =
      transactionalId === undefined
        ? null
        : new ProducerTransactions(broker, transactionalId, numbers.transactionTimeoutMs)
    this.#buffer = new SendBuffer(numbers.bufferBytesMax, numbers.waitingSendsMax)
    const partitioner = options.partitioner ?? null
    const topics = new ProducedTopics(broker, (old) => this.#dispatch.sendTopic(old))
    this.#preparer = new RecordPreparer(topics, partitioner, clock)
    this.#dispatch = new BatchDispatch({
      broker,
      clock,
      topics,
      buffer: this.#buffer,
      transactions: this.#transactions,
      senders: {
        ...numbers,
        broker,
        countsTaken: options.inFlightMax !== undefined,
        identity: () => (numbered ? this.#identityNow() : null),
        now: () => clock.monotonic(),
        sleep: (ms) => sleep(clock, ms),
      },
      compression: checkedCompression(options),
      lingerMs: numbers.lingerMs,
      batchBytesMax: numbers.batchBytesMax,
      answersAtOnce: options.acks === 0,
    })
  }

  #identityNow(): ProducerIdentity | null {
    if (this.#transactions !== null) return this.#transactions.identity
    this.#identity ??= { ...this.#broker.newProducer(), transactional: false }
    return this.#identity
  }

  /**
   * Takes the transactional id over: fences the producer that had it before and aborts what that left open. Once, before
   * the first transaction. Rejects with INVALID_TRANSACTION_TIMEOUT, INVALID_TXN_STATE, CLOSED. Kafka: `initTransactions`.
   */
  async initTransactions(): Promise<void> {
    this.#checkOpen()
    await this.#transactional().init()
  }

  /** Everything sent from here on belongs to one transaction, until it is committed or aborted. Throws INVALID_TXN_STATE. */
  beginTransaction(): void {
    this.#checkOpen()
    this.#transactional().begin()
  }

  /**
   * Offsets of what the transaction was made from: the group has committed them when the transaction is committed, and not
   * otherwise. `from` is the consumer's `groupMetadata()`. Rejects like a commit of the group (the member was replaced),
   * with INVALID_PRODUCER_EPOCH (this producer was), INVALID_TXN_STATE. Kafka: `sendOffsetsToTransaction`.
   * @example
   * producer.beginTransaction()
   * await Promise.all(records.map(({ key, value }) => producer.send({ topic: copies, key, value })))
   * const offsets = consumer.assignment.map((at) => ({ at, offset: consumer.position(at), leaderEpoch: -1, metadata: '' }))
   * await producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata())
   * await producer.commitTransaction()
   */
  async sendOffsetsToTransaction(offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    this.#checkOpen()
    const transactions = this.#transactional()
    try {
      checkOffsetEntries(offsets)
      checkGroupMetadata(from)
    } catch (error) {
      throw this.#refused(error)
    }
    await transactions.sendOffsets(offsets, from)
  }

  /**
   * Sends what is left and commits the transaction as a whole; once this is called, nothing more can be sent in it. Rejects
   * with the error of a send that failed, with PRODUCER_FENCED, or with INVALID_TXN_STATE if the transaction timed out: all
   * that is left then is `abortTransaction`.
   */
  async commitTransaction(): Promise<void> {
    await this.#transactional().commit(() => this.flush())
  }

  /** Nothing of the transaction counts. Afterwards another may begin, unless this rejects with PRODUCER_FENCED. */
  async abortTransaction(): Promise<void> {
    await this.#transactional().abort(() => this.flush())
  }

  #transactional(): ProducerTransactions {
    if (this.#transactions !== null) return this.#transactions
    throw new LogError('INVALID_TXN_STATE', 'the producer has no transactionalId: give one in its options')
  }

  /**
   * Sends one record; resolves with its place when the log has acknowledged it. Rejects with UNKNOWN_TOPIC,
   * UNKNOWN_PARTITION, INVALID_TOPIC (internal), INVALID_RECORD, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, TIMEOUT (too many
   * sends wait), CLOSED, or with what the log failed with.
   * @example await producer.send({ topic: 'page-views', key: 'ada', value: '{"path":"/"}' })
   */
  send<KIn, VIn>(record: BytesRecord | TypedRecord<KIn, VIn>): Promise<SentRecord> {
    return new Promise((resolve, reject) => {
      this.#checkMaySend()
      try {
        const prepared = this.#preparer.prepare(record)
        const delivery: Delivery = { index: 0, timestamp: prepared.record.timestamp, resolve, reject }
        if (this.#buffer.hasRoom) this.#dispatch.add(prepared.record, prepared.topic, prepared.partition, delivery)
        else this.#buffer.wait(prepared, delivery)
      } catch (error) {
        throw this.#refused(error)
      }
    })
  }

  /**
   * Takes one record without an answer for it: for loads of millions. False when there is no room: nothing was taken,
   * await `ready()` and post again. Throws as `send` rejects; if the log fails to write, the next `flush` says so.
   */
  post<KIn, VIn>(record: BytesRecord | TypedRecord<KIn, VIn>): boolean {
    if (!this.#buffer.hasRoom) {
      this.#checkOpen()
      return false
    }
    this.#checkMaySend()
    try {
      const prepared = this.#preparer.prepare(record)
      this.#dispatch.add(prepared.record, prepared.topic, prepared.partition, null)
    } catch (error) {
      throw this.#refused(error)
    }
    return true
  }

  get hasRoom(): boolean {
    return this.#buffer.hasRoom
  }

  /** Resolves when `post` would take a record. */
  ready(): Promise<void> {
    return this.#buffer.ready()
  }

  /**
   * Sends what was given so far and waits for the answers; what is sent meanwhile does not hold it up. Rejects with the
   * first failure of a posted record.
   */
  flush(): Promise<void> {
    return this.#dispatch.flush()
  }

  /** Flushes, aborts a transaction that is open, and ends. Sends from now on are CLOSED. */
  async close(): Promise<void> {
    if (!this.#lifecycle.is('open')) return
    this.#lifecycle.to('closing')
    try {
      await this.flush()
    } finally {
      // Or readers of what is committed would stand before it until it times out. If the log takes no abort any more, it
      // does just that.
      if (this.#transactions?.isOpen === true) await this.abortTransaction().catch(() => {})
      this.#lifecycle.to('closed')
      this.#dispatch.stop()
    }
  }

  #checkOpen(): void {
    // Asked for each record: not by `is`, which makes a list.
    if (this.#lifecycle.phase !== 'open') throw new LogError('CLOSED', 'the producer is closed')
  }

  #checkMaySend(): void {
    this.#checkOpen()
    this.#transactions?.checkSend()
  }

  /** Without the record, or the offsets, its transaction is not whole: nobody may commit the rest by not looking. */
  #refused(error: unknown): unknown {
    this.#transactions?.sendFailed(error)
    return error
  }
}

type ProducerPhase = 'open' | 'closing' | 'closed'

const producerTransitions: Transitions<ProducerPhase> = { open: ['closing'], closing: ['closed'], closed: [] }
