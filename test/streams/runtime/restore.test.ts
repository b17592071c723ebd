import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { DiskStoreEngine } from '../../../src/streams/store/disk-store.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })

test('a restored store knows its place in a changelog of several lives of the log: the next start replays nothing', async () => {
  const builder = new StreamsBuilder()
  builder.stream(input).groupByKey().count({ name: 'by-key' })
  const app = await StreamsHarness.open(builder.build(), { in: 1 }, {}, { recentBytesMax: 0 })
  for (const value of ['first', 'second', 'third']) {
    await app.send('in', [['k', value, 1]])
    await app.start()
    await app.settle()
    await app.stop()
    await app.crash()
  }
  await new DiskStoreEngine(app.harness.disk).destroy('/stores/0_0/by-key')

  await app.start()
  await app.stop()
  const replayed = app.restored.length
  await app.start()

  expect(replayed).toBe(1)
  expect(app.restored).toHaveLength(replayed)
  expect(await app.pump(app.runtime.query<string, number>('by-key').get('k'))).toBe(3)
  await app.close()
})
