import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import type { StreamsConfig } from '../../../src/streams/config.ts'
import { StreamsHarness, type InputRecord, type OutputRecord } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })

async function written(config: Partial<StreamsConfig>): Promise<readonly OutputRecord[]> {
  const builder = new StreamsBuilder()
  builder.stream(input).to(output)
  const app = await StreamsHarness.open(builder.build(), { in: 1, out: 3 }, config)
  await app.send(
    'in',
    Array.from({ length: 600 }, (_, index): InputRecord => [null, `${index}`, index]),
  )
  await app.start()
  await app.settle()
  const records = await app.read('out')
  await app.close()
  return records
}

test('records without a key go to the same partitions wherever commits fall, and are spread over all of them', async () => {
  const inOneCommit = await written({ commitIntervalMs: 10_000 })
  const inMany = await written({ commitBytesMax: 500 })

  expect(inMany).toEqual(inOneCommit)
  expect(new Set(inMany.map(({ partition }) => partition)).size).toBe(3)
})
