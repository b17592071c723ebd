import { expect, test } from 'vitest'
import { z } from 'zod'
import { Streams } from '../../src/application.ts'
import { SystemClock } from '../../src/base/clock.ts'
import { topic } from '../../src/codec/topic.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'
import { Consumer } from '../../src/log/client/consumer/consumer.ts'
import { Producer } from '../../src/log/client/producer/producer.ts'
import { openLog } from '../../src/log/open-log.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { DiskStoreEngine } from '../harness/disk-store.ts'

test('the program of the README runs from topic to topic', async () => {
  const pageViews = topic('page-views', {
    key: z.string(),
    value: z.object({ path: z.string(), status: z.number(), at: z.number() }),
    timestamp: (view) => view.at,
    partitions: 4,
  })
  const minute = tumbling('1m', { grace: '10s' })
  const viewsPerMinute = topic('views-per-minute', { key: windowed(z.string(), minute), value: z.number() })
  const builder = new StreamsBuilder()
  builder
    .stream(pageViews)
    .filter((view) => view.status < 400)
    .groupBy((view) => view.path)
    .windowedBy(minute)
    .count({ name: 'views-by-path' })
    .toStream()
    .to(viewsPerMinute)
  const disk = new MemoryDisk()
  const log = await openLog({ dataDir: '/data', disk })
  const clock = new SystemClock()
  const streams = new Streams(builder.build(), {
    applicationId: 'web',
    dataDir: '/data',
    log,
    storeEngine: new DiskStoreEngine(disk),
  })
  await streams.start()
  const producer = new Producer(log.broker, clock)
  for (let index = 0; index < 1000; index++) {
    void producer.send({
      topic: pageViews,
      key: `visitor-${index % 7}`,
      value: { path: `/page-${index % 3}`, status: index % 5 === 0 ? 404 : 200, at: index * 200 },
    })
  }
  await producer.flush()
  const consumer = new Consumer(log.broker, clock, {
    topics: [viewsPerMinute],
    group: 'x',
    autoOffsetReset: 'earliest',
  })
  consumer.subscribe()
  const found = new Map<string, number>()
  const until = Date.now() + 5000
  let sum = 0
  while (sum < 800 && Date.now() < until) {
    for (const record of await consumer.poll({ waitMs: 100 })) {
      found.set(JSON.stringify(record.key), record.value)
    }
    sum = [...found.values()].reduce((a, b) => a + b, 0)
  }
  await consumer.close()
  await producer.close()
  await streams.close()
  await log.close()
  expect(sum).toBe(800)
})
