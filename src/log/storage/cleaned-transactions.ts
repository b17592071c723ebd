import type { Offset } from '../api/record.ts'
import {
  baseOffsetOf,
  isControl,
  isTransactional,
  nextOffset,
  producerEpochOf,
  producerIdOf,
} from '../format/record-batch.ts'
import type { ProducerStates } from './producer-state.ts'

/** What compaction has to know of a partition's producers. All below `cleanUpTo` must be decided. */
export interface PartitionProducers {
  /** Whether the producer's transactional batch at this offset belongs to an aborted transaction. */
  readonly isAborted: (producerId: number, offset: Offset) => boolean
  /** What is still known of the producer; undefined if it was forgotten. */
  readonly lastOf: (producerId: number) => LastOfProducer | undefined
}

export interface LastOfProducer {
  readonly producerEpoch: number
  /** Last offset of its newest batch of records; -1 without one. */
  readonly lastOffset: Offset
}

/** As they are now: a pass that lasts keeps more than it must, never less. */
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
 * Follows the transactions of a partition through one pass, batch by batch in the order of offsets. Kafka's rules:
 *
 * - A batch of an aborted transaction loses all records.
 * - A marker may go once a pass meets no batch of its transaction any more, and then only when its delete horizon has
 *   come: who reads behind it needs it to know how the transaction ended.
 * - An aborted transaction without batches is forgotten with the pass that finds it so: there is nothing to hide from readers
 *   any more. Its marker may stay for as long as its horizon says. What a pass takes away is only forgotten by the next one:
 *   until its output is in place, readers read what it was made from.
 * - The last batch of a producer that is still known stays, if only as a header: its sequence number tells the next one's.
 *   Of a producer without batches, its last marker.
 */
export class CleanedTransactions {
  readonly #producers: PartitionProducers
  /** Producers with a batch that was met and whose marker was not. */
  readonly #met = new Set<number>()
  readonly #abortsLeft = new Set<Offset>()

  constructor(producers: PartitionProducers) {
    this.#producers = producers
  }

  /** Offsets of the markers of aborted transactions of which a batch was met. */
  get abortsLeft(): ReadonlySet<Offset> {
    return this.#abortsLeft
  }

  /** Notes a batch; tells what is to become of it as far as transactions go. */
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

/** Of a partition that no producer with an id has written to. */
export const noProducers: PartitionProducers = { isAborted: () => false, lastOf: () => undefined }
