import { sleep, type Clock } from '../../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../../base/lifecycle.ts'
import { checkOptions } from '../../api/checked-options.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { OffsetEntry } from '../../api/log.ts'
import type { Broker } from '../../broker/broker.ts'
import { checkGroupMetadata, checkOffsetEntries, checkOptionalName } from '../checked-arguments.ts'
import { clientNumbers, producerNumbers } from '../client-options.ts'
import type { Delivery, SentRecord } from './batch-accumulator.ts'
import { BatchDispatch } from './batch-dispatch.ts'
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
 * Sends records to the log in batches. Close it before the log.
 *
 * - A record is checked, encoded and copied before `send` returns: later changes to its objects have no effect, and a record
 *   that does not fit is refused before anything is written.
 * - Records of one partition are appended in the order of their sends.
 * - A send resolves when the log has acknowledged its batch, which under `sync: 'commit'` means that it is synced. With `acks`
 *   0 it resolves as soon as the batch has been handed over, without an offset, and failures are not reported.
 * - Each record is written exactly once (`idempotence`, the default): batches are numbered, so that a retried batch is not
 *   written again, and none is written before its predecessor.
 * - With a `transactionalId`, records are sent in transactions: the records of a transaction and the offsets it carries take
 *   effect together or not at all.
 * - No more than `bufferBytesMax` are accepted and not yet acknowledged: beyond that, `send` waits and `post` returns false.
 *
 * A batch is sent when it is full, or `lingerMs` after its first record; with 0, in the next turn of the event loop, so that
 * everything sent in one turn shares a batch. While `inFlightMax` batches of a partition are under way, the next one waits
 * and grows. Retriable failures are retried within `deliveryTimeoutMs`; a log that has failed to write stays failed.
 */
export class Producer {
  readonly #broker: Broker
  readonly #transactions: ProducerTransactions | null
  /** The identity of a producer without transactions; null until its first batch, and without idempotence. */
  #identity: ProducerIdentity | null = null
  readonly #lifecycle = new Lifecycle<ProducerPhase>('the producer', producerTransitions, 'open')
  #closing: Promise<void> | null = null

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
        `lingerMs is ${lingerMs}, deliveryTimeoutMs is ${deliveryTimeoutMs}: a batch would time out before it is sent; lower lingerMs, or raise deliveryTimeoutMs`,
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
    const topics = new ProducedTopics(broker, (old) => this.#dispatch.leaveTopic(old))
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
        countsAccepted: options.inFlightMax !== undefined,
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
   * Takes over the transactional id: fences the producer that had it before and aborts the transaction that it left open.
   * Call it once, before the first transaction. Rejects with INVALID_TRANSACTION_TIMEOUT, INVALID_TXN_STATE, CLOSED.
   * Kafka: `initTransactions`.
   */
  async initTransactions(): Promise<void> {
    this.#checkOpen()
    await this.#transactional().init()
  }

  /**
   * Everything sent from here on belongs to one transaction until that is committed or aborted. Throws INVALID_TXN_STATE.
   * Kafka: `beginTransaction`.
   */
  beginTransaction(): void {
    this.#checkOpen()
    this.#transactional().begin()
  }

  /**
   * Adds the offsets of the records that the transaction was made from: the group commits them if the transaction is
   * committed, and not otherwise. `from` is the consumer's `groupMetadata()`. Rejects as a commit of the group does if
   * the member was replaced, with INVALID_PRODUCER_EPOCH if this producer was, or with INVALID_TXN_STATE. Kafka:
   * `sendOffsetsToTransaction`.
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

  /**
   * Discards the transaction. Another one may begin afterwards, unless this rejects with PRODUCER_FENCED. Kafka:
   * `abortTransaction`.
   */
  async abortTransaction(): Promise<void> {
    await this.#transactional().abort(() => this.flush())
  }

  #transactional(): ProducerTransactions {
    if (this.#transactions !== null) return this.#transactions
    throw new LogError('INVALID_TXN_STATE', 'the producer has no transactionalId: give one in its options')
  }

  /**
   * Sends one record; resolves with its partition and offset when the log has acknowledged it. Rejects with UNKNOWN_TOPIC,
   * UNKNOWN_PARTITION, INVALID_TOPIC (internal), TOPIC_MISMATCH (other codecs or another partitioner than declared),
   * PARTITIONER_FAILED, INVALID_RECORD, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, TIMEOUT (too many sends wait, or
   * `deliveryTimeoutMs` is over), INVALID_TXN_STATE (a transactional producer outside of a transaction), INVALID_PRODUCER_EPOCH,
   * PRODUCER_FENCED, OUT_OF_ORDER_SEQUENCE (the topic was deleted and created anew during the transaction), CLOSED, or with
   * what the log failed with.
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
   * Sends one record without a promise for it, for loads of millions of records. Returns false if there is no room; the record
   * was then not accepted: await `ready()` and post it again. Throws what `send` would reject with; if the log fails to write,
   * the next `flush` rejects.
   * @example while (!producer.post({ topic: 'page-views', value })) await producer.ready()
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

  /** Whether `post` would accept a record now. */
  get hasRoom(): boolean {
    return this.#buffer.hasRoom
  }

  /** Resolves when `post` would accept a record. */
  ready(): Promise<void> {
    return this.#buffer.ready()
  }

  /**
   * Sends everything given so far and waits for it to be acknowledged; records that are sent meanwhile do not delay it.
   * Rejects with the first failure of a posted record.
   */
  flush(): Promise<void> {
    return this.#dispatch.flush()
  }

  /** Flushes, aborts an open transaction, and ends. Sending afterwards is CLOSED. Every call waits for the same end. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#lifecycle.to('closing')
    try {
      await this.flush()
    } finally {
      // Otherwise readers of committed records would wait behind the transaction until it times out. If the log refuses
      // the abort, it times out.
      if (this.#transactions?.isOpen === true) await this.abortTransaction().catch(() => {})
      this.#lifecycle.to('closed')
      this.#dispatch.stop()
    }
  }

  #checkOpen(): void {
    // Called for every record, so it does not use `is`, which allocates an array.
    if (this.#lifecycle.phase !== 'open') throw new LogError('CLOSED', 'the producer is closed')
  }

  #checkMaySend(): void {
    this.#checkOpen()
    this.#transactions?.checkSend()
  }

  /**
   * The transaction lacks a refused record or refused offsets, so it fails: a caller that ignores the error must not
   * commit the rest.
   */
  #refused(error: unknown): unknown {
    this.#transactions?.sendFailed(error)
    return error
  }
}

type ProducerPhase = 'open' | 'closing' | 'closed'

const producerTransitions: Transitions<ProducerPhase> = { open: ['closing'], closing: ['closed'], closed: [] }
