import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { bytes } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'
import { wreckingReleasedChunks } from '../../harness/wrecked-chunks.ts'

const input = topic('in', { key: stringKey, value: bytes })
const other = topic('other', { key: stringKey, value: bytes })

test('records keep their keys and values when their chunks are released, and every chunk is', async () => {
  const builder = new StreamsBuilder()
  const kept: (readonly [string, Uint8Array])[] = []
  const counts: string[] = []
  builder
    .stream(input)
    .peek((value, key) => void kept.push([key, value]))
    .merge(builder.stream(other))
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .foreach((count, key) => void counts.push(`${key} ${count}`))
  const app = await StreamsHarness.open(builder.build(), { in: 1, other: 1 }, { pollBytesMax: 20_000 })
  const records = Array.from({ length: 60 }, (_, index) => `${index}:`.padEnd(1000, '.'))
  for (const [index, value] of records.entries()) await app.send('in', [[`key ${index % 7}`, value, index]])
  await app.send('other', [['key 0', 'x', 1000]])
  const released: string[] = []

  const log = wreckingReleasedChunks(app.log, ({ at, nextOffset }) => released.push(`${at.topic} to ${nextOffset}`))
  await app.start(undefined, log)
  await app.settle()

  expect(kept.map(([key, value]) => `${key} ${Buffer.from(value).toString()}`)).toEqual(
    records.map((value, index) => `key ${index % 7} ${value}`),
  )
  expect(counts.at(-1)).toBe('key 0 10')
  expect(released).toContain('in to 60')
  expect(released).toContain('other to 1')
  await app.close()
})
