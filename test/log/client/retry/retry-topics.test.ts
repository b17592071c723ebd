import { expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../../src/codec/topic.ts'
import type { ConsumerRecord } from '../../../../src/log/client/consumer/consumer-options.ts'
import type { BytesOut } from '../../../../src/log/client/record-format.ts'
import { RetryTopics, type RetryTopicsOptions } from '../../../../src/log/client/retry/retry-topics.ts'
import { ClientHarness, codeOf, drain } from '../client-harness.ts'

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

test('a failing record is retried after each delay, then sent to the dead letters with its cause; others go on', async () => {
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
  // Records that were handed over count as done and are not read again.
  expect(log.admin.committedOffsets('g', [{ topic: 'orders', partition: 1 }])[0]?.offset).toBe(2)
  await log.close()
})

test('retry topics and dead letters accept every timestamp that the record’s own topic accepted', async () => {
  const { log, retries, running, stop } = await open({
    topics: ['orders'],
    process: () => {
      throw new Error('never')
    },
  })
  await log.admin.alterTopicConfig('orders', { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER })
  const timestamp = log.clock.now() + 30 * 86_400_000
  const producer = log.producer()
  await producer.send({ topic: 'orders', value: 'x', timestamp })
  await log.clock.run(60_000)
  await turns(log)
  expect((await all(log, retries.deadLetterTopicOf('orders'))).map((record) => record.timestamp)).toEqual([timestamp])
  stop.abort()
  await running
  await log.close()
})

test('a record that succeeds when it is retried goes no further', async () => {
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

test('a record that cannot be decoded as declared goes to the dead letters at once', async () => {
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

test('invalid topics, delays and consumer options are refused', async () => {
  const log = await ClientHarness.open([])
  const make = (options: object): RetryTopics =>
    new RetryTopics(log.broker, log.clock, { group: 'g', topics: ['orders'], process: () => {}, ...options })
  expect(await codeOf(() => make({ topics: [] }))).toBe('INVALID_CONFIG')
  expect(await codeOf(() => make({ delaysMs: [-1] }))).toBe('INVALID_CONFIG')
  // Processed records could not be committed.
  expect(await codeOf(() => make({ consumer: { autoCommitIntervalMs: 0 } }))).toBe('INVALID_CONFIG')
  expect(await codeOf(() => make({}).run())).toBe('UNKNOWN_TOPIC')
  await log.close()
})

test('a run with fewer delays also empties the retry topics of one with more, with one last attempt per record', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  const tried: string[] = []
  const run = async (delaysMs: readonly number[], during: () => Promise<void>): Promise<void> => {
    const retries = new RetryTopics(log.broker, log.clock, {
      group: 'g',
      topics: ['orders'],
      delaysMs,
      process: (record, attempt) => {
        tried.push(`${record.value?.toString()} ${attempt}`)
        if (record.value?.toString() === 'bad' || attempt < 4) throw new Error('no')
      },
    })
    const running = retries.run()
    await turns(log)
    await during()
    await retries.close()
    await running
  }
  await run([10, 10, 10_000], async () => {
    const producer = log.producer()
    for (const value of ['bad', 'late']) await producer.send({ topic: 'orders', value })
    for (let step = 0; step < 20; step++) await log.clock.run(50)
  })
  expect(tried).toHaveLength(6)
  tried.length = 0
  await run([500], async () => {
    for (let step = 0; step < 20; step++) await log.clock.run(50)
  })
  expect(tried).toEqual(['bad 4', 'late 4'])
  expect((await all(log, 'g-orders-dead-letter')).map((record) => record.value?.toString())).toEqual(['bad'])
  await log.close()
})

test('waiting records do not hold up the topic itself, and each is retried when its own delay is over', async () => {
  const tried = new Map<string, number[]>()
  const { log, running, stop } = await open({
    topics: ['orders'],
    process: (record, attempt) => {
      const order = record.value?.toString() ?? ''
      const times = tried.get(order) ?? []
      tried.set(order, [...times, log.clock.monotonic()])
      expect(times).toHaveLength(attempt - 1)
      if (order.startsWith('bad')) throw new Error('no')
    },
    consumer: { maxPollRecords: 20 },
  })
  const began = log.clock.monotonic()
  // Two waves: records that failed later wait for their own delay only, not also for that of the first wave.
  await log.load(
    'orders',
    Array.from({ length: 50 }, (_, index) => `bad ${index}`),
  )
  await turns(log, 100)
  await log.clock.run(300)
  await log.load('orders', [...Array.from({ length: 30 }, (_, index) => `bad late ${index}`), 'good'])
  await turns(log, 100)
  expect([tried.size, tried.get('good')]).toEqual([81, [began + 300]])
  for (let step = 0; step < 80; step++) {
    await log.clock.run(100)
    await turns(log, 50)
  }
  for (const [order, [first = 0, second = 0, third = 0]] of tried) {
    if (order === 'good') continue
    for (const [delay, waited] of [
      [1000, second - first],
      [5000, third - second],
    ] as const) {
      expect(waited, order).toBeGreaterThanOrEqual(delay)
      expect(waited, order).toBeLessThanOrEqual(delay + 200)
    }
  }
  stop.abort()
  await running
  await log.close()
})

test.each([0, 1, 2])(
  'records with later due times in other partitions do not delay those of partition %i, also after a start',
  async (early) => {
    const tried: string[] = []
    const started = (log: ClientHarness): (() => Promise<void>) => {
      const retries = new RetryTopics(log.broker, log.clock, {
        group: 'g',
        topics: ['orders'],
        delaysMs: [10_000],
        process: (record, attempt) => {
          if (attempt === 2) tried.push(`${log.clock.monotonic()} ${record.value?.toString()}`)
          throw new Error('no')
        },
        consumer: { maxPollRecords: 10 },
      })
      const running = retries.run()
      return async () => {
        await retries.close()
        await running
      }
    }
    const log = await ClientHarness.open([{ name: 'orders', partitions: 3 }])
    const stopBefore = started(log)
    await turns(log)
    const producer = log.producer()
    await producer.send({ topic: 'orders', partition: early, value: 'early' })
    await log.clock.run(8000)
    for (const partition of [0, 1, 2].filter((other) => other !== early))
      for (let index = 0; index < 15; index++) producer.post({ topic: 'orders', partition, value: 'later' })
    await producer.close()
    await turns(log, 100)
    await stopBefore()

    const stop = started(log)
    await turns(log, 50)
    await log.clock.run(2500)
    expect(tried).toEqual(['10000 early'])
    await log.clock.run(7500)
    await turns(log, 100)
    expect(tried.slice(1)).toEqual(Array.from({ length: 30 }, () => '18000 later'))
    await stop()
    await log.close()
  },
)
