import { Lifecycle, type Transitions } from '../../base/lifecycle.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { ProducerIdentity } from './partition-sender.ts'

/**
 * The transactions of one producer.
 *
 * ```
 * new ─ init ─► ready ─ begin ─► open ─ commit or abort ─► ending ─► ready
 *                                 │ a send failed              │
 *                                 ▼                            │ the log refused
 *                               failed ─ abort ─► ending ──────┤
 *                                                              ▼
 *                any phase ─ another producer has taken over ─► fenced
 * ```
 * In `failed` only `abort` is left: what was sent is not whole. In `fenced` nothing is: close the producer.
 *
 * What is sent from `ending` on is refused, before anything is flushed: it would come behind the end, into the next
 * transaction or into none.
 */
export class ProducerTransactions {
  readonly transactionalId: string
  readonly #broker: Broker
  readonly #timeoutMs: number
  readonly #phase = new Lifecycle<TransactionPhase>('the transactional producer', transitions, 'new')
  #identity: ProducerIdentity | null = null
  #isInitializing = false
  /** Whether the open transaction has anything that the log knows of. */
  #used = false
  /** Offsets that the log has not answered for. */
  readonly #offsetsOnTheirWay = new Set<Promise<void>>()
  readonly #reached = new Set<TopicPartition>()
  #failure: unknown = null

  constructor(broker: Broker, transactionalId: string, timeoutMs: number) {
    this.#broker = broker
    this.transactionalId = transactionalId
    this.#timeoutMs = timeoutMs
  }

  get identity(): ProducerIdentity | null {
    return this.#identity
  }

  async init(): Promise<void> {
    if (!this.#phase.is('new') || this.#isInitializing)
      throw this.#misuse('initTransactions was called already: once per producer is enough')
    this.#isInitializing = true
    try {
      await this.#guarded(async () => {
        this.#goOn(await this.#broker.initProducer(this.transactionalId, this.#timeoutMs))
      })
      this.#phase.to('ready')
    } finally {
      // Where it was refused it may be called again.
      this.#isInitializing = false
    }
  }

  begin(): void {
    if (this.#phase.is('new')) throw this.#misuse('call initTransactions before the first transaction')
    if (!this.#phase.is('ready')) throw this.#misuse(`it is ${this.#phase.phase}: end the transaction before the next`)
    this.#phase.to('open')
  }

  /** Throws unless a record may be sent now. */
  checkSend(): void {
    if (this.#phase.is('open')) return
    if (this.#phase.is('failed') || this.#phase.is('fenced')) throw this.#failure
    throw this.#misuse('records are only sent between beginTransaction and its end')
  }

  /** A batch is on its way. */
  used(): void {
    this.#used = true
  }

  /** Whether the log was told, or will be by a batch that is on its way, that the open transaction writes there. */
  hasReached(at: TopicPartition): boolean {
    return this.#reached.has(at)
  }

  /**
   * Records for these partitions are about to go. A batch takes its partition in by itself, with a record that names all
   * the transaction has; several new ones are asked for together, so that there is one such record and not one each. The
   * same partition is always the same object.
   */
  reach(partitions: readonly TopicPartition[]): void {
    const added = partitions.filter((at) => !this.#reached.has(at))
    for (const at of added) this.#reached.add(at)
    const identity = this.#identity
    if (added.length < 2 || identity === null) return
    this.#used = true
    // Where it is refused the batches ask once more, each for itself, and are told what is wrong.
    this.#broker.addPartitionsToTransaction(identity, added).catch(() => {})
  }

  async sendOffsets(offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    this.checkSend()
    if (offsets.length === 0 || this.#identity === null) return
    this.#used = true
    const identity = this.#identity
    const answered = this.#guarded(() => this.#broker.sendOffsetsToTransaction(identity, offsets, from))
    this.#offsetsOnTheirWay.add(answered)
    try {
      await answered
    } finally {
      this.#offsetsOnTheirWay.delete(answered)
    }
  }

  /** A batch of the open transaction, or its offsets, failed. */
  sendFailed(error: unknown): void {
    if (isFenced(error)) this.#fence(error)
    else if (this.#phase.is('open')) {
      this.#failure = error
      this.#phase.to('failed')
    } else if (this.#phase.is('ending')) this.#failure ??= error
  }

  /** `flush` resolves when all that was sent has been answered. */
  async commit(flush: () => Promise<void>): Promise<void> {
    this.checkSend()
    this.#phase.to('ending')
    await flush().catch((error: unknown) => this.sendFailed(error))
    // Whoever sent them may not wait for the answer: where they are refused, the records must not count without them.
    await Promise.allSettled(this.#offsetsOnTheirWay)
    this.#checkNotFenced()
    if (this.#failure !== null) {
      this.#phase.to('failed')
      throw this.#failure
    }
    await this.#end('commit')
  }

  async abort(flush: () => Promise<void>): Promise<void> {
    this.#checkNotFenced()
    if (!this.isOpen) throw this.#misuse('there is no transaction to abort')
    this.#phase.to('ending')
    // What failed, and why, was said where it was sent.
    await flush().catch(() => {})
    this.#checkNotFenced()
    await this.#end('abort')
  }

  /** Whether there is a transaction that nobody is ending. */
  get isOpen(): boolean {
    return this.#phase.is('open') || this.#phase.is('failed')
  }

  #checkNotFenced(): void {
    if (this.#phase.is('fenced')) throw this.#failure
  }

  async #end(outcome: 'commit' | 'abort'): Promise<void> {
    const identity = this.#identity
    if (this.#used && identity !== null)
      try {
        this.#goOn(await this.#broker.endTransaction(this.transactionalId, identity, outcome))
      } catch (error) {
        this.#failure = error
        if (isFenced(error)) this.#fence(error)
        else this.#phase.to('failed')
        throw error
      }
    this.#used = false
    this.#reached.clear()
    this.#failure = null
    this.#phase.to('ready')
  }

  async #guarded(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.sendFailed(error)
      throw error
    }
  }

  #goOn(next: { readonly producerId: number; readonly producerEpoch: number }): void {
    this.#identity = { ...next, transactional: true }
  }

  #fence(error: unknown): void {
    this.#failure = error
    if (!this.#phase.is('fenced')) this.#phase.to('fenced')
  }

  #misuse(what: string): LogError {
    return new LogError('INVALID_TXN_STATE', `the producer of transactional id ${this.transactionalId}: ${what}`, {
      transactionalId: this.transactionalId,
    })
  }
}

type TransactionPhase = 'new' | 'ready' | 'open' | 'failed' | 'ending' | 'fenced'

const transitions: Transitions<TransactionPhase> = {
  new: ['ready', 'fenced'],
  ready: ['open', 'fenced'],
  open: ['ending', 'failed', 'fenced'],
  failed: ['ending', 'fenced'],
  ending: ['ready', 'failed', 'fenced'],
  fenced: [],
}

/** Another producer writes under the id now. A transaction that timed out looks the same to a batch; an abort tells. */
function isFenced(error: unknown): boolean {
  return error instanceof LogError && (error.code === 'PRODUCER_FENCED' || error.code === 'INVALID_PRODUCER_ID_MAPPING')
}
