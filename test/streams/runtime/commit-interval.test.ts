import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })

test('the commit interval begins when a commit ends: a slow commit is not followed by a small one', async () => {
  const builder = new StreamsBuilder()
  const committed: number[] = []
  builder
    .stream(input)
    .peek(() => app.harness.clock.stall(1))
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .foreach((count) => {
      committed.push(count)
      app.harness.clock.stall(1500)
    })
  const app = await StreamsHarness.open(builder.build(), { in: 1 }, { commitIntervalMs: 1000 })
  await app.send(
    'in',
    Array.from({ length: 3000 }, (_, index) => ['k', 'v', index] as const),
  )

  await app.start()
  await app.settle()

  expect(committed).toEqual([1024, 2048, 3000])
  await app.close()
})
