import { grown } from '../../../base/columns.ts'
import type { Offset } from '../../api/record.ts'
import type { TailBatch } from '../topics/partition.ts'

/**
 * Which section of a commit each record of one partition belongs to, as runs. Consecutive records mostly come from one
 * task, so there is usually one run per task and commit, and a record costs two comparisons.
 */
export class OutputRuns {
  /*
   * Columns, whose memory the next commit uses again: the section of each run, its kind, and the index of its first
   * record. Tasks that take turns write runs of one record each.
   */
  #sections: Int32Array = new Int32Array(firstRuns)
  #kinds: Uint8Array = new Uint8Array(firstRuns)
  #starts: Int32Array = new Int32Array(firstRuns)
  #count = 0
  #lastSection = noSection
  #lastKind: RangeKind = 'output'

  /** Adds the next record, which has this index among the commit's records of the partition. */
  add(index: number, section: number, kind: RangeKind): void {
    if (section === this.#lastSection && kind === this.#lastKind) return
    this.#lastSection = section
    this.#lastKind = kind
    const run = this.#count
    if (run === this.#starts.length) this.#grow()
    this.#sections[run] = section
    this.#kinds[run] = kind === 'output' ? 0 : 1
    this.#starts[run] = index
    this.#count = run + 1
  }

  #grow(): void {
    const size = this.#starts.length * 2
    this.#sections = grown(this.#sections, new Int32Array(size))
    this.#kinds = grown(this.#kinds, new Uint8Array(size))
    this.#starts = grown(this.#starts, new Int32Array(size))
  }

  clear(): void {
    this.#count = 0
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
    for (let run = 0; run < this.#count; run++) {
      const section = this.#sections[run] as number
      if (section < 0) continue
      const first = this.#starts[run] as number
      const last = (run + 1 < this.#count ? (this.#starts[run + 1] as number) : total) - 1
      found(
        section,
        this.#kinds[run] === 0 ? 'output' : 'changelog',
        offsetOf(placed, first),
        offsetOf(placed, last) + 1,
      )
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

const firstRuns = 16
/** Below every section index, including -1 (no section). */
const noSection = -2
