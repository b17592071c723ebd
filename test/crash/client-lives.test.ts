import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { leadLives, type LifeKind } from '../torture/client-lives.ts'

/** More of them: `npm run torture:clients`, `npm run torture:admin`. Those of `admin` take half as long. */
const kinds: readonly { readonly kind: LifeKind; readonly lives: number; readonly of: string }[] = [
  { kind: 'clients', lives: 3, of: 'producers, transactions and consumer groups' },
  { kind: 'admin', lives: 6, of: 'clients of topics, groups and offsets that are changed under their hands' },
]

for (const { kind, lives, of } of kinds)
  describe(`in random lives of ${of}`, () => {
    test('what was acknowledged is there once, what was committed was processed, and every call ends', async () => {
      const totals = await leadLives({ kind, lives, seed: 1 })

      assert.deepEqual(totals.violations, [])
      assert.equal(totals.lives, lives)
      for (const name of ['acknowledged', 'delivered', 'transactions', 'commits', 'restarts'] as const)
        assert(totals[name] > 0, `${name} is ${totals[name]}`)
    })
  })
