import { expect, test } from 'vitest'
import { SeededRandom } from '../../../../src/base/seeded-random.ts'
import type { BytesOut } from '../../../../src/log/client/record-format.ts'
import { RetryTransactions } from '../../../../src/log/client/retry/retry-hand-over.ts'
import { RetryTopics, type RetryTopicsOptions } from '../../../../src/log/client/retry/retry-topics.ts'
import type { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { LogHarness, readAll, type HarnessOptions } from '../../../harness/log-harness.ts'
import { outside } from '../../../harness/transactional-writer.ts'
import { codeOf } from '../client-harness.ts'

const orders = ['a0', 'b1', 'c0', 'd1', 'e1', 'f0', 'g1']
const failing = orders.filter((order) => order.endsWith('1'))

interface Run {
  readonly processed: string[]
  readonly stop: () => Promise<void>
}

/** Every record whose value ends in 1 fails, always. */
function started(
  { log, clock }: LogHarness,
  options: Pick<RetryTopicsOptions<BytesOut, BytesOut>, 'consumer'> = {},
): Run {
  const processed: string[] = []
  const retries = new RetryTopics(log.broker, clock, {
    group: 'g',
    topics: ['orders'],
    delaysMs: [1000],
    process: (record, attempt) => {
      const order = record.value?.toString() ?? ''
      processed.push(`${order} ${attempt}`)
      if (order.endsWith('1')) throw new Error('no')
    },
    ...options,
  })
  const running = retries.run()
  return {
    processed,
    stop: async () => {
      await retries.close()
      await running
    },
  }
}

async function opened(options: HarnessOptions = {}): Promise<LogHarness> {
  const harness = await LogHarness.open(options)
  await harness.topic('orders', 2)
  for (const [index, order] of orders.entries()) await harness.append('orders', index % 2, [order])
  return harness
}

async function committed(harness: LogHarness, topic: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const partition of [0, 1])
    for (const { value } of await readAll(harness.log, { topic, partition }, 'committed')) found.push(value ?? '')
  return found.sort()
}

async function turns({ clock }: LogHarness, count = 60): Promise<void> {
  for (let turn = 0; turn < count; turn++) await clock.nextTurn()
}

/** The disk before each of its operations. */
async function everyState(harness: LogHarness, act: () => Promise<void>): Promise<readonly MemoryDisk[]> {
  const states: MemoryDisk[] = []
  harness.disk.onOperation = () => void states.push(harness.disk.clone())
  await act()
  harness.disk.onOperation = null
  return states
}

// Not every operation in both modes, because one run takes 30 ms.
test.each([
  ['commit', 4],
  ['os', 7],
] as const)(
  'after a crash at any operation a failed record is handed over once and not lost (sync: %s, every %i operations)',
  async (sync, step) => {
    const harness = await opened({ sync })
    const states = await everyState(harness, async () => {
      const run = started(harness)
      await turns(harness)
      await harness.clock.run(2000)
      await run.stop()
    })
    expect(states.length).toBeGreaterThan(30)

    for (const [index, state] of states.entries()) {
      if (index % step !== 0) continue
      const seed = index + 1
      const disk = (index / step) % 2 === 0 ? state : state.cut(new SeededRandom(seed))
      const after = LogHarness.on(disk, { sync })
      await after.reopen()
      // With `os` a power cut may also undo what was there before.
      if (after.log.broker.topic('orders') === undefined) continue
      const there = await committed(after, 'orders')
      const run = started(after)
      await turns(after)
      await after.clock.run(3000)
      await run.stop()

      const expected = there.filter((order) => failing.includes(order))
      expect([index, ...(await committed(after, 'g-orders-retry-1'))]).toEqual([index, ...expected])
      expect([index, ...(await committed(after, 'g-orders-dead-letter'))]).toEqual([index, ...expected])
      await after.close()
    }
    await harness.close()
  },
)

test.each(['before its records', 'before its end'])(
  'a transaction that the log aborted %s is retried, and its records are never read',
  async (when) => {
    const harness = await opened()
    const { broker } = harness.log
    const sendOffsets = broker.sendOffsetsToTransaction.bind(broker)
    const endTransaction = broker.endTransaction.bind(broker)
    let aborted = 0
    const abortOnce = async (): Promise<void> => {
      if (aborted++ === 0) await harness.clock.run(20_000)
    }
    if (when === 'before its records') {
      broker.sendOffsetsToTransaction = async (...of) => {
        await sendOffsets(...of)
        await abortOnce()
      }
    } else {
      broker.endTransaction = async (...of) => {
        await abortOnce()
        return await endTransaction(...of)
      }
    }
    // The topic itself may be read with any isolation, retry topics only with 'committed'.
    const run = started(harness, { consumer: { isolation: 'durable' } })
    await turns(harness, 100)
    await harness.clock.run(3000)
    await turns(harness, 100)
    expect(aborted).toBeGreaterThan(1)
    expect(run.processed.filter((tried) => tried.endsWith(' 2')).sort()).toEqual(failing.map((order) => `${order} 2`))
    expect(await committed(harness, 'g-orders-dead-letter')).toEqual(failing)
    await run.stop()
    await harness.close()
  },
)

test('a record as large as its topic allows is handed over, too', async () => {
  const harness = await LogHarness.open()
  await harness.topic('orders', 2, { maxMessageBytes: 400 })
  const large = 'x'.repeat(320).concat('1')
  await harness.append('orders', 0, [large])
  const run = started(harness)
  await turns(harness)
  expect(await committed(harness, 'g-orders-retry-1')).toEqual([large])
  await run.stop()
  await harness.close()
})

test('a write that cannot even be aborted rejects with the cause, and so do later writes', async () => {
  const harness = await LogHarness.open()
  await harness.topic('orders')
  const transactions = new RetryTransactions(harness.log.broker, harness.clock, 'g')
  await transactions.init()
  const offset = { at: { topic: 'orders', partition: 0 }, offset: 0, leaderEpoch: -1, metadata: '' }
  const codes: string[] = []
  await harness.close()
  for (let count = 0; count < 2; count++) codes.push(await codeOf(() => transactions.write([], [offset], outside('g'))))
  expect(codes).toEqual(['CLOSED', 'CLOSED'])
})

test('records that failed in one polled batch share a transaction', async () => {
  const harness = await opened()
  let ended = 0
  const { broker } = harness.log
  const endTransaction = broker.endTransaction.bind(broker)
  broker.endTransaction = (...of) => {
    ended += 1
    return endTransaction(...of)
  }
  const run = started(harness)
  await turns(harness)
  expect(await committed(harness, 'g-orders-retry-1')).toEqual(failing)
  expect(ended).toBeLessThanOrEqual(2)
  await run.stop()
  await harness.close()
})

test('a record is handed over after those before it in its partition, and waits for no others', async () => {
  const harness = await LogHarness.open()
  await harness.topic('orders', 2)
  const gate = Promise.withResolvers<void>()
  const retries = new RetryTopics(harness.log.broker, harness.clock, {
    group: 'g',
    topics: ['orders'],
    delaysMs: [1000],
    concurrency: 4,
    process: async ({ key }) => {
      if (key?.toString() === 'slow') return await gate.promise
      throw new Error('no')
    },
  })
  const running = retries.run()
  await turns(harness)
  await harness.append('orders', 0, [
    ['slow', 's'],
    ['x', 'behind'],
  ])
  await harness.append('orders', 1, [['y', 'beside']])
  await turns(harness)
  await harness.clock.run(200)
  expect(await committed(harness, 'g-orders-retry-1')).toEqual(['beside'])
  gate.resolve()
  await turns(harness)
  await harness.clock.run(200)
  expect(await committed(harness, 'g-orders-retry-1')).toEqual(['behind', 'beside'])
  await retries.close()
  await running
  await harness.close()
})

test('several RetryTopics of a group share the work and hand over each record once while they come and go', async () => {
  const harness = await LogHarness.open()
  await harness.topic('orders', 2)
  const first = started(harness)
  await turns(harness)
  const expected: string[] = []
  const more = async (name: string): Promise<void> => {
    for (const partition of [0, 1]) {
      expected.push(`${name}${partition}-1`)
      await harness.append('orders', partition, [`${name}${partition}-1`])
    }
  }
  await more('a')
  const second = started(harness)
  await more('b')
  await turns(harness, 20)
  await harness.clock.run(5000)
  await more('c')
  await first.stop()
  await more('d')
  await harness.clock.run(60_000)
  await second.stop()
  expect(await committed(harness, 'g-orders-retry-1')).toEqual(expected.sort())
  expect(await committed(harness, 'g-orders-dead-letter')).toEqual(expected.sort())
  await harness.close()
})
