import { LogError } from '../../api/errors.ts'
import type { Offset } from '../../api/record.ts'
import type { ProducerState, RememberedBatch } from '../../journal/checkpoint.ts'
import { AbortedTransactions } from './aborted-transactions.ts'
import type { AbortedTransaction, ProducedBatch, ProducedMarker, ProducedRecords } from './produced-batch.ts'

/**
 * The state of one partition's producers: the last sequence number of each, its last five batches, and the start of its
 * open transaction. With it, a batch that arrives twice is written once, and a batch is refused if its predecessor is
 * missing or its producer was replaced. The checks come in the order of Kafka's `ProducerAppendInfo`.
 *
 * - `check` refuses a batch or recognizes a duplicate, and changes nothing. `note` trusts its caller, so recovery,
 *   which replays batches that were accepted once, cannot refuse any.
 * - A batch is noted once it has its offsets, in the order of offsets. The state depends on the batches alone: noting
 *   the same batches from the same start yields the same state. Therefore a crash loses nothing: a checkpoint contains
 *   the state at its sequence, and later batches are in the journal.
 * - An epoch never falls. A new epoch forgets the batches of the old one and counts from 0.
 * - A producer with an open transaction is never forgotten.
 *
 * It deliberately knows no clock, no files and no coordinator: whether a transaction may continue is decided elsewhere.
 */
export class ProducerStates {
  readonly aborted: AbortedTransactions
  readonly #producers = new Map<number, Producer>()
  /** The first offset of each open transaction, by producer. In the order of these offsets, because they only grow. */
  readonly #open = new Map<number, Offset>()

  constructor(states: readonly ProducerState[] = [], aborted: readonly AbortedTransaction[] = []) {
    this.aborted = new AbortedTransactions(aborted)
    for (const state of states) this.#producers.set(state.producerId, { ...state, batches: [...state.batches] })
    const open = states.filter(({ transactionStart }) => transactionStart >= 0)
    open.sort((left, right) => left.transactionStart - right.transactionStart)
    for (const { producerId, transactionStart } of open) this.#open.set(producerId, transactionStart)
  }

  get count(): number {
    return this.#producers.size
  }

  /** First offset of the oldest open transaction, or -1. */
  get firstUnstableOffset(): Offset {
    for (const offset of this.#open.values()) return offset
    return -1
  }

  /** First offset of the producer's open transaction in this partition, or -1. */
  transactionStart(producerId: number): Offset {
    return this.#open.get(producerId) ?? -1
  }

  /**
   * Returns null if the batch is new and may be appended, or the remembered batch if it duplicates one of the last
   * five. Throws INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE or INVALID_TXN_STATE.
   */
  check(batch: ProducedRecords, partition: string): RememberedBatch | null {
    const producer = this.#producers.get(batch.producerId)
    if (producer === undefined) return this.#checkUnknown(batch, partition)
    if (batch.producerEpoch === producer.producerEpoch) {
      const duplicate = duplicateOf(producer, batch)
      if (duplicate !== null) return duplicate
    }
    this.checkEpoch(batch, partition)
    if (batch.firstSequence >= 0) checkSequence(producer, batch, partition)
    if (!batch.transactional && producer.transactionStart >= 0)
      throw new LogError(
        'INVALID_TXN_STATE',
        `producer ${batch.producerId} has a transaction open in ${partition} and sent a batch outside of it: end the transaction first`,
        { producerId: batch.producerId, partition },
      )
    return null
  }

  /** Throws INVALID_PRODUCER_EPOCH if a newer epoch has written here, because then the producer was replaced. */
  checkEpoch(batch: ProducedBatch, partition: string): void {
    const current = this.#producers.get(batch.producerId)?.producerEpoch ?? -1
    if (batch.producerEpoch >= current) return
    throw new LogError(
      'INVALID_PRODUCER_EPOCH',
      `producer ${batch.producerId} wrote to ${partition} with epoch ${batch.producerEpoch}, but epoch ${current} has written since: another producer has taken its place; close this one`,
      { producerId: batch.producerId, producerEpoch: batch.producerEpoch, current, partition },
    )
  }

  /**
   * A marker is accepted only if its epoch is above that of the transaction's batches, so that none of them can follow
   * it. Throws INVALID_PRODUCER_EPOCH, or TRANSACTION_COORDINATOR_FENCED for a marker of an older coordinator.
   */
  checkMarker(marker: ProducedMarker, partition: string): void {
    const producer = this.#producers.get(marker.producerId)
    if (producer === undefined) return
    if (marker.coordinatorEpoch < producer.coordinatorEpoch)
      throw new LogError(
        'TRANSACTION_COORDINATOR_FENCED',
        `a marker of coordinator epoch ${marker.coordinatorEpoch} for ${partition}, but epoch ${producer.coordinatorEpoch} has written there`,
        { partition, coordinatorEpoch: marker.coordinatorEpoch },
      )
    const { producerEpoch, transactionStart } = producer
    if (marker.producerEpoch > producerEpoch || (marker.producerEpoch === producerEpoch && transactionStart < 0)) return
    throw new LogError(
      'INVALID_PRODUCER_EPOCH',
      `a marker of epoch ${marker.producerEpoch} for producer ${marker.producerId} in ${partition}, which is at epoch ${producerEpoch}: a marker must be newer than what it ends`,
      { producerId: marker.producerId, producerEpoch: marker.producerEpoch, current: producerEpoch, partition },
    )
  }

  #checkUnknown(batch: ProducedRecords, partition: string): null {
    // An idempotent producer may have expired here, so it continues with whatever sequence it sends. A transaction
    // starts anew.
    if (!batch.transactional || batch.firstSequence <= 0) return null
    throw outOfOrder(batch, { partition, expected: 0 })
  }

  /**
   * Notes a batch at `baseOffset`, appended at wall-clock time `usedAt`. Returns the transaction it aborted, or null.
   */
  note(batch: ProducedBatch, baseOffset: Offset, usedAt: number): AbortedTransaction | null {
    let producer = this.#producers.get(batch.producerId)
    if (producer === undefined) {
      producer = newProducer(batch)
      this.#producers.set(batch.producerId, producer)
    }
    producer.usedAt = usedAt
    if (batch.producerEpoch !== producer.producerEpoch) {
      producer.producerEpoch = batch.producerEpoch
      producer.batches = []
    }
    return batch.kind === 'records'
      ? this.#noteRecords(producer, batch, baseOffset)
      : this.#noteMarker(producer, batch, baseOffset)
  }

  #noteRecords(producer: Producer, batch: ProducedRecords, baseOffset: Offset): null {
    if (batch.firstSequence >= 0) {
      if (producer.batches.length === batchesRemembered) producer.batches.shift()
      producer.batches.push({
        firstSequence: batch.firstSequence,
        lastSequence: batch.lastSequence,
        lastOffset: baseOffset + batch.lastOffsetDelta,
        offsetDelta: batch.lastOffsetDelta,
        timestamp: batch.maxTimestamp,
      })
    }
    if (batch.transactional && producer.transactionStart < 0) {
      producer.transactionStart = baseOffset
      this.#open.set(producer.producerId, baseOffset)
    }
    return null
  }

  #noteMarker(producer: Producer, marker: ProducedMarker, offset: Offset): AbortedTransaction | null {
    const firstOffset = producer.transactionStart
    producer.coordinatorEpoch = marker.coordinatorEpoch
    producer.markedAt = marker.maxTimestamp
    producer.transactionStart = -1
    this.#open.delete(producer.producerId)
    // If the transaction has no records here, readers have nothing to skip.
    if (marker.outcome === 'commit' || firstOffset < 0) return null
    const unstable = this.firstUnstableOffset
    const lastStableOffset = unstable < 0 ? offset + 1 : unstable
    const aborted = { producerId: producer.producerId, firstOffset, lastOffset: offset, lastStableOffset }
    this.aborted.add(aborted)
    return aborted
  }

  /**
   * Forgets producers without an open transaction that were not used since `before`, unless `newer`, a later state,
   * knows them. Returns their number.
   */
  expire(before: number, newer: ProducerStates | null = null): number {
    const count = this.#producers.size
    const kept = newer === null ? nobody : newer.#producers
    for (const { producerId, usedAt, transactionStart } of this.#producers.values())
      if (usedAt < before && transactionStart < 0 && !kept.has(producerId)) this.#producers.delete(producerId)
    return count - this.#producers.size
  }

  /** The states as a checkpoint stores them. */
  states(): readonly ProducerState[] {
    return Array.from(this.#producers.values(), (producer) => ({ ...producer, batches: [...producer.batches] }))
  }
}

const nobody: ReadonlyMap<number, Producer> = new Map()

/** As many batches as Kafka remembers, which is also how many a producer may have in flight. */
export const batchesRemembered = 5

interface Producer extends ProducerState {
  producerEpoch: number
  coordinatorEpoch: number
  usedAt: number
  markedAt: number
  transactionStart: Offset
  batches: RememberedBatch[]
}

function newProducer({ producerId, producerEpoch }: ProducedBatch): Producer {
  return {
    producerId,
    producerEpoch,
    coordinatorEpoch: -1,
    usedAt: 0,
    markedAt: -1,
    transactionStart: -1,
    batches: [],
  }
}

function duplicateOf({ batches }: Producer, batch: ProducedRecords): RememberedBatch | null {
  if (batch.firstSequence < 0) return null
  for (const remembered of batches)
    if (remembered.firstSequence === batch.firstSequence && remembered.lastSequence === batch.lastSequence)
      return remembered
  return null
}

function checkSequence(producer: Producer, batch: ProducedRecords, partition: string): void {
  // A new epoch counts from 0, and so does an epoch that has only written a marker.
  const last = batch.producerEpoch === producer.producerEpoch ? producer.batches.at(-1) : undefined
  const expected = last === undefined ? 0 : last.lastSequence === 0x7fff_ffff ? 0 : last.lastSequence + 1
  if (batch.firstSequence !== expected) throw outOfOrder(batch, { partition, expected })
}

function outOfOrder(
  { producerId, producerEpoch, firstSequence }: ProducedRecords,
  at: { readonly partition: string; readonly expected: number },
): LogError {
  return new LogError(
    'OUT_OF_ORDER_SEQUENCE',
    `producer ${producerId} sent sequence ${firstSequence} to ${at.partition}, but ${at.expected} is expected: a batch before it is missing; send that one first`,
    { producerId, producerEpoch, sequence: firstSequence, ...at },
  )
}
