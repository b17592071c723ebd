import { expect, test } from 'vitest'
import { reasonFor } from '../../src/base/coded-error.ts'
import { LogError } from '../../src/log/api/errors.ts'

const refusal = new LogError('INVALID_RECORD', 'the value is INVALID_RECORD: no JSON')

test('an error with the same code as its cause gives the reason without the code', () => {
  expect(reasonFor('INVALID_RECORD', refusal)).toBe('the value is INVALID_RECORD: no JSON')
})

test('an error with another code than its cause gives the reason with that code', () => {
  expect(reasonFor('PRODUCTION_FAILED', refusal)).toBe('INVALID_RECORD: the value is INVALID_RECORD: no JSON')
})

test('a cause without a code is its message or, if it is no error, its text', () => {
  const own = Object.assign(new Error('no JSON'), { code: 'INVALID_RECORD' })
  expect(reasonFor('INVALID_RECORD', own)).toBe('no JSON')
  expect(reasonFor('INVALID_RECORD', 'no JSON')).toBe('no JSON')
})
