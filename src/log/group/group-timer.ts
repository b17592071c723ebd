import type { Clock, Timer } from '../../base/clock.ts'

/**
 * One timer for all deadlines of a group. A deadline that moves away leaves it alone: it wakes once too early, looks, and
 * is set anew. So a heartbeat costs a store, and a quiet group one timer per session timeout.
 *
 * It says how late it was when it fired. More than a moment means that the event loop stood still, and with it every
 * member of this process and every connection: silence in that time says nothing.
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

  /** Wakes at this monotonic time at the latest. */
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

/** The longest timer that Node knows. */
const timerMsMax = 2 ** 31 - 1

/** Less than this is the event loop at work, not standing still. */
const lateMsMin = 500
