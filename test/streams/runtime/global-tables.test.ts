import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../src/codec/topic.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import type { GlobalTableOptions } from '../../../src/dsl/options.ts'
import type { Topology } from '../../../src/streams/topology/topology.ts'
import { StreamsHarness, type InputRecord } from '../../harness/streams-harness.ts'

const views = topic('views', { key: z.string(), value: z.string(), format: 'string' })
const pages = topic('pages', { key: z.string(), value: z.string().max(10), format: 'string', tombstones: true })
const out = topic('out', { key: z.string(), value: z.string(), format: 'string' })

function enrichment(options: GlobalTableOptions = { name: 'titles' }): Topology {
  const builder = new StreamsBuilder()
  const titles = builder.globalTable(pages, options)
  builder
    .stream(views)
    .leftJoinGlobalTable(
      titles,
      (path) => path,
      (path, title, visitor) => `${visitor} ${path} ${title ?? 'unknown'}`,
    )
    .to(out)
  return builder.build()
}

const topics = { views: 2, pages: 3, out: 1 }
const titles: readonly InputRecord[] = [
  ['/a', 'Start', 1],
  ['/b', 'Basket', 2],
  ['/c', 'Checkout', 3],
]

async function resultsOf(harness: StreamsHarness): Promise<readonly unknown[]> {
  return (await harness.read('out'))
    .map(({ value }) => String(value))
    .toSorted((left, right) => left.localeCompare(right))
}

test('every task joins with the rows of all partitions of a global table, by any key', async () => {
  const harness = await StreamsHarness.open(enrichment(), topics)
  await harness.send('pages', titles)
  await harness.start()
  await harness.send('views', [
    ['ada', '/a', 10],
    ['bob', '/b', 11],
    ['cyd', '/c', 12],
    ['dan', '/d', 13],
  ])
  await harness.settle()

  expect(await resultsOf(harness)).toEqual(['ada /a Start', 'bob /b Basket', 'cyd /c Checkout', 'dan /d unknown'])
  await harness.close()
})

test('updates and tombstones of a running application apply from the next commit on, also after a crash', async () => {
  const harness = await StreamsHarness.open(enrichment(), topics)
  await harness.send('pages', titles)
  await harness.start()
  await harness.send('pages', [
    ['/a', 'Home', 4],
    ['/b', null, 5],
  ])
  await harness.settle()
  await harness.send('views', [
    ['ada', '/a', 10],
    ['bob', '/b', 11],
  ])
  await harness.settle()
  await harness.crash()
  await harness.start()
  await harness.send('views', [['ada', '/a', 12]])
  await harness.settle()

  expect(await resultsOf(harness)).toEqual(['ada /a Home', 'ada /a Home', 'bob /b unknown'])
  await harness.close()
})

test('rows that are not cached decoded are read from their bytes', async () => {
  const harness = await StreamsHarness.open(enrichment(), topics, { storeCacheBytes: 0 })
  await harness.send('pages', titles)
  await harness.start()
  for (let round = 0; round < 3; round++) {
    await harness.send('pages', [[`/${round}`, 'x', 20]])
    await harness.settle()
    await harness.send('views', [['ada', '/c', 30 + round]])
    await harness.settle()
  }

  expect(await resultsOf(harness)).toEqual(Array.from({ length: 3 }, () => 'ada /c Checkout'))
  await harness.close()
})

test('each commit records the positions of the global tables that it was made with', async () => {
  const harness = await StreamsHarness.open(enrichment(), { views: 1, pages: 1, out: 1 })
  const recorded = async (): Promise<unknown> =>
    (await harness.log.lastSections('app', ['0_0'])).map((section) => section.globals)
  await harness.send('pages', titles)
  await harness.start()
  await harness.send('views', [['ada', '/a', 10]])
  await harness.settle()
  expect(await recorded()).toEqual([[{ at: { topic: 'pages', partition: 0 }, next: 3 }]])

  await harness.send('pages', [['/d', 'Deals', 11]])
  await harness.settle()
  // Nothing has been processed since, so there is no later commit that could record a position.
  expect(await recorded()).toEqual([[{ at: { topic: 'pages', partition: 0 }, next: 3 }]])

  await harness.send('views', [['ada', '/d', 12]])
  await harness.settle()
  expect(await recorded()).toEqual([[{ at: { topic: 'pages', partition: 0 }, next: 4 }]])
  await harness.close()
})

test('a global table can be queried by its name', async () => {
  const harness = await StreamsHarness.open(enrichment(), topics)
  await harness.send('pages', titles)
  await harness.start()

  expect(await harness.pump(harness.runtime.query('titles').get('/b'))).toBe('Basket')
  expect((await harness.pump(harness.runtime.query('titles').rows())).length).toBe(3)
  await harness.close()
})

describe('an invalid record of a global table', () => {
  test('stops the application, naming topic, partition, offset and remedy', async () => {
    const harness = await StreamsHarness.open(enrichment(), { ...topics, pages: 1 })
    await harness.send('pages', [...titles, ['/d', 'much longer than ten', 4]])

    await expect(harness.start()).rejects.toThrow(/record at pages-0 offset 3: .*onInvalid: 'skip'/)
    await harness.pump(harness.harness.close())
  })

  test("is dropped and counted with onInvalid: 'skip', and so is a record without a key", async () => {
    const harness = await StreamsHarness.open(enrichment({ onInvalid: 'skip' }), topics)
    await harness.send('pages', [...titles, ['/a', 'much longer than ten', 4], [null, 'x', 5]])
    await harness.start()
    await harness.send('views', [['ada', '/a', 10]])
    await harness.settle()

    expect(await resultsOf(harness)).toEqual(['ada /a Start'])
    expect(harness.runtime.metrics().dropped).toBe(2)
    await harness.close()
  })
})

test('the topic of a global table must exist before the application starts', async () => {
  const harness = await StreamsHarness.open(enrichment(), { views: 1, out: 1 })
  await expect(harness.start()).rejects.toThrow(/topic pages is read but does not exist/)
  await harness.pump(harness.harness.close())
})
