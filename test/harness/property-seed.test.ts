import * as fc from 'fast-check'
import { expect, test } from 'vitest'

test('a property with histories of up to 80 steps sees histories of more than 70', () => {
  const lengths = fc.sample(fc.array(fc.nat(), { maxLength: 80 }), 100).map(({ length }) => length)

  expect(Math.max(...lengths)).toBeGreaterThan(70)
})
