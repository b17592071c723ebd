import type { Offset } from '../../api/record.ts'
import {
  baseOffsetOf,
  isControl,
  isTransactional,
  nextOffset,
  producerEpochOf,
  producerIdOf,
} from '../../format/record-batch.ts'
import type { ProducerStates } from '../producers/producer-state.ts'

/** What compaction needs to know of a partition's producers. Transactions below `cleanUpTo` must be completed. */
export interface PartitionProducers {
  /** Whether the producer's transactional batch at this offset belongs to an aborted transaction. */
  readonly isAborted: (producerId: number, offset: Offset) => boolean
  /** The last state of the producer; undefined if it was forgotten. */
  readonly lastOf: (producerId: number) => LastOfProducer | undefined
}

export interface LastOfProducer {
  readonly producerEpoch: number
  /** Last offset of its newest batch of records; -1 if there is none. */
  readonly lastOffset: Offset
}

/** The producers at the start of the pass. A long pass may therefore keep more than necessary, but never less. */
export function partitionProducers(states: ProducerStates | null): PartitionProducers {
  const last = new Map<number, LastOfProducer>()
  for (const { producerId, producerEpoch, batches } of states?.states() ?? []) {
    last.set(producerId, { producerEpoch, lastOffset: batches.at(-1)?.lastOffset ?? -1 })
  }
  return {
    isAborted: (producerId, offset) => states?.aborted.has(producerId, offset) ?? false,
    lastOf: (producerId) => last.get(producerId),
  }
}

/**
 * Tracks the transactions of a partition through one pass, batch by batch in the order of offsets. Kafka's rules:
 *
 * - A batch of an aborted transaction loses all records.
 * - A marker may be removed only when a pass meets no batch of its transaction any more and the marker's delete horizon
 *   has passed: until then readers need it to learn how the transaction ended.
 * - An aborted transaction without batches is forgotten after the pass that finds no batches, because nothing has to be
 *   hidden from readers any more. Its marker stays until its horizon. A pass that removes batches does not forget their
 *   transactions yet; the next one does. Until its output is in place, readers read the old segments.
 * - The last batch of a known producer stays, if only as a header: its sequence number determines the next one. For a
 *   producer without batches, its last marker stays.
 */
export class CleanedTransactions {
  readonly #producers: PartitionProducers
  /** Producers of which a batch was met, but no marker after it. */
  readonly #met = new Set<number>()
  readonly #abortsLeft = new Set<Offset>()

  constructor(producers: PartitionProducers) {
    this.#producers = producers
  }

  /** Offsets of the markers of aborted transactions that still have a batch. */
  get abortsLeft(): ReadonlySet<Offset> {
    return this.#abortsLeft
  }

  /** Notes a batch, and classifies it with regard to transactions. */
  met(batch: Uint8Array): 'records' | 'aborted records' | 'marker' | 'marker of nothing' {
    if (isControl(batch, 0)) {
      const producerId = producerIdOf(batch, 0)
      if (!this.#met.delete(producerId)) return 'marker of nothing'
      if (this.#producers.isAborted(producerId, baseOffsetOf(batch, 0))) this.#abortsLeft.add(baseOffsetOf(batch, 0))
      return 'marker'
    }
    if (!isTransactional(batch, 0)) return 'records'
    const producerId = producerIdOf(batch, 0)
    this.#met.add(producerId)
    return this.#producers.isAborted(producerId, baseOffsetOf(batch, 0)) ? 'aborted records' : 'records'
  }

  isLastOfProducer(batch: Uint8Array): boolean {
    const producerId = producerIdOf(batch, 0)
    if (producerId < 0) return false
    const last = this.#producers.lastOf(producerId)
    if (last === undefined) return false
    if (last.lastOffset >= 0) return nextOffset(batch, 0) - 1 === last.lastOffset
    return isControl(batch, 0) && producerEpochOf(batch, 0) === last.producerEpoch
  }
}

/** For a partition that no producer with an id has written to. */
export const noProducers: PartitionProducers = { isAborted: () => false, lastOf: () => undefined }
