import type { OperatorState } from '../../log/api/commit-section.ts'
import type { Stamp } from './order-stamp.ts'

/**
 * Makes the order stamps of one sub-topology, all of whose tasks share it: (clock, sequence), strictly ascending.
 *
 * - The *clock* is the highest that a picked record had. A record of a source topic has its timestamp for a clock, one of
 *   a repartition topic that of its stamp. So the clock of what comes out is never below that of what went in, and
 *   whoever waits for older output knows from the heads of the inputs when none can come any more.
 * - The *sequence* tells apart what has one clock. It begins above that of the record that moved the clock.
 * - A commit records where it stands, and the next start goes on from there: what is written again after a crash has the
 *   stamps that it would have had.
 *
 * What is emitted at a commit has a clock of its own, per level of stores, that follows the times of the last updates:
 * it comes out late, and would else stand behind everything that was processed until the commit.
 */
export class OutputOrder {
  readonly processed: StampSequence = new StampSequence()
  readonly #emitted: StampSequence[] = []

  /** What the stores of that level emit at a commit. */
  emitted(level: number): StampSequence {
    return (this.#emitted[level] ??= new StampSequence())
  }

  /** What a commit records: pairs of clock and sequence, of what was processed and then of each level that emits. */
  state(): readonly number[] {
    const levels = Array.from({ length: this.#emitted.length }, (_, level) => this.emitted(level))
    return [this.processed, ...levels].flatMap(({ clock, sequence }) => [clock, sequence])
  }

  /** Goes on from what a task's last commit recorded; of several tasks the one that committed last decides. */
  resume(state: OperatorState[string] | undefined): void {
    if (!Array.isArray(state)) return
    for (let index = 0; index + 1 < state.length; index += 2) {
      const sequence = index === 0 ? this.processed : this.emitted(index / 2 - 1)
      sequence.took(Number(state[index]), Number(state[index + 1]))
    }
  }
}

/** Stamps, each above the one before and above that of every record taken. */
export class StampSequence implements Stamp {
  clock = -1
  sequence = -1

  /** A record with this place in the order is taken: what comes of it stands behind it. */
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

/** The name under which commits record it. */
export const outputOrderOperator = 'order of outputs'
