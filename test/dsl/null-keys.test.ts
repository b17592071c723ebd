import { expect, test } from 'vitest'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { z } from 'zod'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { StreamsHarness } from '../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const counts = topic('counts', { key: z.string(), value: long })

const initial = (word: string): string | null => word[0] ?? null

test('records grouped by null are left out without counting as dropped, and the others are counted', async () => {
  const builder = new StreamsBuilder()
  builder.stream(input).groupBy(initial).count({ name: 'by-initial', emit: 'update' }).toStream().to(counts)
  const app = await StreamsHarness.open(builder.build(), { in: 2, counts: 1 })
  await app.send('in', [
    ['a', 'apple', 1],
    ['a', '', 2],
    ['b', 'avocado', 3],
    [null, '', 4],
  ])
  await app.start()
  await app.settle()
  const found = (await app.read('counts', { value: 'long' })).map(({ key, value }) => [key, value])
  expect(found).toEqual([
    ['a', 1],
    ['a', 2],
  ])
  expect(app.runtime.metrics().droppedByReason).toEqual({})
  await app.close()
})

test('groupByKey() drops records whose key is null, and counts them as dropped', async () => {
  const builder = new StreamsBuilder()
  builder.stream(input).groupByKey().count({ name: 'by-key', emit: 'update' }).toStream().to(counts)
  const app = await StreamsHarness.open(builder.build(), { in: 1, counts: 1 })
  await app.send('in', [
    [null, 'x', 1],
    ['a', 'x', 2],
  ])
  await app.start()
  await app.settle()
  expect((await app.read('counts', { value: 'long' })).map(({ key, value }) => [key, value])).toEqual([['a', 1]])
  expect(app.runtime.metrics().dropped).toBe(1)
  await app.close()
})
