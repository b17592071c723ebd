import * as assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { test } from 'vitest'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { MemoryStoreEngine } from '../../../src/streams/store/memory-store.ts'
import { SortedEntries } from '../../../src/streams/store/sorted-entries.ts'
import { storeContract } from '../../contract/store-contract.ts'

storeContract('memory', {
  modelRuns: 300,
  open: async (spaces) => {
    const store = await new MemoryStoreEngine().open({ directory: 'unused', spaces })
    return { store, reopen: null, destroy: () => store.close() }
  },
})

test('thousands of entries stay sorted through puts and deletes, while open ranges keep their snapshot', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new SeededRandom(seed)
      const entries = new SortedEntries()
      const model = new Map<number, number>()
      for (let round = 0; round < 6; round++) {
        for (let change = 0; change < 700; change++) {
          const id = random.below(3000)
          const key = Uint8Array.of(id >> 8, id & 0xff)
          if (random.chance(0.3)) {
            entries.delete(key)
            model.delete(id)
          } else {
            entries.put(key, Uint8Array.of(round))
            model.set(id, round)
          }
        }
        const expected = [...model].sort(([left], [right]) => left - right)
        const range = entries.range({ from: Uint8Array.of(1), to: Uint8Array.of(9), reverse: random.chance(0.5) })
        const backwards = entries.range({ from: Uint8Array.of(1), to: Uint8Array.of(9), reverse: true })
        entries.put(Uint8Array.of(2, 2), Uint8Array.of(99))
        model.set(2 * 256 + 2, 99)

        const within = expected.filter(([id]) => id >= 256 && id < 9 * 256)
        const seen = Array.from(range, ({ key, value }) => [(key[0] ?? 0) * 256 + (key[1] ?? 0), value[0]])
        assert.deepEqual(
          seen.sort(([left], [right]) => Number(left) - Number(right)),
          within,
        )
        assert.equal([...backwards].length, within.length)
      }
    }),
    { numRuns: 20, seed: 20 },
  )
})
