import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { EndQueue } from '../../../../src/streams/store/overlay/end-queue.ts'
import { OverlayEntry } from '../../../../src/streams/store/overlay/overlay-entry.ts'

const list = {}

function session(end: number): OverlayEntry {
  const entry = new OverlayEntry('k', 0, 'v', end)
  entry.rows = list
  return entry
}

test('sessions are taken in order of their current end, in whatever order they were added, grew or left', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('push' as const), end: fc.nat(100) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('grow' as const), which: fc.nat(20), by: fc.nat(50) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const), time: fc.nat(120) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new EndQueue()
      let model: OverlayEntry[] = []
      const takeAll = (time: number): void => {
        const due = model.filter((entry) => entry.timestamp <= time).map((entry) => entry.timestamp)
        const taken: number[] = []
        for (let entry = queue.take(time); entry !== null; entry = queue.take(time)) {
          taken.push(entry.timestamp)
          expect(model).toContain(entry)
          model = model.filter((one) => one !== entry)
        }
        expect(taken).toEqual(due.sort((left, right) => left - right))
      }
      for (const one of steps) {
        if (one.kind === 'push') {
          const entry = session(one.end)
          queue.push(entry)
          model.push(entry)
        } else if (one.kind === 'take') {
          takeAll(one.time)
        } else {
          const entry = model[one.which]
          if (entry === undefined) continue
          if (one.kind === 'grow') {
            entry.timestamp += one.by
          } else {
            entry.rows = null
            queue.left()
            model = model.filter((other) => other !== entry)
          }
        }
      }
      takeAll(Number.MAX_VALUE)
      expect(queue.size).toBe(0)
    }),
    { numRuns: 300 },
  )
})

test('entries of sessions that have left do not accumulate', () => {
  const queue = new EndQueue()
  for (let index = 0; index < 50_000; index++) {
    const entry = session(index % 3 === 0 ? 100_000 - index : 100_000 + index)
    queue.push(entry)
    entry.rows = null
    queue.left()
  }

  expect(queue.size).toBeLessThan(5000)
})
