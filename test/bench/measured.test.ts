import { expect, test } from 'vitest'
import { measured, type Rate } from '../../bench/log/measured.ts'

/** A run of 5 s in which each pass, of 100 records, takes so long. */
async function run(passes: readonly number[]): Promise<Pick<Rate, 'records' | 'seconds' | 'recordsPerSecond'>> {
  let now = 1000
  const { records, seconds, recordsPerSecond } = await measured(
    5,
    async (_, done) => {
      for (const ms of passes) {
        now += ms
        done(100)
      }
    },
    () => now,
  )
  return { records, seconds, recordsPerSecond }
}

test('a rate counts what follows the first pass that ends after the warm-up', async () => {
  expect(await run([300, 300, 1000, 1000])).toEqual({ records: 200, seconds: 2, recordsPerSecond: 100 })
})

test('a rate counts everything from the start if the warm-up ends with the last pass', async () => {
  expect(await run([8000])).toEqual({ records: 100, seconds: 8, recordsPerSecond: 12.5 })
  expect(await run([400, 7600])).toEqual({ records: 200, seconds: 8, recordsPerSecond: 25 })
})
