import { expect, test } from 'vitest'
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
