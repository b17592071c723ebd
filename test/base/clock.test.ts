import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SystemClock } from '../../src/base/clock.ts'

const day = 24 * 3_600_000

describe('timers of the machine', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('one that is longer than Node has any rings when its time has come, not at once', () => {
    let rings = 0
    new SystemClock().setTimer(60 * day, () => rings++)
    vi.advanceTimersByTime(60 * day - 1)
    expect(rings).toBe(0)
    vi.advanceTimersByTime(1)
    expect(rings).toBe(1)
  })

  test('one without end never rings, and can be cancelled like any', () => {
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
