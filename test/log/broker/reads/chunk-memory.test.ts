import { expect, test } from 'vitest'
import { ChunkMemory } from '../../../../src/log/broker/reads/chunk-memory.ts'

const kib = 1024

test('memory that was given back is used for the next chunk that fits', () => {
  const memory = new ChunkMemory()
  const first = memory.take(256 * kib)
  memory.give(first.buffer)

  const next = memory.take(200 * kib)
  const other = memory.take(256 * kib)

  expect(next.buffer).toBe(first.buffer)
  expect(next).toHaveLength(200 * kib)
  expect(other.buffer).not.toBe(first.buffer)
})

test('a chunk gets no memory that is too small for it, or more than four times as large', () => {
  const memory = new ChunkMemory()
  const given = memory.take(256 * kib)
  memory.give(given.buffer)

  expect(memory.take(256 * kib + 1).buffer).not.toBe(given.buffer)
  expect(memory.take(64 * kib - 1).buffer).not.toBe(given.buffer)
  expect(memory.take(64 * kib).buffer).toBe(given.buffer)
})

test('small chunks have memory of their own, of exactly their size', () => {
  const memory = new ChunkMemory()
  const small = memory.take(16 * kib - 1)
  memory.give(small.buffer)

  expect(small.buffer.byteLength).toBe(16 * kib - 1)
  expect(memory.take(16 * kib - 1).buffer).not.toBe(small.buffer)
})

test('at most 4 MiB are kept for later', () => {
  const memory = new ChunkMemory()
  const chunks = Array.from({ length: 20 }, () => memory.take(256 * kib).buffer)
  for (const chunk of chunks) memory.give(chunk)

  const again = Array.from({ length: 20 }, () => memory.take(256 * kib).buffer)

  expect(again.filter((one) => chunks.includes(one))).toHaveLength(16)
})
