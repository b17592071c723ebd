import { assert } from '../../base/assert.ts'

/**
 * Hands out producer ids, none of them twice, even after a power cut. Each opening of the log has a number that is
 * synced before the first append and never used again. An id contains this number, so there is no need to write down a
 * block of ids in advance, as Kafka's brokers must. The eighth producer of the third opening is 3000000007.
 */
export class ProducerIds {
  readonly #first: number
  #count = 0

  constructor(incarnation: number) {
    this.#first = incarnation * idsPerOpening
  }

  next(): number {
    assert(this.#count < idsPerOpening, `${this.#count} producer ids since the log was opened`)
    return this.#first + this.#count++
  }
}

/** Leaves room for nine million openings. */
const idsPerOpening = 1_000_000_000

/** The last epoch that a producer writes with; the epoch of a marker, which is one higher, still fits into 16 bits. */
export const producerEpochMax: number = 32_766

/** The name for the next writer under a transactional id: the next epoch, or a new id when the epochs are used up. */
export function nextProducer(
  current: { readonly producerId: number; readonly producerEpoch: number },
  ids: ProducerIds,
): { readonly producerId: number; readonly producerEpoch: number } {
  if (current.producerEpoch >= producerEpochMax) return { producerId: ids.next(), producerEpoch: 0 }
  return { producerId: current.producerId, producerEpoch: current.producerEpoch + 1 }
}
