import { expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../src/codec/topic.ts'
import { offsetsTopic } from '../../../src/log/api/internal-topics.ts'
import { ClientHarness, codeOf } from './client-harness.ts'

const at = (partition: number): { topic: string; partition: number } => ({ topic: 'orders', partition })

test('topics are created all or none, and can be listed, described and deleted', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 2, config: { retentionMs: 1000 } }])
  expect(
    await codeOf(() =>
      log.admin.createTopics([
        { name: 'new', partitions: 1 },
        { name: 'orders', partitions: 1 },
      ]),
    ),
  ).toBe('TOPIC_EXISTS')
  expect(log.admin.listTopics().map(({ name }) => name)).toEqual(['orders'])
  expect(log.admin.listTopics({ internal: true }).length).toBeGreaterThan(1)
  const described = log.admin.describeTopic('orders')
  expect(described).toMatchObject({ name: 'orders', partitions: 2, config: { retentionMs: 1000 } })
  expect(described.bounds.map(({ start, end }) => [start, end])).toEqual([
    [0, 0],
    [0, 0],
  ])
  await log.admin.deleteTopic('orders')
  expect(log.admin.listTopics()).toEqual([])
  expect(await codeOf(() => log.admin.describeTopic('orders'))).toBe('UNKNOWN_TOPIC')
  expect(await codeOf(() => log.admin.deleteTopic('orders'))).toBe('UNKNOWN_TOPIC')
  await log.close()
})

test('a declared topic is created with its partitions, settings and codecs', async () => {
  const views = topic('views', {
    key: z.string(),
    value: z.number(),
    partitions: 4,
    config: { cleanupPolicy: 'compact' },
  })
  const log = await ClientHarness.open([views])
  expect(log.admin.describeTopic('views')).toMatchObject({
    partitions: 4,
    config: { cleanupPolicy: 'compact', keyCodec: views.key.codec.id, valueCodec: views.value.codec.id },
  })
  await log.admin.ensureTopics([views])
  const other = topic('views', { key: z.string(), value: z.number(), partitions: 4, format: 'json' })
  expect(await codeOf(() => log.admin.ensureTopics([other]))).toBe('TOPIC_MISMATCH')
  await log.close()
})

test('offsets are found as earliest, latest or by time', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
  const producer = log.producer()
  for (const timestamp of [10, 20, 30]) {
    await producer.send({ topic: 'orders', partition: 0, value: 'x', timestamp })
  }
  await log.admin.deleteRecords([{ at: at(0), offset: 1 }])
  const offsets = (which: Parameters<typeof log.admin.offsets>[1]): number[] =>
    log.admin.offsets([at(0), at(1)], which).map(({ offset }) => offset)
  expect(offsets('earliest')).toEqual([1, 0])
  expect(offsets('latest')).toEqual([3, 0])
  expect(offsets({ timestamp: 25 })).toEqual([2, 0])
  expect(await codeOf(() => log.admin.offsets([at(2)], 'latest'))).toBe('UNKNOWN_PARTITION')
  expect(await codeOf(() => log.admin.offsets([{ topic: 'nope', partition: 0 }], 'latest'))).toBe('UNKNOWN_TOPIC')
  await log.close()
})

test('describeTopic shows a changed setting', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  await log.admin.alterTopicConfig('orders', { retentionMs: 5000 })
  expect(log.admin.describeTopic('orders').config.retentionMs).toBe(5000)
  await log.close()
})

test('the number of partitions is no setting: the error names the calls that take it', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  const wrong: object = { partitions: 8 }
  for (const act of [
    () => log.admin.alterTopicConfig('orders', wrong),
    () => log.admin.createTopics([{ name: 'clicks', partitions: 1, config: wrong }]),
  ])
    await expect(act()).rejects.toThrow(
      'partitions is 8: it is not a setting of a topic; give it beside config when you create the topic, and add partitions with admin.createPartitions',
    )
  expect(log.admin.listTopics()).toMatchObject([{ name: 'orders', partitions: 1 }])
  await log.close()
})

test('internal topics cannot be created, changed, purged or deleted', async () => {
  const log = await ClientHarness.open([])
  const refused = [
    () => log.admin.createTopics([{ name: offsetsTopic, partitions: 1 }]),
    () => log.admin.ensureTopics([{ name: offsetsTopic, partitions: 1 }]),
    () => log.admin.deleteTopic(offsetsTopic),
    () => log.admin.alterTopicConfig(offsetsTopic, { retentionMs: 1 }),
    () => log.admin.deleteRecords([{ at: { topic: offsetsTopic, partition: 0 }, offset: 0 }]),
  ]
  for (const act of refused) expect(await codeOf(act)).toBe('INVALID_TOPIC')
  await log.close()
})
