import { ByteWriter } from '../../base/bytes.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../base/lifecycle.ts'
import type { AnyTopic, Topic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import { noHeaders, outgoingRecord, type Header, type OutgoingRecord } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import type { Broker } from '../broker/broker.ts'
import type { BatchBuilder } from '../format/batch-builder.ts'
import type { Compression } from '../format/compression.ts'
import { BatchAccumulator, bytesOf, type Delivery, type SealedBatch, type SentRecord } from './batch-accumulator.ts'
import { Partitioner } from './partitioner.ts'
import { clientNumbers, producerNumbers } from './client-options.ts'
import { bytesFormat, checkFormat, declaredFormat, type BytesIn, type RecordFormat } from './record-format.ts'

/**
 * Sends records to the log, in batches.
 *
 * - A record is checked, encoded and copied before `send` returns: what is sent cannot change afterwards, and a record
 *   that does not fit is refused before anything is written.
 * - Records of one partition are appended in the order of their sends.
 * - A send is answered when the log has acknowledged its batch: synced under `sync: 'commit'`.
 * - No more than `bufferBytesMax` is taken and unanswered: beyond it `send` waits its turn, `post` returns false.
 *
 * A batch goes when it is full or `lingerMs` after its first record; with 0, in the next turn of the event loop, so that
 * all that one turn sends shares a batch. It does not retry: an embedded log that fails to write stays failed.
 */
export class Producer {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #lingerMs: number
  readonly #batchBytesMax: number
  readonly #bufferBytesMax: number
  readonly #waitingMax: number
  readonly #compression: Compression
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

  constructor(broker: Broker, clock: Clock, options: ProducerOptions = {}) {
    const numbers = clientNumbers('producer', producerNumbers, options)
    this.#broker = broker
    this.#clock = clock
    this.#lingerMs = numbers.lingerMs
    this.#batchBytesMax = numbers.batchBytesMax
    this.#bufferBytesMax = numbers.bufferBytesMax
    this.#waitingMax = numbers.waitingSendsMax
    this.#compression = options.compression ?? 'none'
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
    for (let allTaken = false; !allTaken;) {
      allTaken = this.#admittedCount >= waited
      this.#sendAll()
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

  #checkOpen(): void {
    if (!this.#lifecycle.is('open')) throw new LogError('CLOSED', 'the producer is closed')
  }

  /** Checks and encodes into the scratch record. Nothing is taken yet. */
  #prepare(record: GivenRecord): PreparedRecord {
    this.#checkOpen()
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
    if (known !== undefined) for (const old of known.accumulators) if (old !== undefined) this.#send(known, old)
    const topic = new ProducedTopic(info)
    this.#topics.set(name, topic)
    return topic
  }

  #add(record: OutgoingRecord, topic: ProducedTopic, partition: number, delivery: Delivery | null): void {
    const to = partition < 0 ? topic.partitioner.withoutKey(topic.info.partitions) : partition
    let accumulator = topic.accumulators[to]
    if (accumulator === undefined) {
      accumulator = new BatchAccumulator(
        { topic: topic.info.name, partition: to },
        this.#compression,
        this.#spareBuilders,
      )
      topic.accumulators[to] = accumulator
    }
    const { maxMessageBytes } = topic.info.config
    if (accumulator.mustSendBefore(record, Math.min(this.#batchBytesMax, maxMessageBytes))) {
      this.#send(topic, accumulator)
      // A record without a key follows the batch that is gone to the next partition.
      if (partition < 0) return this.#add(record, topic, partition, delivery)
    }
    accumulator.add(record, delivery, { maxMessageBytes, now: this.#lingerMs === 0 ? 0 : this.#clock.monotonic() })
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
      for (const accumulator of topic.accumulators) {
        if (accumulator === undefined || accumulator.isEmpty) continue
        const due = accumulator.since + this.#lingerMs
        if (due <= now) this.#send(topic, accumulator)
        else nextDue = Math.min(nextDue, due)
      }
    }
    if (nextDue === Number.POSITIVE_INFINITY) return
    this.#drain = 'timer'
    this.#timer = this.#clock.setTimer(nextDue - now, () => this.#drainNow())
  }

  #sendAll(): void {
    for (const topic of this.#topics.values()) {
      for (const accumulator of topic.accumulators) if (accumulator !== undefined) this.#send(topic, accumulator)
    }
  }

  #send(topic: ProducedTopic, accumulator: BatchAccumulator): void {
    if (accumulator.isEmpty) return
    // With room in the log the bytes are copied before `append` returns, and the builder's own memory serves.
    const batch = accumulator.take({ kept: !this.#broker.canAppend })
    topic.partitioner.batchSent(accumulator.at.partition, topic.info.partitions)
    const delivered = this.#deliver(accumulator, batch).finally(() => this.#inFlight.delete(delivered))
    this.#inFlight.add(delivered)
  }

  async #deliver(accumulator: BatchAccumulator, batch: SealedBatch): Promise<void> {
    const { topic, partition } = accumulator.at
    try {
      const { baseOffset } = await this.#broker.append(accumulator.at, batch.bytes)
      for (const delivery of batch.deliveries) {
        delivery.resolve({ topic, partition, offset: baseOffset + delivery.index, timestamp: delivery.timestamp })
      }
    } catch (error) {
      for (const delivery of batch.deliveries) delivery.reject(error)
      if (batch.deliveries.length < batch.count) this.#unheard ??= error
    }
    if (batch.builder !== null) this.#spare(batch.builder)
    this.#bufferedBytes -= batch.bytesTaken
    this.#admitWaiting()
    if (this.hasRoom) for (const resume of this.#roomWaiters.splice(0)) resume()
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

class ProducedTopic {
  info: TopicInfo
  readonly named: RecordFormat
  readonly partitioner = new Partitioner()
  readonly accumulators: (BatchAccumulator | undefined)[] = []
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
