import * as assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { sleep } from '../../src/base/clock.ts'
import { ManualClock } from '../../src/testing/index.ts'

describe('manual clock', () => {
  test('stands still until it is advanced, which moves wall-clock and monotonic time alike', () => {
    const clock = new ManualClock(1000)
    clock.advance(50)
    assert.deepEqual([clock.now(), clock.monotonic()], [1050, 50])
  })

  test('fires timers by deadline, then in the order in which they were set, each at its own time', () => {
    const clock = new ManualClock()
    const fired: string[] = []
    const set = (name: string, delayMs: number): unknown =>
      clock.setTimer(delayMs, () => fired.push(`${name}@${clock.monotonic()}`))
    set('late', 30)
    set('first', 10)
    set('second', 10)
    set('now', 0)

    clock.advance(20)
    assert.deepEqual(fired, ['now@0', 'first@10', 'second@10'])
    assert.equal(clock.untilNextTimer, 10)
    clock.advance(10)
    assert.deepEqual(fired.slice(3), ['late@30'])
    assert.equal(clock.untilNextTimer, null)
  })

  test('fires a timer that another timer sets in the same advance() if it is due by then', () => {
    const clock = new ManualClock()
    const fired: number[] = []
    const again = (): void => {
      fired.push(clock.monotonic())
      clock.setTimer(10, again)
    }
    clock.setTimer(10, again)
    clock.advance(35)
    assert.deepEqual(fired, [10, 20, 30])
  })

  test('does not fire a cancelled timer, even if another timer cancels it', () => {
    const clock = new ManualClock()
    const second = clock.setTimer(10, () => assert.fail('cancelled'))
    clock.setTimer(5, () => second.cancel())
    clock.advance(20)
    second.cancel()
    assert.equal(clock.timers, 0)
  })

  test('lets promises continue between timers in run()', async () => {
    const clock = new ManualClock()
    const seen: number[] = []
    const loop = async (): Promise<void> => {
      for (let turn = 0; turn < 3; turn++) {
        await sleep(clock, 10)
        seen.push(clock.monotonic())
      }
    }
    const done = loop()
    await clock.run(30)
    await done
    assert.deepEqual(seen, [10, 20, 30])
  })

  test('can let the wall clock jump without firing timers', () => {
    const clock = new ManualClock(5000)
    let fired = 0
    clock.setTimer(10, () => fired++)
    clock.jumpTo(0)
    clock.advance(9)
    assert.deepEqual([fired, clock.now()], [0, 9])
    clock.advance(1)
    assert.equal(fired, 1)
  })
})
