import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { neverSyncing } from '../torture/never-syncing.ts'
import { cutPower, powerKinds, type PowerRun } from '../torture/power-scenarios.ts'

/** Under `os` promised is what the last sync or checkpoint holds. As many states again are cut under `commit`, in a file of their own. */
const states = 10_000
const kinds = powerKinds.filter((kind) => kind.includes('-os'))

describe('the power cut at every operation of a log with sync: os', () => {
  test('finds what was promised, exactly and in order, and nothing else', { timeout: 300_000 }, async () => {
    const totals = await cutPower({ states, seed: 1, kinds })

    assert.deepEqual(totals.violations, [])
    assert(totals.states >= states)
    assert(totals.insideRecovery >= states / 10, `${totals.insideRecovery} cuts inside recovery`)
  })
})

describe('the same goes red', () => {
  const controls: readonly ({ readonly rule: string; readonly seed?: number } & Omit<PowerRun, 'states' | 'seed'>)[] = [
    {
      rule: 'when recovery serves a tail that it did not sync',
      kinds: ['log-os'],
      lies: { sync: (path) => path.endsWith('/recover.tmp') },
    },
    {
      rule: 'when a checkpoint runs ahead of the journal',
      kinds: ['log-os'],
      lies: { sync: (path) => path.endsWith('.journal') },
    },
    {
      rule: 'when a store is flushed past what the log has synced',
      kinds: ['app-os'],
      between: neverSyncing,
    },
  ]
  for (const { rule, ...control } of controls) {
    test(rule, async () => {
      const totals = await cutPower({ states: 6000, seed: 1, ...control })

      assert.equal(totals.violations.length, 1, `nothing was found in ${totals.states} states`)
    })
  }
})
