import type { Offset } from '../../api/record.ts'
import type { TailBatch } from '../topics/partition.ts'

/**
 * Which section of a commit each record of one partition belongs to, as runs. Consecutive records mostly come from one
 * task, so there is usually one run per task and commit, and a record costs two comparisons.
 */
export class OutputRuns {
  #sections: number[] = []
  #kinds: RangeKind[] = []
  /** The index of the first record of each run. */
  #starts: number[] = []
  #lastSection = noSection
  #lastKind: RangeKind = 'output'

  /** Adds the next record, which has this index among the commit's records of the partition. */
  add(index: number, section: number, kind: RangeKind): void {
    if (section === this.#lastSection && kind === this.#lastKind) return
    this.#lastSection = section
    this.#lastKind = kind
    this.#sections.push(section)
    this.#kinds.push(kind)
    this.#starts.push(index)
  }

  clear(): void {
    this.#sections.length = 0
    this.#kinds.length = 0
    this.#starts.length = 0
    this.#lastSection = noSection
  }

  /**
   * Calls `found` with the range of each run, end exclusive, once the batches have their places. Runs that belong to no
   * section are skipped.
   */
  forEachRange(
    placed: readonly CountedBatch[],
    found: (section: number, kind: RangeKind, start: Offset, end: Offset) => void,
  ): void {
    let total = 0
    for (const { count } of placed) total += count
    for (let run = 0; run < this.#starts.length; run++) {
      const section = this.#sections[run] as number
      if (section < 0) continue
      const first = this.#starts[run] as number
      const last = (this.#starts[run + 1] ?? total) - 1
      found(section, this.#kinds[run] as RangeKind, offsetOf(placed, first), offsetOf(placed, last) + 1)
    }
  }
}

export type RangeKind = 'output' | 'changelog'

/**
 * A placed batch and the number of its records: there are no gaps within a batch, but there may be some between two.
 */
export interface CountedBatch {
  readonly batch: TailBatch
  readonly count: number
}

function offsetOf(placed: readonly CountedBatch[], index: number): Offset {
  let before = 0
  for (const { batch, count } of placed) {
    if (index < before + count) return batch.baseOffset + index - before
    before += count
  }
  throw new RangeError(`record ${index} of ${before}`)
}

/** Below every section index, including -1 (no section). */
const noSection = -2
