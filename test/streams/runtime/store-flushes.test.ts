import { expect, test } from 'vitest'
import { StoreFlushes } from '../../../src/streams/runtime/store-flushes.ts'
import type { Task } from '../../../src/streams/task/task.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'

const bytesMax = 100

/** A task with one store, whose flush ends when the test says so. */
class SlowStore {
  unflushedBytes = 0
  readonly position = { leaderEpoch: 0, changelogOffset: 1, storeTime: 0 }
  end: (error?: Error) => void = () => {}

  get hasUnflushed(): boolean {
    return this.unflushedBytes > 0
  }

  seal(): object {
    this.unflushedBytes = 0
    return {}
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.end = (error) => (error === undefined ? resolve() : reject(error))
    })
  }

  get tasks(): readonly Task[] {
    return [{ stores: [{ overlay: this, changelogAt: null }] }] as unknown as readonly Task[]
  }
}

function flushing(
  store: SlowStore,
  failed: (error: unknown) => void = () => {},
  tasks: readonly Task[] = store.tasks,
): StoreFlushes {
  const log = { sync: () => Promise.resolve() }
  const flushes = new StoreFlushes(new ManualClock(), log, { intervalMs: 1000, bytesMax })
  store.unflushedBytes = bytesMax
  flushes.afterCommit(tasks, Promise.resolve(), failed)
  return flushes
}

async function isOpen(promise: Promise<void>): Promise<boolean> {
  let isSettled = false
  void promise.then(() => (isSettled = true))
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  return !isSettled
}

test('a worker continues during a flush while few bytes are waiting for the next one', async () => {
  const store = new SlowStore()
  const flushes = flushing(store)
  store.unflushedBytes = bytesMax - 1
  expect(await isOpen(flushes.room(store.tasks))).toBe(false)
})

test('a worker that outruns its stores waits for the current flush, and only for that', async () => {
  const store = new SlowStore()
  const flushes = flushing(store)
  store.unflushedBytes = bytesMax
  const room = flushes.room(store.tasks)
  expect(await isOpen(room)).toBe(true)
  store.end()
  await room
  expect(await isOpen(flushes.room(store.tasks))).toBe(false)
})

test('a failed flush is reported once, and a worker that waits for it continues', async () => {
  const store = new SlowStore()
  const told: unknown[] = []
  const flushes = flushing(store, (error) => told.push(error))
  store.unflushedBytes = bytesMax
  const room = flushes.room(store.tasks)
  expect(await isOpen(room)).toBe(true)
  store.end(new Error('the disk is gone'))
  await room
  expect(told).toEqual([new Error('the disk is gone')])
})

test('after a failed flush no other one begins, and finish() rejects with its error', async () => {
  const store = new SlowStore()
  const flushes = flushing(store)
  expect(await isOpen(flushes.settle())).toBe(true)
  store.end(new Error('the disk is gone'))
  await flushes.settle()
  store.unflushedBytes = bytesMax
  flushes.afterCommit(store.tasks, Promise.resolve(), () => {})
  expect(store.unflushedBytes).toBe(bytesMax)
  await expect(flushes.finish(store.tasks, Promise.resolve())).rejects.toThrow('the disk is gone')
})

test('a failed flush settles only once the flushes of the other stores have ended', async () => {
  const [bad, slow] = [new SlowStore(), new SlowStore()]
  slow.unflushedBytes = bytesMax
  const flushes = flushing(bad, () => {}, [...bad.tasks, ...slow.tasks])
  const settled = flushes.settle()
  expect(await isOpen(settled)).toBe(true)
  bad.end(new Error('the disk is gone'))
  expect(await isOpen(settled)).toBe(true)
  slow.end()
  await settled
})
