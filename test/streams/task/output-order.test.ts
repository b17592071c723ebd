import { expect, test } from 'vitest'
import { OutputOrder, StampSequence } from '../../../src/streams/task/output-order.ts'

function next(stamps: StampSequence): readonly [number, number] {
  const { clock, sequence } = stamps.next()
  return [clock, sequence]
}

test('stamps ascend, and each is above the stamps of the records processed before', () => {
  const stamps = new StampSequence()
  stamps.took(10, -1)
  expect([next(stamps), next(stamps)]).toEqual([
    [10, 0],
    [10, 1],
  ])

  stamps.took(10, 5)
  expect(next(stamps)).toEqual([10, 6])
  stamps.took(10, 2)
  expect(next(stamps)).toEqual([10, 7])

  stamps.took(3, 9)
  expect(next(stamps)).toEqual([10, 8])
  stamps.took(11, 4)
  expect(next(stamps)).toEqual([11, 5])
})

test('stamps continue from the latest committed state, separately for each level of stores', () => {
  const before = new OutputOrder()
  before.processed.took(10, -1)
  before.processed.next()
  const older = before.state()
  before.emitted(1).took(8, -1)
  before.emitted(1).next()
  before.processed.next()
  const newer = before.state()

  for (const states of [
    [older, newer],
    [newer, undefined, older],
  ]) {
    const after = new OutputOrder()
    for (const state of states) after.resume(state)

    expect(next(after.processed)).toEqual([10, 2])
    expect(next(after.emitted(1))).toEqual([8, 1])
    expect(next(after.emitted(0))).toEqual([-1, 0])
  }
})
