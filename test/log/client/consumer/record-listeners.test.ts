import { describe, expect, test } from 'vitest'
import type { Consumer } from '../../../../src/log/client/consumer/consumer.ts'
import { ClientHarness, codeOf, drain, textOf } from '../client-harness.ts'

const at = { topic: 'orders', partition: 0 }
const committed = (log: ClientHarness): number | undefined => log.admin.committedOffsets('g', [at])[0]?.offset

interface Gate {
  readonly started: string[]
  readonly most: number
  hold(value: string | undefined): Promise<void>
  finish(value: string): Promise<void>
}

/** A listener whose calls end when told to. */
function gate(log: ClientHarness): Gate {
  const waiting = new Map<string, () => void>()
  const started: string[] = []
  let most = 0
  return {
    started,
    get most() {
      return most
    },
    hold: (value = '') => {
      started.push(value)
      const held = Promise.withResolvers<void>()
      waiting.set(value, held.resolve)
      most = Math.max(most, waiting.size)
      return held.promise
    },
    finish: async (value) => {
      waiting.get(value)?.()
      waiting.delete(value)
      for (let turn = 0; turn < 5; turn++) await log.clock.nextTurn()
    },
  }
}

async function load(log: ClientHarness, records: readonly string[]): Promise<void> {
  const producer = log.producer()
  for (const record of records) {
    const [key, value] = record.split(':')
    await producer.send({
      topic: 'orders',
      key: key === '-' ? null : (key ?? null),
      value: value ?? null,
      partition: 0,
    })
  }
}

async function open(records: readonly string[], maxPollRecords = 500): Promise<readonly [ClientHarness, Consumer]> {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
  await load(log, records)
  const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', autoCommitIntervalMs: 1000, maxPollRecords })
  consumer.subscribe(['orders'])
  return [log, consumer]
}

describe('eachRecord', () => {
  test('processes records of one key in order and others concurrently, up to its concurrency', async () => {
    const [log, consumer] = await open(['a:1', 'a:2', 'b:3', 'c:4', 'd:5', '-:6', '-:7'])
    const calls = gate(log)
    const running = consumer.eachRecord((record) => calls.hold(textOf(record)), { concurrency: 3 })
    await calls.finish('')
    expect(calls.started).toEqual(['1', '3', '4'])
    await calls.finish('3')
    expect(calls.started.slice(3)).toEqual(['5'])
    await calls.finish('1')
    await calls.finish('4')
    expect(calls.started.slice(4).sort()).toEqual(['2', '6'])
    for (const value of ['5', '6', '2', '7']) await calls.finish(value)
    expect([calls.started.length, calls.most]).toEqual([7, 3])
    await consumer.close()
    await running
    expect(committed(log)).toBe(7)
    await log.close()
  })

  test('never commits beyond the first record that is not done', async () => {
    const [log, consumer] = await open(['a:1', 'b:2', 'c:3', 'd:4'])
    const calls = gate(log)
    const running = consumer.eachRecord((record) => calls.hold(textOf(record)), { concurrency: 4 })
    await calls.finish('')
    for (const value of ['2', '4']) await calls.finish(value)
    await log.clock.run(1000)
    expect(committed(log)).toBeUndefined()
    await calls.finish('1')
    await log.clock.run(1000)
    expect(committed(log)).toBe(2)
    await calls.finish('3')
    await log.clock.run(1000)
    expect(committed(log)).toBe(4)
    await consumer.close()
    await running
    await log.close()
  })

  test('keeps the order of the partition, or none, when asked', async () => {
    for (const [order, first] of [
      ['partition', ['1']],
      ['none', ['1', '2', '3']],
    ] as const) {
      const [log, consumer] = await open(['a:1', 'a:2', 'b:3'])
      const calls = gate(log)
      const abort = new AbortController()
      const running = consumer.eachRecord((record) => calls.hold(textOf(record)), {
        concurrency: 3,
        order,
        signal: abort.signal,
      })
      await calls.finish('')
      expect(calls.started, order).toEqual(first)
      abort.abort()
      for (const value of ['1', '2', '3']) await calls.finish(value)
      await running
      await consumer.close()
      await log.close()
    }
  })

  test('ends when a call throws: running calls finish, it rejects, and the record is read again', async () => {
    const [log, consumer] = await open(['a:1', 'b:2', 'c:3', 'd:4'])
    const seen: (string | undefined)[] = []
    const failing = consumer.eachRecord(async (record) => {
      seen.push(textOf(record))
      await log.clock.nextTurn()
      if (textOf(record) === '2') throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(seen).toEqual(['1', '2'])
    expect((await drain(consumer)).map(textOf)).toEqual(['2', '3', '4'])
    await consumer.close()
    await log.close()
  })

  test('ends by its signal: running calls finish and are committed, waiting records are read again', async () => {
    const [log, consumer] = await open(['a:1', 'a:2', 'a:3'])
    const calls = gate(log)
    const abort = new AbortController()
    const running = consumer.eachRecord((record) => calls.hold(textOf(record)), { signal: abort.signal })
    await calls.finish('')
    abort.abort()
    await calls.finish('1')
    await running
    expect(committed(log)).toBe(1)
    expect((await drain(consumer)).map(textOf)).toEqual(['2', '3'])
    await log.close()
  })

  test('holds at most maxPollRecords records at a time', async () => {
    const [log, consumer] = await open(
      Array.from({ length: 20 }, (_, index) => `k${index}:${index}`),
      4,
    )
    const calls = gate(log)
    const running = consumer.eachRecord((record) => calls.hold(textOf(record)), { concurrency: 4 })
    await calls.finish('')
    expect([calls.started.length, consumer.position(at)]).toEqual([4, 4])
    for (let index = 0; index < 20; index++) await calls.finish(`${index}`)
    expect([calls.started.length, calls.most]).toEqual([20, 4])
    await consumer.close()
    await running
    await log.close()
  })

  test('gives up a partition only when its running calls are done and committed', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
    const producer = log.producer()
    for (const partition of [0, 1])
      for (const turn of [1, 2])
        await producer.send({ topic: 'orders', partition, key: `${turn}`, value: `${partition}${turn}` })
    const happened: string[] = []
    const first = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    first.subscribe(['orders'], { onPartitionsRevoked: (gone) => void happened.push(`revoked ${gone[0]?.partition}`) })
    const calls = gate(log)
    const running = first.eachRecord(
      async (record) => {
        await calls.hold(textOf(record))
        happened.push(`done ${textOf(record)}`)
      },
      { concurrency: 2 },
    )
    await calls.finish('')
    const second = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    second.subscribe(['orders'])
    await second.poll()
    await calls.finish('')
    expect(happened).toEqual([])
    for (const value of calls.started.slice()) await calls.finish(value)
    expect(happened.some((line) => line.startsWith('revoked'))).toBe(true)
    const gone = Number(happened.find((line) => line.startsWith('revoked'))?.at(-1))
    const before = happened.slice(0, happened.indexOf(`revoked ${gone}`))
    const done = before.filter((line) => line.startsWith(`done ${gone}`)).length
    expect(log.admin.committedOffsets('g', [{ topic: 'orders', partition: gone }])[0]?.offset).toBe(done)
    await second.poll()
    await log.clock.nextTurn()
    expect((await drain(second)).length).toBe(2 - done)
    for (const value of calls.started.slice()) await calls.finish(value)
    await first.close()
    await running
    await log.close()
  })

  test('loses its partitions when a call takes longer than maxPollIntervalMs, not while it is idle', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    const lost: number[] = []
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollIntervalMs: 10_000 })
    consumer.subscribe(['orders'], { onPartitionsLost: (gone) => void lost.push(gone.length) })
    const calls = gate(log)
    const running = consumer.eachRecord((record) => calls.hold(textOf(record)))
    await log.clock.run(60_000)
    expect(lost).toEqual([])
    await load(log, ['a:1'])
    await calls.finish('')
    await log.clock.run(9000)
    expect(lost).toEqual([])
    await log.clock.run(1000)
    expect(lost).toEqual([1])
    await calls.finish('1')
    expect(committed(log)).toBeUndefined()
    await calls.finish('')
    expect(calls.started).toEqual(['1', '1'])
    await calls.finish('1')
    await consumer.close()
    await running
    expect(committed(log)).toBe(1)
    await log.close()
  })

  test('of a static consumer loses its partitions at the session timeout when a call never ends', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    await load(log, ['a:1'])
    const times = { maxPollIntervalMs: 10_000, sessionTimeoutMs: 20_000, autoCommitIntervalMs: 1000 }
    const open = (groupInstanceId: string): Consumer => {
      const consumer = log.consumer({ group: 'g', groupInstanceId, autoOffsetReset: 'earliest', ...times })
      consumer.subscribe(['orders'])
      return consumer
    }
    const hanging = open('one')
    const calls = gate(log)
    const running = hanging.eachRecord((record) => calls.hold(textOf(record)))
    await log.clock.run(1000)
    const other = open('two')
    const taken: (string | undefined)[] = []
    const reading = other.eachRecord((record) => void taken.push(textOf(record)))
    await log.clock.run(60_000)
    expect(taken).toEqual(['1'])
    await calls.finish('1')
    await Promise.all([hanging.close(), other.close()])
    await Promise.all([running, reading])
    await log.close()
  })

  test('waits until notBefore of a record without delaying others', async () => {
    const [log, consumer] = await open(['late:1', 'now:2', 'late:3'])
    const calls = gate(log)
    const due = log.clock.now() + 5000
    const running = consumer.eachRecord((record) => calls.hold(textOf(record)), {
      concurrency: 3,
      notBefore: (record) => (record.key?.toString() === 'late' ? due : 0),
    })
    await calls.finish('')
    expect(calls.started).toEqual(['2'])
    await calls.finish('2')
    await log.clock.run(4999)
    expect(calls.started).toEqual(['2'])
    await log.clock.run(1)
    expect(calls.started).toEqual(['2', '1'])
    await calls.finish('1')
    await calls.finish('3')
    await consumer.close()
    await running
    expect(committed(log)).toBe(3)
    await log.close()
  })

  test('refuses an invalid concurrency or order', async () => {
    const [log, consumer] = await open([])
    for (const options of [{ concurrency: 0 }, { concurrency: 1.5 }, { order: 'some' as 'key' }])
      expect(await codeOf(() => consumer.eachRecord(() => {}, options))).toBe('INVALID_CONFIG')
    await log.close()
  })
})

test('eachBatch passes records of one partition, in order within the partition, partitions concurrently', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
  const producer = log.producer()
  for (let index = 0; index < 6; index++)
    await producer.send({ topic: 'orders', partition: index % 2, value: `${index}` })
  const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest', maxPollRecords: 2 })
  consumer.subscribe(['orders'])
  const calls = gate(log)
  const running = consumer.eachBatch(
    async ({ partition, records }) => await calls.hold(`${partition}=${records.map(textOf).join()}`),
    { concurrency: 2 },
  )
  await calls.finish('')
  expect(calls.most).toBe(2)
  for (let turn = 0; turn < 6; turn++) for (const value of calls.started.slice()) await calls.finish(value)
  const of = (partition: string): string =>
    calls.started
      .filter((call) => call.startsWith(partition))
      .map((call) => call.slice(2))
      .join()
  expect([of('0'), of('1')]).toEqual(['0,2,4', '1,3,5'])
  await consumer.close()
  await running
  expect(committed(log)).toBe(3)
  await log.close()
})

describe('an iteration', () => {
  test('that is left does not commit the record it was left at, and the next one continues behind it', async () => {
    const [log, consumer] = await open(['a:1', 'a:2', 'a:3', 'a:4'])
    const seen: (string | undefined)[] = []
    for await (const record of consumer) {
      seen.push(textOf(record))
      if (seen.length === 2) break
    }
    await consumer.commitOffsets()
    expect(committed(log)).toBe(1)
    expect((await drain(consumer)).map(textOf)).toEqual(['3', '4'])
    await consumer.close()
    expect(committed(log)).toBe(4)
    await log.close()
  })

  test('that fails loses nothing: the next consumer starts with the record that failed', async () => {
    const [log, consumer] = await open(['a:1', 'a:2', 'a:3'])
    const failing = (async () => {
      for await (const record of consumer) if (textOf(record) === '2') throw new Error('no')
    })()
    await expect(failing).rejects.toThrow('no')
    await consumer.close()
    const next = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    next.subscribe(['orders'])
    expect((await drain(next)).map(textOf)).toEqual(['2', '3'])
    await log.close()
  })
})
