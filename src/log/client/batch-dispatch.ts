import type { Clock, Timer } from '../../base/clock.ts'
import type { OutgoingRecord } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { BatchBuilder } from '../format/batch-builder.ts'
import type { Compression } from '../format/compression.ts'
import { BatchAccumulator, type Delivery, type SealedBatch } from './batch-accumulator.ts'
import { PartitionSender, type PartitionSenderParts } from './partition-sender.ts'
import { ProducedPartition, type ProducedTopic, type ProducedTopics } from './produced-topic.ts'
import type { ProducerTransactions } from './producer-transactions.ts'
import type { SendBuffer, WaitingSend } from './send-buffer.ts'

/**
 * Says when the batches of a producer go, and tells those who wait what became of them.
 *
 * - A batch goes when it is full or `lingerMs` after its first record; with 0, in the next turn of the event loop, so that
 *   all that one turn sends shares a batch.
 * - While as many batches of a partition are on their way as may be, the next one waits and grows; a full one is sealed and
 *   stands in line. Batches of a partition go in the order in which they were filled.
 * - Every batch is answered: by the log, or `deliveryTimeoutMs` after its first record, wherever it stands then. Only then
 *   its bytes make room for others.
 * - A failure that nobody waits for is kept for the next flush.
 *
 * How a batch comes to its partition, once, is {@link PartitionSender}'s business.
 */
export class BatchDispatch {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #parts: BatchDispatchParts
  readonly #topics: ProducedTopics
  readonly #buffer: SendBuffer
  readonly #spareBuilders: BatchBuilder[] = []
  readonly #inFlight = new Set<Promise<void>>()
  /** The next drain is on its way: a turn of the event loop, or a timer. */
  #drain: 'none' | 'turn' | 'timer' = 'none'
  #timer: Timer | null = null
  /** The first failure of a record that was posted, which nobody has heard of yet. */
  #unheard: unknown = null
  /** Looks for batches that are on their way for too long, while any is. */
  #expiry: Timer | null = null
  readonly #addWaiting = ({ record, topic, partition, delivery }: WaitingSend): void => {
    try {
      this.add(record, this.#topics.successorOf(topic), partition, delivery)
    } catch (error) {
      this.#parts.transactions?.sendFailed(error)
      throw error
    }
  }

  constructor(parts: BatchDispatchParts) {
    this.#broker = parts.broker
    this.#clock = parts.clock
    this.#topics = parts.topics
    this.#buffer = parts.buffer
    this.#parts = parts
  }

  /** Takes a record into the batch of its partition. Throws MESSAGE_TOO_LARGE. */
  add(record: OutgoingRecord, topic: ProducedTopic, partition: number, delivery: Delivery | null): void {
    const to = partition < 0 ? topic.partitioner.withoutKey(topic.info.partitions) : partition
    let produced = topic.partitions[to]
    if (produced === undefined) {
      const at = { topic: topic.info.name, partition: to }
      produced = new ProducedPartition(
        new BatchAccumulator(at, this.#parts.compression, this.#spareBuilders),
        new PartitionSender(at, this.#parts.senders),
      )
      topic.partitions[to] = produced
      const made = produced
      produced.sender.roomMade = () => this.#sendMore(topic, made)
    }
    const { accumulator } = produced
    const { maxMessageBytes } = topic.info.config
    if (accumulator.mustSendBefore(record, Math.min(this.#parts.batchBytesMax, maxMessageBytes))) {
      // An answer may have made room that those in line have not taken yet: this batch goes behind them.
      if (produced.sender.hasRoom && produced.queue.length === 0) this.#send(topic, produced)
      else this.#queue(topic, produced)
      // A record without a key follows the batch that is gone to the next partition.
      if (partition < 0) return this.add(record, topic, partition, delivery)
    }
    const bytes = accumulator.isEmpty
      ? accumulator.begin(record, delivery, { maxMessageBytes, now: this.#clock.monotonic() })
      : accumulator.add(record, delivery)
    produced.takenRecords += 1
    this.#buffer.take(bytes)
    if (this.#drain === 'none') this.#scheduleDrain()
  }

  /** Sends what was collected for this topic, or as soon as there is room for it. */
  sendTopic(topic: ProducedTopic): void {
    for (const produced of topic.partitions) if (produced !== undefined) this.#send(topic, produced)
  }

  /** Sends what was taken so far, and what waits, and waits for the answers. Rejects with the first unheard failure. */
  async flush(): Promise<void> {
    const waited = this.#buffer.waitedCount
    let targets: readonly FlushTarget[] | null = null
    for (;;) {
      if (targets === null && this.#buffer.admittedCount >= waited) targets = this.#flushTargets()
      this.#sendAll()
      if (targets?.every(({ sender, records }) => sender.answeredRecords >= records) === true) break
      await Promise.all(this.#inFlight)
    }
    const failure = this.#unheard
    this.#unheard = null
    if (failure !== null) throw failure
  }

  #flushTargets(): readonly FlushTarget[] {
    return this.#senders().map((accumulator) => ({ sender: accumulator.sender, records: accumulator.takenRecords }))
  }

  #senders(): ProducedPartition[] {
    return [...this.#topics.all()].flatMap(({ partitions }) => partitions.filter((one) => one !== undefined))
  }

  /** Nothing is sent any more by itself. */
  stop(): void {
    this.#timer?.cancel()
  }

  #scheduleDrain(): void {
    if (this.#parts.lingerMs === 0) {
      this.#drain = 'turn'
      void this.#clock.nextTurn().then(() => this.#drainNow())
      return
    }
    this.#drain = 'timer'
    this.#timer = this.#clock.setTimer(this.#parts.lingerMs, () => this.#drainNow())
  }

  #drainNow(): void {
    this.#drain = 'none'
    const now = this.#clock.monotonic()
    let nextDue = Number.POSITIVE_INFINITY
    for (const topic of this.#topics.all()) {
      for (const produced of topic.partitions) {
        if (produced === undefined || produced.accumulator.isEmpty || produced.due) continue
        const due = produced.accumulator.since + this.#parts.lingerMs
        if (due <= now) this.#send(topic, produced)
        else nextDue = Math.min(nextDue, due)
      }
    }
    if (nextDue === Number.POSITIVE_INFINITY) return
    this.#drain = 'timer'
    this.#timer = this.#clock.setTimer(nextDue - now, () => this.#drainNow())
  }

  #sendAll(): void {
    for (const topic of this.#topics.all()) this.sendTopic(topic)
  }

  /** Sends what the partition has, or as soon as fewer of its batches are on their way. */
  #send(topic: ProducedTopic, produced: ProducedPartition): void {
    const { accumulator, sender } = produced
    if (accumulator.isEmpty) return
    produced.due = true
    if (!sender.hasRoom || produced.queue.length > 0) return
    produced.due = false
    if (this.#parts.transactions?.hasReached(accumulator.at) === false) this.#reach(this.#parts.transactions)
    // With room in the log the bytes are copied before `append` returns, and the builder's own memory serves.
    const kept = !this.#broker.canAppend
    const batch = accumulator.take({ kept, numbers: sender.number(accumulator.count) })
    topic.partitioner.batchSent(accumulator.at.partition, topic.info.partitions)
    this.#deliver(topic, produced, { batch, kept })
  }

  /** The transaction asks at once for all partitions that something was collected for. */
  #reach(transactions: ProducerTransactions): void {
    const collecting = this.#senders().filter(({ accumulator }) => !accumulator.isEmpty)
    transactions.reach(collecting.map(({ accumulator }) => accumulator.at))
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
    this.#parts.transactions?.used()
    const answer = produced.sender.send(batch, { kept })
    if (this.#parts.answersAtOnce)
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
    if (this.#expiry === null) {
      const { deliveryTimeoutMs } = this.#parts.senders
      this.#expireAfter(Math.max(1, batch.since + deliveryTimeoutMs - this.#clock.monotonic()))
    }
  }

  /** Its builder goes with it: what was given up may still be waiting in line, and is copied when its turn comes. */
  #failed(batch: SealedBatch, error: unknown): void {
    this.#parts.transactions?.sendFailed(error)
    for (const delivery of batch.deliveries) delivery.reject(error)
    if (batch.deliveries.length < batch.count && !this.#parts.answersAtOnce) this.#unheard ??= error
  }

  #answered(topic: ProducedTopic, produced: ProducedPartition, batch: SealedBatch): void {
    this.#buffer.release(batch.bytesTaken)
    this.#sendMore(topic, produced)
    this.#buffer.admit(this.#addWaiting)
    if (this.#inFlight.size > 0) return
    this.#expiry?.cancel()
    this.#expiry = null
  }

  /** One timer for all batches: it looks when the oldest of them is due. */
  #expireAfter(delayMs: number): void {
    this.#expiry = this.#clock.setTimer(delayMs, () => {
      const senders = this.#senders().map(({ sender }) => sender)
      const before = this.#clock.monotonic() - this.#parts.senders.deliveryTimeoutMs
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
}

export interface BatchDispatchParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly topics: ProducedTopics
  readonly buffer: SendBuffer
  readonly transactions: ProducerTransactions | null
  readonly senders: PartitionSenderParts
  readonly compression: Compression
  readonly lingerMs: number
  readonly batchBytesMax: number
  /** Sends are answered when their batch is on its way. Kafka: `acks` 0. */
  readonly answersAtOnce: boolean
}

interface FlushTarget {
  readonly sender: PartitionSender
  /** So many must be answered. */
  readonly records: number
}

/** What a full buffer of batches of the default size has under way. */
const spareBuildersMax = 128
