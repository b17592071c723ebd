import type { OperatorState } from '../../log/api/commit-section.ts'
import type { Stamp } from './order-stamp.ts'

/**
 * Makes the order stamps of one sub-topology, whose tasks all share this object. Stamps are pairs (clock, sequence),
 * strictly ascending.
 *
 * - The *clock* is the highest clock of any record processed so far. The clock of a record from a source topic is its
 *   timestamp; that of a record from a repartition topic is in its stamp. So the clock of an output is never below that
 *   of its input, and a reader that waits for older records can tell from the heads of its inputs when none can follow.
 * - The *sequence* distinguishes records with the same clock. It begins above the sequence of the record that moved the
 *   clock.
 * - A commit records the current state and the next start continues from it, so records that are written again after a
 *   crash have the same stamps as before.
 *
 * Records emitted at a commit have a clock of their own, one per level of stores, which follows the times of the last
 * updates. They are emitted late and would otherwise be placed after everything that was processed before the commit.
 */
export class OutputOrder {
  readonly processed: StampSequence = new StampSequence()
  readonly #emitted: StampSequence[] = []

  /** The sequence for what the stores of that level emit at a commit. */
  emitted(level: number): StampSequence {
    return (this.#emitted[level] ??= new StampSequence())
  }

  /**
   * The state that a commit records: pairs of clock and sequence, first for processed records, then for each level that
   * emits.
   */
  state(): readonly number[] {
    const levels = Array.from({ length: this.#emitted.length }, (_, level) => this.emitted(level))
    return [this.processed, ...levels].flatMap(({ clock, sequence }) => [clock, sequence])
  }

  /** Continues from the state in a task's last commit. If several tasks call this, the highest state wins. */
  resume(state: OperatorState[string] | undefined): void {
    if (!Array.isArray(state)) return
    for (let index = 0; index + 1 < state.length; index += 2) {
      const sequence = index === 0 ? this.processed : this.emitted(index / 2 - 1)
      sequence.took(Number(state[index]), Number(state[index + 1]))
    }
  }
}

/** Stamps that ascend strictly and are above that of every record taken. */
export class StampSequence implements Stamp {
  clock = -1
  sequence = -1

  /** Notes that a record with this place in the order is processed: its outputs are placed after it. */
  took(clock: number, sequence: number): void {
    if (clock > this.clock) {
      this.clock = clock
      this.sequence = sequence
    } else if (clock === this.clock && sequence > this.sequence) {
      this.sequence = sequence
    }
  }

  /** Moves on to the next stamp. */
  next(): this {
    this.sequence += 1
    return this
  }
}

/** The operator name under which commits record this state. */
export const outputOrderOperator = 'order of outputs'
