import { expect, test } from 'vitest'
import { newColumns, SpareMemory } from '../../../../src/streams/store/overlay/spare-memory.ts'

test('columns are used again, once, unless a set has used less than an eighth of them', () => {
  const spare = new SpareMemory()
  const [used, unused] = [newColumns(800), newColumns(800)]

  spare.keepColumns(used, 100)
  expect(spare.takeColumns()).toBe(used)
  expect(spare.takeColumns()).not.toBe(used)
  spare.keepColumns(unused, 99)
  expect(spare.takeColumns().places).toHaveLength(64)
})

test('memory of operations is used again, once, if it is large enough and was not far too large', () => {
  const spare = new SpareMemory()
  const memory = new ArrayBuffer(800)

  spare.keepOperations(memory, 100)
  expect(spare.takeOperations(801)).toBeNull()
  expect(spare.takeOperations(800)).toBe(memory)
  expect(spare.takeOperations(1)).toBeNull()
  spare.keepOperations(memory, 99)
  expect(spare.takeOperations(1)).toBeNull()
  spare.keepOperations(null, 0)
  expect(spare.takeOperations(1)).toBeNull()
})
