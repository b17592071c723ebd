import { describe, expect, test } from 'vitest'
import { transactionsTopic } from '../../../../src/log/api/internal-topics.ts'
import type { Isolation } from '../../../../src/log/api/log.ts'
import type { TopicSpec } from '../../../../src/log/api/topic.ts'
import type { ProducerOptions } from '../../../../src/log/client/producer/producer-options.ts'
import { outside } from '../../../harness/transactional-writer.ts'
import { ClientHarness, codeOf, drain, textOf } from '../client-harness.ts'

const at = { topic: 'events', partition: 0 }
const next = { topic: 'events', value: 'next' }

test('records of a transaction can be read once it is committed, those of an aborted one never', async () => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  const sent = producer.send({ topic: 'events', value: 'a' })
  producer.post({ topic: 'events', value: 'b' })
  expect(await values(harness)).toEqual([])
  await producer.commitTransaction()
  expect(await sent).toMatchObject({ offset: 0 })
  expect(await values(harness)).toEqual(['a', 'b'])

  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'lost' })
  await producer.abortTransaction()
  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'c' })
  await producer.commitTransaction()
  expect(await values(harness)).toEqual(['a', 'b', 'c'])
  await harness.close()
})

test('offsets and records of a transaction are committed together', async () => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'out' })
  await producer.sendOffsetsToTransaction([{ at, offset: 3, leaderEpoch: -1, metadata: 'm' }], outside('app'))
  expect(harness.broker.committedOffsets('app', [at])).toEqual([])
  await producer.commitTransaction()
  expect(harness.broker.committedOffsets('app', [at])).toMatchObject([{ offset: 3, metadata: 'm' }])
  expect(await values(harness)).toEqual(['out'])
  await harness.close()
})

test('a newer producer of the id fences the older one and aborts its transaction', async () => {
  const { harness, producer: old } = await opened()
  old.beginTransaction()
  await old.send({ topic: 'events', value: 'half' })
  const producer = harness.producer({ transactionalId: 'id' })
  await producer.initTransactions()

  await expect(old.send({ topic: 'events', value: 'late' })).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await expect(old.commitTransaction()).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await expect(old.abortTransaction()).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  expect(() => old.beginTransaction()).toThrow('PRODUCER_FENCED')

  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'whole' })
  await producer.commitTransaction()
  expect(await values(harness)).toEqual(['whole'])
  await harness.close()
})

test('after a failed send the transaction can only be aborted, and the next one succeeds', async () => {
  const { harness, producer } = await opened()
  await harness.admin.createTopics([{ name: 'small', partitions: 1, config: { maxMessageBytes: 200 } }])
  producer.beginTransaction()
  producer.post({ topic: 'small', value: 'x' })
  await producer.flush()
  await harness.broker.deleteTopic('small')
  await harness.admin.createTopics([{ name: 'small', partitions: 1 }])
  await harness.clock.run(80_000)
  await expect(producer.send({ topic: 'events', value: 'y' })).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await expect(producer.commitTransaction()).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  expect(() => producer.beginTransaction()).toThrow(/INVALID_TXN_STATE: .* id: .* failed: abort it before the next/)
  await producer.abortTransaction()
  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'z' })
  await producer.commitTransaction()
  expect(await values(harness)).toEqual(['z'])
  await harness.close()
})

test('a transaction begins only when the one before it has ended; until then the error says what ends it', async () => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  expect(() => producer.beginTransaction()).toThrow(/INVALID_TXN_STATE: .* is open: commit or abort it before the next/)
  const committed = producer.commitTransaction()
  expect(() => producer.beginTransaction()).toThrow(/INVALID_TXN_STATE: .* is being ended: await that before the next/)
  await committed
  producer.beginTransaction()
  await harness.close()
})

test.each(['commit', 'abort'] as const)('a send while a transaction ends by %s is refused', async (how) => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'a' })
  const ended = how === 'commit' ? producer.commitTransaction() : producer.abortTransaction()
  await expect(producer.send({ topic: 'events', value: 'late' })).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await ended
  await producer.flush()
  expect(harness.broker.describeTransaction('id').phase).toBe(how === 'commit' ? 'completeCommit' : 'completeAbort')
  expect(await values(harness)).toEqual(how === 'commit' ? ['a'] : [])
  await harness.close()
})

test('a send that fails while the transaction is committed fails the commit', async () => {
  const { harness, producer } = await opened()
  await harness.admin.createTopics([{ name: 'keyed', partitions: 1, config: { cleanupPolicy: 'compact' } }])
  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'a' })
  const failed = expect(producer.send({ topic: 'keyed', value: 'b' })).rejects.toMatchObject({ code: 'INVALID_RECORD' })
  await expect(producer.commitTransaction()).rejects.toMatchObject({ code: 'INVALID_RECORD' })
  await failed
  await expect(producer.commitTransaction()).rejects.toMatchObject({ code: 'INVALID_RECORD' })
  await producer.abortTransaction()
  expect(await values(harness)).toEqual([])
  await harness.close()
})

describe('a record that is refused before it is buffered', () => {
  test.each(['send', 'post'] as const)(
    'by %s fails the transaction, which would otherwise be committed without it',
    async (how) => {
      const { harness, producer } = await opened()
      producer.beginTransaction()
      await producer.send({ topic: 'events', value: 'half' })
      const refused = { topic: 'nowhere', value: 'other half' }
      expect(await codeOf(async () => (how === 'send' ? producer.send(refused) : producer.post(refused)))).toBe(
        'UNKNOWN_TOPIC',
      )
      expect(await codeOf(() => producer.commitTransaction())).toBe('UNKNOWN_TOPIC')
      expect(await codeOf(() => producer.send({ topic: 'events', value: 'more' }))).toBe('UNKNOWN_TOPIC')
      await producer.abortTransaction()
      expect(await values(harness)).toEqual([])

      producer.beginTransaction()
      producer.post({ topic: 'events', value: 'whole' })
      await producer.commitTransaction()
      expect(await values(harness)).toEqual(['whole'])
      await harness.close()
    },
  )

  test('fails the transaction also when it waited for room', async () => {
    const { harness, producer } = await opened({ bufferBytesMax: 100 })
    producer.beginTransaction()
    const first = producer.send({ topic: 'events', value: 'a'.repeat(200) })
    const waiting = codeOf(() => producer.send({ topic: 'events', value: 'b'.repeat(2000) }))
    await harness.admin.alterTopicConfig('events', { maxMessageBytes: 1024 })
    // From here on the producer knows the new limit.
    producer.send({ topic: 'events', value: 'c' }).catch(() => {})
    const committed = codeOf(() => producer.commitTransaction())
    await first
    expect(await waiting).toBe('MESSAGE_TOO_LARGE')
    expect(await committed).toBe('MESSAGE_TOO_LARGE')
    await harness.close()
  })
})

test('offsets that the log refuses while the transaction is being committed fail the commit', async () => {
  const { harness, producer } = await opened({}, [], { unappliedBytesMax: 64 * 1024 })
  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'half' })
  const busy = harness.producer()
  const filling = Array.from({ length: 8 }, () => busy.send({ topic: 'events', value: 'x'.repeat(30_000) }))
  await harness.clock.nextTurn()
  const former = { group: 'app', generation: 3, memberId: 'expelled', groupInstanceId: null }
  const offsets = codeOf(() =>
    producer.sendOffsetsToTransaction([{ at, offset: 1, leaderEpoch: -1, metadata: '' }], former),
  )
  expect(await codeOf(() => producer.commitTransaction())).toBe('ILLEGAL_GENERATION')
  expect(await offsets).toBe('ILLEGAL_GENERATION')
  await Promise.all(filling)
  await producer.abortTransaction()
  expect(await values(harness)).not.toContain('half')
  await harness.close()
})

test('invalid offsets fail the transaction, which would otherwise be committed without them', async () => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  const offset = { at, offset: 5, leaderEpoch: 0.5, metadata: '' }
  expect(await codeOf(() => producer.sendOffsetsToTransaction([offset], outside('app')))).toBe('INVALID_CONFIG')
  expect(await codeOf(() => producer.commitTransaction())).toBe('INVALID_CONFIG')
  await producer.abortTransaction()
  await harness.close()
})

test('a producer that is closed during a transaction aborts it, so that readers go on', async () => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  producer.post({ topic: 'events', value: 'half' })
  await producer.close()
  await harness.load('events', ['behind'])
  expect(await values(harness)).toEqual(['behind'])
  await harness.close()
})

test('a transaction that timed out cannot be committed, and its producer goes on after an abort', async () => {
  const { harness, producer } = await opened({ transactionTimeoutMs: 15_000 })
  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'slow' })
  await harness.clock.run(30_000)
  await expect(producer.commitTransaction()).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await producer.abortTransaction()
  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'next' })
  await producer.commitTransaction()
  expect(await values(harness)).toEqual(['next'])
  await harness.close()
})

test.each(['abortTransaction', 'commitTransaction', 'send'] as const)(
  'a producer whose transaction the admin has aborted is fenced: it learns so by %s, and begins no other',
  async (by) => {
    const { harness, producer } = await opened()
    producer.beginTransaction()
    await producer.send({ topic: 'events', value: 'half' })

    await harness.admin.abortTransaction('id')

    if (by === 'send') expect(await codeOf(() => producer.send(next))).toBe('INVALID_PRODUCER_EPOCH')
    else expect(await codeOf(() => producer[by]())).toBe('PRODUCER_FENCED')
    expect(await codeOf(() => producer.abortTransaction())).toBe('PRODUCER_FENCED')
    expect(await codeOf(() => producer.beginTransaction())).toBe('PRODUCER_FENCED')
    expect(await codeOf(() => producer.send(next))).toBe('PRODUCER_FENCED')
    const other = harness.producer({ transactionalId: 'id' })
    await other.initTransactions()
    other.beginTransaction()
    await other.send(next)
    await other.commitTransaction()
    expect(await values(harness)).toEqual(['next'])
    await harness.close()
  },
)

test('a transaction without records writes nothing', async () => {
  const { harness, producer } = await opened()
  const before = harness.broker.describeTransaction('id')
  producer.beginTransaction()
  await producer.commitTransaction()
  producer.beginTransaction()
  await producer.abortTransaction()
  expect(harness.broker.describeTransaction('id')).toEqual(before)
  await harness.close()
})

test('initTransactions, beginTransaction, send and commit or abort are refused out of order', async () => {
  const harness = await ClientHarness.open([{ name: 'events', partitions: 1 }])
  const plain = harness.producer()
  await expect(plain.initTransactions()).rejects.toThrow('transactionalId')
  expect(() => plain.beginTransaction()).toThrow('transactionalId')

  const producer = harness.producer({ transactionalId: 'id' })
  expect(() => producer.beginTransaction()).toThrow('initTransactions')
  await producer.initTransactions()
  await expect(producer.initTransactions()).rejects.toThrow('INVALID_TXN_STATE')
  const twice = harness.producer({ transactionalId: 'twice' })
  const inits = await Promise.allSettled([twice.initTransactions(), twice.initTransactions()])
  expect(inits).toMatchObject([{ status: 'fulfilled' }, { reason: { code: 'INVALID_TXN_STATE' } }])
  twice.beginTransaction()
  await expect(producer.send({ topic: 'events', value: 'x' })).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await expect(producer.commitTransaction()).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await expect(producer.abortTransaction()).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  producer.beginTransaction()
  expect(() => producer.beginTransaction()).toThrow('INVALID_TXN_STATE')
  await harness.close()
})

test('readers of durable records see a transaction before it is committed', async () => {
  const { harness, producer } = await opened()
  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'open' })
  expect(await values(harness, 'durable')).toEqual(['open'])
  expect(await values(harness)).toEqual([])
  await harness.close()
})

describe('a transaction over many partitions', () => {
  const partitions = 40
  const wide = { name: 'wide', partitions }

  test.each([
    { how: 'in one turn', options: {} },
    { how: 'within lingerMs', options: { lingerMs: 50 } },
    { how: 'in batches that are full at once', options: { batchBytesMax: 1 } },
  ])('registers the partitions that it sends to $how with one record', async ({ options }) => {
    const { harness, producer } = await opened(options, [wide])
    const places = Array.from({ length: partitions }, (_, partition) => ({ topic: 'wide', partition }))
    for (const value of ['a', 'b']) {
      const before = stateRecords(harness)
      producer.beginTransaction()
      for (const place of [...places, ...places]) producer.post({ ...place, value })
      await producer.flush()
      expect(stateRecords(harness) - before).toBe(1)
      for (const place of places) producer.post({ ...place, value })
      await producer.flush()
      expect(stateRecords(harness) - before, 'those it has').toBe(1)
      await producer.commitTransaction()
    }
    // Twice three records and a marker.
    expect(harness.broker.bounds(places, 'committed').every(({ end }) => end === 8)).toBe(true)
    await harness.close()
  })

  test('is complete also when its records wait for room in the log', async () => {
    const { harness, producer } = await opened({}, [wide], { unappliedBytesMax: 64 * 1024 })
    const value = 'x'.repeat(4000)
    const before = stateRecords(harness)
    producer.beginTransaction()
    for (let partition = 0; partition < partitions; partition++) producer.post({ topic: 'wide', value, partition })
    await producer.commitTransaction()
    expect(stateRecords(harness) - before, 'its partitions, its end').toBe(2)
    for (let round = 0; round < 2; round++) {
      producer.beginTransaction()
      for (let partition = 0; partition < partitions; partition++) producer.post({ topic: 'wide', value, partition })
      await (round === 0 ? producer.abortTransaction() : producer.commitTransaction())
    }
    const consumer = harness.consumer({ autoOffsetReset: 'earliest' })
    consumer.assign(Array.from({ length: partitions }, (_, partition) => ({ topic: 'wide', partition })))
    expect(await drain(consumer)).toHaveLength(2 * partitions)
    await consumer.close()
    await harness.close()
  })

  test('of which one topic was deleted fails the sends to that topic only', async () => {
    const { harness, producer } = await opened({ lingerMs: 50 }, [wide, { name: 'gone', partitions: 1 }])
    producer.beginTransaction()
    const sends = [0, 1].map((partition) => producer.send({ topic: 'wide', value: 'a', partition }))
    const gone = codeOf(() => producer.send({ topic: 'gone', value: 'a', partition: 0 }))
    await harness.admin.deleteTopic('gone')
    await harness.clock.run(50)
    await Promise.all(sends)
    expect(await gone).toBe('UNKNOWN_TOPIC')
    await producer.abortTransaction()
    expect(harness.broker.describeTransaction('id')).toMatchObject({ phase: 'completeAbort' })
    await harness.close()
  })

  test('of which one topic was deleted and created anew before its records were written cannot be committed', async () => {
    const { harness, producer } = await opened({ lingerMs: 50 })
    producer.beginTransaction()
    const sends = [producer.send({ topic: 'events', value: 'a' }).catch(() => {})]
    await harness.admin.deleteTopic('events')
    await harness.admin.createTopics([{ name: 'events', partitions: 1 }])
    sends.push(producer.send({ topic: 'events', value: 'b' }).catch(() => {}))
    await harness.clock.run(50)
    await Promise.all(sends)
    expect(await codeOf(() => producer.commitTransaction())).toBe('UNKNOWN_TOPIC')
    await producer.abortTransaction()
    producer.beginTransaction()
    const again = ['a', 'b'].map((value) => producer.send({ topic: 'events', value }))
    await harness.clock.run(50)
    await Promise.all(again)
    await producer.commitTransaction()
    const consumer = harness.consumer({ autoOffsetReset: 'earliest' })
    consumer.assign([{ topic: 'events', partition: 0 }])
    expect((await drain(consumer)).map(textOf)).toEqual(['a', 'b'])
    await harness.close()
  })

  /** How many states of transactional ids were written. */
  function stateRecords({ broker }: ClientHarness): number {
    const count = broker.topic(transactionsTopic)?.partitions ?? 0
    const places = Array.from({ length: count }, (_, partition) => ({ topic: transactionsTopic, partition }))
    return broker.bounds(places, 'durable').reduce((sum, { end }) => sum + end, 0)
  }
})

async function opened(
  options: ProducerOptions = {},
  topics: readonly TopicSpec[] = [],
  logOptions: { readonly unappliedBytesMax?: number } = {},
): Promise<{ readonly harness: ClientHarness; readonly producer: ReturnType<ClientHarness['producer']> }> {
  const harness = await ClientHarness.open([{ name: 'events', partitions: 1 }, ...topics], logOptions)
  const producer = harness.producer({ transactionalId: 'id', ...options })
  await producer.initTransactions()
  return { harness, producer }
}

async function values(
  harness: ClientHarness,
  isolation: 'committed' | 'durable' = 'committed',
): Promise<readonly (string | undefined)[]> {
  const consumer = harness.consumer({ isolation })
  consumer.assign([at])
  consumer.seek(at, 'beginning')
  const records = await consumer.poll()
  await consumer.close()
  return records.map(textOf)
}

for (const outcome of ['commit', 'abort'] as const)
  test(`a consumer whose group offset is in an open transaction waits for its ${outcome} before it starts`, async () => {
    const { harness, producer } = await opened()
    await harness.load('events', ['0', '1', '2', '3', '4'])
    await harness.broker.commitOffsets('app', -1, [{ at, offset: 1, leaderEpoch: -1, metadata: '' }])
    producer.beginTransaction()
    const sent = producer.sendOffsetsToTransaction([{ at, offset: 3, leaderEpoch: -1, metadata: '' }], outside('app'))
    // This includes offsets that are only in flight.
    expect(harness.broker.hasUnstableOffset('app', at)).toBe(true)
    await sent

    const consumer = harness.consumer({ group: 'app', autoOffsetReset: 'earliest' })
    consumer.assign([at])
    expect(await consumer.poll()).toEqual([])
    expect(() => consumer.position(at)).toThrow('NO_OFFSET')
    expect(() => consumer.committed()).toThrow('UNSTABLE_OFFSET_COMMIT')
    expect(() => harness.broker.committedOffsets('app', [at], { requireStable: true })).toThrow(
      /events-0.*group app.*abort it/,
    )
    expect(harness.broker.committedOffsets('app', [at]), 'who does not ask for stable ones').toMatchObject([
      { offset: 1 },
    ])
    expect(harness.broker.committedOffsets('another', [at], { requireStable: true })).toEqual([])
    expect(consumer.lag()).toEqual([])

    const waiting = consumer.poll({ waitMs: 60_000 })
    await (outcome === 'commit' ? producer.commitTransaction() : producer.abortTransaction())
    await harness.clock.run(1000)
    expect((await waiting).map(textOf)).toEqual(outcome === 'commit' ? ['3', '4'] : ['1', '2', '3', '4'])
    expect(consumer.committed()).toMatchObject([{ offset: outcome === 'commit' ? 3 : 1 }])
    await consumer.close()
    await harness.close()
  })

test('a lookup by time for readers of committed records goes to the last stable offset at most', async () => {
  const { harness, producer } = await opened()
  for (const [index, value] of ['a', 'b'].entries())
    await harness.producer().send({ topic: 'events', value, timestamp: 1000 * index })
  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'open', timestamp: 5000 })
  await harness.producer().send({ topic: 'events', value: 'behind', timestamp: 9000 })
  const found = (timestamp: number, isolation: Isolation): number | undefined =>
    harness.broker.offsetsForTime([{ at, timestamp }], isolation)[0]?.offset
  const ask = (timestamp: number): readonly (number | undefined)[] =>
    (['durable', 'committed', 'sequenced'] as const).map((isolation) => found(timestamp, isolation))

  expect(ask(500), 'below it nothing is different').toEqual([1, 1, 1])
  expect(ask(4000)).toEqual([2, 2, 2])
  expect(ask(8000)).toEqual([3, 2, 2])
  expect(ask(10_000), 'the end of what each may see').toEqual([4, 2, 2])
  expect(harness.admin.offsets([at], { timestamp: 8000 })).toMatchObject([{ offset: 2 }])
  const consumer = harness.consumer()
  consumer.assign([at])
  consumer.seek(at, { timestamp: 8000 })
  expect(consumer.position(at)).toBe(2)

  await producer.commitTransaction()
  expect(ask(8000)).toEqual([3, 3, 3])
  expect(ask(10_000)).toEqual([5, 5, 5])
  await consumer.close()
  await harness.close()
})

describe('a consumer with assigned partitions whose topic is deleted', () => {
  const cases = [
    'waits for records',
    'waits behind an open transaction',
    'waits for a transaction to leave its offset alone',
  ]
  const whens = ['while it polls', 'between its polls', 'and made again while it polls']

  test.each(cases.flatMap((why) => whens.map((when) => ({ why, when }))))(
    'gets UNKNOWN_TOPIC while it $why ($when)',
    async ({ why, when }) => {
      const { harness, producer } = await opened()
      const offset = { at, offset: 1, leaderEpoch: -1, metadata: '' }
      if (why !== 'waits for records') producer.beginTransaction()
      if (why === 'waits behind an open transaction')
        await producer.send({ topic: 'events', value: 'open', partition: 0 })
      if (why.includes('offset')) await producer.sendOffsetsToTransaction([offset], outside('app'))
      const consumer = harness.consumer({ group: 'app', autoOffsetReset: 'earliest' })
      consumer.assign([at])
      expect(await consumer.poll()).toEqual([])

      const waiting = when === 'between its polls' ? null : codeOf(() => consumer.poll({ waitMs: 60_000 }))
      await harness.admin.deleteTopic('events')
      if (when.includes('made again')) {
        await harness.admin.createTopics([{ name: 'events', partitions: 1 }])
        await harness.load('events', ['another'])
      }
      await harness.clock.run(1000)
      if (waiting !== null) expect(await waiting).toBe('UNKNOWN_TOPIC')
      for (let again = 0; again < 2; again++) expect(await codeOf(() => consumer.poll())).toBe('UNKNOWN_TOPIC')
      await expect(consumer.poll()).rejects.toThrow('topic events was deleted')
      if (when.includes('made again')) {
        consumer.assign([at])
        expect((await consumer.poll()).map(textOf)).toEqual(['another'])
      }
      await consumer.close()
      await harness.close()
    },
  )

  test('still gets the records of its other topics', async () => {
    const { harness, producer } = await opened()
    await harness.admin.createTopics([{ name: 'others', partitions: 1 }])
    producer.beginTransaction()
    await producer.sendOffsetsToTransaction([{ at, offset: 1, leaderEpoch: -1, metadata: '' }], outside('app'))
    const consumer = harness.consumer({ group: 'app', autoOffsetReset: 'earliest' })
    consumer.assign([at, { topic: 'others', partition: 0 }])
    await harness.admin.deleteTopic('events')
    await harness.load('others', ['a'])
    expect((await consumer.poll()).map(textOf)).toEqual(['a'])
    expect(await codeOf(() => consumer.poll())).toBe('UNKNOWN_TOPIC')
    await harness.load('others', ['b'])
    expect((await consumer.poll()).map(textOf)).toEqual(['b'])
    await consumer.close()
    await harness.close()
  })
})
