import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteCells, cellBytes, integersPerUnit, unitBytes } from '../../../../src/streams/store/overlay/byte-cells.ts'

function write(cells: ByteCells, address: number, length: number, byte: number): void {
  cells.bytes.fill(byte, address * unitBytes, address * unitBytes + length)
}

function read(cells: ByteCells, address: number, length: number): Uint8Array {
  return cells.bytes.slice(address * unitBytes, address * unitBytes + length)
}

test('no string is overwritten while its cell is in use', () => {
  const step = fc.record({ length: fc.integer({ min: 0, max: 3000 }), release: fc.nat(50) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const cells = new ByteCells()
      const live: { readonly address: number; readonly length: number; readonly byte: number }[] = []
      for (const [index, { length, release }] of steps.entries()) {
        const going = release < live.length ? live.splice(release, 1)[0] : undefined
        if (going !== undefined) cells.release(going.address, going.length)
        const address = cells.allocate(length)
        write(cells, address, length, index & 0xff)
        live.push({ address, length, byte: index & 0xff })
      }
      for (const { address, length, byte } of live) {
        expect(read(cells, address, length)).toEqual(new Uint8Array(length).fill(byte))
      }
    }),
  )
})

test('a released cell is used for the next string that takes as many bytes', () => {
  const cells = new ByteCells()
  const first = cells.allocate(20)
  cells.allocate(20)

  cells.release(first, 20)

  expect(cellBytes(17)).toBe(cellBytes(20))
  expect(cells.allocate(33)).not.toBe(first)
  expect(cells.allocate(17)).toBe(first)
})

test('strings that come and go take no more memory than those that are there at one time', () => {
  const cells = new ByteCells()
  cells.allocate(40)
  const { length } = cells.bytes

  for (let round = 0; round < 100_000; round++) cells.release(cells.allocate(40), 40)

  expect(cells.bytes).toHaveLength(length)
})

test('a cell is also seen as integers, while and after the memory grows', () => {
  const cells = new ByteCells()
  const address = cells.allocate(20)
  cells.integers[address * integersPerUnit + 4] = 0x01020304

  for (let other = 0; other < 1000; other++) cells.allocate(100)

  expect(cells.integers[address * integersPerUnit + 4]).toBe(0x01020304)
  expect([...read(cells, address, 20).subarray(16)].toSorted((left, right) => left - right)).toEqual([1, 2, 3, 4])
})

test('the memory of cells that were all released is given back', () => {
  const cells = new ByteCells()
  const { length } = cells.bytes
  for (let index = 0; index < 1000; index++) cells.allocate(100)

  cells.clear()

  expect(cells.bytes).toHaveLength(length)
  expect(cells.allocate(100)).toBe(0)
})
