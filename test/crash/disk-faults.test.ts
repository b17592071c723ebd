import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import type { DiskFaults } from '../../src/testing/memory-disk.ts'
import { liveWithFault, type FaultOutcome } from '../torture/log-faults.ts'

const seeds = [1, 2]
const actions = 30

/** Runs the life of each seed once without a fault, then once for each place where it can fail. */
async function failEverywhere(
  sync: 'commit' | 'os',
  places: (whole: FaultOutcome) => readonly DiskFaults[],
): Promise<Record<FaultOutcome['felt'], number>> {
  const felt = { opening: 0, use: 0, never: 0 }
  for (const seed of seeds) {
    const whole = await liveWithFault({ seed, sync, faults: {}, actions })
    assert.equal(whole.felt, 'never')
    for (const faults of places(whole)) {
      try {
        felt[(await liveWithFault({ seed, sync, faults, actions })).felt]++
      } catch (error) {
        throw new Error(`seed ${seed}, sync ${sync}, ${JSON.stringify(faults)}`, { cause: error })
      }
    }
  }
  return felt
}

/** About sixty numbers from 1 to `count`. */
function someUpTo(count: number): number[] {
  const step = Math.max(1, Math.floor(count / 60))
  return Array.from({ length: Math.floor(count / step) }, (_, index) => (index + 1) * step)
}

for (const sync of ['commit', 'os'] as const) {
  describe(`a disk that fails under a log with sync: ${sync}`, () => {
    test('stops the log at the first failed sync, and loses nothing acknowledged', async () => {
      const felt = await failEverywhere(sync, ({ counts }) =>
        someUpTo(counts.sync + counts.syncDirectory).map((failSyncAt) => ({ failSyncAt })),
      )

      assert(felt.opening > 5 && felt.use > 20, JSON.stringify(felt))
    })

    test('stops the log at the first failed write, and loses nothing acknowledged', async () => {
      const felt = await failEverywhere(sync, ({ counts }) =>
        someUpTo(counts.write).map((failWriteAt) => ({ failWriteAt })),
      )

      assert(felt.opening > 5 && felt.use > 20, JSON.stringify(felt))
    })

    test('loses nothing when it is full, and the log goes on when there is space again', async () => {
      const felt = await failEverywhere(sync, ({ usedBytes }) =>
        someUpTo(usedBytes).map((capacityBytes) => ({ capacityBytes })),
      )

      assert(felt.opening > 5 && felt.use > 10, JSON.stringify(felt))
    })
  })
}
