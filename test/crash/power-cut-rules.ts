import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { cutPower, powerKinds, type PowerRun } from '../torture/power-scenarios.ts'

/** A bug put in on purpose, and the scenarios that must find it. */
export type Control = { readonly rule: string; readonly seed?: number } & Omit<PowerRun, 'states' | 'seed'>

/** Half of all states: each sync mode has a test file of its own, so that the two run in parallel. */
const states = 10_000

/** Checks that a log keeps its promise wherever the power is cut, and that the check fails for each of `controls`. */
export function powerCutRules(sync: 'commit' | 'os', controls: readonly Control[]): void {
  describe(`a power cut before any operation of a log with sync: ${sync}`, () => {
    test('leaves exactly what was promised, in order, and nothing else', { timeout: 300_000 }, async () => {
      const totals = await cutPower({ states, seed: 1, kinds: powerKinds.filter((kind) => kind.includes(`-${sync}`)) })

      assert.deepEqual(totals.violations, [])
      assert(totals.states >= states)
      assert(totals.insideRecovery >= states / 10, `${totals.insideRecovery} cuts inside recovery`)
    })
  })

  describe('the check above fails', () => {
    for (const { rule, ...control } of controls) {
      test(rule, async () => {
        const totals = await cutPower({ states: 6000, seed: 1, ...control })

        // A state may break several promises at once.
        assert(totals.violations.length > 0, `nothing was found in ${totals.states} states`)
      })
    }
  })
}
