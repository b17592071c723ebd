import { noBytes } from '../../api/record.ts'
import type { TailBatch } from '../topics/partition.ts'

/**
 * Keeps the newest batches in memory, for readers at the tail and because the segment files do not have them yet. It
 * references the memory of groups, which is reused for later groups once the ring has released it.
 *
 * - A batch is released only after it was applied: until then it can only be read from memory.
 * - Applied batches are kept only for partitions that somebody reads at the end: an application that works off a backlog
 *   writes changelogs and results that nobody may ever read, and would keep as much of them as the bound allows. If a
 *   batch reaches the bound without a read since it came, that ends for its partition, until the next read at the end.
 * - Batches are released in the order of their arrival, so each partition's tail is always a suffix of its log.
 * - Both kinds of bytes have a bound: above the one for unapplied bytes, appends wait; above the one for applied bytes,
 *   the oldest batches are released. The latter counts the objects too: those of small batches are larger than their
 *   bytes.
 *
 * It deliberately does not know its readers: one that is too slow, or new, finds its batch gone and reads the segment
 * file.
 */
export class TailRing {
  readonly #unappliedBytesMax: number
  readonly #recentBytesMax: number
  #batches: TailBatch[] = []
  #head = 0
  /** The index of the first batch that has not been applied. */
  #unapplied = 0
  #unappliedBytes = 0
  #recentBytes = 0

  constructor(bounds: { readonly unappliedBytesMax: number; readonly recentBytesMax: number }) {
    this.#unappliedBytesMax = bounds.unappliedBytesMax
    this.#recentBytesMax = bounds.recentBytesMax
  }

  get unappliedBytes(): number {
    return this.#unappliedBytes
  }

  get recentBytes(): number {
    return this.#recentBytes
  }

  /** Whether appends may continue. */
  get hasRoom(): boolean {
    return this.#unappliedBytes < this.#unappliedBytesMax
  }

  /**
   * The sequence of the group of the oldest batch in the ring; Infinity if the ring is empty. It holds no memory of
   * older groups.
   */
  get oldestSequence(): number {
    return this.#batches[this.#head]?.sequence ?? Number.POSITIVE_INFINITY
  }

  push(batch: TailBatch): void {
    this.#batches.push(batch)
    this.#unappliedBytes += batch.bytes
    batch.of.tail.push(batch)
  }

  /** Notes that the segment files have every group up to `sequence`. */
  applied(sequence: number): void {
    while (this.#unapplied < this.#batches.length) {
      const batch = this.#batches[this.#unapplied] as TailBatch
      if (batch.sequence > sequence) break
      this.#unapplied += 1
      this.#unappliedBytes -= batch.bytes
      this.#recentBytes += batch.bytes + batchOverheadBytes
    }
    while (this.#head < this.#unapplied) {
      const batch = this.#batches[this.#head] as TailBatch
      const { of: partition } = batch
      if (partition.tailReadAt >= 0 && this.#recentBytes <= this.#recentBytesMax) break
      if (partition.tailReadAt < batch.sequence) partition.tailReadAt = -1
      this.#head += 1
      this.#recentBytes -= batch.bytes + batchOverheadBytes
      leaveTail(batch)
      // Both lists keep released batches for a while, but their memory is about to be reused. Readers have a copy.
      batch.memory = noBytes
    }
    this.#compact()
  }

  /** Drops batches that were never promoted; the partitions have already dropped them from their tails. */
  dropAfter(sequence: number): void {
    const first = this.#batches.findIndex((batch, index) => index >= this.#head && batch.sequence > sequence)
    if (first < 0) return
    for (const batch of this.#batches.splice(first)) this.#unappliedBytes -= batch.bytes
    this.#unapplied = Math.min(this.#unapplied, this.#batches.length)
  }

  /** Cuts off the used-up front of the array once it is the larger part: an amortised cost of one move per batch. */
  #compact(): void {
    if (this.#head < 1024 || this.#head * 2 < this.#batches.length) return
    this.#batches = this.#batches.slice(this.#head)
    this.#unapplied -= this.#head
    this.#head = 0
  }
}

/**
 * Memory that a batch takes besides its bytes: its object, its places in two lists, and around its bytes the headers of
 * its entry and group. This is what a batch takes that came alone; those that share a group take a third less.
 */
export const batchOverheadBytes = 440

function leaveTail(batch: TailBatch): void {
  const partition = batch.of
  // The topic, and its tail, may have been deleted.
  if (partition.tail[partition.tailHead] !== batch) return
  partition.tailHead += 1
  partition.tailStart = batch.nextOffset
  if (
    partition.tailHead === partition.tail.length ||
    (partition.tailHead >= 64 && partition.tailHead * 2 >= partition.tail.length)
  ) {
    partition.tail = partition.tail.slice(partition.tailHead)
    partition.tailHead = 0
  }
}
