/** The only access to time. All other code receives a {@link Clock}, so that tests and simulation can control time. */
export interface Clock {
  /** Wall-clock time, in milliseconds since the epoch. May jump in either direction. */
  now(): number
  /** Milliseconds from an arbitrary origin, which never decrease. For intervals and deadlines. */
  monotonic(): number
  /** Calls `callback` once, after at least `delayMs`. */
  setTimer(delayMs: number, callback: () => void): Timer
  /** Resolves in a later turn of the event loop, after pending I/O events were handled. */
  nextTurn(): Promise<void>
}

export interface Timer {
  /** Stops the timer. Harmless after it fired. */
  cancel(): void
}

/** The system's time. */
export class SystemClock implements Clock {
  now(): number {
    return Date.now()
  }

  monotonic(): number {
    return performance.now()
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    if (delayMs > timerMsMax) return longTimer(delayMs, callback)
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }
}

/** The longest delay of a timer in Node, 24 days: a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1

/** Several timers, one after the other; with `Infinity` it never fires. */
function longTimer(delayMs: number, callback: () => void): Timer {
  let timer: NodeJS.Timeout
  const arm = (left: number): void => {
    timer = left > timerMsMax ? setTimeout(() => arm(left - timerMsMax), timerMsMax) : setTimeout(callback, left)
  }
  arm(delayMs)
  return { cancel: () => clearTimeout(timer) }
}

/** Resolves after `delayMs` on the given clock. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(delayMs, resolve))
}
