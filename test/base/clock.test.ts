import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'

const day = 24 * 3_600_000

describe('a timer of SystemClock', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('that is longer than Node allows fires when it is due, not at once', () => {
    let rings = 0
    new SystemClock().setTimer(60 * day, () => rings++)
    vi.advanceTimersByTime(60 * day - 1)
    expect(rings).toBe(0)
    vi.advanceTimersByTime(1)
    expect(rings).toBe(1)
  })

  test('without an end never fires, and long timers can be cancelled', () => {
    let rings = 0
    const clock = new SystemClock()
    clock.setTimer(Infinity, () => rings++)
    const cancelled = clock.setTimer(60 * day, () => rings++)
    vi.advanceTimersByTime(30 * day)
    cancelled.cancel()
    vi.advanceTimersByTime(300 * day)
    expect(rings).toBe(0)
  })
})
