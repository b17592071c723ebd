import type { Timer } from '../../src/base/clock.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

/** A manual clock that throws for whoever goes round in circles: asks again and again although no time can pass. */
export class BoundedClock extends ManualClock {
  #at = -1
  #asked = 0

  override monotonic(): number {
    const now = super.monotonic()
    this.#count(now)
    return now
  }

  override setTimer(delayMs: number, callback: () => void): Timer {
    this.#count(super.monotonic())
    return super.setTimer(delayMs, callback)
  }

  #count(now: number): void {
    this.#asked = now === this.#at ? this.#asked + 1 : 0
    this.#at = now
    if (this.#asked > askedMax) throw new Error(`the time was asked ${askedMax} times while none has passed`)
  }
}

/** Far more than all clients of a life need in a moment. */
const askedMax = 200_000
