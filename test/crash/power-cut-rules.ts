import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { cutPower, powerKinds, type PowerRun } from '../torture/power-scenarios.ts'

/** A bug put in on purpose, and where it is to be found. */
export type Control = { readonly rule: string; readonly seed?: number } & Omit<PowerRun, 'states' | 'seed'>

/** Half of all, as each way to sync has a file of its own: they run beside each other. */
const states = 10_000

/** That a log of one way to sync keeps its promise wherever power is cut, and that this would be noticed if it did not. */
export function powerCutRules(sync: 'commit' | 'os', controls: readonly Control[]): void {
  describe(`the power cut at every operation of a log with sync: ${sync}`, () => {
    test('finds what was promised, exactly and in order, and nothing else', { timeout: 300_000 }, async () => {
      const totals = await cutPower({ states, seed: 1, kinds: powerKinds.filter((kind) => kind.includes(`-${sync}`)) })

      assert.deepEqual(totals.violations, [])
      assert(totals.states >= states)
      assert(totals.insideRecovery >= states / 10, `${totals.insideRecovery} cuts inside recovery`)
    })
  })

  describe('the same goes red', () => {
    for (const { rule, ...control } of controls) {
      test(rule, async () => {
        const totals = await cutPower({ states: 6000, seed: 1, ...control })

        // A state may break several promises at once.
        assert(totals.violations.length > 0, `nothing was found in ${totals.states} states`)
      })
    }
  })
}
