import type { Clock, Timer } from '../../../base/clock.ts'
import { LogError } from '../../api/errors.ts'
import type { OutgoingRecord } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import type { BatchBuilder } from '../../format/batch-builder.ts'
import type { Compression } from '../../format/compression.ts'
import { BatchAccumulator, type Delivery, type SealedBatch } from './batch-accumulator.ts'
import { PartitionSender, type PartitionSenderParts } from './partition-sender.ts'
import { ProducedPartition, type ProducedTopic, type ProducedTopics } from './produced-topic.ts'
import type { ProducerTransactions } from './producer-transactions.ts'
import type { SendBuffer, WaitingSend } from './send-buffer.ts'

/**
 * Decides when the batches of a producer are sent, and reports the outcome to the callers of `send`.
 *
 * - A batch is sent when it is full or `lingerMs` after its first record. With `lingerMs` 0 it is sent in the next turn
 *   of the event loop, so that all records sent in one turn share a batch.
 * - While a partition has the maximum number of batches in flight, its next batch waits and grows. If it becomes full,
 *   it is sealed and queued. Batches of a partition are sent in the order in which they were filled.
 * - Every batch gets an answer: from the log, or `deliveryTimeoutMs` after its first record, in whatever state it is.
 *   Only then the space of its bytes becomes free.
 * - A failure of a record that no caller awaits is kept for the next flush.
 *
 * {@link PartitionSender} delivers a batch to its partition exactly once.
 */
export class BatchDispatch {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #parts: BatchDispatchParts
  readonly #topics: ProducedTopics
  readonly #buffer: SendBuffer
  readonly #spareBuilders: BatchBuilder[] = []
  readonly #inFlight = new Set<Promise<void>>()
  /** How the next drain is scheduled: in the next turn of the event loop, or by a timer. */
  #drain: 'none' | 'turn' | 'timer' = 'none'
  #timer: Timer | null = null
  /** The first failure of a posted record, not reported to any caller yet. */
  #unheard: unknown = null
  /** While batches are in flight, the timer that checks for those that take too long. */
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

  /** Adds a record to the batch of its partition. Throws MESSAGE_TOO_LARGE. */
  add(record: OutgoingRecord, topic: ProducedTopic, partition: number, delivery: Delivery | null): void {
    const to = partition < 0 ? topic.partitioner.withoutKey(topic.info.partitions) : partition
    let produced = topic.partitions[to]
    if (produced === undefined) {
      const at = { topic: topic.info.name, partition: to }
      produced = new ProducedPartition(
        new BatchAccumulator(at, this.#parts.compression, this.#spareBuilders),
        new PartitionSender(at, this.#parts.senders, { isSuccessor: topic.isSuccessor }),
      )
      topic.partitions[to] = produced
      const made = produced
      produced.sender.roomMade = () => this.#sendMore(topic, made)
    }
    const { accumulator } = produced
    const { maxMessageBytes } = topic.info.config
    if (accumulator.mustSendBefore(record, Math.min(this.#parts.batchBytesMax, maxMessageBytes))) {
      // There may be room that queued batches have not used yet: this batch is sent after them.
      if (produced.sender.hasRoom && produced.queue.length === 0) this.#send(topic, produced)
      else this.#queue(topic, produced)
      // A record without a key moves on to the next partition when its partition's batch was sent.
      if (partition < 0) return this.add(record, topic, partition, delivery)
    }
    const bytes = accumulator.isEmpty
      ? accumulator.begin(record, delivery, { maxMessageBytes, now: this.#clock.monotonic() })
      : accumulator.add(record, delivery)
    produced.takenRecords += 1
    this.#buffer.take(bytes)
    if (this.#drain === 'none') this.#scheduleDrain()
  }

  /** Sends what was collected for this topic, at once or as soon as there is room. */
  sendTopic(topic: ProducedTopic): void {
    for (const produced of topic.partitions) if (produced !== undefined) this.#send(topic, produced)
  }

  /**
   * Sends what was collected for a topic that was deleted, before anything for the topic that has its name now. Throws
   * UNKNOWN_TOPIC if that would happen within one transaction, whose batches all have the same epoch: the numbers of those
   * for the one topic would collide with the numbers of those for the other.
   */
  leaveTopic(topic: ProducedTopic): void {
    this.sendTopic(topic)
    if (this.#parts.transactions === null) return
    if (topic.partitions.some((produced) => produced?.sender.isInUse === true)) throw replacedWithin(topic.info.name)
  }

  /** Sends everything taken or waiting so far, and waits for the answers. Rejects with the first unreported failure. */
  async flush(): Promise<void> {
    const waited = this.#buffer.waitedCount
    let targets: readonly FlushTarget[] | null = null
    for (;;) {
      if (targets === null && this.#buffer.admittedCount >= waited) targets = this.#flushTargets()
      this.#sendAll()
      if (targets?.every(({ produced, records }) => produced.answeredRecords >= records) === true) break
      await Promise.all(this.#inFlight)
    }
    const failure = this.#unheard
    this.#unheard = null
    if (failure !== null) throw failure
  }

  #flushTargets(): readonly FlushTarget[] {
    return this.#senders().map((produced) => ({ produced, records: produced.takenRecords }))
  }

  #senders(): ProducedPartition[] {
    return [...this.#topics.all()].flatMap(({ partitions }) => partitions.filter((one) => one !== undefined))
  }

  /** Stops sending on its own. */
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

  /** Sends what the partition has collected, or marks it to be sent as soon as fewer of its batches are in flight. */
  #send(topic: ProducedTopic, produced: ProducedPartition): void {
    const { accumulator, sender } = produced
    if (accumulator.isEmpty) return
    produced.due = true
    if (!sender.hasRoom || produced.queue.length > 0) return
    produced.due = false
    if (this.#parts.transactions?.hasReached(accumulator.at) === false) this.#reach(this.#parts.transactions)
    // If the log has room, it copies the bytes before `append` returns, so the batch can stay in the builder's memory.
    const kept = !this.#broker.canAppend
    const batch = accumulator.take({ kept, numbers: sender.number(accumulator.count) })
    topic.partitioner.batchSent(accumulator.at.partition, topic.info.partitions)
    this.#deliver(topic, produced, { batch, kept })
  }

  /** Adds all partitions with collected records to the transaction with one request. */
  #reach(transactions: ProducerTransactions): void {
    const collecting = this.#senders().filter(({ accumulator }) => !accumulator.isEmpty)
    transactions.reach(collecting.map(({ accumulator }) => accumulator.at))
  }

  /** Seals and queues a full batch while the maximum number of batches is in flight. */
  #queue(topic: ProducedTopic, produced: ProducedPartition): void {
    const { accumulator, queue, sender } = produced
    const numbers = sender.number(accumulator.count)
    queue.push({ batch: accumulator.take({ kept: true, numbers }), numbering: sender.numbering })
    topic.partitioner.batchSent(accumulator.at.partition, topic.info.partitions)
  }

  /** Sends queued batches once there is room. */
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
        // Not before a failure was noted: a flush that ended in between would not report it.
        produced.answeredRecords += batch.count
        this.#answered(topic, produced, batch)
      })
    this.#inFlight.add(delivered)
    if (this.#expiry === null) {
      const { deliveryTimeoutMs } = this.#parts.senders
      this.#expireAfter(Math.max(1, batch.since + deliveryTimeoutMs - this.#clock.monotonic()))
    }
  }

  /** The builder of a failed batch is not reused: the log may still have the batch queued, and copies it later. */
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

  /** One timer serves all batches: it checks when the oldest one is due. */
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

function replacedWithin(topic: string): LogError {
  return new LogError(
    'UNKNOWN_TOPIC',
    `topic ${topic} was deleted and created anew while the transaction wrote to it: abort the transaction, then begin it again`,
    { topic },
  )
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
  /** Whether sends resolve as soon as their batch is sent. Kafka: `acks` 0. */
  readonly answersAtOnce: boolean
}

interface FlushTarget {
  readonly produced: ProducedPartition
  /** The flush is complete once this many records of the partition were answered. */
  readonly records: number
}

/** As many batches of the default size as a full buffer has in flight. */
const spareBuildersMax = 128
