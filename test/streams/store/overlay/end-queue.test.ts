import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { EndQueue } from '../../../../src/streams/store/overlay/end-queue.ts'
import { RowKeys, sessionSuffixBytes } from '../../../../src/streams/store/overlay/row-keys.ts'
import { SessionRows } from '../../../../src/streams/store/overlay/session-rows.ts'
import { undecoded } from '../../../../src/streams/store/record-context.ts'

/** Sessions of one key. */
class Sessions {
  readonly rows = new SessionRows(new RowKeys(sessionSuffixBytes))
  readonly queue = new EndQueue(this.rows)
  #key = -1
  #starts = 0

  add(end: number): number {
    const { keys } = this.rows
    if (keys.size === 0) this.#key = keys.add(Buffer.from('k'), 0, 1, undecoded)
    // Each with a start of its own, because no two may be equal.
    const row = this.rows.add(this.#key, this.#starts++, end)
    this.rows.link(row)
    this.queue.push(row)
    return row
  }

  leave(row: number): void {
    this.rows.unlink(row)
    this.queue.left()
    this.rows.release(row)
  }

  /** Takes the session that ends first and lets it go. */
  take(time: number): number | null {
    const row = this.queue.take(time)
    if (row < 0) return null
    const end = this.rows.timestamp(row)
    this.rows.unlink(row)
    this.rows.release(row)
    return end
  }
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
      const sessions = new Sessions()
      const { rows, queue } = sessions
      let model: number[] = []
      const takeAll = (time: number): void => {
        const isDue = (row: number): boolean => rows.timestamp(row) <= time
        const due = model.filter(isDue).map((row) => rows.timestamp(row))
        model = model.filter((row) => !isDue(row))
        const taken: number[] = []
        for (let end = sessions.take(time); end !== null; end = sessions.take(time)) taken.push(end)
        expect(taken).toEqual(due.sort((left, right) => left - right))
      }
      for (const one of steps) {
        if (one.kind === 'push') {
          const row = sessions.add(one.end)
          expect(model).not.toContain(row)
          model.push(row)
        } else if (one.kind === 'take') {
          takeAll(one.time)
        } else {
          const row = model[one.which]
          if (row === undefined) continue
          if (one.kind === 'grow') {
            rows.move(row, rows.start(row), rows.timestamp(row) + one.by)
          } else {
            sessions.leave(row)
            model = model.filter((other) => other !== row)
          }
        }
      }
      takeAll(Number.MAX_VALUE)
      expect(queue.size).toBe(0)
      expect(rows.count).toBe(0)
    }),
    { numRuns: 300 },
  )
})

test('sessions that arrive in order are taken in order, however many are added and taken in turns', () => {
  const sessions = new Sessions()
  const taken: number[] = []
  let added = 0
  for (let round = 1; round <= 30; round++) {
    for (let count = 0; count < round * 2; count++) sessions.add(added++)
    for (let count = 0; count < round; count++) taken.push(sessions.take(Number.MAX_VALUE) ?? -1)
  }
  for (let end = sessions.take(added); end !== null; end = sessions.take(added)) taken.push(end)

  expect(taken).toEqual(Array.from({ length: added }, (_, end) => end))
})

test('sessions that have left do not accumulate, neither in the queue nor in memory', () => {
  const sessions = new Sessions()
  for (let index = 0; index < 50_000; index++) {
    sessions.leave(sessions.add(index % 3 === 0 ? 100_000 - index : 100_000 + index))
  }

  expect(sessions.queue.size).toBeLessThan(5000)
  expect(sessions.rows.count).toBeLessThan(5000)
})
