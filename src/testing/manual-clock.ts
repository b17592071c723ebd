import type { Clock, Timer } from '../base/clock.ts'

/**
 * Time that moves only when told to. Timers fire in the order of their deadlines, or in the order in which they were
 * set if deadlines are equal. If a timer sets another one that is due within the same step, that one fires in the step
 * as well.
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

  /** Resolves after the promises that are ready now have run; no time has to pass. */
  async nextTurn(): Promise<void> {
    for (let turn = 0; turn < microtasksPerTurn; turn++) await Promise.resolve()
  }

  /** Number of pending timers. */
  get timers(): number {
    return this.#timers.length
  }

  /** Milliseconds until the next timer; null if there is none. */
  get untilNextTimer(): number | null {
    const next = this.#nextTimer(Infinity)
    return next === null ? null : next.at - this.#monotonic
  }

  /** Advances time. Timers that become due fire at their own time on the way. */
  advance(durationMs: number): void {
    const end = this.#monotonic + durationMs
    for (let next = this.#nextTimer(end); next !== null; next = this.#nextTimer(end)) {
      this.#moveTo(next.at)
      this.#fire(next)
    }
    this.#moveTo(end)
  }

  /** Like `advance`, but lets promises run after every timer, as a real event loop would. */
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

  /** Advances time while nothing runs, as in a long computation: timers that become due fire afterwards, late. */
  stall(durationMs: number): void {
    this.#moveTo(this.#monotonic + durationMs)
  }

  /** Sets the wall clock, in either direction. Monotonic time and timers are not affected. */
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

/** Longest chain of promises that is sure to finish within one turn. */
const microtasksPerTurn = 32

interface PendingTimer {
  readonly at: number
  readonly sequence: number
  readonly callback: () => void
}
