import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../../src/codec/topic.ts'
import { LogError } from '../../../../src/log/api/errors.ts'
import { Consumer } from '../../../../src/log/client/consumer/consumer.ts'
import { ClientHarness, codeOf, drain, textOf } from '../client-harness.ts'

const at = { topic: 'orders', partition: 0 }
const orders = { name: 'orders', partitions: 1 }
const letters = ['a', 'b', 'c', 'd', 'e']

describe('a consumer starts', () => {
  test('at the beginning, at the end or not at all, according to autoOffsetReset', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const read = async (autoOffsetReset: 'earliest' | 'latest'): Promise<unknown> => {
      const consumer = log.consumer({ autoOffsetReset })
      consumer.assign([at])
      return [consumer.position(at), (await drain(consumer)).map(textOf)]
    }
    expect(await read('earliest')).toEqual([0, letters])
    expect(await read('latest')).toEqual([5, []])
    await log.close()
  })

  test('where it seeks to, if autoOffsetReset is none and nothing is committed: until then polls fail', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const consumer = log.consumer({ autoOffsetReset: 'none' })

    consumer.assign([at])
    const none =
      'NO_OFFSET: a consumer without a group has no committed offset for orders-0, and autoOffsetReset is none'
    expect(() => consumer.position(at)).toThrow(none)
    await expect(consumer.poll()).rejects.toThrow(none)

    consumer.seek(at, 3)
    expect((await drain(consumer)).map(textOf)).toEqual(['d', 'e'])
    await log.close()
  })

  test('only after it was told what to read: until then nothing could ever come', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer({ group: 'g' })
    const nothing = 'INVALID_CONFIG: the consumer has nothing to read: subscribe to topics or assign partitions first'
    await expect(consumer.poll()).rejects.toThrow(nothing)
    await expect(consumer.records().next()).rejects.toThrow(nothing)
    await expect(consumer.eachRecord(() => {})).rejects.toThrow(nothing)
    await expect(consumer.eachBatch(() => {})).rejects.toThrow(nothing)
    // What never came is no mistake.
    consumer.subscribe(/^none-/)
    expect(await consumer.poll()).toEqual([])
    // As in Kafka, unsubscribing takes the choice back, and so does an empty assignment.
    await consumer.unsubscribe()
    await expect(consumer.poll()).rejects.toThrow(nothing)
    consumer.assign([at])
    expect(await consumer.poll()).toEqual([])
    consumer.assign([])
    await expect(consumer.poll()).rejects.toThrow(nothing)
    await log.close()
  })

  test('where it is in a partition that it already reads, when it is assigned others', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
    const one = { topic: 'orders', partition: 1 }
    const consumer = log.consumer({ maxPollRecords: 2 })
    consumer.assign([at])
    await log.load('orders', letters)
    expect((await consumer.poll()).map(textOf)).toEqual(['a', 'b'])
    // Its end by now, where a partition without a committed offset would start, is five records further.
    consumer.pause([at])
    consumer.assign([at, one])
    expect(consumer.position(at)).toBe(2)
    expect(consumer.paused).toEqual([at])
    consumer.resume([at])
    expect((await drain(consumer)).map(textOf)).toEqual(['c', 'd', 'e'])
    consumer.assign([one])
    consumer.assign([at])
    // Given up in between, it starts like any other.
    expect(consumer.position(at)).toBe(5)
    await log.close()
  })

  test('at the end by default, and gets the records appended from then on', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', ['old'])
    const consumer = log.consumer()
    consumer.assign([at])
    await log.load('orders', ['new'])
    expect((await drain(consumer)).map(textOf)).toEqual(['new'])
    await log.close()
  })

  test('at the committed offset of its group, whatever autoOffsetReset says', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const first = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollRecords: 2 })
    first.subscribe(['orders'])
    expect((await first.poll()).map(textOf)).toEqual(['a', 'b'])
    await first.commitOffsets()
    await first.close()
    for (const autoOffsetReset of ['earliest', 'latest', 'none'] as const) {
      const next = log.consumer({ group: 'g', autoOffsetReset, autoCommitIntervalMs: 0 })
      next.subscribe(['orders'])
      expect((await drain(next)).map(textOf)).toEqual(['c', 'd', 'e'])
      expect(next.committed().map(({ offset }) => offset)).toEqual([2])
      await next.close()
    }
    const other = log.consumer({ group: 'h', autoOffsetReset: 'none' })
    other.subscribe(['orders'])
    await expect(other.poll()).rejects.toThrow('NO_OFFSET: group h has no committed offset for orders-0')
    // It owns the partition and can still seek to where it wants to begin.
    other.seek(at, 3)
    expect((await drain(other)).map(textOf)).toEqual(['d', 'e'])
    await log.close()
  })

  test('according to autoOffsetReset when the records at its position were deleted', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const earliest = log.consumer({ autoOffsetReset: 'earliest' })
    const latest = log.consumer({ autoOffsetReset: 'latest' })
    const none = log.consumer({ group: 'g', autoOffsetReset: 'none', autoCommitIntervalMs: 0 })
    await log.broker.commitOffsets('g', -1, [{ at, offset: 1, leaderEpoch: -1, metadata: '' }])
    for (const consumer of [earliest, latest, none]) {
      consumer.assign([at])
      consumer.seek(at, 1)
    }
    await log.admin.deleteRecords([{ at, offset: 3 }])
    expect((await drain(earliest)).map(textOf)).toEqual(['d', 'e'])
    expect((await drain(latest)).map(textOf)).toEqual([])
    expect(latest.position(at)).toBe(5)
    expect(await codeOf(() => none.poll())).toBe('OFFSET_OUT_OF_RANGE')
    none.seek(at, 4)
    expect((await drain(none)).map(textOf)).toEqual(['e'])
    await log.close()
  })
})

test('a reset of one partition moves no other, not even one that waits inside a transaction', async () => {
  const log = await ClientHarness.open([
    { name: 'short', partitions: 1 },
    { name: 'held', partitions: 1 },
  ])
  await log.load('short', ['gone', 'gone'])
  await log.admin.deleteRecords([{ at: { topic: 'short', partition: 0 }, offset: -1 }])
  const producer = log.producer({ transactionalId: 'id' })
  await producer.initTransactions()
  producer.beginTransaction()
  for (const value of ['a', 'b', 'c']) await producer.send({ topic: 'held', value })
  const consumer = log.consumer({ autoOffsetReset: 'earliest' })
  const [short, held] = [
    { topic: 'short', partition: 0 },
    { topic: 'held', partition: 0 },
  ] as const
  consumer.assign([short, held])
  consumer.seek(short, 1)
  consumer.seek(held, 2)
  await consumer.poll()
  expect([consumer.position(short), consumer.position(held)]).toEqual([2, 2])
  await producer.commitTransaction()
  expect((await drain(consumer)).map(textOf)).toEqual(['c'])
  await log.close()
})

describe('seek', () => {
  test('moves to an offset, the beginning or the end, and drops what was fetched', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const consumer = log.consumer({ autoOffsetReset: 'earliest', maxPollRecords: 1 })
    consumer.assign([at])
    expect((await consumer.poll()).map(textOf)).toEqual(['a'])
    consumer.seek(at, 3)
    expect(consumer.position(at)).toBe(3)
    expect((await drain(consumer)).map(textOf)).toEqual(['d', 'e'])
    consumer.seek(at, 'beginning')
    expect((await drain(consumer)).map(textOf)).toEqual(letters)
    consumer.seek(at, 'end')
    await log.load('orders', ['f'])
    expect((await drain(consumer)).map(textOf)).toEqual(['f'])
    await log.close()
  })

  test('moves to the first record at or after a timestamp, or else to the end', async () => {
    const log = await ClientHarness.open([orders])
    const producer = log.producer()
    for (const timestamp of [10, 30, 20, 40]) await producer.send({ topic: 'orders', value: `${timestamp}`, timestamp })
    const consumer = log.consumer()
    consumer.assign([at])
    for (const [timestamp, values] of [
      [0, ['10', '30', '20', '40']],
      [15, ['30', '20', '40']],
      [31, ['40']],
      [41, []],
    ] as const) {
      consumer.seek(at, { timestamp })
      expect((await drain(consumer)).map(textOf), `time ${timestamp}`).toEqual(values)
    }
    await log.close()
  })

  test('to an invalid offset, timestamp or partition is refused', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer()
    consumer.assign([at])
    expect(await codeOf(() => consumer.seek(at, -1))).toBe('OFFSET_OUT_OF_RANGE')
    expect(await codeOf(() => consumer.seek(at, 0.5))).toBe('OFFSET_OUT_OF_RANGE')
    expect(await codeOf(() => consumer.seek(at, { timestamp: Number.NaN }))).toBe('INVALID_TIMESTAMP')
    // Callers without types may pass anything: none of it may be taken for 'end'.
    for (const to of ['earliest', '', null, true])
      expect(await codeOf(() => consumer.seek(at, to as 'end'))).toBe('INVALID_CONFIG')
    // An object without a time is no wrong time.
    expect(() => consumer.seek(at, { offset: 3 } as unknown as 'end')).toThrow(
      `seek of orders-0 to {"offset":3}: use an offset, 'beginning', 'end' or { timestamp: milliseconds }`,
    )
    expect(await codeOf(() => consumer.seek({ topic: 'orders', partition: 1 }, 0))).toBe('UNKNOWN_PARTITION')
    expect(await codeOf(() => consumer.assign([{ topic: 'nope', partition: 0 }]))).toBe('UNKNOWN_TOPIC')
    expect(await codeOf(() => consumer.assign([{ topic: 'orders', partition: 1 }]))).toBe('UNKNOWN_PARTITION')
    await log.close()
  })
})

describe('poll', () => {
  test('returns at most maxPollRecords, of all partitions, each in order', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 3 }])
    const producer = log.producer()
    await Promise.all(
      [0, 1, 2].flatMap((partition) =>
        letters.map((letter) => producer.send({ topic: 'orders', partition, value: `${letter}${partition}` })),
      ),
    )
    const consumer = log.consumer({ autoOffsetReset: 'earliest', maxPollRecords: 4 })
    consumer.assign([0, 1, 2].map((partition) => ({ topic: 'orders', partition })))
    const polls: (string | undefined)[][] = []
    for (let records = await consumer.poll(); records.length > 0; records = await consumer.poll()) {
      expect(records.length).toBeLessThanOrEqual(4)
      polls.push(records.map(textOf))
    }
    const all = polls.flat()
    for (const partition of [0, 1, 2]) {
      expect(all.filter((value) => value?.endsWith(`${partition}`))).toEqual(
        letters.map((letter) => letter + partition),
      )
    }
    expect(all).toHaveLength(15)
    await log.close()
  })

  test('that fails for one partition neither loses nor blocks the records of others', async () => {
    const log = await ClientHarness.open([
      { name: 'good', partitions: 1 },
      { name: 'short', partitions: 1 },
    ])
    await log.load('good', ['1', '2'])
    await log.load('short', ['gone'])
    await log.admin.deleteRecords([{ at: { topic: 'short', partition: 0 }, offset: -1 }])
    const both = ['good', 'short'].map((topic) => ({ topic, partition: 0 }))
    for (const order of [both, both.toReversed()]) {
      const reader = log.broker.openReader({ isolation: 'committed' })
      reader.assign(order.map((at) => ({ at, offset: 0 })))
      const outcomes = []
      for (let poll = 0; poll < 4; poll++)
        outcomes.push(
          await reader.poll({ bytesMax: 1024, waitMs: 0 }).then(
            (chunks) => chunks.map(({ at, nextOffset }) => `${at.topic} up to ${nextOffset}`).join(),
            (error: unknown) => (error instanceof LogError ? error.code : String(error)),
          ),
        )
      expect(outcomes.filter((outcome) => outcome.startsWith('good'))).toEqual(['good up to 2'])
      expect(outcomes).toContain('OFFSET_OUT_OF_RANGE')
      await reader.close()
    }
    await log.close()
  })

  test('waits for records, and ends early when it is woken', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer({ autoOffsetReset: 'earliest' })
    consumer.assign([at])
    const waiting = consumer.poll({ waitMs: 60_000 })
    await log.load('orders', ['a'])
    expect((await waiting).map(textOf)).toEqual(['a'])
    const woken = consumer.poll({ waitMs: 60_000 })
    await log.clock.nextTurn()
    consumer.wakeup()
    expect(await woken).toEqual([])
    await log.close()
  })

  test('allows no second poll, seek or assign while it waits', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer()
    consumer.assign([at])
    const waiting = consumer.poll({ waitMs: 60_000 })
    expect(await codeOf(() => consumer.poll())).toBe('INVALID_CONFIG')
    expect(await codeOf(() => consumer.seek(at, 0))).toBe('INVALID_CONFIG')
    expect(await codeOf(() => consumer.assign([]))).toBe('INVALID_CONFIG')
    await consumer.close()
    expect(await waiting).toEqual([])
    expect(await codeOf(() => consumer.poll())).toBe('CLOSED')
    await log.close()
  })

  test('leaves out paused partitions and resumes them where they were', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
    const producer = log.producer()
    await Promise.all(
      [0, 1].flatMap((partition) => letters.map((value) => producer.send({ topic: 'orders', partition, value }))),
    )
    const one = { topic: 'orders', partition: 1 }
    const consumer = log.consumer({ autoOffsetReset: 'earliest', maxPollRecords: 2 })
    consumer.assign([at, one])
    await consumer.poll()
    consumer.pause([one])
    const position = consumer.position(one)
    expect(consumer.paused).toEqual([one])
    expect((await drain(consumer)).every((record) => record.partition === 0)).toBe(true)
    expect(consumer.position(one)).toBe(position)
    consumer.resume([one])
    const rest = await drain(consumer)
    expect(rest.map((record) => record.partition)).toEqual(letters.slice(position).map(() => 1))
    expect(rest.map(textOf)).toEqual(letters.slice(position))
    await log.close()
  })

  test('returns every record once across offset gaps, and moves positions past them', async () => {
    let gap = 0
    const log = await ClientHarness.open([orders], { nextGap: () => gap })
    await log.load('orders', ['a', 'b'])
    gap = 5
    await log.load('orders', ['c'])
    const consumer = log.consumer({ autoOffsetReset: 'earliest', maxPollRecords: 1 })
    consumer.assign([at])
    expect((await drain(consumer)).map(textOf)).toEqual(['a', 'b', 'c'])
    expect(consumer.position(at)).toBe(log.admin.describeTopic('orders').bounds[0]?.end)
    await log.close()
  })

  test('can be iterated, record by record, until the consumer is closed', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const consumer = log.consumer({ autoOffsetReset: 'earliest' })
    consumer.assign([at])
    const seen: (string | undefined)[] = []
    for await (const record of consumer) {
      seen.push(textOf(record))
      if (seen.length === 5) void consumer.close()
    }
    expect(seen).toEqual(letters)
    await log.close()
  })
})

describe('the group of a consumer', () => {
  test('cannot be that of an application, nor the other way round', async () => {
    const log = await ClientHarness.open([orders])
    const application = log.broker.joinGroup({ group: 'g', topics: ['orders'] })
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    expect(await codeOf(() => consumer.poll())).toBe('GROUP_IN_USE')
    await application.leave()
    await consumer.poll()
    expect(consumer.assignment).toEqual([at])
    expect(await codeOf(() => log.broker.joinGroup({ group: 'g', topics: ['orders'] }))).toBe('GROUP_IN_USE')
    await log.close()
  })

  test('commits automatically what earlier polls returned, not what the last one returned', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const consumer = log.consumer({
      group: 'g',
      autoOffsetReset: 'earliest',
      autoCommitIntervalMs: 100,
      maxPollRecords: 2,
    })
    consumer.subscribe(['orders'])
    const committed = (): number | undefined => log.admin.committedOffsets('g', [at])[0]?.offset
    await consumer.poll()
    expect(committed()).toBeUndefined()
    log.clock.advance(99)
    await consumer.poll()
    expect(committed()).toBeUndefined()
    log.clock.advance(1)
    await consumer.poll()
    expect(committed()).toBe(4)
    await consumer.close()
    expect(committed()).toBe(5)
    await log.close()
  })

  test('keeps the offsets committed by hand when close does not commit', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', letters)
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', autoCommitIntervalMs: 0 })
    consumer.subscribe(['orders'])
    await drain(consumer)
    await consumer.commitOffsets([{ at, offset: 2, leaderEpoch: -1, metadata: 'note' }])
    await consumer.close()
    expect(log.admin.committedOffsets('g', [at])).toEqual([{ at, offset: 2, leaderEpoch: -1, metadata: 'note' }])
    expect(log.admin.listGroups().map(({ group }) => group)).toContain('g')
    await log.close()
  })

  test('is required to subscribe and to commit', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer()
    expect(await codeOf(() => consumer.subscribe(['orders']))).toBe('INVALID_CONFIG')
    consumer.assign([at])
    expect(await codeOf(() => consumer.commitOffsets())).toBe('INVALID_CONFIG')
    await consumer.close()
    await log.close()
  })

  test('is left by unsubscribe: the consumer has no partitions and may subscribe again', async () => {
    const log = await ClientHarness.open([orders])
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    await consumer.unsubscribe()
    expect(consumer.assignment).toEqual([])
    consumer.subscribe(['orders'])
    expect(await consumer.poll()).toEqual([])
    expect(consumer.assignment).toEqual([at])
    await log.close()
  })
})

describe('foreign bytes in a declared topic', () => {
  const numbers = topic('orders', { key: z.string().nullable(), value: z.object({ n: z.number() }), format: 'json' })

  test('fail the poll that starts with them, naming the offset, until the caller seeks past them', async () => {
    const log = await ClientHarness.open([orders])
    await log.load('orders', ['{"n":1}', '{"n":"two"}', 'no json', '{"n":4}'])
    const consumer = log.consumer({ autoOffsetReset: 'earliest', topics: [numbers] })
    consumer.assign([at])
    expect((await consumer.poll()).map(({ value }) => value)).toEqual([{ n: 1 }])
    for (const offset of [1, 2]) {
      for (let again = 0; again < 2; again++) {
        const error: unknown = await consumer.poll().catch((thrown: unknown) => thrown)
        expect(String(error)).toMatch(
          new RegExp(`INVALID_RECORD: offset ${offset} of orders-0 cannot be read as declared: (the|no)`),
        )
      }
      expect(consumer.position(at)).toBe(offset)
      consumer.seek(at, offset + 1)
    }
    expect((await drain(consumer)).map(({ value }) => value)).toEqual([{ n: 4 }])
    await log.close()
  })

  test('are kept out: a consumer of declared topics reads no others', async () => {
    const log = await ClientHarness.open([orders, { name: 'other', partitions: 1 }])
    const consumer = log.consumer({ topics: [numbers] })
    expect(await codeOf(() => consumer.assign([{ topic: 'other', partition: 0 }]))).toBe('INVALID_CONFIG')
    await log.close()
  })

  test('are not accepted by name: a consumer’s topics must be declarations', async () => {
    const log = await ClientHarness.open([orders])
    expect(() => log.consumer({ topics: [orders.name as unknown as typeof numbers] })).toThrow(
      /^INVALID_CONFIG: topics contains the name orders, .*leave topics out/,
    )
    await log.close()
  })
})

test('the name of a group is checked at once: its first commit would be too late', async () => {
  const log = await ClientHarness.open([orders])
  for (const group of ['', 'g'.repeat(250), 7, null])
    expect(await codeOf(() => Reflect.construct(Consumer, [log.broker, log.clock, { group }]))).toBe('INVALID_GROUP_ID')
  await log.close()
})

test('options outside their bounds are INVALID_CONFIG', async () => {
  const log = await ClientHarness.open([orders])
  for (const options of [
    { maxPollRecords: 0 },
    { fetchBytesMax: 0.5 },
    { group: 'g', autoCommitIntervalMs: -1 },
    { autoOffsetReset: 'sometimes' as 'none' },
  ]) {
    expect(await codeOf(() => log.consumer(options)), JSON.stringify(options)).toBe('INVALID_CONFIG')
  }
  // Kafka's values and invalid ones, as callers without types may pass them.
  for (const options of [
    { isolation: 'read_uncommitted' },
    { isolation: '' },
    { assignors: [{}] },
    { assignors: [null] },
  ])
    expect(
      await codeOf(() => Reflect.construct(Consumer, [log.broker, log.clock, options])),
      JSON.stringify(options),
    ).toBe('INVALID_CONFIG')
  await log.close()
})
