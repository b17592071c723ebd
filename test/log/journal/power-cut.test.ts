import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { JournalLife, type LifeOptions } from './journal-life.ts'

const seeds = 2

async function live(
  options: Omit<LifeOptions, 'seed'>,
): Promise<{ violations: string[]; states: number; rolls: number }> {
  let states = 0
  let rolls = 0
  for (let seed = 1; seed <= seeds; seed++) {
    const life = new JournalLife({ ...options, seed })
    await life.run()
    states += life.states
    rolls += life.rolls
    if (life.violations.length > 0) return { violations: life.violations, states, rolls }
  }
  return { violations: [], states, rolls }
}

describe('a power cut before any operation of the journal', () => {
  test('with sync: commit, leaves every acknowledged entry, whole and in order, and nothing else', async () => {
    const { violations, states, rolls } = await live({ sync: 'commit', actions: 60, patterns: 2 })

    assert.deepEqual(violations, [])
    assert(states >= 1000 * seeds && rolls >= 20 * seeds, `${states} states, ${rolls} rolls`)
  })

  test('with sync: os, leaves a prefix that is no older than the last sync', async () => {
    const { violations, states, rolls } = await live({ sync: 'os', actions: 60, patterns: 2 })

    assert.deepEqual(violations, [])
    assert(states >= 1000 * seeds && rolls >= 20 * seeds, `${states} states, ${rolls} rolls`)
  })
})

describe('the checks above fail', () => {
  test('when a group is acknowledged before its sync', async () => {
    const lies = { sync: (path: string) => path.endsWith('.journal') }
    const { violations } = await live({ sync: 'commit', actions: 60, patterns: 2, lies })

    assert.match(violations[0] ?? '', /promised were/)
  })

  test('when recovery serves a tail that it did not sync', async () => {
    const lies = { sync: (path: string) => path.endsWith('recover.tmp') }
    const { violations } = await live({ sync: 'os', actions: 60, patterns: 2, lies })

    assert.equal(violations.length, 1)
  })

  test('when a new name is not synced in its directory', async () => {
    const { violations } = await live({ sync: 'commit', actions: 60, patterns: 2, lies: { syncDirectory: () => true } })

    assert.equal(violations.length, 1)
  })
})
