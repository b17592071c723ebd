import { expect, test, vi } from 'vitest'
import type { Chunk } from '../../../../src/log/api/log.ts'
import { LogHarness, readAll } from '../../../harness/log-harness.ts'

const at = { topic: 'events', partition: 0 }

function valuesOf(chunks: readonly Chunk[]): string[] {
  const values: string[] = []
  for (const chunk of chunks)
    for (const record = chunk.cursor(); record.next();)
      values.push(Buffer.from(record.bytes.subarray(record.valueStart, record.valueEnd)).toString())
  return values
}

test('records given to a reader keep their bytes when the memory they came from is reused', async () => {
  const log = await LogHarness.open({ recentBytesMax: 16_000 })
  await log.topic('events', 1)
  const reader = await log.log.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 0 }])
  const given: Chunk[] = []
  const expected: string[] = []

  for (let index = 0; index < 200; index++) {
    const value = `${index}:`.padEnd(4000, '.')
    expected.push(value)
    await log.append('events', 0, [value])
    given.push(...(await reader.poll({ bytesMax: 1_000_000, waitMs: 0 })))
  }

  expect(valuesOf(given)).toEqual(expected)
  expect((await readAll(log.log, at)).map(({ value }) => value)).toEqual(expected)
  await log.close()
})

test.each([
  ['the tail', { recentBytesMax: 100_000_000 }],
  ['the segment files', { recentBytesMax: 0 }],
])(
  'a chunk of %s that was released leaves its memory to a later one, and the others keep their bytes',
  async (_, config) => {
    const log = await LogHarness.open(config)
    await log.topic('events', 1)
    const reader = await log.log.openReader({ isolation: 'durable' })
    reader.assign([{ at, offset: 0 }])
    expect(await reader.poll({ bytesMax: 24_000, waitMs: 0 }), 'it is at the end').toEqual([])
    const expected: string[] = []
    for (let index = 0; index < 40; index++) {
      const value = `${index}:`.padEnd(4000, '.')
      expected.push(value)
      await log.append('events', 0, [value])
    }
    await log.clock.run(1000)
    const kept: Chunk[] = []
    const values: string[] = []
    const memories = new Set<ArrayBufferLike>()

    for (;;) {
      const [chunk] = await reader.poll({ bytesMax: 24_000, waitMs: 0 })
      if (chunk === undefined) break
      const cursor = chunk.cursor()
      cursor.next()
      memories.add(cursor.bytes.buffer)
      values.push(...valuesOf([chunk]))
      if (memories.size <= 2) kept.push(chunk)
      else chunk.release?.()
    }

    expect(values).toEqual(expected)
    expect(valuesOf(kept)).toEqual(expected.slice(0, 10))
    expect(memories.size).toBe(3)
    await log.close()
  },
)

test('batches that are in the segment files stay in memory as well for a reader that has reached the end', async () => {
  const log = await LogHarness.open()
  await log.topic('events', 1)
  const reader = await log.log.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 0 }])
  const append = async (value: string): Promise<void> => {
    await log.append('events', 0, [value])
    await log.clock.run(1000)
  }
  const poll = async (): Promise<{ readonly values: string[]; readonly diskReads: number }> => {
    const before = log.disk.counts.read
    const chunks = await reader.poll({ bytesMax: 20_000, waitMs: 0 })
    return { values: valuesOf(chunks), diskReads: log.disk.counts.read - before }
  }

  await append('before anybody reads')
  const first = await poll()
  expect(first).toMatchObject({ values: ['before anybody reads'] })
  expect(first.diskReads).toBeGreaterThan(0)

  expect(await poll(), 'the end').toEqual({ values: [], diskReads: 0 })
  for (const value of ['a', 'b']) await append(value)
  expect(await poll()).toEqual({ values: ['a', 'b'], diskReads: 0 })
  await log.close()
})

test('a chunk cannot be read or released again after its release', async () => {
  const log = await LogHarness.open()
  await log.topic('events', 1)
  await log.append('events', 0, ['a'])
  const reader = await log.log.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 0 }])
  const [chunk] = await reader.poll({ bytesMax: 20_000, waitMs: 0 })
  chunk?.release?.()

  expect(() => chunk?.cursor()).toThrow('a chunk is read after its release')
  expect(() => chunk?.release?.()).toThrow('a chunk is released twice')
  await log.close()
})

test('a batch that is larger than the share of its partition is read without new memory, once a chunk was released', async () => {
  const log = await LogHarness.open({ recentBytesMax: 0 })
  await log.topic('events', 1)
  const value = '.'.repeat(60_000)
  for (let index = 0; index < 20; index++) await log.append('events', 0, [value])
  await log.clock.run(1000)
  const reader = await log.log.openReader({ isolation: 'durable' })
  reader.assign([{ at, offset: 0 }])
  const allocated = vi.spyOn(Buffer, 'allocUnsafeSlow')

  const reads: number[] = []
  for (;;) {
    const [chunk] = await reader.poll({ bytesMax: 20_000, waitMs: 0 })
    if (chunk === undefined) break
    chunk.release?.()
    reads.push(allocated.mock.calls.length)
    allocated.mockClear()
  }

  expect(reads).toHaveLength(20)
  expect(reads.slice(2)).toEqual(Array.from({ length: 18 }, () => 0))
  allocated.mockRestore()
  await log.close()
})
