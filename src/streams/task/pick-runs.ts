import type { RecordQueue } from './record-queue.ts'

/**
 * In which order a task took the records of its inputs, kept as runs, and whether that differs from the order that the
 * rule (smallest timestamp, then rank) gives when it is replayed over what the commit covers. It differs exactly if a
 * record was taken while an input was empty whose next record, taken later in the same commit, was smaller.
 */
export class PickRuns {
  #runs: { readonly input: number; count: number }[] = []
  #differs = false
  /** Per input: the largest (timestamp, rank) that was taken while it was empty. */
  readonly #takenWhileEmpty = new Map<number, { timestamp: number; rank: number }>()

  /** The queue's head is taken now. */
  took(queue: RecordQueue, inputs: readonly { readonly queue: RecordQueue }[]): void {
    const last = this.#runs[this.#runs.length - 1]
    if (last !== undefined && last.input === queue.input) last.count += 1
    else this.#runs.push({ input: queue.input, count: 1 })
    const seen = this.#takenWhileEmpty.get(queue.input)
    if (seen !== undefined) {
      if (isSmaller(queue.headTimestamp, queue.rank, seen.timestamp, seen.rank)) this.#differs = true
      this.#takenWhileEmpty.delete(queue.input)
    }
    for (const { queue: other } of inputs) {
      if (other === queue || other.hasHead) continue
      const before = this.#takenWhileEmpty.get(other.input)
      if (before === undefined) {
        this.#takenWhileEmpty.set(other.input, { timestamp: queue.headTimestamp, rank: queue.rank })
      } else if (isSmaller(before.timestamp, before.rank, queue.headTimestamp, queue.rank)) {
        before.timestamp = queue.headTimestamp
        before.rank = queue.rank
      }
    }
  }

  /** The runs if they say more than the rule, else null. Starts over. */
  take(): readonly { readonly input: number; readonly count: number }[] | null {
    const runs = this.#differs ? this.#runs : null
    this.#runs = []
    this.#differs = false
    this.#takenWhileEmpty.clear()
    return runs
  }
}

function isSmaller(timestamp: number, rank: number, otherTimestamp: number, otherRank: number): boolean {
  return timestamp < otherTimestamp || (timestamp === otherTimestamp && rank < otherRank)
}
