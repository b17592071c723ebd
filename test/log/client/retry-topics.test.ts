import { expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../src/codec/topic.ts'
import type { ConsumerRecord } from '../../../src/log/client/consumer-options.ts'
import type { BytesOut } from '../../../src/log/client/record-format.ts'
import { RetryTopics, type RetryTopicsOptions } from '../../../src/log/client/retry-topics.ts'
import { ClientHarness, codeOf, drain } from './client-harness.ts'

async function turns(log: ClientHarness, count = 12): Promise<void> {
  for (let turn = 0; turn < count; turn++) await log.clock.nextTurn()
}

async function all(log: ClientHarness, name: string): Promise<readonly ConsumerRecord<BytesOut, BytesOut>[]> {
  const consumer = log.consumer({ autoOffsetReset: 'earliest' })
  const { partitions } = log.admin.describeTopic(name)
  consumer.assign(Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition })))
  const records = await drain(consumer)
  await consumer.close()
  return records
}

const headersOf = (record: ConsumerRecord<unknown, unknown> | undefined): Record<string, string> =>
  Object.fromEntries((record?.headers ?? []).map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]))

async function open<K, V>(
  options: Omit<RetryTopicsOptions<K, V>, 'group'>,
): Promise<{ log: ClientHarness; retries: RetryTopics<K, V>; running: Promise<void>; stop: AbortController }> {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
  const retries = new RetryTopics(log.broker, log.clock, { group: 'g', delaysMs: [1000, 5000], ...options })
  const stop = new AbortController()
  const running = retries.run({ signal: stop.signal })
  await turns(log)
  return { log, retries, running, stop }
}

test('a record that fails is tried again after each delay, then goes to the dead letters with its cause; others go on', async () => {
  const tried: string[] = []
  const started = { at: 0 }
  const { log, retries, running, stop } = await open({
    topics: ['orders'],
    process: (record, attempt) => {
      const value = record.value?.toString() ?? ''
      tried.push(`${log.clock.monotonic() - started.at} ${value} ${attempt}`)
      if (value === 'bad') throw new TypeError('no such customer')
    },
  })
  started.at = log.clock.monotonic()
  const producer = log.producer()
  const headers = [{ key: 'own', value: Buffer.from('kept') }]
  await producer.send({ topic: 'orders', partition: 1, key: 'k', value: 'bad', timestamp: 42, headers })
  await producer.send({ topic: 'orders', partition: 1, key: 'k', value: 'good' })
  await turns(log)
  expect(tried).toEqual(['0 bad 1', '0 good 1'])
  await log.clock.run(999)
  expect(tried).toHaveLength(2)
  await log.clock.run(1)
  await turns(log)
  expect(tried.slice(2)).toEqual(['1000 bad 2'])
  await log.clock.run(5000)
  await turns(log)
  expect(tried.slice(3)).toEqual(['6000 bad 3'])
  const [dead, ...more] = await all(log, retries.deadLetterTopicOf('orders'))
  expect([more.length, dead?.partition, dead?.key?.toString(), dead?.value?.toString(), dead?.timestamp]).toEqual([
    0,
    1,
    'k',
    'bad',
    42,
  ])
  expect(headersOf(dead)).toMatchObject({
    own: 'kept',
    'millrace-retry-topic': 'orders',
    'millrace-retry-partition': '1',
    'millrace-retry-offset': '0',
    'millrace-retry-attempt': '3',
    'millrace-retry-error': 'TypeError: no such customer',
  })
  stop.abort()
  await running
  // What was passed on is done: nothing of it comes again.
  expect(log.admin.committedOffsets('g', [{ topic: 'orders', partition: 1 }])[0]?.offset).toBe(2)
  await log.close()
})

test('a record that succeeds when it is tried again goes no further', async () => {
  let failures = 1
  const { log, retries, running, stop } = await open({
    topics: ['orders'],
    process: () => {
      if (failures-- > 0) throw new Error('once')
    },
  })
  await log.load('orders', ['x'])
  await log.clock.run(60_000)
  expect(await all(log, retries.deadLetterTopicOf('orders'))).toEqual([])
  expect(await all(log, retries.retryTopicsOf('orders')[1] ?? '')).toEqual([])
  stop.abort()
  await running
  await log.close()
})

test('a record that cannot be read as declared goes to the dead letters at once', async () => {
  const orders = topic('orders', { key: z.string().nullable(), value: z.object({ n: z.number() }), format: 'json' })
  const seen: number[] = []
  const { log, retries, running, stop } = await open({
    topics: [orders],
    process: ({ value }) => void seen.push(value.n),
  })
  await log.load('orders', ['{"n":1}', 'no json', '{"n":2}'])
  await turns(log)
  expect(seen).toEqual([1, 2])
  expect((await all(log, retries.deadLetterTopicOf('orders'))).map(({ value }) => value?.toString())).toEqual([
    'no json',
  ])
  stop.abort()
  await running
  await log.close()
})

test('what cannot be is refused', async () => {
  const log = await ClientHarness.open([])
  const make = (options: object): RetryTopics =>
    new RetryTopics(log.broker, log.clock, { group: 'g', topics: ['orders'], process: () => {}, ...options })
  expect(await codeOf(() => make({ topics: [] }))).toBe('INVALID_CONFIG')
  expect(await codeOf(() => make({ delaysMs: [-1] }))).toBe('INVALID_CONFIG')
  expect(await codeOf(() => make({}).run())).toBe('UNKNOWN_TOPIC')
  await log.close()
})
