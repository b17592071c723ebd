import { Lifecycle, type Transitions } from '../../../base/lifecycle.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { OffsetEntry } from '../../api/log.ts'
import type { TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
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
 * In `failed` only `abort` is possible, because the transaction is incomplete. In `fenced` nothing is: close the
 * producer.
 *
 * From `ending` on, sends are refused before anything is flushed: they would end up in the next transaction or in none.
 */
export class ProducerTransactions {
  readonly transactionalId: string
  readonly #broker: Broker
  readonly #timeoutMs: number
  readonly #phase = new Lifecycle<TransactionPhase>('the transactional producer', transitions, 'new')
  #identity: ProducerIdentity | null = null
  #isInitializing = false
  /** Whether the log knows of the open transaction, because it contains anything. */
  #used = false
  /** Requests to add offsets that the log has not answered yet. */
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
      // After a failure it may be called again.
      this.#isInitializing = false
    }
  }

  begin(): void {
    this.#checkNotFenced()
    if (this.#phase.is('new')) throw this.#misuse('call initTransactions before the first transaction')
    if (this.#phase.is('failed')) throw this.#misuse('its transaction has failed: abort it before the next')
    if (this.#phase.is('ending')) throw this.#misuse('its transaction is being ended: await that before the next')
    if (!this.#phase.is('ready')) throw this.#misuse('its transaction is open: commit or abort it before the next')
    this.#phase.to('open')
  }

  /** Throws unless a record may be sent now. */
  checkSend(): void {
    if (this.#phase.is('open')) return
    if (this.#phase.is('failed') || this.#phase.is('fenced')) throw this.#failure
    throw this.#misuse('records are only sent between beginTransaction and its end')
  }

  /** Notes that a batch is about to be sent. */
  used(): void {
    this.#used = true
  }

  /** Whether the transaction already includes this partition, or will with a batch that is in flight. */
  hasReached(at: TopicPartition): boolean {
    return this.#reached.has(at)
  }

  /**
   * Announces that records for these partitions are about to be sent. A batch adds its partition by itself, with a
   * record that lists all partitions of the transaction. Several new partitions are added with one request, so that
   * there is one such record instead of one each. The same partition is always the same object.
   */
  reach(partitions: readonly TopicPartition[]): void {
    const added = partitions.filter((at) => !this.#reached.has(at))
    for (const at of added) this.#reached.add(at)
    const identity = this.#identity
    if (added.length < 2 || identity === null) return
    this.#used = true
    // If it is refused, each batch asks again for its own partition and gets the error.
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

  /** Notes that a batch of the open transaction, or a request to add offsets, failed. */
  sendFailed(error: unknown): void {
    if (isFenced(error)) this.#fence(error)
    else if (this.#phase.is('open')) {
      this.#failure = error
      this.#phase.to('failed')
    } else if (this.#phase.is('ending')) this.#failure ??= error
  }

  /** `flush` must resolve once everything that was sent has been answered. */
  async commit(flush: () => Promise<void>): Promise<void> {
    this.checkSend()
    this.#phase.to('ending')
    await flush().catch((error: unknown) => this.sendFailed(error))
    // The caller may not have awaited `sendOffsets`: if the offsets were refused, the records must not be committed
    // without them.
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
    // Send failures were reported to the callers of `send`.
    await flush().catch(() => {})
    this.#checkNotFenced()
    await this.#end('abort')
  }

  /** Whether there is a transaction that is not being ended. */
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

/**
 * Another producer has taken over the id. To a batch, a transaction that timed out looks the same; an abort shows which
 * it is.
 */
function isFenced(error: unknown): boolean {
  return error instanceof LogError && (error.code === 'PRODUCER_FENCED' || error.code === 'INVALID_PRODUCER_ID_MAPPING')
}
