import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { partitionOfKey } from '../../../../src/base/murmur2.ts'
import { SeededRandom } from '../../../../src/base/seeded-random.ts'
import { topic } from '../../../../src/codec/topic.ts'
import { LogError } from '../../../../src/log/api/errors.ts'
import { commitsTopic, offsetsTopic } from '../../../../src/log/api/internal-topics.ts'
import type { AppendedBatch, Broker } from '../../../../src/log/broker/broker.ts'
import { Producer } from '../../../../src/log/client/producer/producer.ts'
import { recordCountOf } from '../../../../src/log/format/record-batch.ts'
import { ManualClock } from '../../../../src/testing/manual-clock.ts'
import { readAll } from '../../format/batch-case.ts'
import { ClientHarness, codeOf, drain, textOf } from '../client-harness.ts'

const all = { autoOffsetReset: 'earliest' } as const

describe('a send', () => {
  test('resolves with the partition and offset at which a reader finds the whole record', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 3 }])
    const headers = [
      { key: 'source', value: Buffer.from('web') },
      { key: 'empty', value: null },
    ]
    const sent = await log.producer().send({ topic: 'orders', key: 'ada', value: 'tea', timestamp: 123, headers })
    const partition = partitionOfKey(Buffer.from('ada'), 0, 3, 3)
    expect(sent).toEqual({ topic: 'orders', partition, offset: 0, timestamp: 123 })

    const consumer = log.consumer(all)
    consumer.assign([{ topic: 'orders', partition }])
    const [record, ...more] = await consumer.poll()
    expect(more).toEqual([])
    expect(record).toMatchObject({ topic: 'orders', partition, offset: 0, timestamp: 123 })
    expect(record?.key?.toString()).toBe('ada')
    expect(record?.value?.toString()).toBe('tea')
    expect(
      record?.headers.map(({ key, value }) => [key, value === null ? null : Buffer.from(value).toString()]),
    ).toEqual([
      ['source', 'web'],
      ['empty', null],
    ])
    await log.close()
  })

  test('without a timestamp uses the time of the clock', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    log.clock.advance(5)
    expect((await log.producer().send({ topic: 'orders', value: 'x' })).timestamp).toBe(1_700_000_000_005)
    await log.close()
  })

  test('keeps the order of sends within a partition, over many batches', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    const producer = log.producer({ batchBytesMax: 200 })
    const values = Array.from({ length: 300 }, (_, index) => `value ${index}`)
    const sent = await Promise.all(values.map((value) => producer.send({ topic: 'orders', value })))
    expect(sent.map(({ offset }) => offset)).toEqual(values.map((_, index) => index))
    const consumer = log.consumer(all)
    consumer.assign([{ topic: 'orders', partition: 0 }])
    expect((await drain(consumer)).map(textOf)).toEqual(values)
    await log.close()
  })

  test('resolves with the right offset where the log leaves gaps between batches', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }], { nextGap: () => 3 })
    const producer = log.producer({ batchBytesMax: 100 })
    const values = Array.from({ length: 20 }, (_, index) => `value ${index}`)
    const sent = await Promise.all(values.map((value) => producer.send({ topic: 'orders', value })))
    const consumer = log.consumer(all)
    consumer.assign([{ topic: 'orders', partition: 0 }])
    expect((await drain(consumer)).map((record) => [record.offset, textOf(record)])).toEqual(
      sent.map(({ offset }, index) => [offset, values[index]]),
    )
    expect(sent.at(-1)?.offset).toBeGreaterThan(20)
    await log.close()
  })

  test('copies its bytes: the caller may overwrite them afterwards, also while it waits for room', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    const producer = log.producer({ bufferBytesMax: 1 })
    const value = Buffer.from('a')
    const sends = ['a', 'b', 'c', 'd'].map((letter) => {
      value.write(letter)
      return producer.send({ topic: 'orders', key: value, value })
    })
    await Promise.all(sends)
    const consumer = log.consumer(all)
    consumer.assign([{ topic: 'orders', partition: 0 }])
    expect((await drain(consumer)).map(textOf)).toEqual(['a', 'b', 'c', 'd'])
    await log.close()
  })

  test('keeps its bytes while its batch waits for the log to have room, in batches large and small', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 4 }], { unappliedBytesMax: 64 * 1024 })
    const producer = log.producer({ batchBytesMax: 20_000 })
    const value = Buffer.alloc(1000)
    const expected: string[][] = [[], [], [], []]
    let roomless = 0
    for (let turn = 0; turn < 5; turn++) {
      for (let index = 0; index < 200; index++) {
        // Few go to partition 3: its batches stay small.
        const partition = index % 50 === 0 ? 3 : index % 3
        const text = `${turn} ${index}`
        value.fill(0).write(text)
        expect(producer.post({ topic: 'orders', value, partition })).toBe(true)
        expected[partition]?.push(text)
        if (!log.broker.canAppend) roomless += 1
      }
      await producer.flush()
    }
    expect(roomless).toBeGreaterThan(100)
    for (const [partition, texts] of expected.entries()) {
      const consumer = log.consumer(all)
      consumer.assign([{ topic: 'orders', partition }])
      expect((await drain(consumer)).map((record) => textOf(record)?.replaceAll('\0', ''))).toEqual(texts)
    }
    await log.close()
  })

  test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'that %s would make too large for its topic is written as it is',
    async (compression) => {
      const log = await ClientHarness.open([{ name: 'orders', partitions: 1, config: { maxMessageBytes: 1000 } }])
      const producer = log.producer({ compression })
      const random = new SeededRandom(1)
      // Alone, and in batches that are filled up to the last byte.
      const values = [930, 62, 122, 143, 296].flatMap((size) =>
        Array.from({ length: 40 }, () => Buffer.from(Array.from({ length: size }, () => random.below(256)))),
      )

      const sent = await Promise.all(values.map((value) => codeOf(() => producer.send({ topic: 'orders', value }))))

      expect(new Set(sent)).toEqual(new Set(['none']))
      const consumer = log.consumer({ autoOffsetReset: 'earliest' })
      consumer.assign([{ topic: 'orders', partition: 0 }])
      expect((await drain(consumer)).map(({ value }) => value?.toString('hex'))).toEqual(
        values.map((value) => value.toString('hex')),
      )
      await log.close()
    },
  )

  test('in compressed batches is read as it was sent', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
      const producer = log.producer({ compression })
      await Promise.all(['a', 'b'].map((value) => producer.send({ topic: 'orders', value: `${compression} ${value}` })))
    }
    const consumer = log.consumer(all)
    consumer.assign([{ topic: 'orders', partition: 0 }])
    expect((await drain(consumer)).map(textOf)).toEqual(
      ['gzip', 'snappy', 'lz4', 'zstd'].flatMap((codec) => [`${codec} a`, `${codec} b`]),
    )
    await log.close()
  })
})

describe('partitions', () => {
  test('of records with a key are chosen by the murmur2 hash of the key', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 5 }])
    const producer = log.producer()
    for (let index = 0; index < 40; index++) {
      const key = `key ${index % 10}`
      const { partition } = await producer.send({ topic: 'orders', key, value: 'x' })
      expect(partition).toBe(partitionOfKey(Buffer.from(key), 0, key.length, 5))
    }
    await log.close()
  })

  test('of records without a key change with each batch', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 3 }])
    const producer = log.producer()
    const partitions: number[][] = []
    for (let round = 0; round < 4; round++) {
      const sent = await Promise.all([1, 2, 3].map(() => producer.send({ topic: 'orders', value: 'x' })))
      partitions.push(sent.map(({ partition }) => partition))
    }
    expect(partitions).toEqual([
      [0, 0, 0],
      [1, 1, 1],
      [2, 2, 2],
      [0, 0, 0],
    ])
    await log.close()
  })
})

describe('a producer refuses before it writes anything:', () => {
  const small = { name: 'orders', partitions: 2, config: { maxMessageBytes: 1024 } }
  test.each([
    ['an unknown topic', 'UNKNOWN_TOPIC', { topic: 'nope', value: 'x' }],
    ['a partition that does not exist', 'UNKNOWN_PARTITION', { topic: 'orders', value: 'x', partition: 2 }],
    ['a negative partition', 'UNKNOWN_PARTITION', { topic: 'orders', value: 'x', partition: -1 }],
    ['a fractional partition', 'UNKNOWN_PARTITION', { topic: 'orders', value: 'x', partition: 0.5 }],
    ['a negative timestamp', 'INVALID_TIMESTAMP', { topic: 'orders', value: 'x', timestamp: -1 }],
    ['a fractional timestamp', 'INVALID_TIMESTAMP', { topic: 'orders', value: 'x', timestamp: 1.5 }],
    ['NaN as timestamp', 'INVALID_TIMESTAMP', { topic: 'orders', value: 'x', timestamp: Number.NaN }],
    ['a record over maxMessageBytes', 'MESSAGE_TOO_LARGE', { topic: 'orders', value: Buffer.alloc(1024) }],
    ['the topic of committed offsets', 'INVALID_TOPIC', { topic: offsetsTopic, value: 'x' }],
    ['a record without a value', 'INVALID_RECORD', { topic: 'orders', vlaue: 'x' } as never],
    [
      'a value that is neither bytes nor a string',
      'INVALID_RECORD',
      { topic: 'orders', value: 5 as unknown as string },
    ],
    [
      'a key that is neither bytes nor a string',
      'INVALID_RECORD',
      { topic: 'orders', value: 'x', key: {} as unknown as string },
    ],
    ['a header without a key', 'INVALID_RECORD', { topic: 'orders', value: 'x', headers: [{} as never] }],
  ] as const)('%s', async (_, code, record) => {
    const log = await ClientHarness.open([small])
    const producer = log.producer()
    expect(await codeOf(() => producer.send(record))).toBe(code)
    expect(await codeOf(() => producer.post(record))).toBe(code)
    await producer.close()
    expect(log.admin.describeTopic('orders').bounds.map(({ end }) => end)).toEqual([0, 0])
    await log.close()
  })

  test('an unknown topic, naming it and what creates it', async () => {
    const log = await ClientHarness.open([small])
    await expect(log.producer().send({ topic: 'oders', value: 'x' })).rejects.toThrow(
      'UNKNOWN_TOPIC: topic "oders" does not exist: create it first, with log.admin.ensureTopics, or correct the name',
    )
    await log.close()
  })

  test('the topic of an application’s commits, which may not exist yet', async () => {
    const log = await ClientHarness.open([small])
    const code = await codeOf(() => log.producer().send({ topic: commitsTopic, value: 'x' }))
    expect(['INVALID_TOPIC', 'UNKNOWN_TOPIC']).toContain(code)
    await log.close()
  })

  test('only the invalid record, not those before and after it', async () => {
    const log = await ClientHarness.open([small])
    const producer = log.producer()
    const outcomes = await Promise.allSettled([
      producer.send({ topic: 'orders', partition: 0, value: 'before' }),
      producer.send({ topic: 'orders', partition: 0, value: Buffer.alloc(2000) }),
      producer.send({ topic: 'orders', partition: 0, value: 'after' }),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    await log.close()
  })

  test('a record that is one byte larger than the largest that fits', async () => {
    const log = await ClientHarness.open([small])
    const producer = log.producer()
    // 61 bytes of header, 2 of length, attributes, two deltas, null key, 2 of value length, no headers
    const largest = 1024 - 61 - 2 - 1 - 1 - 1 - 1 - 2 - 1
    expect(await codeOf(() => producer.send({ topic: 'orders', value: Buffer.alloc(largest) }))).toBe('none')
    expect(await codeOf(() => producer.send({ topic: 'orders', value: Buffer.alloc(largest + 1) }))).toBe(
      'MESSAGE_TOO_LARGE',
    )
    await log.close()
  })
})

describe('a declared topic', () => {
  const views = topic('views', {
    key: z.string(),
    value: z.object({ path: z.string(), at: z.number(), region: z.string().default('eu') }),
    timestamp: (view) => view.at,
    partitions: 2,
  })

  test('is written and read with its types, defaults and timestamps', async () => {
    const log = await ClientHarness.open([views])
    const { timestamp } = await log.producer().send({ topic: views, key: 'ada', value: { path: '/', at: 77 } })
    expect(timestamp).toBe(77)
    const consumer = log.consumer({ ...all, group: 'g', topics: [views] })
    consumer.subscribe()
    const [record] = await consumer.poll()
    const path: string | undefined = record?.value.path
    expect(path).toBe('/')
    expect(record?.key).toBe('ada')
    expect(record?.value).toEqual({ path: '/', at: 77, region: 'eu' })
    await log.close()
  })

  test('refuses invalid records, naming topic and field', async () => {
    const log = await ClientHarness.open([views])
    const bad = { path: 5, at: 1 } as unknown as { path: string; at: number }
    const error: unknown = await log
      .producer()
      .send({ topic: views, key: 'a', value: bad })
      .catch((e: unknown) => e)
    expect(error).toBeInstanceOf(LogError)
    expect(String(error)).toMatch(/INVALID_RECORD: record for topic views refused: the value .*path/)
    await expect(log.producer().send({ topic: views, key: 7 as never, value: { path: '/', at: 1 } })).rejects.toThrow(
      'INVALID_RECORD: record for topic views refused: its key: the codec writes a string, not 7',
    )
    const missing = null as unknown as { path: string; at: number }
    expect(await codeOf(() => log.producer().send({ topic: views, key: 'a', value: missing }))).toBe('INVALID_RECORD')
    expect(log.admin.describeTopic('views').bounds.map(({ end }) => end)).toEqual([0, 0])
    await log.close()
  })

  test('that was created with another codec is TOPIC_MISMATCH', async () => {
    const log = await ClientHarness.open([views])
    const other = topic('views', { key: z.string(), value: z.string(), format: 'json' })
    expect(await codeOf(() => log.producer().send({ topic: other, key: 'a', value: 'x' }))).toBe('TOPIC_MISMATCH')
    await log.close()
  })
})

/** A broker that answers only when told, has room unless told otherwise, and keeps the batches it was sent. */
class SlowBroker {
  readonly batches: {
    readonly bytes: Uint8Array
    readonly count: number
    readonly answer: (failure?: Error) => void
  }[] = []
  #next = 0
  #hasRoom = true
  readonly #waiting: (() => void)[] = []

  get canAppend(): boolean {
    return this.#hasRoom
  }

  beFull(): void {
    this.#hasRoom = false
  }

  makeRoom(): void {
    this.#hasRoom = true
    for (const accepted of this.#waiting.splice(0)) accepted()
  }

  topic(name: string): unknown {
    return { name, id: name, partitions: 1, config: { maxMessageBytes: 1_000_000 } }
  }

  newProducer(): { readonly producerId: number; readonly producerEpoch: number } {
    return { producerId: 1, producerEpoch: 0 }
  }

  appendNow(at: unknown, batch: Uint8Array): Promise<AppendedBatch> {
    return this.append(at, batch)
  }

  append(_at: unknown, batch: Uint8Array, _origin?: unknown, accepted: () => void = () => {}): Promise<AppendedBatch> {
    if (this.#hasRoom) accepted()
    else this.#waiting.push(accepted)
    const count = recordCountOf(batch, 0)
    const baseOffset = this.#next
    this.#next += count
    return new Promise((resolve, reject) => {
      const answer = (failure?: Error): void => {
        if (failure === undefined) resolve({ baseOffset, lastOffset: baseOffset + count - 1, leaderEpoch: 0 })
        else reject(failure)
      }
      this.batches.push({ bytes: batch, count, answer })
    })
  }
}

describe('batches', () => {
  const open = (options: ConstructorParameters<typeof Producer>[2]): [SlowBroker, ManualClock, Producer] => {
    const broker = new SlowBroker()
    const clock = new ManualClock()
    return [broker, clock, new Producer(broker as unknown as Broker, clock, options)]
  }
  const counts = (broker: SlowBroker): number[] => broker.batches.map(({ count }) => count)
  const record = { topic: 't', value: 'x'.repeat(50) }
  /** Posts so many records, each in a turn of its own. */
  const postOneByOne = async (count: number, producer: Producer, clock: ManualClock): Promise<void> => {
    for (let turn = 0; turn < count; turn++) {
      producer.post(record)
      await clock.nextTurn()
    }
  }

  test('hold all records sent in one turn', async () => {
    const [broker, clock, producer] = open({})
    for (let index = 0; index < 7; index++) producer.post(record)
    expect(counts(broker)).toEqual([])
    await clock.nextTurn()
    expect(counts(broker)).toEqual([7])
  })

  test('are sent lingerMs after their first record, or when they are full', async () => {
    const [broker, clock, producer] = open({ lingerMs: 10, batchBytesMax: 400 })
    producer.post(record)
    await clock.run(9)
    producer.post(record)
    expect(counts(broker)).toEqual([])
    await clock.run(1)
    expect(counts(broker)).toEqual([2])
    for (let index = 0; index < 6; index++) producer.post(record)
    expect(counts(broker)[1]).toBeGreaterThan(1)
    await clock.run(10)
    expect(counts(broker).reduce((sum, count) => sum + count)).toBe(8)
  })

  test('beyond bufferBytesMax make sends wait in order and post return false', async () => {
    const [broker, clock, producer] = open({ bufferBytesMax: 200 })
    const done: number[] = []
    for (let index = 0; index < 8; index++) void producer.send(record).then(({ offset }) => done.push(offset))
    await clock.nextTurn()
    const taken = counts(broker).reduce((sum, count) => sum + count)
    expect(taken).toBeLessThan(8)
    expect(producer.post(record)).toBe(false)
    let ready = false
    void producer.ready().then(() => (ready = true))
    await clock.nextTurn()
    expect(ready).toBe(false)
    for (let round = 0; round < 10; round++) {
      for (const batch of broker.batches.splice(0)) batch.answer()
      await clock.nextTurn()
    }
    expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(ready).toBe(true)
    expect(producer.post(record)).toBe(true)
  })

  test('that wait for room in the log keep their bytes while the next batch fills', async () => {
    const [broker, clock, producer] = open({})
    broker.beFull()
    producer.post({ topic: 't', value: 'first' })
    await clock.nextTurn()
    producer.post({ topic: 't', value: 'other' })
    await clock.nextTurn()
    expect(broker.batches.map(({ bytes }) => readAll([bytes]).map(({ value }) => value))).toEqual([
      ['first'],
      ['other'],
    ])
  })

  test('that waited for room in the log are all sent once there is some: what the log has copied is not in flight', async () => {
    const [broker, clock, producer] = open({ batchBytesMax: 400 })
    broker.beFull()
    for (let index = 0; index < 100; index++) producer.post(record)
    await clock.nextTurn()
    expect(counts(broker)).toHaveLength(5)

    broker.makeRoom()
    broker.batches[0]?.answer()
    await clock.nextTurn()

    expect(counts(broker).reduce((sum, count) => sum + count)).toBe(100)
  })

  test('that waited for room in the log are no longer in flight once it has copied them', async () => {
    const [broker, clock, producer] = open({})
    broker.beFull()
    await postOneByOne(5, producer, clock)

    broker.makeRoom()
    await postOneByOne(1, producer, clock)

    expect(counts(broker)).toEqual([1, 1, 1, 1, 1, 1])
  })

  test('that wait for room in the log are at most 5, after others were copied and answered', async () => {
    const [broker, clock, producer] = open({})
    await postOneByOne(3, producer, clock)
    for (const batch of broker.batches.splice(0)) batch.answer()

    broker.beFull()
    await postOneByOne(6, producer, clock)

    expect(broker.batches).toHaveLength(5)
  })

  test('that wait for room in the log are at most 5, after others timed out there and were copied later', async () => {
    const [broker, clock, producer] = open({ deliveryTimeoutMs: 1000 })
    broker.beFull()
    await postOneByOne(3, producer, clock)
    await clock.run(1000)
    broker.makeRoom()
    broker.batches.length = 0

    broker.beFull()
    await postOneByOne(6, producer, clock)

    expect(broker.batches).toHaveLength(5)
  })

  test('have at most waitingSendsMax sends waiting: one more is TIMEOUT', async () => {
    const [, clock, producer] = open({ bufferBytesMax: 1, waitingSendsMax: 2 })
    const outcomes = [1, 2, 3, 4].map(() => codeOf(() => producer.send(record)))
    await clock.nextTurn()
    expect(await Promise.race([outcomes[3], clock.nextTurn().then(() => 'waits')])).toBe('TIMEOUT')
    expect(await Promise.race([outcomes[2], clock.nextTurn().then(() => 'waits')])).toBe('waits')
  })

  test('are awaited by flush if their records were sent before it, not if sent later', async () => {
    const [broker, clock, producer] = open({ lingerMs: 1000, bufferBytesMax: 300 })
    for (let index = 0; index < 6; index++) void producer.send(record)
    let flushed = false
    void producer.flush().then(() => (flushed = true))
    await clock.nextTurn()
    expect(flushed).toBe(false)
    let answered = 0
    while (answered < 6) {
      for (const batch of broker.batches.splice(0)) {
        answered += batch.count
        batch.answer()
      }
      if (answered < 6) expect(flushed).toBe(false)
      await clock.nextTurn()
    }
    producer.post(record)
    await clock.nextTurn()
    expect(flushed).toBe(true)
  })

  test('that fail behind another one of their partition reject the flush that waits for them', async () => {
    const log = await ClientHarness.open([{ name: 'orders', partitions: 1 }])
    const producer = log.producer({ batchBytesMax: 1, inFlightMax: 1 })
    await producer.send({ topic: 'orders', value: 'a' })
    await log.close()

    const codes: string[] = []
    producer.send({ topic: 'orders', value: 'b' }).catch((error: LogError) => codes.push(error.code))
    producer.post({ topic: 'orders', value: 'c' })
    expect(await codeOf(() => producer.flush())).toBe('CLOSED')
    expect(codes).toEqual(['CLOSED'])
    expect(await codeOf(() => producer.flush())).toBe('none')
  })

  test('that fail reject their sends, free their room, and reject one flush for their posts', async () => {
    const [broker, clock, producer] = open({ bufferBytesMax: 100 })
    const sent = codeOf(() => producer.send(record))
    producer.post(record)
    await clock.nextTurn()
    broker.batches[0]?.answer(new LogError('WRITE_FAILED', 'the disk is gone'))
    expect(await sent).toBe('WRITE_FAILED')
    expect(producer.hasRoom).toBe(true)
    expect(await codeOf(() => producer.flush())).toBe('WRITE_FAILED')
    expect(await codeOf(() => producer.flush())).toBe('none')
  })

  test('are sent by close; afterwards every call is CLOSED', async () => {
    const [broker, clock, producer] = open({ lingerMs: 1000 })
    const sent = producer.send(record)
    const closed = producer.close()
    await clock.nextTurn()
    broker.batches[0]?.answer()
    await closed
    expect((await sent).offset).toBe(0)
    expect(await codeOf(() => producer.send(record))).toBe('CLOSED')
    expect(await codeOf(() => producer.post(record))).toBe('CLOSED')
  })

  test('are waited for by every call of close, and each rejects if one of them failed', async () => {
    const [broker, clock, producer] = open({ lingerMs: 1000 })
    producer.post(record)
    const ended: string[] = []
    const closing = [1, 2].map(async (call) => {
      const code = await codeOf(() => producer.close())
      ended.push(`${call} ${code}`)
    })
    await clock.nextTurn()
    expect(ended).toEqual([])

    broker.batches[0]?.answer(new LogError('WRITE_FAILED', 'the disk is gone'))
    await Promise.all(closing)
    expect(ended).toEqual(['1 WRITE_FAILED', '2 WRITE_FAILED'])
  })

  test('options outside their bounds are INVALID_CONFIG', async () => {
    for (const options of [{ lingerMs: -1 }, { batchBytesMax: 0 }, { bufferBytesMax: Number.NaN }, { lingerMs: 0.5 }]) {
      expect(await codeOf(() => open(options))).toBe('INVALID_CONFIG')
    }
    // Otherwise callers without types would find out at their first batch, with a crash of the process.
    const log = await ClientHarness.open([])
    for (const compression of ['', 'GZIP', 'brotli', 'toString', 7])
      expect(await codeOf(() => Reflect.construct(Producer, [log.broker, log.clock, { compression }]))).toBe(
        'INVALID_CONFIG',
      )
    await log.close()
  })
})

test('a record whose partitioner sends another one with the same producer is refused, not written with its bytes', async () => {
  const log = await ClientHarness.open([{ name: 'events', partitions: 1 }])
  const inner: Promise<unknown>[] = []
  let depth = 0
  const partition = (): number => {
    if (depth++ === 0) inner.push(producer.send({ topic: 'events', key: 'inner', value: 'b' }))
    return 0
  }
  const producer = log.producer({ partitioner: { id: 'talkative', partition } })
  expect(await codeOf(() => producer.send({ topic: 'events', key: 'outer', value: 'a' }))).toBe('INVALID_RECORD')
  await Promise.all(inner)
  expect(await producer.send({ topic: 'events', key: 'next', value: 'c' })).toMatchObject({ offset: 1 })
  const consumer = log.consumer(all)
  consumer.assign([{ topic: 'events', partition: 0 }])
  expect((await drain(consumer)).map(textOf)).toEqual(['b', 'c'])
  await log.close()
})

test('a send that waits for room is settled when its topic is deleted and created again meanwhile', async () => {
  const log = await ClientHarness.open([{ name: 'events', partitions: 1 }])
  const producer = log.producer({ bufferBytesMax: 1 })
  const sends = [producer.send({ topic: 'events', value: 'first' }), producer.send({ topic: 'events', value: 'waits' })]
  await log.admin.deleteTopic('events')
  await log.admin.createTopics([{ name: 'events', partitions: 1 }])
  sends.push(producer.send({ topic: 'events', value: 'last' }))
  await producer.flush()
  await log.clock.nextTurn()
  const outcomes = await Promise.race([Promise.allSettled(sends), log.clock.nextTurn()])
  expect(outcomes).toMatchObject([{}, { status: 'fulfilled' }, { status: 'fulfilled' }])
  await log.close()
})

describe('records for a topic that is deleted and created anew before they are written', () => {
  test.each([
    ['as many records before as after', ['a'], ['b']],
    ['more before', ['a', 'b'], ['c']],
    ['fewer before', ['a'], ['b', 'c']],
  ] as const)('are written like those that are sent after that: %s', async (_name, before, after) => {
    const log = await ClientHarness.open([{ name: 'events', partitions: 1 }])
    const producer = log.producer({ lingerMs: 50 })
    const send = (value: string): Promise<unknown> => producer.send({ topic: 'events', value })
    const sends = before.map(send)
    await log.admin.deleteTopic('events')
    await log.admin.createTopics([{ name: 'events', partitions: 1 }])
    sends.push(...after.map(send))
    await log.clock.run(50)
    // Numbered alike, the one batch would pass for a repetition of the other, or for one behind a gap.
    expect(await Promise.all(sends)).toMatchObject([...before, ...after].map((_, offset) => ({ offset })))
    await producer.close()
    const consumer = log.consumer(all)
    consumer.assign([{ topic: 'events', partition: 0 }])
    expect((await drain(consumer)).map(textOf)).toEqual([...before, ...after])
    await log.close()
  })
})
