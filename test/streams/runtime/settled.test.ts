import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const numbered = topic('numbered', { key: stringKey, value: string })
const waiting = topic('waiting', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })

/** `waiting` is read beside a repartition topic that stays empty: all results of its count are filtered out. */
async function given(): Promise<StreamsHarness> {
  const builder = new StreamsBuilder()
  const nothing = builder
    .stream(numbered)
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .filter((count) => count < 0)
    .mapValues(String)
    .repartition({ name: 'nothing' })
  builder.stream(waiting).merge(nothing).to(output)
  return StreamsHarness.open(builder.build(), { numbered: 1, waiting: 1, out: 1 })
}

test('settled() resolves only once nothing is left to process, also after a commit that wrote no records', async () => {
  const app = await given()
  await app.send('numbered', [['k', 'v', 1]])
  await app.send('waiting', [['k', 'w', 2]])

  await app.start()
  await app.settle()

  expect((await app.read('out')).map(({ value }) => value)).toEqual(['w'])
  await app.close()
})

test('records that waited for a commit are processed right after it', async () => {
  const app = await given()
  await app.send('numbered', [['k', 'v', 1]])
  await app.send('waiting', [['k', 'w', 2]])

  await app.start()
  await app.harness.clock.run(50)

  expect((await app.read('out')).map(({ value }) => value)).toEqual(['w'])
  await app.close()
})
