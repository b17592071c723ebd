import { assert } from '../../../base/assert.ts'
import { LogError } from '../../api/errors.ts'
import type { TopicPartition } from '../../api/record.ts'
import { producerEpochMax, type AppendedBatch, type Broker } from '../../broker/broker.ts'
import type { SealOptions } from '../../format/batch-builder.ts'
import { stampProducer } from '../../format/record-batch.ts'
import type { SealedBatch } from './batch-accumulator.ts'

/**
 * Delivers the batches of one producer to one partition: in order, each exactly once.
 *
 * - Batches get their sequence numbers when they are sealed. The numbers let the log recognize duplicates, and refuse a
 *   batch whose predecessor is missing.
 * - At most `inFlightMax` batches are in flight; later ones wait in the producer. A batch that the log has copied has
 *   its place in the order and is never retried, so it does not count, unless the producer was given a bound
 *   explicitly.
 * - A batch that failed with a retriable error is retried. Later batches, which the log refuses meanwhile as out of
 *   order, follow it.
 * - For a topic that was created anew under the name of another one, batches are numbered under a producer id of their own:
 *   what was on its way to its predecessor may still reach it, and must not be taken for a batch of this sender.
 * - A batch that failed for good leaves a gap in the sequence numbers: later batches get new numbers under the next
 *   epoch. In a transaction they fail too, because it cannot be committed any more.
 *
 * The log copies a batch before `append` returns, so its bytes are kept only if the log did not accept them.
 */
export class PartitionSender {
  readonly at: TopicPartition
  readonly #parts: PartitionSenderParts
  readonly #isSuccessor: boolean
  /** Batches with sequence numbers and without an answer, in the order of their numbers. */
  readonly #unanswered: SentBatch[] = []
  #nextSequence = 0
  /** How many of the unanswered batches the log has accepted. */
  #accepted = 0
  /** Number of batches that wait to be retried. */
  #retrying = 0
  /**
   * The producer's identity, as last read. A partition that has used up its epochs, or has the name of a deleted one,
   * continues under an identity of its own.
   */
  #given: ProducerIdentity | null = null
  /** The identity under whose epoch batches are numbered, and how many epochs this partition is ahead of it. */
  #identity: ProducerIdentity | null = null
  #epochsAhead = 0
  #numbering = 0
  /**
   * Called when there is room again because a batch has timed out that waited for its retry. It is not called when the log
   * has accepted batches: what is due then leaves with the next answer.
   */
  roomMade: () => void = () => {}

  /** `isSuccessor`: the producer has sent records to an earlier topic of this name. */
  constructor(at: TopicPartition, parts: PartitionSenderParts, of: { readonly isSuccessor: boolean }) {
    this.at = at
    this.#parts = parts
    this.#isSuccessor = of.isSuccessor
  }

  /**
   * Whether another batch may be sent: fewer than `inFlightMax` are in flight, and none waits for its retry. A log that
   * does not know the producer yet would accept a later batch first.
   */
  get hasRoom(): boolean {
    const { inFlightMax, countsAccepted } = this.#parts
    const inFlight = countsAccepted ? this.#unanswered.length : this.#unanswered.length - this.#accepted
    return this.#retrying === 0 && inFlight < inFlightMax
  }

  /** The numbers of the next batch, of `count` records. Seal with them and send, in the same order. */
  number(count: number): SealOptions {
    const given = this.#parts.identity()
    if (given === null) return unnumbered
    if (given !== this.#given) {
      this.#given = given
      // A transaction never has batches for both.
      const ownId = this.#isSuccessor && !given.transactional
      this.#countAs(ownId ? { ...this.#parts.broker.newProducer(), transactional: false } : given, 0)
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

  /** Whether it has numbered batches under the producer's present identity. */
  get isInUse(): boolean {
    return this.#given !== null && this.#given === this.#parts.identity() && this.#nextSequence > 0
  }

  #countAs(identity: ProducerIdentity, epochsAhead: number): void {
    this.#identity = identity
    this.#epochsAhead = epochsAhead
    this.#numbering += 1
    this.#nextSequence = 0
  }

  /** Changes whenever numbers start anew: numbers of batches that were not sent until then are invalid. */
  get numbering(): number {
    return this.#numbering
  }

  /** Gives a sealed batch new numbers. The batch must have memory of its own. */
  stamp({ bytes, count }: SealedBatch): void {
    const { producerId, producerEpoch, baseSequence, transactional } = this.number(count)
    if (producerId === undefined || producerEpoch === undefined || baseSequence === undefined) return
    stampProducer(bytes, 0, { producerId, producerEpoch, baseSequence, transactional: transactional === true })
  }

  /**
   * Resolves with the batch's place in the log. `bytes` must be valid until this returns, or with `kept` until it
   * settles.
   */
  send(batch: SealedBatch, options: { readonly kept: boolean }): Promise<AppendedBatch> {
    const sent = new SentBatch(batch)
    this.#unanswered.push(sent)
    // The first attempt is made in this turn, while the bytes are valid.
    const tried = this.#try(sent, options.kept)
    tried.then(
      (answer) => this.#settle(sent, null, answer),
      (error: unknown) => this.#settle(sent, error, null),
    )
    return sent.answer.promise
  }

  async #try(sent: SentBatch, kept: boolean): Promise<AppendedBatch> {
    for (let tries = 0; ; tries++) {
      try {
        // A refusal is known before the next batch is sent, which may be in this turn.
        if (tries === 0 && (!kept || this.#parts.broker.canAppend)) return await this.#appendNow(sent)
        return await this.#parts.broker.append(this.at, sent.bytes, 'builder', () => this.#accept(sent))
      } catch (error) {
        if (sent.settled || !this.#mayRetry(sent, error, tries)) throw error
        this.#retrying += 1
        await this.#turn(sent, error)
        this.#retrying -= 1
        // It timed out meanwhile: batches that waited behind it may be sent.
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
      this.#accept(sent)
      return answer
    } catch (error) {
      // After this turn the memory may be used for the next batch.
      if (this.#mayRetry(sent, error, 0)) sent.bytes = Uint8Array.from(sent.bytes)
      throw error
    }
  }

  #accept(sent: SentBatch): void {
    sent.accepted = true
    // It may have timed out while it waited for room in the log.
    if (!sent.settled) this.#accepted += 1
  }

  #mayRetry(sent: SentBatch, error: unknown, tries: number): boolean {
    // A batch that the log has accepted fails only together with the log; besides, its bytes may have been overwritten.
    if (!(error instanceof LogError) || sent.accepted) return false
    // Its predecessor is still unanswered, so the batch itself is not at fault.
    if (error.code === 'OUT_OF_ORDER_SEQUENCE') return this.#unanswered[0] !== sent
    if (!error.retriable || tries >= this.#parts.retries) return false
    return this.#parts.now() + this.#parts.retryBackoffMs < sent.since + this.#parts.deliveryTimeoutMs
  }

  /** Waits until the batch may be retried. */
  async #turn(sent: SentBatch, error: unknown): Promise<void> {
    const outOfOrder = error instanceof LogError && error.code === 'OUT_OF_ORDER_SEQUENCE'
    if (!outOfOrder) return await this.#parts.sleep(this.#parts.retryBackoffMs)
    while (!sent.settled && this.#unanswered[0] !== sent) await this.#unanswered[0]?.left()
  }

  /** Fails the batches whose delivery timeout is over. They may still have been written. */
  expire(before: number): void {
    for (const sent of this.#unanswered.filter(({ since }) => since <= before))
      this.#settle(
        sent,
        new LogError(
          'TIMEOUT',
          `a batch of ${sent.batch.count} records for ${this.at.topic}-${this.at.partition} was not answered within ${this.#parts.deliveryTimeoutMs} ms: it may or may not have been written; raise deliveryTimeoutMs or check the disk`,
          { ...this.at, deliveryTimeoutMs: this.#parts.deliveryTimeoutMs },
        ),
        null,
      )
  }

  /** The (monotonic) time at which the oldest batch in flight got its first record; Infinity without one. */
  get oldestSince(): number {
    return this.#unanswered[0]?.since ?? Infinity
  }

  #settle(sent: SentBatch, error: unknown, answer: AppendedBatch | null): void {
    if (sent.settled) return
    sent.settled = true
    const index = this.#unanswered.indexOf(sent)
    assert(index >= 0, 'a batch that is not settled is on its way')
    this.#unanswered.splice(index, 1)
    if (sent.accepted) this.#accepted -= 1
    if (answer === null && isRefused(sent, error)) this.#leaveHole()
    if (answer === null) sent.answer.reject(error)
    else sent.answer.resolve(answer)
    sent.leave?.()
  }

  /**
   * The sequence numbers of a failed batch will never be used, so the batches that the log does not have yet are numbered
   * from 0 under a new epoch, or, if there are no further epochs, under a new producer id.
   */
  #leaveHole(): void {
    const identity = this.#identity
    if (identity === null || identity.transactional || this.#given !== this.#parts.identity()) return
    if (identity.producerEpoch + this.#epochsAhead < producerEpochMax) this.#countAs(identity, this.#epochsAhead + 1)
    else this.#countAs({ ...this.#parts.broker.newProducer(), transactional: false }, 0)
    for (const { batch, bytes, accepted } of this.#unanswered) {
      // The log has it under its old numbers.
      if (accepted) continue
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
  readonly broker: Pick<Broker, 'append' | 'appendNow' | 'canAppend' | 'newProducer'>
  /** The identity for new batches; a new object for every epoch. Null: batches are not numbered. */
  readonly identity: () => ProducerIdentity | null
  readonly inFlightMax: number
  /** Whether a batch that the log has accepted and not yet written counts as in flight. */
  readonly countsAccepted: boolean
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

/**
 * Whether the log has not accepted the batch and never will. If an accepted batch cannot be written, the whole log
 * fails.
 */
function isRefused(sent: SentBatch, error: unknown): boolean {
  return !sent.accepted && error instanceof LogError && !error.fatal && error.code !== 'CLOSED'
}

const sequences = 0x8000_0000
const unnumbered: SealOptions = {}

class SentBatch {
  readonly batch: SealedBatch
  readonly since: number
  bytes: Uint8Array
  /**
   * The log has copied the batch: it has its place in the order, and its bytes may be used for another batch by now.
   */
  accepted = false
  settled = false
  readonly answer: PromiseWithResolvers<AppendedBatch> = Promise.withResolvers()
  /** Called when it is no longer in flight, if somebody waits for that. */
  leave: (() => void) | null = null
  #left: Promise<void> | null = null

  constructor(batch: SealedBatch) {
    this.batch = batch
    this.bytes = batch.bytes
    this.since = batch.since
  }

  /** Resolves when it is no longer in flight, whatever the outcome. Hardly ever called, so it costs the others nothing. */
  left(): Promise<void> {
    this.#left ??= new Promise((resolve) => (this.leave = resolve))
    return this.#left
  }
}
