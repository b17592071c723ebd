import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteCells, cellBytes, cellStart } from '../../../../src/streams/store/overlay/byte-cells.ts'

function write(cells: ByteCells, address: number, length: number, byte: number): void {
  cells.memoryOf(address).fill(byte, cellStart(address), cellStart(address) + length)
}

function read(cells: ByteCells, address: number, length: number): Uint8Array {
  return cells.memoryOf(address).slice(cellStart(address), cellStart(address) + length)
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
  const kept = cells.allocate(40)
  const memory = new Set([cells.memoryOf(kept)])

  for (let round = 0; round < 100_000; round++) {
    const address = cells.allocate(40)
    memory.add(cells.memoryOf(address))
    cells.release(address, 40)
  }

  expect(memory.size).toBe(1)
})

test('a string that is longer than a chunk is refused', () => {
  expect(() => new ByteCells().allocate(65_537)).toThrow(RangeError)
})
