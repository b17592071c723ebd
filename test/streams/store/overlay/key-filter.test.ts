import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../../../src/base/seeded-random.ts'
import { KeyFilter } from '../../../../src/streams/store/overlay/key-filter.ts'

const seed = 20_261_121

/** Distinct hashes. */
function hashes(count: number): readonly number[] {
  const random = new SeededRandom(seed)
  const found = new Set<number>()
  while (found.size < count) found.add(random.below(2 ** 32) | 0)
  return [...found]
}

describe(`a filter of keys (seed ${seed})`, () => {
  test.each([
    { keys: 1000, mistakenMax: 0.001 },
    { keys: 10_000, mistakenMax: 0.03 },
    { keys: 100_000, mistakenMax: 0.04 },
  ])('of $keys keys contains all of them and has few false positives', ({ keys, mistakenMax }) => {
    const filter = new KeyFilter()
    const all = hashes(keys + 10_000)
    const [inside, outside] = [all.slice(0, keys), all.slice(keys)]
    for (const hash of inside) filter.add(hash)

    expect(inside.every((hash) => filter.mayHave(hash))).toBe(true)
    expect(outside.filter((hash) => filter.mayHave(hash)).length / outside.length).toBeLessThan(mistakenMax)
  })

  test('is empty before the first key and after it is cleared', () => {
    const filter = new KeyFilter()
    expect([filter.isEmpty, filter.mayHave(5)]).toEqual([true, false])
    filter.add(5)
    expect([filter.isEmpty, filter.mayHave(5)]).toEqual([false, true])
    filter.clear()
    expect([filter.isEmpty, filter.mayHave(5)]).toEqual([true, false])
  })
})
