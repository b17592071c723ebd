import { expect, test } from 'vitest'
import { defaultTopicConfig } from '../../../../src/log/api/topic.ts'
import { type FetchWait, FetchWaiters } from '../../../../src/log/broker/reads/fetch-waiters.ts'
import { Catalog } from '../../../../src/log/broker/topics/catalog.ts'
import type { Partition } from '../../../../src/log/broker/topics/partition.ts'
import { ManualClock } from '../../../../src/testing/index.ts'

test('a wait ends when a partition gets records that it watches, and not for those of another one', async () => {
  const { waiters, first, second } = setUp()
  const wait = waiters.open({ sequenced: false })
  wait.watch([first])

  const isOver = parked(wait)
  waiters.wakeDurable(second)
  waiters.wakeSequenced(first)
  expect(await isOver()).toBe(false)
  waiters.wakeDurable(first)
  expect(await isOver()).toBe(true)
})

test('a wait watches the partitions of the last call only, in every wait that follows', async () => {
  const { waiters, first, second } = setUp()
  const wait = waiters.open({ sequenced: true })
  wait.watch([first])
  wait.watch([second])

  for (let round = 0; round < 2; round++) {
    const isOver = parked(wait)
    waiters.wakeSequenced(first)
    expect(await isOver()).toBe(false)
    waiters.wakeSequenced(second)
    expect(await isOver()).toBe(true)
  }
})

test('a wait ends after its time, and its time is over with it', async () => {
  const { clock, waiters, first } = setUp()
  const wait = waiters.open({ sequenced: false })
  wait.watch([first])

  const early = parked(wait, 100)
  clock.advance(60)
  waiters.wakeDurable(first)
  expect(await early()).toBe(true)
  const late = parked(wait, 100)
  clock.advance(60)
  expect(await late(), 'the timer of the first wait is cancelled').toBe(false)
  clock.advance(40)
  expect(await late()).toBe(true)
})

test('a wait that is closed ends, and watches nothing', async () => {
  const { waiters, first } = setUp()
  const wait = waiters.open({ sequenced: false })
  wait.watch([first])

  const isOver = parked(wait)
  wait.close()
  expect(await isOver()).toBe(true)
  const again = parked(wait)
  waiters.wakeDurable(first)
  waiters.wakeAll()
  expect(await again()).toBe(false)
})

function setUp(): { clock: ManualClock; waiters: FetchWaiters; first: Partition; second: Partition } {
  const clock = new ManualClock()
  const topic = new Catalog().promoteCreated({ name: 'events', id: 'id', partitions: 2, config: defaultTopicConfig })
  const [first, second] = topic.partitions
  if (first === undefined || second === undefined) throw new Error('a topic without partitions')
  return { clock, waiters: new FetchWaiters(clock), first, second }
}

/** Waits, and tells whether that is over. */
function parked(wait: FetchWait, waitMs = 1000): () => Promise<boolean> {
  let isOver = false
  void wait.park(waitMs).then(() => (isOver = true))
  return async () => {
    await Promise.resolve()
    return isOver
  }
}
