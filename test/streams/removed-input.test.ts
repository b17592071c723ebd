import { expect, test } from 'vitest'
import { string, stringKey, StreamsBuilder, topic } from 'millrace'
import { StreamsRuntime } from '../../src/streams/streams.ts'
import { MemoryStoreEngine } from '../../src/streams/store/memory-store.ts'
import { StreamsHarness } from '../harness/streams-harness.ts'

test('input that was removed before it was read is logged with its offsets, and reading continues at the log start', async () => {
  // Given: an application that has read two records, and two more that were removed while it was stopped.
  const builder = new StreamsBuilder()
  builder.stream(topic('in', { key: stringKey, value: string })).to(topic('out', { key: stringKey, value: string }))
  const topology = builder.build()
  const app = await StreamsHarness.open(topology, { in: 1, out: 1 })
  await app.start()
  const record = (value: string, timestamp: number) => ['k', value, timestamp] as const
  await app.send('in', [record('a', 1), record('b', 2)])
  await app.settle()
  await app.stop()
  await app.send('in', [record('c', 3), record('d', 4), record('e', 5)])
  await app.log.admin.deleteRecords([{ at: { topic: 'in', partition: 0 }, offset: 4 }])

  // When
  const warnings: string[] = []
  const engine = new MemoryStoreEngine()
  const again = new StreamsRuntime(topology, {
    applicationId: 'app',
    log: app.log,
    engines: { lmdb: engine, memory: engine },
    storeDirectory: '/stores',
    clock: app.harness.clock,
    logger: { info: () => {}, warn: (message) => void warnings.push(message), error: () => {} },
  })
  await app.pump(again.start())
  await app.pump(again.settled())

  // Then
  expect(warnings).toEqual([
    'in-0: app was to continue at offset 2, but the log starts at 4: the records in between were removed before they were read, and it continues at the log start',
  ])
  expect((await app.read('out')).map(({ value }) => value)).toEqual(['a', 'b', 'e'])
  await app.pump(again.close())
  await app.pump(app.harness.close())
})
