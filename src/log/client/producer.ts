import { ByteWriter } from '../../base/bytes.ts'
import { sleep, type Clock, type Timer } from '../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../base/lifecycle.ts'
import type { AnyTopic, Topic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import { noHeaders, outgoingRecord, type Header, type OutgoingRecord } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import type { Broker } from '../broker/broker.ts'
import type { BatchBuilder } from '../format/batch-builder.ts'
import type { Compression } from '../format/compression.ts'
import { BatchAccumulator, bytesOf, type Delivery, type SealedBatch, type SentRecord } from './batch-accumulator.ts'
import { PartitionSender, type PartitionSenderParts, type ProducerIdentity } from './partition-sender.ts'
import { Partitioner, type ProducerPartitioner } from './partitioner.ts'
import { ProducerTransactions } from './producer-transactions.ts'
import { clientNumbers, producerNumbers } from './client-options.ts'
import { bytesFormat, checkFormat, declaredFormat, type BytesIn, type RecordFormat } from './record-format.ts'

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
  readonly #clock: Clock
  readonly #lingerMs: number
  readonly #batchBytesMax: number
  readonly #bufferBytesMax: number
  readonly #waitingMax: number
  readonly #compression: Compression
  readonly #partitioner: ProducerPartitioner | null
  readonly #answersAtOnce: boolean
  readonly #deliveryTimeoutMs: number
  readonly #senderParts: PartitionSenderParts
  readonly #transactions: ProducerTransactions | null
  /** Of a producer without transactions; null until its first batch, and without idempotence. */
  #identity: ProducerIdentity | null = null
  readonly #lifecycle = new Lifecycle<ProducerPhase>('the producer', producerTransitions, 'open')

  readonly #topics = new Map<string, ProducedTopic>()
  readonly #keyBytes = new ByteWriter()
  readonly #valueBytes = new ByteWriter()
  readonly #scratch = outgoingRecord()
  readonly #spareBuilders: BatchBuilder[] = []

  /** Bytes of records that were taken and are not answered yet. */
  #bufferedBytes = 0
  /** Sends for which there was no room, in their order. */
  #waiting: WaitingSend[] = []
  #waitingFirst = 0
  #roomWaiters: (() => void)[] = []
  /** How many sends have ever waited, and how many of them have found room. */
  #waitedCount = 0
  #admittedCount = 0
  readonly #inFlight = new Set<Promise<void>>()
  /** The next drain is on its way: a turn of the event loop, or a timer. */
  #drain: 'none' | 'turn' | 'timer' = 'none'
  #timer: Timer | null = null
  /** The first failure of a record that was posted, which nobody has heard of yet. */
  #unheard: unknown = null
  /** Looks for batches that are on their way for too long, while any is. */
  #expiry: Timer | null = null

  constructor(broker: Broker, clock: Clock, options: ProducerOptions = {}) {
    const numbers = clientNumbers('producer', producerNumbers, options)
    this.#broker = broker
    this.#clock = clock
    this.#lingerMs = numbers.lingerMs
    this.#batchBytesMax = numbers.batchBytesMax
    this.#bufferBytesMax = numbers.bufferBytesMax
    this.#waitingMax = numbers.waitingSendsMax
    this.#compression = options.compression ?? 'none'
    this.#partitioner = options.partitioner ?? null
    this.#answersAtOnce = options.acks === 0
    this.#deliveryTimeoutMs = numbers.deliveryTimeoutMs
    const { transactionalId } = options
    const numbered = isNumbered(options)
    this.#transactions =
      transactionalId === undefined
        ? null
        : new ProducerTransactions(broker, transactionalId, numbers.transactionTimeoutMs)
    this.#senderParts = {
      ...numbers,
      broker,
      countsTaken: options.inFlightMax !== undefined,
      identity: () => (numbered ? this.#identityNow() : null),
      now: () => clock.monotonic(),
      sleep: (ms) => sleep(clock, ms),
    }
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
   */
  async sendOffsetsToTransaction(offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    this.#checkOpen()
    await this.#transactional().sendOffsets(offsets, from)
  }

  /**
   * Sends what is left and makes the transaction count, whole. Rejects with what a send of it failed with, with
   * PRODUCER_FENCED, or INVALID_TXN_STATE if it timed out: then only `abortTransaction` is left.
   */
  async commitTransaction(): Promise<void> {
    const transactions = this.#transactional()
    transactions.checkSend()
    await this.flush()
    await transactions.commit()
  }

  /** Nothing of the transaction counts. Afterwards another may begin, unless this rejects with PRODUCER_FENCED. */
  async abortTransaction(): Promise<void> {
    const transactions = this.#transactional()
    // What failed, and why, was said where it was sent.
    await this.flush().catch(() => {})
    await transactions.abort()
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
      const prepared = this.#prepare(record)
      const delivery: Delivery = { index: 0, timestamp: prepared.record.timestamp, resolve, reject }
      if (this.hasRoom) this.#add(prepared.record, prepared.topic, prepared.partition, delivery)
      else this.#wait(prepared, delivery)
    })
  }

  /**
   * Takes one record without an answer for it: for loads of millions. False when there is no room: nothing was taken,
   * await `ready()` and post again. Throws as `send` rejects; if the log fails to write, the next `flush` says so.
   */
  post<KIn, VIn>(record: BytesRecord | TypedRecord<KIn, VIn>): boolean {
    if (!this.hasRoom) {
      this.#checkOpen()
      return false
    }
    const prepared = this.#prepare(record)
    this.#add(prepared.record, prepared.topic, prepared.partition, null)
    return true
  }

  get hasRoom(): boolean {
    return this.#bufferedBytes < this.#bufferBytesMax && this.#waiting.length === 0
  }

  /** Resolves when `post` would take a record. */
  ready(): Promise<void> {
    if (this.hasRoom) return Promise.resolve()
    return new Promise((resolve) => this.#roomWaiters.push(resolve))
  }

  /**
   * Sends what was given so far and waits for the answers; what is sent meanwhile does not hold it up. Rejects with the
   * first failure of a posted record.
   */
  async flush(): Promise<void> {
    const waited = this.#waitedCount
    let targets: readonly FlushTarget[] | null = null
    for (;;) {
      if (targets === null && this.#admittedCount >= waited) targets = this.#flushTargets()
      this.#sendAll()
      if (targets?.every(({ sender, records }) => sender.answeredRecords >= records) === true) break
      await Promise.all(this.#inFlight)
    }
    const failure = this.#unheard
    this.#unheard = null
    if (failure !== null) throw failure
  }

  /** Flushes and ends. Sends from now on are CLOSED. */
  async close(): Promise<void> {
    if (!this.#lifecycle.is('open')) return
    this.#lifecycle.to('closing')
    try {
      await this.flush()
    } finally {
      this.#lifecycle.to('closed')
      this.#timer?.cancel()
    }
  }

  #flushTargets(): readonly FlushTarget[] {
    return this.#senders().map((accumulator) => ({ sender: accumulator.sender, records: accumulator.takenRecords }))
  }

  #senders(): ProducedPartition[] {
    return [...this.#topics.values()].flatMap(({ partitions }) => partitions.filter((one) => one !== undefined))
  }

  #checkOpen(): void {
    if (!this.#lifecycle.is('open')) throw new LogError('CLOSED', 'the producer is closed')
  }

  /** Checks and encodes into the scratch record. Nothing is taken yet. */
  #prepare(record: GivenRecord): PreparedRecord {
    this.#checkOpen()
    this.#transactions?.checkSend()
    const name = typeof record.topic === 'string' ? record.topic : record.topic.name
    const topic = this.#topicOf(name)
    const format = typeof record.topic === 'string' ? topic.named : topic.formatOf(record.topic)
    const key = format.checkKey(record.key)
    const value = format.checkValue(record.value)

    const into = this.#scratch
    // Bytes are copied once, into the batch: before `send` returns, or into memory of their own where the send waits.
    if (format.takesBytes && key instanceof Uint8Array) {
      into.keyStart = 0
      into.key = key
      into.keyEnd = key.length
    } else {
      const keyBytes = this.#keyBytes
      keyBytes.clear()
      into.keyStart = format.writeKey(key, keyBytes) ? 0 : -1
      into.key = keyBytes.bytes
      into.keyEnd = keyBytes.length
    }
    if (format.takesBytes && value instanceof Uint8Array) {
      into.valueStart = 0
      into.value = value
      into.valueEnd = value.length
    } else {
      const valueBytes = this.#valueBytes
      valueBytes.clear()
      into.valueStart = format.writeValue(value, valueBytes) ? 0 : -1
      into.value = valueBytes.bytes
      into.valueEnd = valueBytes.length
    }
    into.headers = record.headers === undefined ? noHeaders : checkedHeaders(name, record.headers)
    into.timestamp = record.timestamp ?? format.timestampOf(value, key, this.#clock.now())
    if (!Number.isSafeInteger(into.timestamp) || into.timestamp < 0) throw invalidTimestamp(name, into.timestamp)

    const { partitions } = topic.info
    if (record.partition !== undefined) {
      return { record: into, topic, partition: checkedPartition(name, record.partition, partitions) }
    }
    if (this.#partitioner !== null) {
      const chosen = this.#partitioner.partition(sliceOf(into.key, into.keyStart, into.keyEnd), partitions, {
        topic: name,
        value: sliceOf(into.value, into.valueStart, into.valueEnd),
      })
      return { record: into, topic, partition: checkedPartition(name, chosen, partitions) }
    }
    const partition = into.keyStart < 0 ? anyPartition : topic.partitioner.ofKey(into.key, 0, into.keyEnd, partitions)
    return { record: into, topic, partition }
  }

  #topicOf(name: string): ProducedTopic {
    const info = this.#broker.topic(name)
    if (info === undefined) {
      throw new LogError('UNKNOWN_TOPIC', `topic ${JSON.stringify(name)} does not exist: create it first`, {
        topic: name,
      })
    }
    const known = this.#topics.get(name)
    if (known?.info.id === info.id) {
      known.info = info
      return known
    }
    if (isInternalTopic(name)) {
      throw new LogError('INVALID_TOPIC', `topic ${name} is the log's own: only the log writes to it`, { topic: name })
    }
    // The topic was deleted and made again meanwhile; what was sent to its name goes to its name.
    if (known !== undefined) for (const old of known.partitions) if (old !== undefined) this.#send(known, old)
    checkPartitioner(info, this.#partitioner?.id)
    const topic = new ProducedTopic(info)
    this.#topics.set(name, topic)
    return topic
  }

  #add(record: OutgoingRecord, topic: ProducedTopic, partition: number, delivery: Delivery | null): void {
    const to = partition < 0 ? topic.partitioner.withoutKey(topic.info.partitions) : partition
    let produced = topic.partitions[to]
    if (produced === undefined) {
      const at = { topic: topic.info.name, partition: to }
      produced = new ProducedPartition(
        new BatchAccumulator(at, this.#compression, this.#spareBuilders),
        new PartitionSender(at, this.#senderParts),
      )
      topic.partitions[to] = produced
      const made = produced
      produced.sender.roomMade = () => this.#sendMore(topic, made)
    }
    const { accumulator } = produced
    const { maxMessageBytes } = topic.info.config
    if (accumulator.mustSendBefore(record, Math.min(this.#batchBytesMax, maxMessageBytes))) {
      if (produced.sender.hasRoom) this.#send(topic, produced)
      else this.#queue(topic, produced)
      // A record without a key follows the batch that is gone to the next partition.
      if (partition < 0) return this.#add(record, topic, partition, delivery)
    }
    accumulator.add(record, delivery, { maxMessageBytes, now: this.#lingerMs === 0 ? 0 : this.#clock.monotonic() })
    produced.takenRecords += 1
    this.#bufferedBytes += bytesOf(record)
    if (this.#drain === 'none') this.#scheduleDrain()
  }

  #wait({ record, topic, partition }: PreparedRecord, delivery: Delivery): void {
    if (this.#waiting.length - this.#waitingFirst >= this.#waitingMax) {
      throw new LogError(
        'TIMEOUT',
        `${this.#waitingMax} sends wait for room in the producer's buffer of ${this.#bufferBytesMax} bytes: await some of them before sending more`,
        { waitingSendsMax: this.#waitingMax, bufferBytesMax: this.#bufferBytesMax },
      )
    }
    // Not `slice`: of a Buffer that is a view.
    const key = new Uint8Array(record.key.subarray(0, record.keyEnd))
    const value = new Uint8Array(record.value.subarray(0, record.valueEnd))
    const copy: OutgoingRecord = { ...record, key, value }
    this.#waiting.push({ record: copy, topic, partition, delivery })
    this.#waitedCount += 1
  }

  #scheduleDrain(): void {
    if (this.#lingerMs === 0) {
      this.#drain = 'turn'
      void this.#clock.nextTurn().then(() => this.#drainNow())
      return
    }
    this.#drain = 'timer'
    this.#timer = this.#clock.setTimer(this.#lingerMs, () => this.#drainNow())
  }

  #drainNow(): void {
    this.#drain = 'none'
    const now = this.#clock.monotonic()
    let nextDue = Number.POSITIVE_INFINITY
    for (const topic of this.#topics.values()) {
      for (const produced of topic.partitions) {
        if (produced === undefined || produced.accumulator.isEmpty || produced.due) continue
        const due = produced.accumulator.since + this.#lingerMs
        if (due <= now) this.#send(topic, produced)
        else nextDue = Math.min(nextDue, due)
      }
    }
    if (nextDue === Number.POSITIVE_INFINITY) return
    this.#drain = 'timer'
    this.#timer = this.#clock.setTimer(nextDue - now, () => this.#drainNow())
  }

  #sendAll(): void {
    for (const topic of this.#topics.values()) {
      for (const produced of topic.partitions) if (produced !== undefined) this.#send(topic, produced)
    }
  }

  /** Sends what the partition has, or as soon as fewer of its batches are on their way. */
  #send(topic: ProducedTopic, produced: ProducedPartition): void {
    const { accumulator, sender } = produced
    if (accumulator.isEmpty) return
    produced.due = true
    if (!sender.hasRoom || produced.queue.length > 0) return
    produced.due = false
    // With room in the log the bytes are copied before `append` returns, and the builder's own memory serves.
    const kept = !this.#broker.canAppend
    const batch = accumulator.take({ kept, numbers: sender.number(accumulator.count) })
    topic.partitioner.batchSent(accumulator.at.partition, topic.info.partitions)
    this.#deliver(topic, produced, { batch, kept })
  }

  /** A full batch behind as many as may be on their way is sealed and waits for its turn. */
  #queue(topic: ProducedTopic, produced: ProducedPartition): void {
    const { accumulator, queue, sender } = produced
    const numbers = sender.number(accumulator.count)
    queue.push({ batch: accumulator.take({ kept: true, numbers }), numbering: sender.numbering })
    topic.partitioner.batchSent(accumulator.at.partition, topic.info.partitions)
  }

  /** An answer has made room. */
  #sendMore(topic: ProducedTopic, produced: ProducedPartition): void {
    const { queue, sender } = produced
    while (sender.hasRoom) {
      const queued = queue.shift()
      if (queued === undefined) break
      const { batch, numbering } = queued
      if (numbering !== sender.numbering) sender.stamp(batch)
      this.#deliver(topic, produced, { batch, kept: true })
    }
    if (produced.due && sender.hasRoom) this.#send(topic, produced)
  }

  #deliver(
    topic: ProducedTopic,
    produced: ProducedPartition,
    { batch, kept }: { readonly batch: SealedBatch; readonly kept: boolean },
  ): void {
    const { at } = produced.accumulator
    this.#transactions?.used()
    const answer = produced.sender.send(batch, { kept })
    if (this.#answersAtOnce)
      for (const { resolve, timestamp } of batch.deliveries) resolve({ ...at, offset: -1, timestamp })
    const delivered = answer
      .then(
        ({ baseOffset }) => {
          if (batch.builder !== null) this.#spare(batch.builder)
          for (const { index, resolve, timestamp } of batch.deliveries)
            resolve({ topic: at.topic, partition: at.partition, offset: baseOffset + index, timestamp })
        },
        (error: unknown) => this.#failed(batch, error),
      )
      .then(() => {
        this.#inFlight.delete(delivered)
        this.#answered(topic, produced, batch)
      })
    this.#inFlight.add(delivered)
    if (this.#expiry === null) this.#expireAfter(this.#deliveryTimeoutMs)
  }

  /** Its builder goes with it: what was given up may still be waiting in line, and is copied when its turn comes. */
  #failed(batch: SealedBatch, error: unknown): void {
    this.#transactions?.sendFailed(error)
    for (const delivery of batch.deliveries) delivery.reject(error)
    if (batch.deliveries.length < batch.count && !this.#answersAtOnce) this.#unheard ??= error
  }

  #answered(topic: ProducedTopic, produced: ProducedPartition, batch: SealedBatch): void {
    this.#bufferedBytes -= batch.bytesTaken
    this.#sendMore(topic, produced)
    this.#admitWaiting()
    if (this.hasRoom) for (const resume of this.#roomWaiters.splice(0)) resume()
    if (this.#inFlight.size > 0) return
    this.#expiry?.cancel()
    this.#expiry = null
  }

  /** One timer for all batches: it looks when the oldest of them is due. */
  #expireAfter(delayMs: number): void {
    this.#expiry = this.#clock.setTimer(delayMs, () => {
      const senders = this.#senders().map(({ sender }) => sender)
      const before = this.#clock.monotonic() - this.#deliveryTimeoutMs
      for (const sender of senders) sender.expire(before)
      const oldest = Math.min(...senders.map(({ oldestSince }) => oldestSince))
      this.#expiry = null
      if (oldest < Infinity) this.#expireAfter(Math.max(1, oldest - before))
    })
  }

  #spare(builder: BatchBuilder): void {
    if (this.#spareBuilders.length >= spareBuildersMax) return
    builder.reset()
    this.#spareBuilders.push(builder)
  }

  #admitWaiting(): void {
    while (this.#bufferedBytes < this.#bufferBytesMax) {
      const send = this.#waiting[this.#waitingFirst]
      if (send === undefined) break
      this.#waitingFirst += 1
      this.#admittedCount += 1
      try {
        this.#add(send.record, send.topic, send.partition, send.delivery)
      } catch (error) {
        send.delivery.reject(error)
      }
    }
    if (this.#waitingFirst === this.#waiting.length) {
      this.#waiting = []
      this.#waitingFirst = 0
    }
  }
}

export interface ProducerOptions {
  /** How long a batch waits for more records. Default 0 ms: until the next turn of the event loop. Kafka: `linger.ms`. */
  readonly lingerMs?: number
  /** Size at which a batch goes at once. Default 256 KiB, at most the topic's maxMessageBytes. Kafka: `batch.size`. */
  readonly batchBytesMax?: number
  /** Bytes that may be taken and unanswered. Default 32 MiB. Kafka: `buffer.memory`. */
  readonly bufferBytesMax?: number
  /** Sends that may wait for room. Default 1,000,000. Kafka blocks the thread instead. */
  readonly waitingSendsMax?: number
  /** Default none. Kafka: `compression.type`. */
  readonly compression?: Compression
  /**
   * When a send is answered. `all` (default): when its batch is written as `sync` of the log says: with `commit` it is on
   * the device and survives a power cut, with `os` it survives the end of the process. `1`: the same, for the log is
   * its own only replica and writes and syncs in one step. `0`: as soon as the batch is on its way; the offset is -1, and
   * nobody hears of a failure. Kafka: `acks`.
   */
  readonly acks?: 0 | 1 | 'all'
  /**
   * Whether batches are numbered, so that each is written once and in order. Default true with `acks: 'all'`, which it
   * needs. Kafka: `enable.idempotence`.
   */
  readonly idempotence?: boolean
  /**
   * Makes the producer transactional: call `initTransactions`, then `beginTransaction` before the first record. One
   * producer at a time has the id; a newer one fences the older. Kafka: `transactional.id`.
   */
  readonly transactionalId?: string
  /** How long a transaction may be open before the log aborts it. Default 60,000 ms. Kafka: `transaction.timeout.ms`. */
  readonly transactionTimeoutMs?: number
  /**
   * Batches of a partition that may be on their way, at most 5. Default 5, not counting those that the log has taken into
   * its order and only still writes. Kafka: `max.in.flight.requests.per.connection`.
   */
  readonly inFlightMax?: number
  /** How often a batch whose failure is retriable is tried again. Default: until `deliveryTimeoutMs`. Kafka: `retries`. */
  readonly retries?: number
  /** Time between two tries. Default 100 ms. Kafka: `retry.backoff.ms`. */
  readonly retryBackoffMs?: number
  /** After that a batch is given up with TIMEOUT; it may still be written. Default 120,000 ms. Kafka: `delivery.timeout.ms`. */
  readonly deliveryTimeoutMs?: number
  /** Chooses partitions. Default: murmur2 of the key, as Kafka's producers. Kafka: `partitioner.class`. */
  readonly partitioner?: ProducerPartitioner
}

/** Whether batches get numbers. INVALID_CONFIG for wishes that exclude each other. */
function isNumbered({ acks, idempotence, transactionalId }: ProducerOptions): boolean {
  const all = acks === undefined || acks === 'all'
  if (![0, 1, 'all', undefined].includes(acks))
    throw new LogError('INVALID_CONFIG', `acks is ${String(acks)}: use 0, 1 or 'all'`, { acks })
  const wanted = idempotence ?? (transactionalId !== undefined || all)
  if (wanted && !all)
    throw new LogError(
      'INVALID_CONFIG',
      `acks ${String(acks)} and numbered batches exclude each other: use acks 'all'`,
      {
        acks,
      },
    )
  if (!wanted && transactionalId !== undefined)
    throw new LogError('INVALID_CONFIG', 'a transactional producer numbers its batches: leave idempotence on', {
      transactionalId,
    })
  return wanted
}

/** A topic remembers how its keys are spread; another way would put them where nobody looks. */
function checkPartitioner(info: TopicInfo, id: string | undefined): void {
  const stored = info.config.partitioner
  if (stored === undefined || stored === id) return
  throw new LogError(
    'TOPIC_MISMATCH',
    `topic ${info.name} is partitioned by ${stored}, the producer ${id === undefined ? 'has no partitioner' : `by ${id}`}: give it that one`,
    { topic: info.name, stored, given: id },
  )
}

function sliceOf(bytes: Uint8Array, start: number, end: number): Uint8Array | null {
  return start < 0 ? null : bytes.subarray(start, end)
}

interface RecordPlace {
  /** Default: murmur2 of the key; without a key one partition per batch, in turn. */
  readonly partition?: number
  /** Milliseconds since the epoch. Default: what the declared topic finds in the value, else now. */
  readonly timestamp?: number
  readonly headers?: readonly Header[]
}

/** A record for a topic by name. */
export interface BytesRecord extends RecordPlace {
  readonly topic: string
  readonly key?: BytesIn
  readonly value: BytesIn
}

/** A record for a declared topic. */
export interface TypedRecord<KIn, VIn> extends RecordPlace {
  readonly topic: Topic<unknown, unknown, KIn, VIn>
  readonly key: KIn
  readonly value: VIn
}

type ProducerPhase = 'open' | 'closing' | 'closed'

const producerTransitions: Transitions<ProducerPhase> = { open: ['closing'], closing: ['closed'], closed: [] }

/** What goes to one partition. */
class ProducedPartition {
  readonly accumulator: BatchAccumulator
  readonly sender: PartitionSender
  /** Sealed, behind as many as may be on their way. `bufferBytesMax` bounds them. */
  readonly queue: { readonly batch: SealedBatch; readonly numbering: number }[] = []
  /** Its records would be on their way if there were room. */
  due = false
  /** All that were ever taken for it. */
  takenRecords = 0

  constructor(accumulator: BatchAccumulator, sender: PartitionSender) {
    this.accumulator = accumulator
    this.sender = sender
  }
}

interface FlushTarget {
  readonly sender: PartitionSender
  /** So many must be answered. */
  readonly records: number
}

class ProducedTopic {
  info: TopicInfo
  readonly named: RecordFormat
  readonly partitioner = new Partitioner()
  readonly partitions: (ProducedPartition | undefined)[] = []
  #declared: AnyTopic | null = null
  #format: RecordFormat

  constructor(info: TopicInfo) {
    this.info = info
    this.named = bytesFormat(info.name)
    this.#format = this.named
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

/** What both kinds of record are while they are checked. */
interface GivenRecord extends RecordPlace {
  readonly topic: string | AnyTopic
  readonly key?: unknown
  readonly value: unknown
}

interface PreparedRecord {
  readonly record: OutgoingRecord
  readonly topic: ProducedTopic
  readonly partition: number
}

/** A record that waits for room, in bytes of its own. */
interface WaitingSend extends PreparedRecord {
  readonly delivery: Delivery
}

/** What a full buffer of batches of the default size has under way. */
const spareBuildersMax = 128

/** The partition of a record without a key, chosen when it is added to a batch. */
const anyPartition = -1

function checkedPartition(topic: string, partition: number, count: number): number {
  if (Number.isInteger(partition) && partition >= 0 && partition < count) return partition
  throw new LogError('UNKNOWN_PARTITION', `topic ${topic} has partitions 0 to ${count - 1}, not ${partition}`, {
    topic,
    partition,
  })
}

function checkedHeaders(topic: string, headers: readonly Header[]): readonly Header[] {
  for (const { key, value } of headers) {
    if (typeof key === 'string' && (value === null || value instanceof Uint8Array)) continue
    throw new LogError(
      'INVALID_RECORD',
      `a header of a record for topic ${topic} is no { key: string, value: bytes or null }: its key is ${JSON.stringify(key)}`,
      { topic },
    )
  }
  return headers
}

function invalidTimestamp(topic: string, timestamp: number): LogError {
  return new LogError(
    'INVALID_TIMESTAMP',
    `timestamp ${String(timestamp)} of a record for topic ${topic}: give milliseconds since the epoch, an integer of 0 or more`,
    { topic, timestamp },
  )
}
