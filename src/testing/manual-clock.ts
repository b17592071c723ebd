import type { Clock, Timer } from '../base/clock.ts'

/**
 * Time that moves only when told to. Timers fire in the order of their deadlines, those of one deadline in the order in
 * which they were set; a timer that sets another one inside the same stretch of time sees it fire in that stretch.
 */
export class ManualClock implements Clock {
  #now: number
  #monotonic = 0
  #sequence = 0
  #timers: PendingTimer[] = []

  constructor(now = 0) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.#monotonic + Math.max(0, delayMs), sequence: this.#sequence++, callback }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  /** Resolves after the promises that are ready now had their turn; needs no time to pass. */
  async nextTurn(): Promise<void> {
    for (let turn = 0; turn < microtasksPerTurn; turn++) await Promise.resolve()
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.length
  }

  /** Milliseconds until the next timer; null without one. */
  get untilNextTimer(): number | null {
    const next = this.#nextTimer(Infinity)
    return next === null ? null : next.at - this.#monotonic
  }

  /** Moves time on, firing what falls due on the way at its own moment. */
  advance(durationMs: number): void {
    const end = this.#monotonic + durationMs
    for (let next = this.#nextTimer(end); next !== null; next = this.#nextTimer(end)) {
      this.#moveTo(next.at)
      this.#fire(next)
    }
    this.#moveTo(end)
  }

  /** As `advance`, but lets promises run after every timer, as a real event loop would. */
  async run(durationMs: number): Promise<void> {
    const end = this.#monotonic + durationMs
    await this.nextTurn()
    for (let next = this.#nextTimer(end); next !== null; next = this.#nextTimer(end)) {
      this.#moveTo(next.at)
      this.#fire(next)
      await this.nextTurn()
    }
    this.#moveTo(end)
    await this.nextTurn()
  }

  /** Time goes by while nothing runs, as in a long computation: what falls due fires afterwards, late. */
  stall(durationMs: number): void {
    this.#moveTo(this.#monotonic + durationMs)
  }

  /** Sets the wall clock, in either direction; monotonic time and timers do not notice. */
  jumpTo(now: number): void {
    this.#now = now
  }

  #moveTo(monotonic: number): void {
    const step = monotonic - this.#monotonic
    if (step <= 0) return
    this.#monotonic = monotonic
    this.#now += step
  }

  #fire(timer: PendingTimer): void {
    this.#timers = this.#timers.filter((other) => other !== timer)
    timer.callback()
  }

  #nextTimer(until: number): PendingTimer | null {
    let next: PendingTimer | null = null
    for (const timer of this.#timers) {
      if (timer.at > until) continue
      if (next === null || timer.at < next.at || (timer.at === next.at && timer.sequence < next.sequence)) next = timer
    }
    return next
  }
}

/** How long a chain of promises may be for one turn to see its end. */
const microtasksPerTurn = 32

interface PendingTimer {
  readonly at: number
  readonly sequence: number
  readonly callback: () => void
}
