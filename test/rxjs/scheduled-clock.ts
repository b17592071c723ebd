import type { TestScheduler } from 'rxjs/testing'
import type { Clock, Timer } from '../../src/base/clock.ts'

/** The time of a marble test as a clock: a frame is a millisecond. */
export class ScheduledClock implements Clock {
  readonly #scheduler: TestScheduler

  constructor(scheduler: TestScheduler) {
    this.#scheduler = scheduler
  }

  now(): number {
    return this.#scheduler.now()
  }

  monotonic(): number {
    return this.#scheduler.now()
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const scheduled = this.#scheduler.schedule(callback, delayMs)
    return { cancel: () => scheduled.unsubscribe() }
  }

  nextTurn(): Promise<void> {
    return Promise.resolve()
  }
}
