import type { Offset } from '../api/record.ts'

/** Passes remembered per partition; older ones are merged into the oldest. */
const passesMax = 64

/**
 * Below which offset tombstones of a partition may go: those that an earlier pass cleaned, `delete.retention.ms` ago. A
 * reader who began before that pass saw the deleted record, and has had that long to reach the tombstone. Kept in memory:
 * after a restart tombstones stay a little longer, never shorter.
 */
export class TombstoneHorizon {
  readonly #passes: { readonly upTo: Offset; readonly at: number }[] = []
  #below: Offset = 0

  /** A pass that cleaned everything below `upTo` was journaled at this wall-clock time. */
  cleaned(upTo: Offset, at: number): void {
    this.#passes.push({ upTo, at })
    // Forgetting the second oldest delays what it would have allowed to the time of the one after it.
    if (this.#passes.length > passesMax) this.#passes.splice(1, 1)
  }

  below(now: number, deleteRetentionMs: number): Offset {
    for (let pass = this.#passes[0]; pass !== undefined && now - pass.at >= deleteRetentionMs; pass = this.#passes[0]) {
      this.#below = Math.max(this.#below, pass.upTo)
      this.#passes.shift()
    }
    return this.#below
  }
}
