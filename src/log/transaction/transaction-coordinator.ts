import { assert } from '../../base/assert.ts'
import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import { partitionName, type TopicPartition } from '../api/record.ts'
import { nextProducer, producerEpochMax, type ProducerIds } from './producer-ids.ts'
import { transactionTransitions } from './transaction-lifecycle.ts'
import type { TransactionState } from './transaction-topic.ts'

/**
 * Decides about transactions: who may write under a transactional id, to which partitions its transaction reaches, and how
 * it ends. The rules are those of Kafka's coordinator with its second transaction protocol (KIP-890): a batch adds its
 * partition by itself, and every end takes the producer to its next epoch, so that no late batch can get into the next one.
 *
 * - It decides on what is *sequenced*: everything it decides is written by the function that it is given, in the same turn,
 *   and it goes on from there. Whoever waits waits for the writing. If the writing fails the log takes no more entries.
 * - A transaction ends by one entry: its markers, the offsets it carries and this state are whole or absent. Therefore no
 *   request is ever told to come back later (Kafka's CONCURRENT_TRANSACTIONS): there is no in-between.
 * - A marker's epoch is one above that of the transaction: strictly newer, so that nothing of it can come behind the marker.
 * - A repeated end gets the answer of the first, when that is written. So does a repeated claim of `init`, and only that very
 *   one: whoever was replaced must not be told who has replaced it.
 * - How long a transaction is open is counted by the monotonic clock: a wall clock that goes back must not keep one for ever.
 *
 * It deliberately knows no partitions' contents: fencing there is `storage/producer-state.ts`.
 */
export class TransactionCoordinator {
  readonly #parts: CoordinatorParts
  readonly #states = new Map<string, Coordinated>()
  /** Who may write now. */
  readonly #byProducer = new Map<number, string>()

  constructor(parts: CoordinatorParts) {
    this.#parts = parts
  }

  /** What recovery found. */
  restore(state: TransactionState): void {
    // What was open while the log was closed goes by the wall clock, and never back.
    const { now, monotonic } = this.#parts
    const openedAt = monotonic() - Math.max(0, now() - state.startedAt)
    this.#states.set(state.transactionalId, coordinated(state, { written: done, openedAt, claimedBy: null }))
    this.#byProducer.set(state.producerId, state.transactionalId)
  }

  /**
   * A producer takes the transactional id over: it gets an epoch above all before, and what its predecessor left open is
   * aborted. With `expected` it claims to be the present one and only wants a new epoch (KIP-360).
   */
  async init(transactionalId: string, timeoutMs: number, expected: ProducerName | null = null): Promise<ProducerName> {
    this.#checkInit(transactionalId, timeoutMs)
    const { ids, now } = this.#parts
    const known = this.#states.get(transactionalId)
    if (known === undefined) {
      const state: TransactionState = {
        transactionalId,
        producerId: ids.next(),
        producerEpoch: 0,
        previousProducerId: -1,
        timeoutMs,
        phase: 'empty',
        partitions: [],
        startedAt: -1,
        updatedAt: now(),
      }
      return this.#moved(state, null)
    }
    const { state } = known
    if (expected !== null && this.#isRepeatedInit(known, expected)) {
      await known.written
      return nameOf(state)
    }
    const next = nextProducer(state, ids)
    const ended = state.phase === 'ongoing' ? endOf(state, 'abort') : null
    return this.#moved(
      { ...state, ...next, ...previousOf(state, next), timeoutMs, phase: 'empty', partitions: [], updatedAt: now() },
      ended,
      expected,
    )
  }

  #checkInit(transactionalId: string, timeoutMs: number): void {
    checkTransactionalId(transactionalId)
    const { timeoutMaxMs } = this.#parts
    if (Number.isSafeInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= timeoutMaxMs) return
    throw new LogError(
      'INVALID_TRANSACTION_TIMEOUT',
      `a transaction timeout of ${timeoutMs} ms for ${transactionalId}: use 1 to ${timeoutMaxMs} ms, or raise transactionTimeoutMaxMs`,
      { transactionalId, timeoutMs, timeoutMaxMs },
    )
  }

  /** Whether the answer to this very request was lost: then it is given again. */
  #isRepeatedInit({ state, claimedBy }: Coordinated, expected: ProducerName): boolean {
    if (isSame(expected, state)) return false
    const repeated = state.phase === 'empty' && claimedBy !== null && isSame(expected, claimedBy)
    if (!repeated) throw fenced(state, expected)
    return true
  }

  /**
   * The producer writes to these partitions, now. Returns the state to write along with the batch, or null if all of them
   * are in the transaction already.
   */
  joining(producer: ProducerName, at: readonly TopicPartition[]): JoiningTransaction | null {
    const { state, names } = this.#ofProducer(producer)
    const open = state.phase === 'ongoing'
    const added = at.filter((place) => !names.has(partitionName(place)))
    if (open && added.length === 0) return null
    const now = this.#parts.now()
    const next: TransactionState = {
      ...state,
      phase: 'ongoing',
      partitions: open ? [...state.partitions, ...added] : added,
      startedAt: open ? state.startedAt : now,
      updatedAt: now,
    }
    return { state: next, taken: (written) => this.#keep(next, written) }
  }

  /** The transactional id that the producer writes under; throws if it is not, or no longer, the one to write. */
  #ofProducer(producer: ProducerName): Coordinated {
    const known = this.#states.get(this.#byProducer.get(producer.producerId) ?? '')
    if (known === undefined)
      throw new LogError(
        'INVALID_PRODUCER_ID_MAPPING',
        `producer ${producer.producerId} has no transactional id: call initTransactions first`,
        { ...producer },
      )
    const { state } = known
    if (producer.producerId === state.producerId && producer.producerEpoch === state.producerEpoch) return known
    throw new LogError(
      'INVALID_PRODUCER_EPOCH',
      `producer ${producer.producerId} of transactional id ${state.transactionalId} writes with epoch ${producer.producerEpoch}, the present one is ${state.producerEpoch}: its transaction timed out or another producer has taken over`,
      { ...producer, transactionalId: state.transactionalId, current: state.producerEpoch },
    )
  }

  /** Ends the transaction; resolves with the epoch of the next one when markers and state are written. */
  async end(transactionalId: string, producer: ProducerName, outcome: Outcome): Promise<ProducerName> {
    const known = this.#states.get(transactionalId)
    const { producerId } = producer
    if (known === undefined || (known.state.producerId !== producerId && known.state.previousProducerId !== producerId))
      throw new LogError(
        'INVALID_PRODUCER_ID_MAPPING',
        `producer ${producerId} does not write under transactional id ${transactionalId}: call initTransactions first`,
        { ...producer, transactionalId },
      )
    const { state } = known
    if (isPredecessor(producer, state)) return await this.#endAgain(known, producer, outcome)
    if (producerId !== state.producerId || producer.producerEpoch !== state.producerEpoch) throw fenced(state, producer)
    if (state.phase !== 'ongoing' && outcome === 'commit') throw wrongPhase(state, outcome)
    return this.#end(state, outcome)
  }

  /** The answer to an end that was lost. Without a transaction since, nothing else can have this epoch. */
  async #endAgain({ state, written }: Coordinated, producer: ProducerName, outcome: Outcome): Promise<ProducerName> {
    if (state.phase === (outcome === 'commit' ? 'completeCommit' : 'completeAbort')) {
      await written
      return nameOf(state)
    }
    throw state.phase === 'empty' || state.phase === 'ongoing' ? fenced(state, producer) : wrongPhase(state, outcome)
  }

  #end(state: TransactionState, outcome: Outcome): Promise<ProducerName> {
    const next = nextProducer(state, this.#parts.ids)
    const phase = outcome === 'commit' ? 'completeCommit' : 'completeAbort'
    const ended = state.partitions.length === 0 ? null : endOf(state, outcome)
    const updatedAt = this.#parts.now()
    return this.#moved({ ...state, ...next, ...previousOf(state, next), phase, partitions: [], updatedAt }, ended)
  }

  /** Aborts a transaction and fences its producer, whoever it is. */
  async abort(transactionalId: string): Promise<void> {
    const { state } = this.#known(transactionalId)
    if (state.phase !== 'ongoing')
      throw new LogError(
        'INVALID_TXN_STATE',
        `transactional id ${transactionalId} has no transaction open: there is nothing to abort`,
        {
          transactionalId,
        },
      )
    await this.#end(state, 'abort')
  }

  /** Transactional ids whose transaction has been open longer than its timeout. */
  expired(): readonly string[] {
    return [...this.#states.keys()].filter((transactionalId) => this.#isExpired(transactionalId))
  }

  #isExpired(transactionalId: string): boolean {
    const known = this.#states.get(transactionalId)
    return known?.state.phase === 'ongoing' && this.#parts.monotonic() - known.openedAt >= known.state.timeoutMs
  }

  /** Aborts the transaction if it has been open longer than its timeout; resolves with whether, when that is written. */
  async abortExpired(transactionalId: string): Promise<boolean> {
    if (!this.#isExpired(transactionalId)) return false
    await this.#end(this.#known(transactionalId).state, 'abort')
    return true
  }

  /** Ends what a broker of Kafka had begun to end. */
  async finishPrepared(): Promise<void> {
    for (const { state } of this.#states.values()) {
      if (state.phase === 'prepareCommit') await this.#end(state, 'commit')
      if (state.phase === 'prepareAbort') await this.#end(state, 'abort')
    }
  }

  /** Forgets transactional ids without an open transaction that nobody has used since `before`. */
  async expireIds(before: number): Promise<void> {
    for (const { state } of this.#states.values()) {
      if (state.phase === 'ongoing' || state.updatedAt >= before) continue
      this.#states.delete(state.transactionalId)
      this.#byProducer.delete(state.producerId)
      await this.#parts.forget(state.transactionalId)
    }
  }

  get anyOpen(): boolean {
    for (const { state } of this.#states.values()) if (state.phase === 'ongoing') return true
    return false
  }

  list(): readonly TransactionState[] {
    return Array.from(this.#states.values(), ({ state }) => state)
  }

  /** TRANSACTIONAL_ID_NOT_FOUND if there is none. */
  describe(transactionalId: string): TransactionState {
    return this.#known(transactionalId).state
  }

  /** Whether the producer's open transaction writes to this partition. */
  hasOpen(producerId: number, at: TopicPartition): boolean {
    const known = this.#states.get(this.#byProducer.get(producerId) ?? '')
    return known?.state.phase === 'ongoing' && known.names.has(partitionName(at))
  }

  #known(transactionalId: string): Coordinated {
    const known = this.#states.get(transactionalId)
    if (known !== undefined) return known
    throw new LogError(
      'TRANSACTIONAL_ID_NOT_FOUND',
      `transactional id ${shown(transactionalId)} is not known: name one that listTransactions has`,
      {
        transactionalId,
      },
    )
  }

  /** Writes the state, with the end of a transaction if it is one, and goes on from it. */
  async #moved(
    state: TransactionState,
    ended: EndedTransaction | null,
    claimedBy: ProducerName | null = null,
  ): Promise<ProducerName> {
    const written = this.#parts.write(state, ended)
    this.#keep(state, written, claimedBy)
    await written
    return nameOf(state)
  }

  #keep(state: TransactionState, written: Promise<void>, claimedBy: ProducerName | null = null): void {
    const known = this.#states.get(state.transactionalId)
    const before = known?.state
    if (before !== undefined) {
      const allowed = transactionTransitions[before.phase].includes(state.phase)
      assert(allowed, `transactional id ${state.transactionalId} from ${before.phase} to ${state.phase}`)
      if (before.producerId !== state.producerId) this.#byProducer.delete(before.producerId)
    }
    // Nobody may be waiting for it; whoever does hears of a failure.
    written.catch(() => {})
    const openedAt =
      known?.state.phase === 'ongoing' && state.phase === 'ongoing' ? known.openedAt : this.#parts.monotonic()
    this.#states.set(state.transactionalId, coordinated(state, { written, openedAt, claimedBy }))
    this.#byProducer.set(state.producerId, state.transactionalId)
  }
}

export interface CoordinatorParts {
  readonly ids: ProducerIds
  readonly now: () => number
  readonly monotonic: () => number
  readonly timeoutMaxMs: number
  /** Writes state and end as one entry, in this turn; resolves when it is written. Throws if the log takes no more. */
  readonly write: (state: TransactionState, ended: EndedTransaction | null) => Promise<void>
  /** Writes that the transactional id is gone. */
  readonly forget: (transactionalId: string) => Promise<void>
}

/** What ends: one marker of this producer and epoch goes to every partition. */
export interface EndedTransaction {
  readonly producerId: number
  readonly producerEpoch: number
  readonly outcome: Outcome
  readonly partitions: readonly TopicPartition[]
}

export interface JoiningTransaction {
  readonly state: TransactionState
  /** The entry with the state is sequenced; its promise says when it is written. */
  readonly taken: (written: Promise<void>) => void
}

export type Outcome = 'commit' | 'abort'

export interface ProducerName {
  readonly producerId: number
  readonly producerEpoch: number
}

interface Coordinated {
  readonly state: TransactionState
  /** Of the partitions of the open transaction. */
  readonly names: ReadonlySet<string>
  /** Settles when the entry with this state has. */
  readonly written: Promise<void>
  /** When (monotonic) the open transaction began. */
  readonly openedAt: number
  /** Who got this state by naming itself as the present producer; null: it was taken without asking. */
  readonly claimedBy: ProducerName | null
}

const done = Promise.resolve()

function coordinated(
  state: TransactionState,
  how: Pick<Coordinated, 'written' | 'openedAt' | 'claimedBy'>,
): Coordinated {
  return { state, names: new Set(state.partitions.map(partitionName)), ...how }
}

function isSame(left: ProducerName, right: ProducerName): boolean {
  return left.producerId === right.producerId && left.producerEpoch === right.producerEpoch
}

function nameOf({ producerId, producerEpoch }: TransactionState): ProducerName {
  return { producerId, producerEpoch }
}

function endOf(state: TransactionState, outcome: Outcome): EndedTransaction {
  const { producerId, producerEpoch, partitions } = state
  // A broker that had begun to end one with the last epoch has counted on already, to the last number of 16 bits.
  return { producerId, producerEpoch: Math.min(producerEpoch + 1, producerEpochMax + 1), outcome, partitions }
}

/** Whether this is who wrote just before the present one. */
function isPredecessor(producer: ProducerName, state: TransactionState): boolean {
  return (
    (producer.producerId === state.producerId && producer.producerEpoch === state.producerEpoch - 1) ||
    (producer.producerId === state.previousProducerId &&
      producer.producerEpoch >= producerEpochMax &&
      state.producerEpoch === 0)
  )
}

/** A new producer id remembers the old one, until the id moves on. */
function previousOf(state: TransactionState, next: ProducerName): { readonly previousProducerId: number } {
  return { previousProducerId: next.producerId === state.producerId ? -1 : state.producerId }
}

/** INVALID_CONFIG for what is no transactional id. */
export function checkTransactionalId(transactionalId: string): void {
  if (transactionalId !== '' && Buffer.byteLength(transactionalId) <= transactionalIdBytesMax) return
  throw new LogError(
    'INVALID_CONFIG',
    `a transactional id of ${Buffer.byteLength(transactionalId)} bytes: use 1 to ${transactionalIdBytesMax}`,
    { transactionalId: transactionalId.slice(0, 100) },
  )
}

/** Kafka's strings have lengths of 16 bits. */
const transactionalIdBytesMax = 32_767

function fenced(state: TransactionState, producer: ProducerName): LogError {
  return new LogError(
    'PRODUCER_FENCED',
    `transactional id ${state.transactionalId} is with producer ${state.producerId} at epoch ${state.producerEpoch}, not with ${producer.producerId} at epoch ${producer.producerEpoch}: another producer has taken over, close this one`,
    { transactionalId: state.transactionalId, ...producer, current: nameOf(state) },
  )
}

function wrongPhase(state: TransactionState, outcome: Outcome): LogError {
  return new LogError(
    'INVALID_TXN_STATE',
    `transactional id ${state.transactionalId} cannot ${outcome}: it is in phase ${state.phase}${state.phase === 'completeAbort' ? ', for instance because its transaction timed out; abort, then begin another' : ''}`,
    { transactionalId: state.transactionalId, phase: state.phase },
  )
}
