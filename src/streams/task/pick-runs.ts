import { isPlacedBefore, type RecordQueue } from './record-queue.ts'

/**
 * The order in which a task took the records of its inputs, kept as runs, and whether it differs from the order that a
 * replay would choose. A replay over the records of the commit always takes the smallest head by clock, sequence and
 * rank. The actual order differs exactly if a record was taken while another input was empty, and that input's next
 * record, taken later in the same commit, was smaller.
 */
export class PickRuns {
  #runs: { readonly input: number; count: number }[] = []
  #differs = false
  /** Per input: the largest (clock, sequence, rank) that was taken while this input was empty. */
  readonly #takenWhileEmpty = new Map<number, { clock: number; sequence: number; rank: number }>()

  /** Notes that the head of the queue is being taken. */
  took(queue: RecordQueue, inputs: readonly { readonly queue: RecordQueue }[]): void {
    const last = this.#runs[this.#runs.length - 1]
    if (last !== undefined && last.input === queue.input) last.count += 1
    else this.#runs.push({ input: queue.input, count: 1 })
    const seen = this.#takenWhileEmpty.get(queue.input)
    if (seen !== undefined) {
      if (!isPlacedBefore(seen.clock, seen.sequence, seen.rank, queue)) this.#differs = true
      this.#takenWhileEmpty.delete(queue.input)
    }
    for (const { queue: other } of inputs) {
      if (other === queue || other.hasHead) continue
      const before = this.#takenWhileEmpty.get(other.input)
      if (before === undefined) {
        this.#takenWhileEmpty.set(other.input, {
          clock: queue.headClock,
          sequence: queue.headSequence,
          rank: queue.rank,
        })
      } else if (isPlacedBefore(before.clock, before.sequence, before.rank, queue)) {
        before.clock = queue.headClock
        before.sequence = queue.headSequence
        before.rank = queue.rank
      }
    }
  }

  /** Returns the runs if their order differs from what a replay would choose, else null. Starts over. */
  take(): readonly { readonly input: number; readonly count: number }[] | null {
    const runs = this.#differs ? this.#runs : null
    this.#runs = []
    this.#differs = false
    this.#takenWhileEmpty.clear()
    return runs
  }
}
