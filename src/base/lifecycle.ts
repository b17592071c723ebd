import { assert } from './assert.ts'

/** The phases that may follow each phase. */
export type Transitions<Phase extends string> = Readonly<{ [P in Phase]: readonly Phase[] }>

/** The current phase of an object with a lifecycle, with checked transitions and listeners. */
export class Lifecycle<Phase extends string> {
  readonly #transitions: Transitions<Phase>
  readonly #name: string
  readonly #listeners = new Set<(phase: Phase, before: Phase) => void>()
  #phase: Phase

  constructor(name: string, transitions: Transitions<Phase>, first: Phase) {
    this.#name = name
    this.#transitions = transitions
    this.#phase = first
  }

  get phase(): Phase {
    return this.#phase
  }

  is(...phases: readonly Phase[]): boolean {
    return phases.includes(this.#phase)
  }

  /** Moves to `next`. A transition that the table does not allow is a defect and asserts. */
  to(next: Phase): void {
    const before = this.#phase
    assert(this.#transitions[before].includes(next), `${this.#name} cannot go from ${before} to ${next}`)
    this.#phase = next
    for (const listener of this.#listeners) listener(next, before)
  }

  /** Calls `listener` on each change. Returns a function that removes it. */
  onChange(listener: (phase: Phase, before: Phase) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
