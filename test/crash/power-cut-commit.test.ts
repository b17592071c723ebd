import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { cutPower, powerKinds, type PowerRun } from '../torture/power-scenarios.ts'

/** Under `commit` promised is what a durable reader could see. As many states again are cut under `os`, in a file of their own. */
const states = 10_000
const kinds = powerKinds.filter((kind) => !kind.includes('-os'))

describe('the power cut at every operation of a log with sync: commit', () => {
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
      rule: 'when a group is acknowledged before its sync',
      kinds: ['log-commit'],
      lies: { sync: (path) => path.endsWith('.journal') },
    },
    {
      rule: 'when a checkpoint counts segments that are not synced',
      kinds: ['log-commit'],
      lies: { sync: (path) => path.endsWith('.log') },
    },
    {
      rule: 'when a checkpoint takes its name before it is synced',
      kinds: ['log-commit'],
      lies: { sync: (path) => path.includes('/checkpoint-') },
    },
    {
      rule: 'when the entry of a compaction speaks of a file that is not synced',
      kinds: ['log-commit'],
      lies: { sync: (path) => path.endsWith('.log.cleaned') },
      // A third of the lives compacts where it shows; this is one of them.
      seed: 10,
    },
    {
      rule: 'when new names are not synced in the data directory',
      kinds: ['log-commit'],
      lies: { syncDirectory: (path) => path === '/data' },
    },
    {
      rule: 'when new names are not synced in the journal',
      kinds: ['log-commit'],
      lies: { syncDirectory: (path) => path.endsWith('/journal') },
    },
    {
      rule: 'when new names are not synced in a partition',
      kinds: ['log-commit'],
      lies: { syncDirectory: (path) => /-\d+$/.test(path) },
    },
    {
      rule: 'when a store takes its name before it is synced',
      kinds: ['app-commit'],
      lies: { sync: (path) => path.endsWith('store.snapshot.new') },
    },
    {
      rule: 'when an application is told of a group before its sync',
      kinds: ['app-commit'],
      lies: { sync: (path) => path.endsWith('.journal') },
    },
  ]
  for (const { rule, ...control } of controls) {
    test(rule, async () => {
      const totals = await cutPower({ states: 6000, seed: 1, ...control })

      assert.equal(totals.violations.length, 1, `nothing was found in ${totals.states} states`)
    })
  }
})
