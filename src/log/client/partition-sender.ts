import { assert } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
import type { TopicPartition } from '../api/record.ts'
import { producerEpochMax, type AppendedBatch, type Broker } from '../broker/broker.ts'
import type { SealOptions } from '../format/batch-builder.ts'
import { stampProducer } from '../format/record-batch.ts'
import type { SealedBatch } from './batch-accumulator.ts'

/**
 * Brings the batches of one producer to one partition: in order, each once.
 *
 * - Batches are numbered when they are sealed. With the numbers the log takes a batch that comes again for what it is, and
 *   refuses one whose predecessor is missing.
 * - At most `inFlightMax` are on their way; what is behind waits with the producer. A batch that the log has copied is in
 *   its order and will never be tried again, so it does not count, unless the producer was told a bound.
 * - A batch that failed and may be tried again is; those behind it, refused as out of order meanwhile, follow it.
 * - A batch that failed for good leaves a hole in the numbers: the ones behind it are numbered anew, under the next epoch.
 *   In a transaction they fail with it, for it cannot be committed any more.
 *
 * The log copies a batch before `append` returns, so its bytes are only kept where it did not take them.
 */
export class PartitionSender {
  readonly at: TopicPartition
  readonly #parts: PartitionSenderParts
  /** Numbered and not answered, in the order of their numbers. */
  readonly #unanswered: SentBatch[] = []
  #nextSequence = 0
  /** Of the unanswered ones, those that the log has taken, unless they count too. */
  #uncounted = 0
  /** Batches that wait to be tried again. */
  #retrying = 0
  /** The producer's identity, as it was last; a partition that has used up its epochs goes on under one of its own. */
  #given: ProducerIdentity | null = null
  /** Whose epoch the numbers count in, and how many epochs this partition is ahead of it. */
  #identity: ProducerIdentity | null = null
  #epochsAhead = 0
  #numbering = 0
  /** Called when there is room again though nothing was answered. */
  roomMade: () => void = () => {}
  /** Records that were answered, of all that were ever sent here. */
  answeredRecords = 0

  constructor(at: TopicPartition, parts: PartitionSenderParts) {
    this.at = at
    this.#parts = parts
  }

  /** Behind a batch that is tried again none is sent: a log that knows nothing of the producer yet would take it first. */
  get hasRoom(): boolean {
    return this.#retrying === 0 && this.#unanswered.length - this.#uncounted < this.#parts.inFlightMax
  }

  /** The numbers of the next batch, of `count` records. Seal with them and send, in this order. */
  number(count: number): SealOptions {
    const given = this.#parts.identity()
    if (given === null) return unnumbered
    if (given !== this.#given) {
      this.#given = given
      this.#countAs(given, 0)
    }
    const identity = this.#identity ?? given
    const baseSequence = this.#nextSequence
    this.#nextSequence = (baseSequence + count) % sequences
    return {
      producerId: identity.producerId,
      producerEpoch: identity.producerEpoch + this.#epochsAhead,
      baseSequence,
      transactional: identity.transactional,
    }
  }

  #countAs(identity: ProducerIdentity, epochsAhead: number): void {
    this.#identity = identity
    this.#epochsAhead = epochsAhead
    this.#numbering += 1
    this.#nextSequence = 0
  }

  /** Another one whenever numbers start anew: those given out before and not sent are then worth nothing. */
  get numbering(): number {
    return this.#numbering
  }

  /** Numbers a sealed batch anew, in bytes of its own. */
  stamp({ bytes, count }: SealedBatch): void {
    const { producerId, producerEpoch, baseSequence, transactional } = this.number(count)
    if (producerId === undefined || producerEpoch === undefined || baseSequence === undefined) return
    stampProducer(bytes, 0, { producerId, producerEpoch, baseSequence, transactional: transactional === true })
  }

  /** Resolves with where the batch went. `bytes` hold until this returns, or until it settles if they are `kept`. */
  async send(batch: SealedBatch, options: { readonly kept: boolean }): Promise<AppendedBatch> {
    const sent = new SentBatch(batch)
    this.#unanswered.push(sent)
    // The first try is in this turn, while the bytes hold.
    const tried = this.#try(sent, options.kept)
    tried.then(
      (answer) => this.#settle(sent, null, answer),
      (error: unknown) => this.#settle(sent, error, null),
    )
    return await sent.answer.promise
  }

  async #try(sent: SentBatch, kept: boolean): Promise<AppendedBatch> {
    for (let tries = 0; ; tries++) {
      try {
        if (!kept && tries === 0) return await this.#appendNow(sent)
        return await this.#parts.broker.append(this.at, sent.bytes, 'builder')
      } catch (error) {
        if (sent.settled || !this.#mayRetry(sent, error, tries)) throw error
        this.#retrying += 1
        await this.#turn(sent, error)
        this.#retrying -= 1
        // Given up meanwhile: what waited behind it may go.
        if (sent.settled) {
          this.roomMade()
          throw error
        }
      }
    }
  }

  #appendNow(sent: SentBatch): Promise<AppendedBatch> {
    try {
      const answer = this.#parts.broker.appendNow(this.at, sent.bytes, 'builder')
      sent.accepted = true
      if (!this.#parts.countsTaken) this.#uncounted += 1
      return answer
    } catch (error) {
      // The memory belongs to the next batch as soon as this turn is over.
      if (this.#mayRetry(sent, error, 0)) sent.bytes = Uint8Array.from(sent.bytes)
      throw error
    }
  }

  #mayRetry(sent: SentBatch, error: unknown, tries: number): boolean {
    // What the log has taken fails only with the log; and its bytes may be gone.
    if (!(error instanceof LogError) || sent.accepted) return false
    // Its predecessor is on its way: no failure of its own.
    if (error.code === 'OUT_OF_ORDER_SEQUENCE') return this.#unanswered[0] !== sent
    if (!error.retriable || tries >= this.#parts.retries) return false
    return this.#parts.now() + this.#parts.retryBackoffMs < sent.since + this.#parts.deliveryTimeoutMs
  }

  /** Waits until the batch may be tried again. */
  async #turn(sent: SentBatch, error: unknown): Promise<void> {
    const outOfOrder = error instanceof LogError && error.code === 'OUT_OF_ORDER_SEQUENCE'
    if (!outOfOrder) return await this.#parts.sleep(this.#parts.retryBackoffMs)
    while (!sent.settled && this.#unanswered[0] !== sent) await this.#unanswered[0]?.answered
  }

  /** What was given to the producer longer ago than it may is given up. It may still have been written. */
  expire(before: number): void {
    for (const sent of this.#unanswered.filter(({ since }) => since <= before))
      this.#settle(
        sent,
        new LogError(
          'TIMEOUT',
          `a batch of ${sent.batch.count} records for ${this.at.topic}-${this.at.partition} was not answered within ${this.#parts.deliveryTimeoutMs} ms: it may or may not have been written; raise deliveryTimeoutMs or look at the disk`,
          { ...this.at, deliveryTimeoutMs: this.#parts.deliveryTimeoutMs },
        ),
        null,
      )
  }

  /** When the oldest batch on its way got its first record; Infinity without one. */
  get oldestSince(): number {
    return this.#unanswered[0]?.since ?? Infinity
  }

  #settle(sent: SentBatch, error: unknown, answer: AppendedBatch | null): void {
    if (sent.settled) return
    sent.settled = true
    const index = this.#unanswered.indexOf(sent)
    assert(index >= 0, 'a batch that is not settled is on its way')
    this.#unanswered.splice(index, 1)
    if (sent.accepted && !this.#parts.countsTaken) this.#uncounted -= 1
    this.answeredRecords += sent.batch.count
    if (answer === null && isRefused(sent, error)) this.#leaveHole()
    if (answer === null) sent.answer.reject(error)
    else sent.answer.resolve(answer)
    sent.leave()
  }

  /**
   * The numbers of a batch that failed will never come: those behind it count from 0 in an epoch of their own, or behind
   * the last epoch under an id of their own.
   */
  #leaveHole(): void {
    const identity = this.#identity
    if (identity === null || identity.transactional || this.#given !== this.#parts.identity()) return
    // None behind it was taken: the log would have refused it, and so their bytes are still their own.
    if (identity.producerEpoch + this.#epochsAhead < producerEpochMax) this.#countAs(identity, this.#epochsAhead + 1)
    else this.#countAs({ ...this.#parts.broker.newProducer(), transactional: false }, 0)
    for (const { batch, bytes } of this.#unanswered) {
      const numbers = this.number(batch.count)
      stampProducer(bytes, 0, {
        producerId: numbers.producerId ?? -1,
        producerEpoch: numbers.producerEpoch ?? -1,
        baseSequence: numbers.baseSequence ?? -1,
        transactional: false,
      })
    }
  }
}

export interface PartitionSenderParts {
  readonly broker: Pick<Broker, 'append' | 'appendNow' | 'newProducer'>
  /** Whose numbers batches get now; another object for every epoch. Null: none. */
  readonly identity: () => ProducerIdentity | null
  readonly inFlightMax: number
  /** Whether a batch that the log has taken, and only still writes, counts as on its way. */
  readonly countsTaken: boolean
  readonly retries: number
  readonly retryBackoffMs: number
  readonly deliveryTimeoutMs: number
  /** Monotonic. */
  readonly now: () => number
  readonly sleep: (ms: number) => Promise<void>
}

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
  readonly transactional: boolean
}

/** Whether the log has not taken the batch and never will. One that it took and could not write fails all there are. */
function isRefused(sent: SentBatch, error: unknown): boolean {
  return !sent.accepted && error instanceof LogError && !error.fatal && error.code !== 'CLOSED'
}

const sequences = 0x8000_0000
const unnumbered: SealOptions = {}

class SentBatch {
  readonly batch: SealedBatch
  readonly since: number
  bytes: Uint8Array
  /** The log has copied it: it is in the order, and its bytes may be another batch's by now. */
  accepted = false
  settled = false
  readonly answer: PromiseWithResolvers<AppendedBatch> = Promise.withResolvers()
  /** Resolves when it is no longer on its way, whatever became of it. */
  readonly answered: Promise<void>
  leave: () => void = () => {}

  constructor(batch: SealedBatch) {
    this.batch = batch
    this.bytes = batch.bytes
    this.since = batch.since
    this.answered = new Promise((resolve) => (this.leave = resolve))
  }
}
