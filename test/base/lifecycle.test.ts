import * as assert from 'node:assert/strict'
import { test } from 'vitest'
import { InvariantError } from '../../src/base/assert.ts'
import { Lifecycle } from '../../src/base/lifecycle.ts'

type Phase = 'created' | 'running' | 'closed'
const make = (): Lifecycle<Phase> =>
  new Lifecycle<Phase>('task 0_1', { created: ['running', 'closed'], running: ['closed'], closed: [] }, 'created')

test('a lifecycle allows the transitions of its table and calls its listeners', () => {
  const lifecycle = make()
  const seen: string[] = []
  const stop = lifecycle.onChange((phase, before) => seen.push(`${before} to ${phase}`))

  lifecycle.to('running')
  stop()
  lifecycle.to('closed')

  assert.deepEqual(seen, ['created to running'])
  assert.equal(lifecycle.phase, 'closed')
  assert.ok(lifecycle.is('running', 'closed'))
  assert.ok(!lifecycle.is('running'))
})

test('any other transition throws InvariantError, names both phases and changes nothing', () => {
  const lifecycle = make()
  lifecycle.to('running')
  assert.throws(
    () => lifecycle.to('created'),
    (error) => error instanceof InvariantError && /task 0_1 cannot go from running to created/.test(error.message),
  )
  assert.throws(() => lifecycle.to('running'), InvariantError)
  assert.equal(lifecycle.phase, 'running')
})
