import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { json, string } from '../../../../src/codec/value-codecs.ts'
import { LmdbStoreEngine } from '../../../../src/streams/store/lmdb/lmdb-store.ts'
import { StoreFlusher } from '../../../../src/streams/store/lmdb/store-flusher.ts'
import { MemoryStoreEngine } from '../../../../src/streams/store/memory-store.ts'
import type { FlushSet } from '../../../../src/streams/store/overlay/flush-set.ts'
import { KeyValueOverlay } from '../../../../src/streams/store/overlay/key-value-overlay.ts'
import { WindowOverlay } from '../../../../src/streams/store/overlay/window-overlay.ts'
import { windowSpaceCount } from '../../../../src/streams/store/overlay/window-spaces.ts'
import { StoreLife, specOf, storeEngines } from '../../../harness/store-life.ts'

function byKey([left]: readonly [string, string], [right]: readonly [string, string]): number {
  return left < right ? -1 : 1
}

const keys = ['', 'a', 'aa', 'b', 'ba', 'c', 'd']
const keyOf = fc.constantFrom(...keys)
describe.each(storeEngines)('on %s', (_name, engine) => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key: keyOf, value: fc.string() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key: keyOf }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('putNull' as const), key: keyOf }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('putIfAbsent' as const), key: keyOf, value: fc.string() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('get' as const), key: keyOf }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('range' as const), from: keyOf, to: keyOf }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('seal' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
  )

  test('a key-value store behaves as a sorted map, across commits, flushes and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.constantFrom(0, 600, 1_000_000), async (steps, cache) => {
        const life = new StoreLife(
          engine(),
          specOf({ kind: 'keyValue' }),
          (spec, store, record) => new KeyValueOverlay(spec, store, record, cache),
        )
        await life.reopen()
        let model = new Map<string, string>()
        let committed = new Map<string, string>()
        let sealed: FlushSet | null = null
        let time = 0
        for (const one of steps) {
          life.record.timestamp = time++
          const store = life.overlay
          if (one.kind === 'put') {
            store.put(one.key, one.value)
            model.set(one.key, one.value)
          } else if (one.kind === 'putNull') {
            store.put(one.key, null)
            model.delete(one.key)
          } else if (one.kind === 'delete') {
            expect(store.delete(one.key)).toBe(model.get(one.key) ?? null)
            model.delete(one.key)
          } else if (one.kind === 'putIfAbsent') {
            expect(store.putIfAbsent(one.key, one.value)).toBe(model.get(one.key) ?? null)
            if (!model.has(one.key)) model.set(one.key, one.value)
          } else if (one.kind === 'get') {
            expect(store.get(one.key)).toBe(model.get(one.key) ?? null)
          } else if (one.kind === 'range') {
            const expected = [...model].filter(([key]) => key >= one.from && key <= one.to).sort(byKey)
            const open = store.range(one.from, one.to)
            store.put('a', 'changed while open')
            expect([...open]).toEqual(expected)
            model.set('a', 'changed while open')
          } else if (one.kind === 'commit') {
            life.commit()
            committed = new Map(model)
          } else if (one.kind === 'seal') {
            sealed ??= life.seal()
          } else if (one.kind === 'flush' && sealed !== null) {
            const set: FlushSet = sealed
            sealed = null
            const flushing = life.flush(set)
            store.put('b', 'put during the flush')
            model.set('b', 'put during the flush')
            await flushing
          } else if (one.kind === 'reopen') {
            await life.reopen()
            sealed = null
            model = new Map(committed)
          }
        }
        expect([...life.overlay.all()]).toEqual([...model].sort(byKey))
        expect(life.overlay.approximateCount()).toBeGreaterThanOrEqual(0)
      }),
      { numRuns: 300 },
    )
  })

  const windowStep = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        key: keyOf,
        value: fc.option(fc.oneof(fc.string(), fc.nat()), { freq: 5 }),
        start: fc.nat(120),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('hop' as const),
        key: keyOf,
        start: fc.nat(120),
        advance: fc.integer({ min: 1, max: 9 }),
        count: fc.integer({ min: 1, max: 6 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('fetch' as const), key: keyOf, start: fc.nat(120) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('range' as const), key: keyOf, from: fc.nat(120), to: fc.nat(120) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('all' as const), from: fc.nat(120), to: fc.nat(120) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('seal' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
  )

  test('a window store shows exactly the rows within its retention, measured by its own clock', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(windowStep, { maxLength: 80 }),
        fc.constantFrom(0, 2000, 1_000_000),
        fc.constantFrom(1, 7, 40, 500),
        async (steps, cache, retentionMs) => {
          const life = new StoreLife(
            engine(),
            { ...specOf({ kind: 'window', sizeMs: 1, retentionMs }), value: json },
            (spec, store, record) => new WindowOverlay(spec, store, record, cache),
          )
          await life.reopen()
          let model = new WindowModel(retentionMs)
          let committed = model.copy()
          let sealed: FlushSet | null = null
          let shift = 0
          for (const one of steps) {
            const store = life.overlay
            // Time advances: the same generated numbers mean ever later times.
            shift += 3
            if (one.kind === 'put') {
              store.put(one.key, one.value, one.start + shift)
              model.put(one.key, one.value, one.start + shift)
            } else if (one.kind === 'hop') {
              const rows = new Int32Array(one.count + 1).fill(-7)
              store.entries(one.key, one.start + shift, one.advance, one.count, rows)
              for (const [index, row] of rows.subarray(0, one.count).entries()) {
                const start = one.start + shift + index * one.advance
                const before = model.get(one.key, start)
                expect([store.startOf(row), store.valueAt(row)]).toEqual([start, before])
                const after = typeof before === 'string' ? `${before}.` : (before ?? 0) + 1
                store.update(row, after, start, start)
                model.put(one.key, after, start)
              }
              expect(rows[one.count]).toBe(-7)
            } else if (one.kind === 'fetch') {
              expect(store.fetch(one.key, one.start + shift)).toBe(model.get(one.key, one.start + shift))
            } else if (one.kind === 'range') {
              const found = [...store.fetchRange(one.key, one.from + shift, one.to + shift)]
              const expected = model
                .rows(one.from + shift, one.to + shift)
                .filter((row) => row.key === one.key)
                .map((row) => [row.start, row.value])
              expect(found).toEqual(expected)
            } else if (one.kind === 'all') {
              const found = [...store.fetchAll(one.from + shift, one.to + shift)]
              expect(found).toEqual(model.rows(one.from + shift, one.to + shift))
            } else if (one.kind === 'commit') {
              life.commit()
              committed = model.copy()
            } else if (one.kind === 'seal') {
              sealed ??= life.seal()
            } else if (one.kind === 'flush' && sealed !== null) {
              const set: FlushSet = sealed
              sealed = null
              await life.flush(set)
            } else if (one.kind === 'reopen') {
              await life.reopen()
              sealed = null
              model = committed.copy()
            }
          }
          expect([...life.overlay.all()]).toEqual(model.rows(0, Number.POSITIVE_INFINITY))
        },
      ),
      { numRuns: 300 },
    )
  })
})

/** Numbers take another way to the store than other values. */
type Value = string | number

class WindowModel {
  readonly retentionMs: number
  readonly values = new Map<string, { readonly key: string; readonly start: number; readonly value: Value }>()
  clock = -1

  constructor(retentionMs: number) {
    this.retentionMs = retentionMs
  }

  copy(): WindowModel {
    const copy = new WindowModel(this.retentionMs)
    copy.clock = this.clock
    for (const [name, row] of this.values) copy.values.set(name, row)
    return copy
  }

  put(key: string, value: Value | null, start: number): void {
    this.clock = Math.max(this.clock, start)
    if (start <= this.clock - this.retentionMs) return
    if (value === null) this.values.delete(`${start} ${key}`)
    else this.values.set(`${start} ${key}`, { key, start, value })
  }

  get(key: string, start: number): Value | null {
    if (start <= this.clock - this.retentionMs) return null
    return this.values.get(`${start} ${key}`)?.value ?? null
  }

  rows(from: number, to: number): { readonly key: string; readonly start: number; readonly value: Value }[] {
    return [...this.values.values()]
      .filter(({ start }) => start >= from && start <= to && start > this.clock - this.retentionMs)
      .sort((left, right) => left.start - right.start || (left.key < right.key ? -1 : 1))
  }
}

/** An opened key-value store in memory; `cacheBytes` bounds its clean rows. */
async function keyValueLife(cacheBytes = 1_000_000): Promise<StoreLife<KeyValueOverlay>> {
  const life = new StoreLife(
    new MemoryStoreEngine(),
    specOf({ kind: 'keyValue' }),
    (spec, store, record) => new KeyValueOverlay(spec, store, record, cacheBytes),
  )
  await life.reopen()
  return life
}

/** An opened store in memory of windows of 1 ms, which are kept for 10 ms; `cacheBytes` bounds its clean rows. */
async function windowLife(cacheBytes = 1_000_000): Promise<StoreLife<WindowOverlay>> {
  const life = new StoreLife(
    new MemoryStoreEngine(),
    specOf({ kind: 'window', sizeMs: 1, retentionMs: 10 }),
    (spec, store, record) => new WindowOverlay(spec, store, record, cacheBytes),
  )
  await life.reopen()
  return life
}

test('a window leaves memory when the store contains the newest values of all its rows, and not before', async () => {
  const life = await windowLife(0)
  const { overlay } = life
  overlay.put('k', 'flushed', 5)
  overlay.put('other', 'flushed', 6)
  life.commit()
  const first = life.seal()
  overlay.put('k', 'committed', 5)
  life.commit()

  await life.flush(first)
  expect([overlay.windowCount, overlay.fetch('k', 5)]).toEqual([2, 'committed'])
  const second = life.seal()
  overlay.put('k', 'dirty', 5)
  await life.flush(second)
  expect([overlay.windowCount, overlay.fetch('k', 5)]).toEqual([2, 'dirty'])
  life.commit()
  await life.flush(life.seal())

  expect(overlay.windowCount).toBe(0)
  expect([overlay.fetch('k', 5), overlay.fetch('other', 6)]).toEqual(['dirty', 'flushed'])
})

test('a window row that is updated again in a later generation is emitted and written again', async () => {
  const life = await windowLife()
  const { overlay } = life
  const emitted: unknown[] = []
  overlay.emit = (row) => emitted.push([overlay.valueAt(row), overlay.forwardedValue(row), overlay.isHeldBack(row)])
  for (const value of ['1', '2', null, '3', '3']) {
    const row = overlay.entry('k', 5)
    overlay.update(row, 'before', 5, 5)
    overlay.update(row, value, 5, 5)
    expect(overlay.isHeldBack(row)).toBe(true)
    for (const place of overlay.lastUpdates()) overlay.emitAt(place)
    life.commit()
    expect(overlay.isHeldBack(row)).toBe(false)
  }

  expect(emitted).toEqual([
    ['1', null, false],
    ['2', '1', false],
    [null, '2', false],
    ['3', null, false],
    ['3', '3', false],
  ])
  const logged = life.changelog.map(({ value }) => (value === null ? null : text(value)))
  expect(logged).toEqual(['1', '2', null, '3', '3'])
})

test('of a window row that is committed twice before a flush, the store gets the newest value', async () => {
  const life = await windowLife()
  for (const [first, second] of [
    ['a', 'b'],
    ['a', 'longer'],
  ] as const) {
    for (const key of ['x', 'y', 'z']) life.overlay.put(key, first, 5)
    life.commit()
    for (const key of ['z', 'y']) life.overlay.put(key, second, 5)
    life.commit()
    await life.flush(life.seal())
    await life.reopen()

    expect(['x', 'y', 'z'].map((key) => life.overlay.fetch(key, 5))).toEqual([first, second, second])
  }
})

/** As {@link windowLife}, with JSON values, of which numbers are packed when a flush set is sealed. */
async function numbersLife(): Promise<StoreLife<WindowOverlay>> {
  const life = new StoreLife(
    new MemoryStoreEngine(),
    { ...specOf({ kind: 'window', sizeMs: 1, retentionMs: 10 }), value: json },
    (spec, store, record) => new WindowOverlay(spec, store, record, 0),
  )
  await life.reopen()
  return life
}

test.each([7, null, 'text'])(
  'a row that becomes %j after the commit is sealed with its committed number',
  async (after) => {
    const life = await numbersLife()
    life.overlay.put('k', 1, 5)
    life.commit()
    life.overlay.put('k', 2, 5)
    life.commit()
    life.overlay.put('k', after, 5)
    await life.flush(life.seal())
    expect(life.overlay.fetch('k', 5)).toBe(after)

    await life.reopen()

    expect(life.overlay.fetch('k', 5)).toBe(2)
  },
)

test('a row gets its newest value in the store, whether it was a number, text or absent before', async () => {
  for (const values of [
    [1, 'text'],
    ['text', 1],
    [1, null],
    [null, 1],
    ['text', null, 2],
    [1, 'text', 3],
  ]) {
    const life = await numbersLife()
    life.overlay.put('k', 'stored', 5)
    life.commit()
    await life.flush(life.seal())
    for (const value of values) {
      life.overlay.put('k', value, 5)
      life.commit()
    }
    await life.flush(life.seal())
    await life.reopen()

    expect(life.overlay.fetch('k', 5)).toBe(values.at(-1))
  }
})

test('rows reach the store in memory that earlier flushes have used', async () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-overlay-'))
  const flusher = new StoreFlusher()
  const life = new StoreLife(
    new LmdbStoreEngine(flusher),
    { ...specOf({ kind: 'window', sizeMs: 1, retentionMs: 10 }), value: json },
    (spec, store, record) => new WindowOverlay(spec, store, record, 0),
    join(root, 'store'),
  )
  await life.reopen()
  const expected: unknown[] = []
  for (const [start, count] of [300, 40, 300, 2, 200].entries()) {
    for (let key = 0; key < count; key++) {
      const value = key % 3 === 0 ? `text ${key}` : key * start
      life.overlay.put(`key ${key}`, value, start)
      expected.push({ key: `key ${key}`, start, value })
    }
    life.commit()
    await life.flush(life.seal())
  }

  await life.reopen()
  const byStart = [...life.overlay.all()]
  await life.close()
  await flusher.close()
  rmSync(root, { recursive: true })

  expect(byStart).toHaveLength(expected.length)
  expect(byStart).toEqual(expect.arrayContaining(expected))
})

test('a number that expires before its flush set is sealed takes no memory there', async () => {
  const life = await numbersLife()
  for (let key = 0; key < 100; key++) life.overlay.put(`key ${key}`, key, 5)
  life.commit()
  life.overlay.put('k', 1, 100)
  life.commit()

  const set = life.seal()

  expect([set.count, set.bytes < 100]).toEqual([101, true])
  await life.flush(set)
  expect([...life.overlay.all()]).toEqual([{ key: 'k', start: 100, value: 1 }])
})

test('a window row that cannot be decoded is an error at every lookup, and is not lost', async () => {
  let isBroken = false
  const read = (bytes: Uint8Array, start: number, end: number): string => {
    if (isBroken) throw new TypeError('not a value of this schema')
    return string.read(bytes, start, end)
  }
  const life = new StoreLife(
    new MemoryStoreEngine(),
    { ...specOf({ kind: 'window', sizeMs: 1, retentionMs: 10 }), value: { ...string, read } },
    (spec, store, record) => new WindowOverlay(spec, store, record, 0),
  )
  await life.reopen()
  life.overlay.put('k', 'v', 5)
  life.commit()
  await life.flush(life.seal())

  isBroken = true
  for (let time = 0; time < 2; time++) expect(() => life.overlay.fetch('k', 5)).toThrow('not a value of this schema')
  expect(() => life.overlay.all()).toThrow('not a value of this schema')

  isBroken = false
  expect(life.overlay.fetch('k', 5)).toBe('v')
})

test('an update of a window that has expired is emitted, and leaves no trace', async () => {
  const life = await windowLife()
  const { overlay } = life
  overlay.put('k', 'v', 100)
  life.commit()
  const emitted: unknown[] = []
  overlay.emit = (row) => emitted.push([overlay.keyOf(row), overlay.startOf(row), overlay.valueAt(row)])

  for (const key of ['late', 'late', 'k']) overlay.update(overlay.entry(key, 50), `of ${key}`, 50, 50)
  for (const place of overlay.lastUpdates()) overlay.emitAt(place)
  const changes = life.changelog.length
  life.commit()

  expect(emitted).toEqual([
    ['late', 50, 'of late'],
    ['late', 50, 'of late'],
    ['k', 50, 'of k'],
  ])
  expect(life.changelog.length).toBe(changes)
  expect([...overlay.all()]).toEqual([{ key: 'k', start: 100, value: 'v' }])
  expect(overlay.fetch('late', 50)).toBeNull()
  expect(overlay.rowCount).toBe(1)
})

test.each([
  ['memory contains', 1_000_000],
  ['only the store contains', 0],
])('the rows of several windows are looked up at once, also those that %s', async (_where, cacheBytes) => {
  const life = await windowLife(cacheBytes)
  for (let start = 90; start <= 100; start++) life.overlay.put('k', `of ${start}`, start)
  life.commit()
  await life.flush(life.seal())
  life.overlay.put('other', 'v', 102)
  life.overlay.put('k', 'of 102', 102)

  const rows = new Int32Array(5)
  life.overlay.entries('k', 92, 2, 5, rows)
  life.overlay.entries('k', 94, 2, 5, rows)

  const found = [...rows].map((row) => [life.overlay.startOf(row), life.overlay.valueAt(row)])
  expect(found).toEqual([
    [94, 'of 94'],
    [96, 'of 96'],
    [98, 'of 98'],
    [100, 'of 100'],
    [102, 'of 102'],
  ])
})

test('of several windows that are looked up at once, those that have expired are new rows', async () => {
  const life = await windowLife()
  for (const start of [98, 90, 92, 93]) life.overlay.put('k', `of ${start}`, start)
  life.overlay.put('k', 'of 102', 102)

  const rows = new Int32Array(3)
  life.overlay.entries('k', 91, 1, 3, rows)

  expect([...rows].map((row) => life.overlay.valueAt(row))).toEqual([null, null, 'of 93'])
})

test('a key that is too long for a store has no windows, and a record with it is refused', async () => {
  const life = await windowLife()
  const key = 'k'.repeat(2000)

  expect(life.overlay.fetch(key, 5)).toBeNull()
  expect(() => life.overlay.put(key, 'v', 5)).toThrow(/PROCESSING_FAILED: a key of 2008 bytes for store s/)
  expect([...life.overlay.all()]).toEqual([])
})

test('a window that opens and expires before a flush is never written to the store', async () => {
  const life = await windowLife()
  for (let start = 0; start < 10_000; start += 5) {
    life.overlay.put('k', 'v', start)
    if (start % 1000 === 0) life.commit()
  }
  life.commit()

  await life.flush(life.seal())

  let rows = 0
  for (let space = 0; space < windowSpaceCount; space++) rows += life.overlay.store.count(space)
  expect(rows).toBe(2)
  expect(life.overlay.windowCount).toBe(2)
})

test.each([Number.NaN, undefined, 0.5, -5, '7', Number.POSITIVE_INFINITY, 2 ** 60])(
  'a window that starts at %s is refused, and nothing expires by it',
  async (start) => {
    const life = await windowLife()
    life.overlay.put('k', 'v', 0)

    expect(() => life.overlay.put('k', 'v', start as number)).toThrow(
      /INVALID_TIMESTAMP: store \w+: the start of a window is/,
    )

    life.commit()
    expect([...life.overlay.all()]).toEqual([{ key: 'k', start: 0, value: 'v' }])
  },
)

test('what waits for a flush counts with its keys, also what later commits replaced', async () => {
  const life = await keyValueLife()
  const key = 'k'.repeat(1000)
  life.overlay.put(key, '1')
  life.commit()
  const once = life.overlay.unflushedBytes
  for (let time = 0; time < 10; time++) {
    life.overlay.put(key, time % 2 === 0 ? null : '1')
    life.commit()
  }

  expect(once).toBeGreaterThan(1000)
  expect(life.overlay.unflushedBytes).toBeGreaterThan(11_000)
})

test('a flush writes the newest value, whatever was committed for its key before', async () => {
  const histories = [
    ['1', '2'],
    ['1', '22', '3'],
    ['1', null, '2'],
    ['1', '22', null],
    ['1', null, '22', '3'],
  ]
  const life = await keyValueLife()
  for (let step = 0; step < 4; step++) {
    for (const [key, values] of histories.entries()) {
      const value = values[step]
      if (value !== undefined) life.overlay.put(`key-${key}`, value)
    }
    life.commit()
  }

  await life.flush(life.seal())

  const stored = [...life.overlay.store.range(0, { from: new Uint8Array(0), to: null, reverse: false })]
  expect(stored.map(({ key, value }) => [text(key), text(value.subarray(8))])).toEqual([
    ['key-0', '2'],
    ['key-1', '3'],
    ['key-2', '2'],
    ['key-4', '3'],
  ])
})

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

test('reading absent keys takes no memory while all rows are in memory', async () => {
  const life = await keyValueLife(10_000)
  life.overlay.put('a', 'v')

  for (let key = 0; key < 100; key++) expect(life.overlay.get(`key-${key}`)).toBeNull()
  expect(life.overlay.delete('key-1')).toBeNull()

  expect(life.overlay.cachedCount).toBe(1)
  expect(life.overlay.get('a')).toBe('v')
})

test('at the memory bound clean rows are evicted, dirty and unflushed ones never', async () => {
  const life = await keyValueLife(10_000)
  for (let key = 0; key < 1000; key++) life.overlay.put(`key-${key}`, 'v')
  expect(life.overlay.cachedCount).toBe(1000)
  life.commit()
  life.commit()
  expect(life.overlay.cachedCount).toBe(1000)

  await life.flush(life.seal())
  for (let round = 0; round < 3; round++) {
    for (let key = 2000; key < 2100; key++) life.overlay.put(`key-${key}`, String(round))
    life.commit()
    await life.flush(life.seal())
  }

  expect(life.overlay.cachedCount).toBeLessThan(300)
  expect(life.overlay.get('key-17')).toBe('v')
})
