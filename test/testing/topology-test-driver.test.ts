import { expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../src/codec/topic.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'
import { TopologyTestDriver } from '../../src/testing/topology-test-driver.ts'

const views = topic('page-views', {
  key: z.string(),
  value: z.object({ path: z.string(), status: z.number() }),
  partitions: 4,
})
const minute = tumbling('1m', { grace: '10s' })
const perMinute = topic('views-per-minute', { key: windowed(z.string(), minute), value: z.number() })

test('a record is processed and committed through a repartition topic before pipe resolves', async () => {
  const builder = new StreamsBuilder()
  builder
    .stream(views)
    .filter((view) => view.status < 400)
    .groupBy((view) => view.path)
    .windowedBy(minute)
    .count({ name: 'views-by-path' })
    .toStream()
    .to(perMinute)
  const driver = await TopologyTestDriver.open(builder.build())
  const input = driver.input(views)
  const output = driver.output(perMinute)

  await input.pipe({ key: 'ada', value: { path: '/', status: 200 }, timestamp: 5 })
  await input.pipe({ key: 'ben', value: { path: '/', status: 404 }, timestamp: 6 })
  await input.pipe({ key: 'ben', value: { path: '/', status: 200 }, timestamp: 7 })

  const window = { key: '/', start: 0, end: 60_000, kind: 'time' }
  expect(await output.readAll()).toEqual([
    { key: window, value: 1, timestamp: 5, headers: [], partition: 0 },
    { key: window, value: 2, timestamp: 7, headers: [], partition: 0 },
  ])
  expect(await output.isEmpty()).toBe(true)
  await driver.close()
})
