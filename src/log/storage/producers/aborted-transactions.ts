import type { Offset } from '../../api/record.ts'
import type { AbortedTransaction } from './produced-batch.ts'

/**
 * The aborted transactions of a partition, ordered by the offsets of their markers. Readers of committed records skip
 * their batches. They are kept in memory and in checkpoints, four numbers each, until the log start has passed them or
 * compaction has found them empty. The `.txnindex` files beside the segments contain the same for Kafka's tools.
 */
export class AbortedTransactions {
  #list: AbortedTransaction[]
  /** By producer: the first and last offset of each of its transactions, alternating, ascending. */
  #ranges = new Map<number, Offset[]>()

  constructor(list: readonly AbortedTransaction[] = []) {
    this.#list = [...list]
    for (const aborted of list) this.#addRange(aborted)
  }

  get list(): readonly AbortedTransaction[] {
    return this.#list
  }

  add(aborted: AbortedTransaction): void {
    this.#list.push(aborted)
    this.#addRange(aborted)
  }

  #addRange({ producerId, firstOffset, lastOffset }: AbortedTransaction): void {
    const ranges = this.#ranges.get(producerId)
    if (ranges === undefined) this.#ranges.set(producerId, [firstOffset, lastOffset])
    else ranges.push(firstOffset, lastOffset)
  }

  /** Whether the producer's transactional batch at this offset was aborted. */
  has(producerId: number, offset: Offset): boolean {
    return isIn(this.#ranges.get(producerId), offset)
  }

  /** A snapshot of {@link AbortedTransactions.has}, for batches that were read now and are processed later. */
  get lookup(): (producerId: number, offset: Offset) => boolean {
    const ranges = this.#ranges
    return (producerId, offset) => isIn(ranges.get(producerId), offset)
  }

  /** The transactions that overlap `[from, end)`, ordered by marker: what Kafka returns with a fetch. */
  between(from: Offset, end: Offset): readonly AbortedTransaction[] {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#list[middle] as AbortedTransaction).lastOffset < from) low = middle + 1
      else high = middle
    }
    const found: AbortedTransaction[] = []
    for (let index = low; index < this.#list.length; index++) {
      const aborted = this.#list[index] as AbortedTransaction
      if (aborted.firstOffset < end) found.push(aborted)
      // Everything below this offset was decided when the marker was written, so later transactions start above it.
      if (aborted.lastStableOffset >= end) break
    }
    return found
  }

  /** Forgets transactions below the log start, which are not readable any more. */
  forgetBelow(logStart: Offset): void {
    if ((this.#list[0]?.lastOffset ?? logStart) >= logStart) return
    this.#keep(({ lastOffset }) => lastOffset >= logStart)
  }

  /** Compaction has read everything below the offset: only the transactions with these markers have batches there. */
  forgetEmpty(below: Offset, left: ReadonlySet<Offset>): void {
    const stays = ({ lastOffset }: AbortedTransaction): boolean => lastOffset >= below || left.has(lastOffset)
    if (!this.#list.every(stays)) this.#keep(stays)
  }

  #keep(stays: (aborted: AbortedTransaction) => boolean): void {
    this.#list = this.#list.filter(stays)
    // A new map: readers that still process removed batches from memory continue with the old one.
    this.#ranges = new Map()
    for (const aborted of this.#list) this.#addRange(aborted)
  }
}

function isIn(ranges: readonly Offset[] | undefined, offset: Offset): boolean {
  if (ranges === undefined) return false
  // The last range that starts at or before the offset.
  let low = 0
  let high = ranges.length / 2
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ranges[middle * 2] as Offset) <= offset) low = middle + 1
    else high = middle
  }
  return low > 0 && offset <= (ranges[low * 2 - 1] as Offset)
}
