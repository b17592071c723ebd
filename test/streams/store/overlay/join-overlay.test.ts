import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { string } from '../../../../src/codec/value-codecs.ts'
import { LmdbStoreEngine } from '../../../../src/streams/store/lmdb/lmdb-store.ts'
import type { StoreEngine } from '../../../../src/streams/store/ordered-store.ts'
import { JoinOverlay } from '../../../../src/streams/store/overlay/join-overlay.ts'
import { windowSpaceCount } from '../../../../src/streams/store/overlay/window-spaces.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { DiskStoreEngine } from '../../../harness/disk-store.ts'
import { JoinStoreLife } from './join-store-life.ts'

const directory = mkdtempSync(join(tmpdir(), 'millrace-join-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let opened = 0

function lifeOf(retentionMs: number, cacheBytes: number, engine?: StoreEngine): JoinStoreLife<JoinOverlay> {
  return new JoinStoreLife(
    {
      engine: engine ?? new DiskStoreEngine(new MemoryDisk()),
      directory: engine === undefined ? '/s' : join(directory, String(opened++)),
      shape: { kind: 'join', retentionMs },
      value: string,
    },
    (spec, store, record) => new JoinOverlay(spec, store, record, cacheBytes),
  )
}

/** Rows as a list, in order of arrival. */
class Model {
  readonly retentionMs: number
  rows: { readonly key: string; readonly time: number; readonly value: string }[] = []
  clock = -1

  constructor(retentionMs: number) {
    this.retentionMs = retentionMs
  }

  copy(): Model {
    const copy = new Model(this.retentionMs)
    copy.rows = this.rows.slice()
    copy.clock = this.clock
    return copy
  }

  put(key: string, value: string, time: number): void {
    this.clock = Math.max(this.clock, time)
    this.rows.push({ key, time, value })
  }

  lookUp(key: string, from: number, to: number): (readonly [number, string])[] {
    return this.rows
      .filter(
        (row) => row.key === key && row.time >= from && row.time <= to && row.time > this.clock - this.retentionMs,
      )
      .toSorted((left, right) => left.time - right.time)
      .map(({ time, value }) => [time, value] as const)
  }
}

const keys = ['', 'a', 'aa']
const keyOf = fc.constantFrom(...keys)
const timeOf = fc.nat(20)
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('put' as const), key: keyOf, value: fc.string(), time: timeOf }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('lookUp' as const), key: keyOf, from: timeOf, to: timeOf }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('seal' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

describe.each([
  { name: 'a simulated disk', engine: undefined, runs: 150 },
  { name: 'LMDB', engine: new LmdbStoreEngine(null), runs: 20 },
])('on $name', ({ engine, runs }) => {
  test('a lookup returns exactly the unexpired rows of a key, across commits, flushes and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 80 }),
        fc.constantFrom(0, 2000, 1_000_000),
        fc.constantFrom(1, 7, 20, 500),
        async (steps, cacheBytes, retentionMs) => {
          const life = lifeOf(retentionMs, cacheBytes, engine)
          await life.reopen()
          let model = new Model(retentionMs)
          let committed = model.copy()
          let sequence = 0
          let shift = 0
          for (const one of steps) {
            const store = life.overlay
            // Time advances: the same generated numbers mean ever later times.
            shift += 1
            if (one.kind === 'put') {
              store.put(one.key, one.value, one.time + shift)
              model.put(one.key, one.value, one.time + shift)
            } else if (one.kind === 'lookUp') {
              const found = store.lookUp(one.key, one.from + shift, one.to + shift).map((row) => [row.start, row.value])
              expect(found).toEqual(model.lookUp(one.key, one.from + shift, one.to + shift))
            } else if (one.kind === 'commit') {
              life.commit()
              sequence = store.sequence
              committed = model.copy()
            } else if (one.kind === 'seal') life.seal()
            else if (one.kind === 'flush') await life.flush()
            else {
              await life.reopen()
              life.overlay.sequence = sequence
              model = committed.copy()
            }
          }
          for (const key of keys) {
            const found = life.overlay.lookUp(key, 0, Number.MAX_SAFE_INTEGER).map((row) => [row.start, row.value])
            expect(found).toEqual(model.lookUp(key, 0, Number.MAX_SAFE_INTEGER))
          }
          await life.close()
        },
      ),
      { numRuns: runs },
    )
  })
})

test('looking up absent keys costs almost no reads of the store, even after evictions or reopening', async () => {
  const life = lifeOf(10_000, 20_000)
  await life.reopen()
  for (let time = 0; time < 1000; time++) life.overlay.put(`here-${time}`, 'v', time)
  await life.commitAndFlush()
  life.overlay.put('last', 'v', 1001)
  await life.commitAndFlush()
  expect(life.overlay.cachedCount).toBeLessThan(500)

  life.store.reads = 0
  for (let absent = 0; absent < 1000; absent++) expect(life.overlay.lookUp(`absent-${absent}`, 0, 10_000)).toEqual([])
  expect(life.store.reads).toBeLessThan(5)
  expect(life.overlay.lookUp('here-17', 0, 10_000).map((row) => row.value)).toEqual(['v'])

  await life.reopen()
  expect(life.overlay.lookUp('absent', 0, 10_000)).toEqual([])
  life.store.reads = 0
  for (let absent = 0; absent < 1000; absent++) expect(life.overlay.lookUp(`absent-${absent}`, 0, 10_000)).toEqual([])
  expect(life.store.reads).toBeLessThan(5)
  expect(life.overlay.lookUp('here-17', 0, 10_000).map((row) => row.value)).toEqual(['v'])
})

test('rows that expire before a commit reach neither the changelog nor the store', async () => {
  const life = lifeOf(10, 1_000_000)
  await life.reopen()
  for (let time = 0; time < 10_000; time += 5) {
    life.overlay.put('k', 'v', time)
    if (time % 1000 === 0) life.commit()
  }
  await life.commitAndFlush()

  let rows = 0
  for (let space = 0; space < windowSpaceCount; space++) rows += life.overlay.store.count(space)
  expect(rows).toBe(2)
  expect(life.changelog.length).toBeLessThan(40)
  expect(life.overlay.cachedCount).toBeLessThan(5)
})

test('at the memory bound clean rows are evicted, dirty and unflushed ones never', async () => {
  const life = lifeOf(1_000_000, 10_000)
  await life.reopen()
  for (let time = 0; time < 1_000_000; time += 1000) life.overlay.put('k', String(time), time)
  life.commit()
  expect(life.overlay.cachedCount).toBe(1000)
  life.seal()
  life.overlay.put('k', 'dirty', 1)

  await life.flush()

  // A late row that is dirty stays in memory; the clean ones beside it are evicted nevertheless.
  expect(life.overlay.cachedCount).toBeLessThan(200)
  expect(life.overlay.lookUp('k', 0, 2000).map((row) => row.value)).toEqual(['0', 'dirty', '1000', '2000'])
  life.commit()
  expect(life.overlay.lookUp('k', 0, 2000).map((row) => row.value)).toEqual(['0', 'dirty', '1000', '2000'])
  await life.commitAndFlush()
  expect(life.overlay.cachedCount).toBeLessThan(200)
  expect(life.overlay.lookUp('k', 0, 2000).map((row) => row.value)).toEqual(['0', 'dirty', '1000', '2000'])
})
