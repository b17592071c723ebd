import type { Offset } from '../api/record.ts'
import type { TailBatch } from './partition.ts'

/**
 * Which section of a commit each record of one partition belongs to, as runs: consecutive records mostly come from one
 * task, so a run per task and commit is usual and a record costs two comparisons.
 */
export class OutputRuns {
  #sections: number[] = []
  #kinds: RangeKind[] = []
  /** Index of the first record of each run. */
  #starts: number[] = []
  #lastSection = noSection
  #lastKind: RangeKind = 'output'

  /** The next record, which has this index in its partition. */
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

  /** Hands each run's range, end exclusive, to `found`, now that the batches have their places; not runs of no section. */
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

/** A placed batch and how many records it has: there are no gaps inside a batch, but there may be between two. */
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

/** Below every section index, -1 (no section) included. */
const noSection = -2
