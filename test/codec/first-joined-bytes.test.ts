import { expect, test } from 'vitest'
import { joinedReaderOf } from '../../src/codec/joined-reader.ts'
import { bytes } from '../../src/codec/value-codecs.ts'

// In a file of its own, because it has to be the first call of all.
test('values that are read together may all be empty, also if none were read before', () => {
  const values = joinedReaderOf(bytes)?.(Buffer.alloc(8), new Int32Array([2, 2, 2, 2]), 2)

  expect(values).toEqual([Buffer.alloc(0), Buffer.alloc(0)])
})
