import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { long, string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import type { Topology } from '../../../src/streams/topology/topology.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string, tombstones: true })
const output = topic('out', { key: stringKey, value: long })

function countBy(group: (value: string | null, key: string) => string): Topology {
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .groupBy(group, { key: stringKey })
    .count({ name: 'counts', emit: 'update' })
    .toStream()
    .to(output)
  return builder.build()
}

test.each([
  ['were decoded', (value: string | null, key: string) => (value === '' ? 'empty' : key.slice(0, 1))],
  ['were never decoded', () => 'a'],
])('a count gets only the presence of values that %s, and counts no null', async (...[, group]) => {
  const app = await StreamsHarness.open(countBy(group), { in: 1, out: 1 }, { purgeIntervalMs: 600_000 })
  await app.send('in', [
    ['ab', 'a long value', 1],
    ['ac', null, 2],
    ['ad', 'another one', 3],
  ])
  await app.start()
  await app.settle()

  const between = await app.read('app-counts-repartition')
  expect(between.map(({ key, value, timestamp }) => [key, value, timestamp])).toEqual([
    ['a', '', 1],
    ['a', null, 2],
    ['a', '', 3],
  ])
  const counts = await app.read('out', { value: 'long' })
  expect(counts.map(({ key, value, timestamp }) => [key, value, timestamp])).toEqual([
    ['a', 1, 1],
    ['a', 2, 3],
  ])
  await app.close()
})
