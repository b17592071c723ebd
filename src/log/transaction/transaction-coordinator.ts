import { assert } from '../../base/assert.ts'
import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import { partitionName, type TopicPartition } from '../api/record.ts'
import { nextProducer, producerEpochMax, type ProducerIds } from './producer-ids.ts'
import { transactionTransitions, type TransactionPhase } from './transaction-lifecycle.ts'
import type { TransactionState } from './transaction-topic.ts'

/**
 * Decides about transactions: which producer may write under a transactional id, which partitions belong to its
 * transaction, and how the transaction ends. The rules are those of Kafka's coordinator with its second transaction
 * protocol (KIP-890): a batch adds its partition by itself, and every end moves the producer to its next epoch, so that
 * no late batch can get into the next transaction.
 *
 * - It decides on *sequenced* state. Every decision is written by the function `write`, within the same turn, and the
 *   next decision builds on it; only the answers to callers wait until it is written. If the write fails, the log takes
 *   no more entries.
 * - The end of a transaction is one entry: its markers, the offsets it carries and its state exist together or not at
 *   all. There is no intermediate state, so no request is ever told to come back later (Kafka's
 *   CONCURRENT_TRANSACTIONS).
 * - A marker's epoch is one above the transaction's, so that none of its batches can follow the marker.
 * - A repeated end gets the answer of the first one, once that is written. So does a repeated `init` with the same
 *   `expected`, and only that one: a producer that was replaced must not learn the name of its successor.
 * - The age of a transaction is measured by the monotonic clock: a wall clock that is set back must not keep a
 *   transaction open for ever.
 *
 * It deliberately does not know the contents of partitions: they are protected by `storage/producers/producer-state.ts`.
 */
export class TransactionCoordinator {
  readonly #parts: CoordinatorParts
  readonly #states = new Map<string, Coordinated>()
  /** The transactional id of each producer id that may write now. */
  readonly #byProducer = new Map<number, string>()

  constructor(parts: CoordinatorParts) {
    this.#parts = parts
  }

  /** Restores a state that recovery found. */
  restore(state: TransactionState): void {
    // The time during which the log was closed is taken from the wall clock, or counts as 0 if that went back.
    const { now, monotonic } = this.#parts
    const openedAt = monotonic() - Math.max(0, now() - state.startedAt)
    this.#states.set(state.transactionalId, coordinated(state, { written: done, openedAt, claimedBy: null }))
    this.#byProducer.set(state.producerId, state.transactionalId)
  }

  /**
   * A producer takes over the transactional id: it gets a higher epoch than all before it, and what its predecessor
   * left open is aborted. With `expected`, it claims to be the present producer and only wants a new epoch (KIP-360).
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

  /**
   * Whether this request repeats one whose answer was lost, and so gets the same answer. Throws if the producer is
   * fenced.
   */
  #isRepeatedInit({ state, claimedBy }: Coordinated, expected: ProducerName): boolean {
    if (isSame(expected, state)) return false
    const repeated = state.phase === 'empty' && claimedBy !== null && isSame(expected, claimedBy)
    if (!repeated) throw fenced(state, expected)
    return true
  }

  /**
   * Prepares a write of the producer to these partitions. Returns the state to write along with the batch, or null if
   * all of them are in the transaction already.
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

  /** The transactional id that the producer writes under. Throws if there is none, or if the producer was replaced. */
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

  /** Ends the transaction. When markers and state are written, resolves with the epoch for the next one. */
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
    return this.#end(state, outcome, completeOf(outcome))
  }

  /**
   * Repeats the answer to an end, because it was lost. As long as no transaction has begun since, this epoch can mean
   * nothing else.
   */
  async #endAgain({ state, written }: Coordinated, producer: ProducerName, outcome: Outcome): Promise<ProducerName> {
    if (state.phase === completeOf(outcome)) {
      await written
      return nameOf(state)
    }
    throw state.phase === 'empty' || state.phase === 'ongoing' ? fenced(state, producer) : wrongPhase(state, outcome)
  }

  #end(state: TransactionState, outcome: Outcome, phase: TransactionPhase): Promise<ProducerName> {
    const next = nextProducer(state, this.#parts.ids)
    const ended = state.partitions.length === 0 ? null : endOf(state, outcome)
    const updatedAt = this.#parts.now()
    return this.#moved({ ...state, ...next, ...previousOf(state, next), phase, partitions: [], updatedAt }, ended)
  }

  /**
   * Aborts a transaction and fences its producer, as a producer that takes over would: in phase `empty`, an end from the
   * producer passes for no repetition and gets no new epoch.
   */
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
    await this.#end(state, 'abort', 'empty')
  }

  /** Transactional ids whose transaction has been open longer than its timeout. */
  expired(): readonly string[] {
    return [...this.#states.keys()].filter((transactionalId) => this.#isExpired(transactionalId))
  }

  #isExpired(transactionalId: string): boolean {
    const known = this.#states.get(transactionalId)
    return known?.state.phase === 'ongoing' && this.#parts.monotonic() - known.openedAt >= known.state.timeoutMs
  }

  /**
   * Aborts the transaction if it has been open longer than its timeout. Resolves with whether it did, once that is
   * written.
   */
  async abortExpired(transactionalId: string): Promise<boolean> {
    if (!this.#isExpired(transactionalId)) return false
    await this.#end(this.#known(transactionalId).state, 'abort', 'completeAbort')
    return true
  }

  /** Finishes the transactions that a Kafka broker had begun to end. */
  async finishPrepared(): Promise<void> {
    for (const { state } of this.#states.values()) {
      if (state.phase === 'prepareCommit') await this.#end(state, 'commit', 'completeCommit')
      if (state.phase === 'prepareAbort') await this.#end(state, 'abort', 'completeAbort')
    }
  }

  /** Forgets transactional ids that have no open transaction and have not been used since `before`. */
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

  /** Throws TRANSACTIONAL_ID_NOT_FOUND if there is no such id. */
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

  /** Writes the state, together with the end of a transaction if there is one, and makes it the current state. */
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
    // There may be no caller waiting; one that does gets the failure.
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
  /**
   * Writes the state and the end as one entry, within this turn; resolves when it is written. Throws if the log is not
   * writable.
   */
  readonly write: (state: TransactionState, ended: EndedTransaction | null) => Promise<void>
  /** Writes a tombstone for the transactional id. */
  readonly forget: (transactionalId: string) => Promise<void>
}

/** A transaction that ends: a marker with this producer and epoch is written to each of its partitions. */
export interface EndedTransaction {
  readonly producerId: number
  readonly producerEpoch: number
  readonly outcome: Outcome
  readonly partitions: readonly TopicPartition[]
}

export interface JoiningTransaction {
  readonly state: TransactionState
  /** To be called when the entry with the state has been submitted; the promise settles when it is written. */
  readonly taken: (written: Promise<void>) => void
}

export type Outcome = 'commit' | 'abort'

export interface ProducerName {
  readonly producerId: number
  readonly producerEpoch: number
}

interface Coordinated {
  readonly state: TransactionState
  /** The names of the partitions of the open transaction. */
  readonly names: ReadonlySet<string>
  /** Settles together with the entry that has this state. */
  readonly written: Promise<void>
  /** The monotonic time at which the open transaction began. */
  readonly openedAt: number
  /**
   * The name under which a producer claimed to be the present one in order to get this state; null if it made no such
   * claim.
   */
  readonly claimedBy: ProducerName | null
}

const done = Promise.resolve()

function coordinated(
  state: TransactionState,
  how: Pick<Coordinated, 'written' | 'openedAt' | 'claimedBy'>,
): Coordinated {
  return { state, names: new Set(state.partitions.map(partitionName)), ...how }
}

function completeOf(outcome: Outcome): TransactionPhase {
  return outcome === 'commit' ? 'completeCommit' : 'completeAbort'
}

function isSame(left: ProducerName, right: ProducerName): boolean {
  return left.producerId === right.producerId && left.producerEpoch === right.producerEpoch
}

function nameOf({ producerId, producerEpoch }: TransactionState): ProducerName {
  return { producerId, producerEpoch }
}

function endOf(state: TransactionState, outcome: Outcome): EndedTransaction {
  const { producerId, producerEpoch, partitions } = state
  // A Kafka broker that had begun to end a transaction of the last epoch has already counted up to the highest 16-bit
  // number.
  return { producerId, producerEpoch: Math.min(producerEpoch + 1, producerEpochMax + 1), outcome, partitions }
}

/** Whether this is the name that wrote just before the present one. */
function isPredecessor(producer: ProducerName, state: TransactionState): boolean {
  return (
    (producer.producerId === state.producerId && producer.producerEpoch === state.producerEpoch - 1) ||
    (producer.producerId === state.previousProducerId &&
      producer.producerEpoch >= producerEpochMax &&
      state.producerEpoch === 0)
  )
}

/** A new producer id remembers the previous id, until the next change of epoch. */
function previousOf(state: TransactionState, next: ProducerName): { readonly previousProducerId: number } {
  return { previousProducerId: next.producerId === state.producerId ? -1 : state.producerId }
}

/** Throws INVALID_CONFIG for an invalid transactional id. */
export function checkTransactionalId(transactionalId: string): void {
  if (transactionalId !== '' && Buffer.byteLength(transactionalId) <= transactionalIdBytesMax) return
  throw new LogError(
    'INVALID_CONFIG',
    `a transactional id of ${Buffer.byteLength(transactionalId)} bytes: use 1 to ${transactionalIdBytesMax}`,
    { transactionalId: transactionalId.slice(0, 100) },
  )
}

/** Kafka's strings have 16-bit lengths. */
const transactionalIdBytesMax = 32_767

function fenced(state: TransactionState, producer: ProducerName): LogError {
  return new LogError(
    'PRODUCER_FENCED',
    `transactional id ${state.transactionalId} belongs to producer ${state.producerId} at epoch ${state.producerEpoch}, not to ${producer.producerId} at epoch ${producer.producerEpoch}: another producer or the admin has taken over, close this one`,
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
