import * as assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import type { OrderedStore, StorePosition } from '../../src/streams/store/ordered-store.ts'
import { storeKeyBytesMax } from '../../src/streams/store/store-error.ts'
import { WriteBatch } from '../../src/streams/store/write-batch.ts'

export interface StoreUnderTest {
  readonly store: OrderedStore
  /** Closes and reopens the store; null if its data does not outlive the process. */
  readonly reopen: (() => Promise<OrderedStore>) | null
  /** Closes the store and removes its data. */
  readonly destroy: () => Promise<void>
}

export interface StoreContractOptions {
  readonly open: (spaces: number) => Promise<StoreUnderTest>
  readonly modelRuns: number
}

/** The rules that every store engine keeps. */
export function storeContract(name: string, options: StoreContractOptions): void {
  const storeTest = (title: string, body: (under: StoreUnderTest) => Promise<void>): void => {
    test(title, async () => {
      const under = await options.open(3)
      try {
        await body(under)
      } finally {
        await under.destroy()
      }
    })
  }

  describe(`ordered store: ${name}`, () => {
    storeTest('a fresh store has no entries and no position', ({ store }) => {
      assert.equal(store.position, null)
      assert.equal(store.get(0, bytes('a')), undefined)
      assert.deepEqual(read(store, 0), [])
      assert.equal(store.count(0), 0)
      return Promise.resolve()
    })

    storeTest('a flush puts, overwrites and deletes entries, and sets the position', async ({ store }) => {
      await flush(store, 1, { put: { a: '1', b: '2', c: '3' } })
      await flush(store, 2, { put: { b: 'two' }, delete: ['c', 'never there'] })

      assert.deepEqual(read(store, 0), ['a=1', 'b=two'])
      assert.equal(text(store.get(0, bytes('b'))), 'two')
      assert.equal(store.get(0, bytes('c')), undefined)
      assert.deepEqual(store.position, positionOf(2))
      assert.equal(store.count(0), 2)
    })

    storeTest('operations may be given in any order of keys, and the last one for a key wins', async ({ store }) => {
      const batch = new WriteBatch()
      batch.put(1, bytes('z'), bytes('1'))
      batch.put(0, bytes('m'), bytes('2'))
      batch.put(0, bytes('a'), bytes('3'))
      batch.put(1, bytes('z'), bytes('4'))
      batch.delete(0, bytes('m'))
      batch.put(0, bytes('ab'), bytes('5'))

      await store.flush({ clear: [], operations: batch.take(), position: positionOf(1) })

      assert.deepEqual(read(store, 0), ['a=3', 'ab=5'])
      assert.deepEqual(read(store, 1), ['z=4'])
    })

    storeTest('a range includes its start and excludes its end, in both directions', async ({ store }) => {
      await flush(store, 1, { put: { a: '1', b: '2', ba: '3', c: '4' } })

      assert.deepEqual(read(store, 0, { from: 'b' }), ['b=2', 'ba=3', 'c=4'])
      assert.deepEqual(read(store, 0, { from: 'b', to: 'c' }), ['b=2', 'ba=3'])
      assert.deepEqual(read(store, 0, { from: 'aa', to: 'bb' }), ['b=2', 'ba=3'])
      assert.deepEqual(read(store, 0, { from: 'b', to: 'c', reverse: true }), ['ba=3', 'b=2'])
      assert.deepEqual(read(store, 0, { reverse: true }), ['c=4', 'ba=3', 'b=2', 'a=1'])
      assert.deepEqual(read(store, 0, { from: 'c', to: 'b' }), [])
      assert.deepEqual(read(store, 0, { from: 'b', to: 'b', reverse: true }), [])
    })

    storeTest('keys are ordered as unsigned bytes, and empty keys and values are kept', async ({ store }) => {
      const keys = [[], [0], [0, 0], [0, 1], [1], [0x7f], [0x80], [0xff], [0xff, 0], [0xff, 0xff]]
      const batch = new WriteBatch()
      for (const key of keys.toReversed()) batch.put(0, Uint8Array.from(key), new Uint8Array(0))
      await store.flush({ clear: [], operations: batch.take(), position: positionOf(1) })

      const range = { from: new Uint8Array(0), to: null }
      assert.deepEqual(
        [...store.range(0, { ...range, reverse: false })].map(({ key }) => [...key]),
        keys,
      )
      assert.deepEqual(
        Array.from(store.range(0, { ...range, reverse: true }), ({ key }) => [...key]),
        keys.toReversed(),
      )
      assert.equal(store.get(0, new Uint8Array(0))?.length, 0)
      assert.equal(store.count(0), keys.length)
    })

    storeTest(
      'a range shows a snapshot of the store as it was opened, even if its first step comes after later flushes',
      async ({ store }) => {
        await flush(store, 1, { put: { a: '1', b: '2', c: '3' } })
        const untouched = store.range(0, all)
        const begun = store.range(0, all)
        begun.next()

        await flush(store, 2, { put: { b: 'new', bb: 'new' }, delete: ['c'] })
        await flush(store, 3, { clear: [0], put: { d: 'new' } })

        assert.deepEqual(items(untouched), ['a=1', 'b=2', 'c=3'])
        assert.deepEqual(items(begun), ['b=2', 'c=3'])
        assert.deepEqual(read(store, 0), ['d=new'])
      },
    )

    storeTest('a range may be abandoned early, or before its first step', async ({ store }) => {
      await flush(store, 1, { put: { a: '1', b: '2' } })
      store.range(0, all).return?.()
      for (const { key } of store.range(0, all)) {
        assert.equal(text(key), 'a')
        break
      }
      await flush(store, 2, { put: { c: '3' } })
      assert.deepEqual(read(store, 0), ['a=1', 'b=2', 'c=3'])
    })

    storeTest(
      'a space is cleared before the puts of the same flush, and other spaces keep their entries',
      async ({ store }) => {
        await flush(store, 1, { put: { a: '1', '': 'empty' } })
        await flush(store, 2, { space: 1, put: { a: 'other' } })

        await flush(store, 3, { clear: [0, 2], put: { b: '2' } })

        assert.deepEqual(read(store, 0), ['b=2'])
        assert.deepEqual(read(store, 1), ['a=other'])
      },
    )

    storeTest('values of any size are read back unchanged', async ({ store }) => {
      const sizes = [1, 100, 4096, 40_000, 300_000]
      const batch = new WriteBatch()
      for (const size of sizes) batch.put(2, bytes(`size ${size}`), new Uint8Array(size).fill(size))
      await store.flush({ clear: [], operations: batch.take(), position: positionOf(1) })

      for (const size of sizes) {
        const value = store.get(2, bytes(`size ${size}`))
        assert.equal(value?.length, size)
        assert.equal(value.byteLength, size)
        assert.ok(value.every((byte) => byte === (size & 0xff)))
      }
      assert.equal(items(store.range(2, all)).length, sizes.length)
    })

    storeTest(
      'the longest key is accepted and a longer one is refused, while a range bound may be longer',
      async ({ store }) => {
        const longest = new Uint8Array(storeKeyBytesMax).fill(7)
        const longer = new Uint8Array(storeKeyBytesMax + 1).fill(7)
        const batch = new WriteBatch()
        batch.put(0, longest, bytes('long'))
        await store.flush({ clear: [], operations: batch.take(), position: positionOf(1) })

        assert.throws(() => new WriteBatch().put(0, longer, bytes('x')), { code: 'STORE_KEY_TOO_LARGE' })
        assert.equal(text(store.get(0, longest)), 'long')
        assert.equal(store.get(0, longer), undefined)
        const none = new Uint8Array(0)
        assert.equal(items(store.range(0, { from: none, to: longer, reverse: false })).length, 1)
        assert.equal(items(store.range(0, { from: none, to: longer, reverse: true })).length, 1)
        assert.equal(items(store.range(0, { from: longer, to: null, reverse: false })).length, 0)
        assert.equal(items(store.range(0, { from: longer, to: null, reverse: true })).length, 0)
      },
    )

    storeTest('a failed flush changes nothing', async ({ store }) => {
      await flush(store, 1, { put: { a: '1' } })
      const batch = new WriteBatch()
      batch.put(0, bytes('a'), bytes('2'))
      batch.put(9, bytes('b'), bytes('2'))

      await assert.rejects(async () => store.flush({ clear: [0], operations: batch.take(), position: positionOf(2) }))

      assert.deepEqual(read(store, 0), ['a=1'])
      assert.deepEqual(store.position, positionOf(1))
    })

    storeTest('flushed entries and their position are still there after reopening', async ({ store, reopen }) => {
      if (reopen === null) return
      await flush(store, 1, { put: { a: '1', '': 'empty', b: '2' } })
      await flush(store, Number.MAX_SAFE_INTEGER - 1, { delete: ['b'], put: { c: '3' } })

      const again = await reopen()

      assert.deepEqual(read(again, 0), ['=empty', 'a=1', 'c=3'])
      assert.deepEqual(again.position, positionOf(Number.MAX_SAFE_INTEGER - 1))
      await flush(again, 4, { put: { d: '4' } })
      assert.deepEqual(read(again, 0), ['=empty', 'a=1', 'c=3', 'd=4'])
    })

    test('any history of flushes, reads and reopenings equals a sorted map', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (history) => {
          const under = await options.open(2)
          try {
            await runHistory(under, history)
          } finally {
            await under.destroy()
          }
        }),
        { numRuns: options.modelRuns, seed: 31 },
      )
    })
  })
}

type Step =
  | { readonly kind: 'flush'; readonly clear: readonly number[]; readonly writes: readonly Write[] }
  | {
      readonly kind: 'range'
      readonly space: number
      readonly from: Uint8Array
      readonly to: Uint8Array | null
      readonly reverse: boolean
    }
  | { readonly kind: 'reopen' }
interface Write {
  readonly space: number
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

const space = fc.integer({ min: 0, max: 1 })
const key = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { maxLength: 3 }).map((values) => Uint8Array.from(values)),
  fc.uint8Array({ maxLength: 12 }),
)
const write: fc.Arbitrary<Write> = fc.record({
  space,
  key,
  value: fc.option(fc.uint8Array({ maxLength: 20 }), { freq: 3 }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('flush' as const),
      clear: fc.uniqueArray(space, { maxLength: 1 }).filter((list) => list.length === 0 || list[0] === 1),
      writes: fc.array(write, { maxLength: 40 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('range' as const),
      space,
      from: key,
      to: fc.option(key),
      reverse: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

async function runHistory(under: StoreUnderTest, history: readonly Step[]): Promise<void> {
  let store = under.store
  const model = [new Map<string, string>(), new Map<string, string>()] as const
  const of = (index: number): Map<string, string> => (index === 0 ? model[0] : model[1])
  let count = 0
  for (const entry of history) {
    if (entry.kind === 'flush') {
      const batch = new WriteBatch()
      for (const index of entry.clear) of(index).clear()
      for (const change of entry.writes) {
        if (change.value === null) {
          batch.delete(change.space, change.key)
          of(change.space).delete(hex(change.key))
        } else {
          batch.put(change.space, change.key, change.value)
          of(change.space).set(hex(change.key), hex(change.value))
        }
      }
      const given = { clear: entry.clear, operations: batch.take(), position: positionOf(++count) }
      const memory = await store.flush(given)
      // The store does not need any more what it gives back.
      if (memory !== null) new Uint8Array(memory).fill(0xee)
      for (const change of entry.writes) {
        const found = store.get(change.space, change.key)
        assert.equal(found && hex(found), of(change.space).get(hex(change.key)))
      }
      assert.deepEqual(store.position, positionOf(count))
    } else if (entry.kind === 'range') {
      const expected = [...of(entry.space)]
        .filter(([id]) => id >= hex(entry.from) && (entry.to === null || id < hex(entry.to)))
        .sort(([left], [right]) => (left < right ? -1 : 1))
      if (entry.reverse) expected.reverse()
      const found = Array.from(store.range(entry.space, entry), (item) => [hex(item.key), hex(item.value)])
      assert.deepEqual(found, expected)
    } else if (under.reopen !== null) {
      store = await under.reopen()
      assert.deepEqual(store.position, count === 0 ? null : positionOf(count))
    }
  }
  assert.equal(store.count(0), of(0).size)
}

interface Changes {
  readonly space?: number
  readonly clear?: readonly number[]
  readonly put?: Readonly<Record<string, string>>
  readonly delete?: readonly string[]
}

async function flush(store: OrderedStore, at: number, changes: Changes): Promise<void> {
  const batch = new WriteBatch()
  for (const [name, value] of Object.entries(changes.put ?? {}))
    batch.put(changes.space ?? 0, bytes(name), bytes(value))
  for (const name of changes.delete ?? []) batch.delete(changes.space ?? 0, bytes(name))
  await store.flush({ clear: changes.clear ?? [], operations: batch.take(), position: positionOf(at) })
}

function positionOf(at: number): StorePosition {
  return { leaderEpoch: at % 1000, changelogOffset: at, storeTime: at % 2 === 0 ? -1 : at }
}

const all = { from: new Uint8Array(0), to: null, reverse: false }

function read(
  store: OrderedStore,
  index: number,
  range: { from?: string; to?: string; reverse?: boolean } = {},
): string[] {
  const to = range.to === undefined ? null : bytes(range.to)
  return items(store.range(index, { from: bytes(range.from ?? ''), to, reverse: range.reverse ?? false }))
}

function items(range: IterableIterator<{ key: Uint8Array; value: Uint8Array }>): string[] {
  return Array.from(range, (item) => `${text(item.key)}=${text(item.value)}`)
}

function bytes(value: string): Uint8Array {
  return Buffer.from(value)
}

function text(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString()
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex')
}
