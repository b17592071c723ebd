import { readInt64 } from '../../../../src/base/int64.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { json } from '../../../../src/codec/value-codecs.ts'
import { LmdbStoreEngine } from '../../../../src/streams/store/lmdb/lmdb-store.ts'
import type { StoreEngine } from '../../../../src/streams/store/ordered-store.ts'
import type { FlushSet } from '../../../../src/streams/store/overlay/flush-set.ts'
import { SessionOverlay } from '../../../../src/streams/store/overlay/session-overlay.ts'
import type { StoreSpec } from '../../../../src/streams/topology/node.ts'
import { specOf, storeEngines, StoreLife } from '../../../harness/store-life.ts'

const root = mkdtempSync(join(tmpdir(), 'millrace-sessions-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let directories = 0

const engines: readonly (readonly [name: string, engine: () => StoreEngine, numRuns: number])[] = [
  ...storeEngines.map(([name, engine]) => [name, engine, 400] as const),
  ['lmdb', () => new LmdbStoreEngine(null), 15],
]

interface Session {
  readonly key: string
  readonly start: number
  readonly end: number
  readonly value: Value
}

/** Numbers take another way to the store than other values. */
type Value = string | number

/** The value of a session that is merged from others with a new value. */
function mergedValue(values: readonly Value[], value: Value): Value {
  let sum = 0
  for (const one of [...values, value]) {
    if (typeof one !== 'number') return `${values.join('+')}${value}`
    sum += one
  }
  return sum
}

/** The semantics of a session store, as a plain model. */
class SessionModel {
  readonly retentionMs: number
  readonly sessions: Map<string, Session>
  clock: number

  constructor(retentionMs: number, sessions: ReadonlyMap<string, Session> = new Map(), clock = -1) {
    this.retentionMs = retentionMs
    this.sessions = new Map(sessions)
    this.clock = clock
  }

  copy(): SessionModel {
    return new SessionModel(this.retentionMs, this.sessions, this.clock)
  }

  put(key: string, value: Value | null, start: number, end: number): void {
    // A deletion advances the clock, too, whether or not there was anything to delete.
    this.clock = Math.max(this.clock, end)
    if (end <= this.clock - this.retentionMs) return
    if (value === null) this.sessions.delete(`${key} ${start} ${end}`)
    else this.sessions.set(`${key} ${start} ${end}`, { key, start, end, value })
  }

  find(key: string | null, earliestEnd: number, latestStart: number): Session[] {
    return [...this.sessions.values()]
      .filter((one) => key === null || one.key === key)
      .filter((one) => one.end > this.clock - this.retentionMs)
      .filter((one) => one.end >= earliestEnd && one.start <= latestStart)
      .sort((left, right) => left.end - right.end || left.start - right.start || (left.key < right.key ? -1 : 1))
  }

  /** Merges a record into the sessions that are at most the gap away. */
  record(key: string, value: Value, time: number, gap: number): void {
    const merged = this.find(key, time - gap, time + gap)
    for (const { start, end } of merged) this.put(key, null, start, end)
    const start = Math.min(time, ...merged.map((one) => one.start))
    const end = Math.max(time, ...merged.map((one) => one.end))
    const values = merged.map((one) => one.value)
    this.put(key, mergedValue(values, value), start, end)
  }
}

/** Merges a record as the session operator does. */
function addRecord(store: SessionOverlay, key: string, value: Value, time: number, gap: number): void {
  const merged: number[] = []
  store.find(key, time - gap, time + gap, merged)
  let start = time
  let end = time
  for (const row of merged) {
    start = Math.min(start, store.startOf(row))
    end = Math.max(end, store.timestampOf(row))
  }
  const values = merged.map((row) => store.valueAt(row) as Value)
  const after = mergedValue(values, value)
  const [first] = merged
  const row = start === end && first !== undefined ? first : store.replace(key, merged, start, end, time)
  store.update(row, after, end, time)
}

const keyOf = fc.constantFrom('', 'a', 'aa', 'b')
const timeOf = fc.nat(60)
const valueOf = fc.oneof(fc.string({ maxLength: 2 }), fc.nat(9))
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('record' as const),
      key: keyOf,
      value: valueOf,
      time: timeOf,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      key: keyOf,
      value: fc.option(valueOf),
      start: timeOf,
      length: fc.nat(5),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('removeOne' as const), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('find' as const), key: keyOf, from: timeOf, to: timeOf }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('fetch' as const), key: keyOf, start: timeOf, length: fc.nat(5) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('all' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('seal' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

describe.each(engines)('on %s', (_name, engine, numRuns) => {
  test('a session store shows exactly the sessions within its retention, across commits, flushes and restarts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 100 }),
        fc.constantFrom(0, 1500, 1_000_000),
        fc.constantFrom(1, 9, 40, 500),
        fc.constantFrom(1, 4),
        async (steps, cache, retentionMs, gap) => {
          const life = new StoreLife(
            engine(),
            { ...specOf({ kind: 'session', retentionMs }), value: json },
            (spec, store, record) => new SessionOverlay(spec, store, record, cache),
            `${root}/${directories++}`,
          )
          await life.reopen()
          let model = new SessionModel(retentionMs)
          let committed = model.copy()
          let sealed: FlushSet | null = null
          let shift = 0
          const flush = async (): Promise<void> => {
            if (sealed === null) return
            const set: FlushSet = sealed
            sealed = null
            await life.flush(set)
          }
          for (const one of steps) {
            const store = life.overlay
            // Time advances: the same generated numbers mean ever later times.
            shift += 2
            life.record.timestamp = shift
            if (one.kind === 'record') {
              addRecord(store, one.key, one.value, one.time + shift, gap)
              model.record(one.key, one.value, one.time + shift, gap)
            } else if (one.kind === 'put') {
              const start = one.start + shift
              store.put(one.key, one.value, start, start + one.length)
              model.put(one.key, one.value, start, start + one.length)
            } else if (one.kind === 'removeOne') {
              const found = model.find(null, 0, Number.POSITIVE_INFINITY)[one.which]
              if (found === undefined) continue
              store.put(found.key, null, found.start, found.end)
              model.put(found.key, null, found.start, found.end)
            } else if (one.kind === 'find') {
              const found = [...store.findSessions(one.key, one.from + shift, one.to + shift)]
              expect(found).toEqual(model.find(one.key, one.from + shift, one.to + shift))
            } else if (one.kind === 'fetch') {
              const start = one.start + shift
              const expected = model
                .find(one.key, start + one.length, start)
                .find((session) => session.start === start && session.end === start + one.length)
              expect(store.fetchSession(one.key, start, start + one.length)).toBe(expected?.value ?? null)
            } else if (one.kind === 'all') {
              expect([...store.all()]).toEqual(model.find(null, 0, Number.POSITIVE_INFINITY))
            } else if (one.kind === 'commit') {
              life.commit()
              committed = model.copy()
            } else if (one.kind === 'seal') {
              sealed ??= life.seal()
            } else if (one.kind === 'flush') {
              await flush()
            } else {
              await flush()
              await life.reopen()
              model = committed.copy()
            }
          }
          expect([...life.overlay.all()]).toEqual(model.find(null, 0, Number.POSITIVE_INFINITY))
          await flush()
          await life.close()
        },
      ),
      { numRuns },
    )
  })
})

const memory = storeEngines[0]?.[1] as () => StoreEngine

async function opened(
  options: { readonly cache?: number; readonly emit?: 'final'; readonly retentionMs?: number } = {},
): Promise<StoreLife<SessionOverlay>> {
  const { emit = 'commit', retentionMs = 1000 } = options
  const spec: StoreSpec = { ...specOf({ kind: 'session', retentionMs }), emit }
  const life = new StoreLife(
    memory(),
    spec,
    (own, store, record) => new SessionOverlay(own, store, record, options.cache ?? 1_000_000),
  )
  await life.reopen()
  return life
}

function changes(life: StoreLife<SessionOverlay>): string[] {
  return life.changelog.map(({ key, value }) => {
    const at = key.length - 16
    return `${key.toString('utf8', 0, at)} ${readInt64(key, at + 8)}..${readInt64(key, at)} ${value?.toString() ?? 'deleted'}`
  })
}

function shown(life: StoreLife<SessionOverlay>, key: string): string[] {
  return [...life.overlay.fetch(key)].map(({ start, end, value }) => `${start}..${end} ${String(value)}`)
}

/** Counts the ranges that are read from the store from now on. */
function readsOf({ overlay: { store } }: StoreLife<SessionOverlay>): { count: number } {
  const reads = { count: 0 }
  const range = store.range.bind(store)
  store.range = (...given) => {
    reads.count += 1
    return range(...given)
  }
  return reads
}

test('a session that grows within a commit leaves one changelog row and no trace of its earlier bounds', async () => {
  const life = await opened()
  for (const time of [10, 12, 14, 11]) addRecord(life.overlay, 'k', '.', time, 5)

  life.commit()

  expect(changes(life)).toEqual(['k 10..14 ....'])
})

test('a session that grew since the last commit is deleted at its old bounds, then put at its new ones', async () => {
  const life = await opened()
  addRecord(life.overlay, 'k', '.', 10, 5)
  life.commit()
  for (const time of [12, 14]) addRecord(life.overlay, 'k', '.', time, 5)

  life.commit()

  expect(changes(life).slice(1)).toEqual(['k 10..10 deleted', 'k 10..14 ...'])
})

test('a session created and merged within a commit leaves no row, and its committed partner leaves a tombstone', async () => {
  const life = await opened()
  addRecord(life.overlay, 'k', 'a', 10, 5)
  life.commit()
  addRecord(life.overlay, 'k', 'b', 20, 5)
  addRecord(life.overlay, 'k', 'c', 15, 5)

  life.commit()

  expect(changes(life).slice(1)).toEqual(['k 10..10 deleted', 'k 10..20 a+bc'])
})

test('a session merged during the flush of its row does not come back, neither at once nor after a restart', async () => {
  const life = await opened({ cache: 0 })
  // So many keys that the overlay does not know which ones the store has.
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `other-${index}`, 'x', 1, 5)
  life.commit()
  await life.flush(life.seal())
  await life.reopen()
  addRecord(life.overlay, 'k', 'a', 10, 5)
  addRecord(life.overlay, 'later', 'a', 20, 5)
  life.commit()
  const set = life.seal()
  addRecord(life.overlay, 'k', 'b', 12, 5)
  await life.flush(set)
  expect(shown(life, 'k')).toEqual(['10..12 ab'])
  life.commit()
  await life.flush(life.seal())

  await life.reopen()

  expect(shown(life, 'k')).toEqual(['10..12 ab'])
})

test('a session that is deleted, recreated and then extended stays deleted at its old bounds', async () => {
  const life = await opened()
  addRecord(life.overlay, 'k', 'a', 10, 5)
  life.commit()
  await life.flush(life.seal())
  life.overlay.put('k', null, 10, 10)
  life.commit()
  addRecord(life.overlay, 'k', 'b', 10, 5)
  addRecord(life.overlay, 'k', 'c', 12, 5)
  life.commit()
  await life.flush(life.seal())

  await life.reopen()

  expect(shown(life, 'k')).toEqual(['10..12 bc'])
})

test('a session that is deleted again while its first deletion is being flushed stays deleted', async () => {
  const life = await opened({ cache: 0 })
  // So many keys that the overlay does not know which ones the store has.
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `other-${index}`, 'x', 1, 5)
  addRecord(life.overlay, 'k', 'a', 10, 5)
  life.commit()
  await life.flush(life.seal())
  await life.reopen()
  addRecord(life.overlay, 'later', 'x', 20, 5)
  life.overlay.put('k', null, 10, 10)
  life.commit()
  const deletion = life.seal()
  life.overlay.put('k', 'b', 10, 10)
  life.commit()
  life.overlay.put('k', null, 10, 10)

  await life.flush(deletion)
  await life.flush(life.seal())

  expect(life.overlay.fetchSession('k', 10, 10)).toBeNull()
  life.commit()
  expect(life.overlay.fetchSession('k', 10, 10)).toBeNull()
  await life.flush(life.seal())
  await life.reopen()
  expect(life.overlay.fetchSession('k', 10, 10)).toBeNull()
})

test('sessions that come and go within a commit leave nothing, neither in the changelog nor in memory', async () => {
  const life = await opened()
  addRecord(life.overlay, 'kept', 'a', 10, 5)
  for (let index = 0; index < 5000; index++) {
    life.overlay.put(`k-${index}`, 'v', 10, 10)
    life.overlay.put(`k-${index}`, null, 10, 10)
  }
  addRecord(life.overlay, 'kept', 'b', 12, 5)

  life.commit()

  expect(changes(life)).toEqual(['kept 10..12 ab'])
  expect(life.overlay.rowCount).toBeLessThan(2500)
})

test('a session that was returned as closed and has grown since is returned once more', async () => {
  const life = await opened({ emit: 'final' })
  const { overlay } = life
  addRecord(overlay, 'k', 'a', 10, 5)
  expect(overlay.closed(0, 10)).toHaveLength(1)

  addRecord(overlay, 'k', 'b', 12, 5)

  expect(overlay.closed(11, 12).map((row) => [overlay.timestampOf(row), overlay.valueAt(row)])).toEqual([[12, 'ab']])
})

test('an old session evicted from memory is still found when a newer one of its key is in memory', async () => {
  const life = await opened({ cache: 0 })
  addRecord(life.overlay, 'k', 'a', 10, 5)
  addRecord(life.overlay, 'k', 'b', 50, 5)
  life.commit()
  await life.flush(life.seal())
  addRecord(life.overlay, 'other', 'x', 50, 5)
  life.commit()
  const set = life.seal()
  expect(shown(life, 'k')).toEqual(['10..10 a', '50..50 b'])
  addRecord(life.overlay, 'k', 'c', 50, 5)

  await life.flush(set)

  expect(shown(life, 'k')).toEqual(['10..10 a', '50..50 bc'])
})

test('an empty flush does not change the clock of the store', async () => {
  const life = await opened({ cache: 0, retentionMs: 10 })
  addRecord(life.overlay, 'a', '1', 2, 1)
  life.commit()
  await life.reopen()
  await life.flush(life.seal())
  await life.reopen()

  expect([...life.overlay.all()]).toEqual([{ key: 'a', start: 2, end: 2, value: '1' }])
  await life.close()
})

test('a flush of nothing leaves the clock at the last commit, whatever was put since', async () => {
  const life = await opened({ cache: 0, retentionMs: 1 })
  addRecord(life.overlay, 'a', '1', 20, 1)
  await life.flush(life.seal())
  await life.flush(life.seal())
  await life.reopen()

  addRecord(life.overlay, 'a', '2', 10, 1)
  expect([...life.overlay.all()]).toEqual([{ key: 'a', start: 10, end: 10, value: '2' }])
  await life.close()
})

test('a key that was known to have no sessions is looked up again once it has one', async () => {
  const life = await opened({ cache: 0 })
  addRecord(life.overlay, 'other', 'x', 1, 5)
  life.commit()
  await life.flush(life.seal())
  await life.reopen()
  expect(shown(life, 'k')).toEqual([])
  addRecord(life.overlay, 'k', 'a', 10, 5)
  life.commit()
  await life.flush(life.seal())

  addRecord(life.overlay, 'k', 'b', 100, 5)

  expect(shown(life, 'k')).toEqual(['10..10 a', '100..100 b'])
})

test('that one key has no sessions in a stretch of time says nothing about another key of the same length', async () => {
  const life = await opened({ cache: 0 })
  addRecord(life.overlay, 'b', 'x', 10, 5)
  addRecord(life.overlay, 'a', 'y', 50, 5)
  life.commit()
  await life.flush(life.seal())
  expect([...life.overlay.findSessions('b', 45, 60)]).toEqual([])
  addRecord(life.overlay, 'a', 'z', 100, 5)

  const found = [...life.overlay.findSessions('a', 45, 60)]

  expect(found).toEqual([{ key: 'a', start: 50, end: 50, value: 'y' }])
})

test('earlier bounds of a session do not stay in memory', async () => {
  const life = await opened()
  for (let time = 0; time < 500; time++) {
    addRecord(life.overlay, 'k', '', time, 5)
    life.commit()
    await life.flush(life.seal())
  }

  expect(life.overlay.listedCount).toBe(1)
})

test.each([
  ['merged', 4],
  ['expired', 2000],
  ['expired before they were put', -5000],
] as const)('the memory of sessions that were %s is used again', async (_, step) => {
  const life = await opened({ retentionMs: 1000, emit: 'final' })
  addRecord(life.overlay, 'first', '', 10_000_000, 5)
  for (let index = 0; index < 4000; index++) {
    addRecord(life.overlay, 'k', '', 10_000_000 + index * step, 5)
    if (index % 10 !== 0) continue
    life.commit()
    await life.flush(life.seal())
  }

  expect(life.overlay.rowCount).toBeLessThan(2500)
})

test('memory stays within its bound, and evicted sessions are read from the store', async () => {
  const life = await opened({ cache: 14_000 })
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `key-${index}`, 'x', index, 5)
  life.commit()
  await life.flush(life.seal())
  expect(life.overlay.listedCount).toBeLessThan(100)

  addRecord(life.overlay, 'key-7', 'y', 8, 5)

  expect([...life.overlay.fetch('key-7')]).toEqual([{ key: 'key-7', start: 7, end: 8, value: 'xy' }])
})

test('the store is read once for the sessions of a key, however often they are looked up', async () => {
  const life = await opened()
  addRecord(life.overlay, 'k', 'a', 10, 5)
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `key-${index}`, 'x', 50, 5)
  life.commit()
  await life.flush(life.seal())
  await life.reopen()
  expect(shown(life, 'k')).toEqual(['10..10 a'])
  const reads = readsOf(life)

  for (let index = 0; index < 50; index++) expect(shown(life, 'k')).toEqual(['10..10 a'])

  expect(reads.count).toBe(0)
})

test('the store is not read for keys whose sessions have all expired', async () => {
  const life = await opened({ cache: 0, retentionMs: 10 })
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `key-${index}`, 'x', 1, 5)
  life.commit()
  await life.flush(life.seal())
  addRecord(life.overlay, 'later', 'x', 1000, 5)
  life.commit()
  await life.flush(life.seal())
  const reads = readsOf(life)

  for (let index = 0; index < 400; index++) expect(shown(life, `key-${index}`)).toEqual([])

  expect(reads.count).toBeLessThan(20)
})

test('adding keys that the store does not have costs almost no lookups in it', async () => {
  const life = await opened({ cache: 0 })
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `key-${index}`, 'x', index, 5)
  life.commit()
  await life.flush(life.seal())
  const reads = readsOf(life)

  for (let index = 0; index < 1000; index++) addRecord(life.overlay, `other-${index}`, 'x', 100, 5)

  expect(reads.count).toBeLessThan(20)
})

test('after a restart the keys of the store are read once instead of one lookup per key', async () => {
  const life = await opened()
  for (let index = 0; index < 400; index++) addRecord(life.overlay, `key-${index}`, 'x', index, 5)
  life.commit()
  await life.flush(life.seal())
  await life.reopen()
  const reads = readsOf(life)

  for (let index = 0; index < 1000; index++) addRecord(life.overlay, `other-${index}`, 'x', 100, 5)

  expect(reads.count).toBeLessThan(100)
})

test.each([1_000_000, 0])(
  'each session closes once, in order of end, start and key, with %i bytes of memory',
  async (cache) => {
    const life = await opened({ cache, emit: 'final' })
    const closed: string[] = []
    const close = (from: number, to: number): void => {
      const { overlay } = life
      for (const row of overlay.closed(from, to)) {
        closed.push(`${String(overlay.keyOf(row))} ${overlay.startOf(row)}..${overlay.timestampOf(row)}`)
      }
    }
    for (const [key, time] of [
      ['b', 10],
      ['a', 10],
      ['c', 11],
      ['a', 30],
      ['c', 13],
    ] as const) {
      addRecord(life.overlay, key, '', time, 5)
      life.commit()
      await life.flush(life.seal())
    }

    close(0, 9)
    // Sessions that were read ahead may be evicted before they close.
    addRecord(life.overlay, 'd', '', 60, 5)
    life.commit()
    await life.flush(life.seal())
    close(9, 12)
    await life.reopen()
    close(12, 13)
    close(13, 40)
    close(40, 50)

    expect(closed).toEqual(['a 10..10', 'b 10..10', 'c 11..13', 'a 30..30'])
  },
)

test.each([
  [Number.NaN, 5, /the start of a session is NaN/],
  [-1, 5, /the start of a session is -1/],
  [0, undefined, /the end of a session is undefined/],
  [0, Number.POSITIVE_INFINITY, /the end of a session is Infinity/],
  [0.5, 1.5, /the start of a session is 0.5/],
  [7, 5, /a session from 7 to 5 ends before it starts/],
])('a session from %s to %s is refused, and nothing expires by it', async (start, end, message) => {
  const life = await opened()
  life.overlay.put('k', 'v', 0, 5)

  expect(() => life.overlay.put('k', 'w', start, end as number)).toThrow(message)

  life.commit()
  expect(shown(life, 'k')).toEqual(['0..5 v'])
})
