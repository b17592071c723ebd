import type { Clock, Timer } from '../../base/clock.ts'

/**
 * A single timer for all deadlines of a group. Making a deadline later does not touch it: it fires once too early,
 * checks, and is set again. So a heartbeat costs one assignment, and a quiet group one timer per session timeout.
 *
 * When it fires, it reports how late it is. More than a moment means that the event loop was blocked, and with it every
 * member in this process and every connection: silence during that time means nothing.
 */
export class GroupTimer {
  readonly #clock: Clock
  readonly #look: (lateMs: number) => void
  #timer: Timer | null = null
  #due = Infinity

  constructor(clock: Clock, look: (lateMs: number) => void) {
    this.#clock = clock
    this.#look = look
  }

  /** Makes the timer fire at this monotonic time or earlier. */
  at(due: number): void {
    if (due >= this.#due) return
    this.#timer?.cancel()
    this.#due = due
    const delayMs = Math.min(timerMsMax, Math.max(0, due - this.#clock.monotonic()))
    this.#timer = this.#clock.setTimer(delayMs, () => {
      const lateMs = this.#clock.monotonic() - this.#due
      this.#due = Infinity
      this.#look(lateMs > lateMsMin ? lateMs : 0)
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#due = -Infinity
  }
}

/** The longest timer that Node supports. */
const timerMsMax = 2 ** 31 - 1

/** A smaller delay means that the event loop is busy, not that it was blocked. */
const lateMsMin = 500
