import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { unmatchedCodec } from '../../../../src/codec/unmatched-codec.ts'
import { long, string } from '../../../../src/codec/value-codecs.ts'
import { LmdbStoreEngine } from '../../../../src/streams/store/lmdb/lmdb-store.ts'
import type { StoreEngine } from '../../../../src/streams/store/ordered-store.ts'
import { UnmatchedOverlay } from '../../../../src/streams/store/overlay/unmatched-overlay.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { DiskStoreEngine } from '../../../harness/disk-store.ts'
import { JoinStoreLife } from './join-store-life.ts'

const directory = mkdtempSync(join(tmpdir(), 'millrace-unmatched-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let opened = 0

/** Values of the left side are strings, those of the right side numbers. */
function lifeOf(cacheBytes: number, engine?: StoreEngine): JoinStoreLife<UnmatchedOverlay> {
  return new JoinStoreLife(
    {
      engine: engine ?? new DiskStoreEngine(new MemoryDisk()),
      directory: engine === undefined ? '/s' : join(directory, String(opened++)),
      shape: { kind: 'unmatched' },
      value: unmatchedCodec(string, long),
    },
    (spec, store, record) => new UnmatchedOverlay(spec, store, record, cacheBytes),
  )
}

interface Row {
  readonly time: number
  readonly isLeft: boolean
  readonly key: string
  readonly values: readonly unknown[]
}

/** Rows in the order of Kafka's store, and its search for closed windows: a pass over all rows. */
class Model {
  rows: Row[] = []
  lookedTo = Number.MAX_SAFE_INTEGER

  copy(): Model {
    const copy = new Model()
    copy.rows = this.rows.slice()
    copy.lookedTo = this.lookedTo
    return copy
  }

  add(key: string, value: unknown, time: number, isLeft: boolean): void {
    const before = this.take(key, time, isLeft)
    this.rows.push({ key, time, isLeft, values: [...(before?.values ?? []), value] })
    this.rows.sort(
      (left, right) =>
        left.time - right.time || Number(left.isLeft) - Number(right.isLeft) || (left.key < right.key ? -1 : 1),
    )
    this.lookedTo = Math.min(this.lookedTo, time)
  }

  take(key: string, time: number, isLeft: boolean): Row | undefined {
    const found = this.rows.findIndex((row) => row.key === key && row.time === time && row.isLeft === isLeft)
    return found < 0 ? undefined : this.rows.splice(found, 1)[0]
  }

  look(leftBefore: number, rightBefore: number): Row[] {
    const taken: Row[] = []
    const open = { left: false, right: false }
    this.lookedTo = Number.MAX_SAFE_INTEGER
    // In Kafka each value is a row of its own.
    for (const row of this.rows.flatMap((one) => one.values.map(() => one))) {
      this.lookedTo = row.time
      if (open.left && open.right) break
      if (row.time < (row.isLeft ? leftBefore : rightBefore)) {
        if (row !== taken.at(-1)) taken.push(row)
        this.take(row.key, row.time, row.isLeft)
      } else if (row.isLeft) open.left = true
      else open.right = true
    }
    return taken
  }
}

function look(store: UnmatchedOverlay, leftBefore: number, rightBefore: number): Row[] {
  const rows: Row[] = []
  let last = -1
  for (;;) {
    const taken = store.takeClosed(leftBefore, rightBefore)
    if (taken === null) break
    last = taken.row.start
    rows.push({
      time: taken.row.start,
      isLeft: taken.waiting.isLeft,
      key: taken.row.key as string,
      values: taken.waiting.values,
    })
  }
  store.endLook(last)
  return rows
}

const keyOf = fc.constantFrom('', 'a', 'aa', 'b')
const timeOf = fc.nat(30)
const row = { key: keyOf, time: timeOf, isLeft: fc.boolean() }
const step = fc.oneof(
  { weight: 9, arbitrary: fc.record({ kind: fc.constant('add' as const), value: fc.nat(9), ...row }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('remove' as const), ...row }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('look' as const), left: timeOf, right: timeOf }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('seal' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

describe.each([
  { name: 'a simulated disk', engine: undefined, runs: 150 },
  { name: 'LMDB', engine: new LmdbStoreEngine(null), runs: 15 },
])('on $name', ({ engine, runs }) => {
  test('closed rows are taken in order of time, side and key, across commits, flushes and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 100 }),
        fc.constantFrom(0, 2000, 1_000_000),
        async (steps, cacheBytes) => {
          const life = lifeOf(cacheBytes, engine)
          await life.reopen()
          let model = new Model()
          let committed = model.copy()
          for (const one of steps) {
            const store = life.overlay
            if (one.kind === 'add') {
              const value = one.isLeft ? String(one.value) : one.value
              store.add(one.key, value, one.time, one.isLeft)
              model.add(one.key, value, one.time, one.isLeft)
            } else if (one.kind === 'remove') {
              store.remove(one.key, one.time, one.isLeft)
              model.take(one.key, one.time, one.isLeft)
            } else if (one.kind === 'look') {
              expect(look(store, one.left, one.right)).toEqual(model.look(one.left, one.right))
              expect(store.lookedTo).toBe(model.lookedTo)
            } else if (one.kind === 'commit') {
              life.commit()
              committed = model.copy()
            } else if (one.kind === 'seal') life.seal()
            else if (one.kind === 'flush') await life.flush()
            else {
              await life.reopen()
              model = committed.copy()
              life.overlay.lookedTo = model.lookedTo
            }
          }
          expect(look(life.overlay, 1000, 1000)).toEqual(model.look(1000, 1000))
          await life.close()
        },
      ),
      { numRuns: runs },
    )
  })
})

test('a record that finds its partner within the same commit leaves no trace in the changelog', async () => {
  const life = lifeOf(1_000_000)
  await life.reopen()
  for (let time = 0; time < 1000; time++) {
    life.overlay.add('k', 'v', time, true)
    life.overlay.remove('k', time, true)
  }
  life.commit()

  expect(life.changelog).toEqual([])
  expect(life.overlay.cachedCount).toBe(0)
})

test('100 000 records of one key and time are kept in one row and survive a restart', async () => {
  const life = lifeOf(1_000_000)
  await life.reopen()
  for (let count = 0; count < 100_000; count++) life.overlay.add('k', 'v', 7, true)
  await life.commitAndFlush()
  await life.reopen()

  const [row] = look(life.overlay, 8, 0)

  expect(row?.values).toHaveLength(100_000)
})

test('at the memory bound the latest rows are evicted, and they are read back in order when they close', async () => {
  const life = lifeOf(100_000)
  await life.reopen()
  for (let time = 0; time < 5000; time++) life.overlay.add(`k${time}`, 'v', time, true)
  await life.commitAndFlush()
  expect(life.overlay.cachedCount).toBeLessThan(1000)

  const left = look(life.overlay, 4500, 0)

  expect(left.map(({ time }) => time)).toEqual(Array.from({ length: 4500 }, (_, time) => time))
  await life.commitAndFlush()
  expect(life.overlay.cachedCount).toBeLessThan(1000)
  expect(look(life.overlay, 5000, 0)).toHaveLength(500)
})

test('windows that stay open cost no reads of the store while other windows close', async () => {
  const life = lifeOf(1_000_000)
  await life.reopen()
  for (let time = 0; time < 3000; time++) life.overlay.add(`k${time}`, time, time, false)
  await life.commitAndFlush()
  life.store.reads = 0

  for (let time = 3000; time < 4000; time++) {
    life.overlay.add('k', 'v', time, true)
    expect(look(life.overlay, time, 0)).toHaveLength(time === 3000 ? 0 : 1)
  }

  expect(life.store.reads).toBe(0)
})
