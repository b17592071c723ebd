import { noBytes } from '../api/record.ts'
import type { TailBatch } from './partition.ts'

/**
 * Keeps the newest batches in memory, for readers at the tail and because the segment files do not have them yet. It
 * holds references to the memory of groups, which is used again for what comes once it has let go.
 *
 * - A batch leaves only after it was applied: until then memory is the only place it can be read from.
 * - Batches leave in the order in which they came, so each partition's tail is always a suffix of its log.
 * - Unapplied bytes have a bound, above which appends wait; applied bytes have one, above which the oldest leave.
 *
 * It deliberately does not know readers: one that is too slow finds its batch gone and reads the segment.
 */
export class TailRing {
  readonly #unappliedBytesMax: number
  readonly #recentBytesMax: number
  #batches: TailBatch[] = []
  #head = 0
  /** Index of the first batch that is not applied. */
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

  /** Whether appends may go on. */
  get hasRoom(): boolean {
    return this.#unappliedBytes < this.#unappliedBytesMax
  }

  /** Of the group of the oldest batch that is here; Infinity if none is. The ring holds no memory of older groups. */
  get oldestSequence(): number {
    return this.#batches[this.#head]?.sequence ?? Number.POSITIVE_INFINITY
  }

  push(batch: TailBatch): void {
    this.#batches.push(batch)
    this.#unappliedBytes += batch.bytes
    batch.of.tail.push(batch)
  }

  /** The segment files have every group up to `sequence`. */
  applied(sequence: number): void {
    while (this.#unapplied < this.#batches.length) {
      const batch = this.#batches[this.#unapplied] as TailBatch
      if (batch.sequence > sequence) break
      this.#unapplied += 1
      this.#unappliedBytes -= batch.bytes
      this.#recentBytes += batch.bytes
    }
    while (this.#recentBytes > this.#recentBytesMax && this.#head < this.#unapplied) {
      const batch = this.#batches[this.#head] as TailBatch
      this.#head += 1
      this.#recentBytes -= batch.bytes
      leaveTail(batch)
      // Both lists keep what has left for a while, and soon other bytes are there. Who reads has a copy.
      batch.memory = noBytes
    }
    this.#compact()
  }

  /** Drops what was never promoted; the partitions have dropped it from their tails. */
  dropAfter(sequence: number): void {
    const first = this.#batches.findIndex((batch, index) => index >= this.#head && batch.sequence > sequence)
    if (first < 0) return
    for (const batch of this.#batches.splice(first)) this.#unappliedBytes -= batch.bytes
    this.#unapplied = Math.min(this.#unapplied, this.#batches.length)
  }

  /** Gives back the array's used-up front once it is the larger part: amortised one move per batch. */
  #compact(): void {
    if (this.#head < 1024 || this.#head * 2 < this.#batches.length) return
    this.#batches = this.#batches.slice(this.#head)
    this.#unapplied -= this.#head
    this.#head = 0
  }
}

function leaveTail(batch: TailBatch): void {
  const partition = batch.of
  // The topic may be gone and its tail with it.
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
