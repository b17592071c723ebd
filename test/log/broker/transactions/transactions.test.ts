import { expect, test } from 'vitest'
import { transactionsTopic } from '../../../../src/log/api/internal-topics.ts'
import type { Isolation } from '../../../../src/log/api/log.ts'
import { LogHarness, readAll } from '../../../harness/log-harness.ts'
import { outside, TransactionalWriter } from '../../../harness/transactional-writer.ts'

const at = { topic: 'events', partition: 0 }

test('readers of committed records see a transaction when it is committed, in all its partitions', async () => {
  const harness = await opened(2)
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await writer.write('events', 0, ['a', 'b'])
  await writer.write('events', 1, ['c'])
  expect(await values(harness, 0, 'committed')).toEqual([])
  expect(await values(harness, 0, 'sequenced')).toEqual([])
  expect(await values(harness, 0, 'durable')).toEqual(['a', 'b'])

  await writer.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['a', 'b'])
  expect(await values(harness, 1, 'sequenced')).toEqual(['c'])
  await harness.close()
})

test('aborted records are left out, and what others wrote around them is not', async () => {
  const harness = await opened()
  const lost = await TransactionalWriter.open(harness.log.broker, 'lost')
  const kept = await TransactionalWriter.open(harness.log.broker, 'kept')
  await lost.write('events', 0, ['x'])
  await kept.write('events', 0, ['a'])
  await harness.append('events', 0, ['plain'])
  await lost.write('events', 0, ['y'])
  await lost.end('abort')
  await kept.end('commit')
  await lost.write('events', 0, ['z'])
  await lost.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['a', 'plain', 'z'])
  expect(await values(harness, 0, 'sequenced')).toEqual(['a', 'plain', 'z'])
  expect(harness.log.broker.abortedTransactions(at, 0, 100)).toMatchObject([
    { producerId: lost.producerId, firstOffset: 0 },
  ])
  await harness.close()
})

test('the last stable offset is where the oldest open transaction starts; plain records after it wait', async () => {
  const harness = await opened()
  await harness.append('events', 0, ['before'])
  const first = await TransactionalWriter.open(harness.log.broker, 'first')
  const second = await TransactionalWriter.open(harness.log.broker, 'second')
  await first.write('events', 0, ['a'])
  await second.write('events', 0, ['b'])
  await harness.append('events', 0, ['behind'])
  expect(harness.log.broker.lastStableOffset(at)).toBe(1)
  expect(harness.log.broker.bounds([at], 'committed')).toMatchObject([{ end: 1 }])
  await first.end('commit')
  expect(harness.log.broker.lastStableOffset(at)).toBe(2)
  await second.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['before', 'a', 'b', 'behind'])
  await harness.close()
})

test('a waiting reader of committed records wakes when the transaction ends', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  const reader = harness.log.broker.openReader({ isolation: 'committed' })
  reader.assign([{ at, offset: 0 }])
  await writer.write('events', 0, ['a'])
  const polled = reader.poll({ bytesMax: 1000, waitMs: 60_000 })
  await writer.end('commit')
  const [chunk] = await polled
  expect(chunk?.nextOffset).toBe(2)
  await harness.close()
})

test('a newer producer of the same id fences the older one and aborts its open transaction', async () => {
  const harness = await opened()
  const zombie = await TransactionalWriter.open(harness.log.broker, 'payments')
  await zombie.write('events', 0, ['half'])
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')

  await expect(zombie.write('events', 0, ['late'])).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await expect(zombie.offset('events', 0, 1, outside('app'))).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await expect(zombie.end('commit')).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  await expect(zombie.end('abort')).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  await writer.write('events', 0, ['whole'])
  await writer.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['whole'])
  await harness.close()
})

test('each batch of a fenced producer is INVALID_PRODUCER_EPOCH, also those behind the first one in a partition', async () => {
  const harness = await opened(2)
  const zombie = await TransactionalWriter.open(harness.log.broker, 'payments')
  await zombie.write('events', 0, ['half'])
  await TransactionalWriter.open(harness.log.broker, 'payments')
  // Nothing of it is in the other partition, so sequence 1 is a gap there, but that is not what is wrong.
  for (const value of ['late', 'later'])
    await expect(zombie.write('events', 1, [value])).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await harness.close()
})

test('a late batch of an ended transaction is INVALID_PRODUCER_EPOCH, not part of the next one', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  const late = Object.assign(new TransactionalWriter(harness.log.broker, 'payments'), {
    producerId: writer.producerId,
    producerEpoch: writer.producerEpoch,
  })
  await writer.write('events', 0, ['a'])
  await writer.end('commit')
  await writer.write('events', 0, ['b'])
  await expect(late.write('events', 0, ['late'])).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await writer.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['a', 'b'])
  await harness.close()
})

test('a repeated request to end a transaction gets the same answer', async () => {
  const harness = await opened()
  const { broker } = harness.log
  const writer = await TransactionalWriter.open(broker, 'payments')
  await writer.write('events', 0, ['a'])
  const name = { producerId: writer.producerId, producerEpoch: writer.producerEpoch }
  const answers = await Promise.all([1, 2].map(() => broker.endTransaction('payments', name, 'commit')))
  expect(answers).toEqual([
    { ...name, producerEpoch: 1 },
    { ...name, producerEpoch: 1 },
  ])
  await expect(broker.endTransaction('payments', name, 'abort')).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  expect(await values(harness, 0, 'durable')).toEqual(['a'])
  expect(broker.bounds([at], 'durable')).toMatchObject([{ end: 2 }])
  await harness.close()
})

test('a transaction that takes longer than its timeout is aborted', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments', 30_000)
  await writer.write('events', 0, ['hangs'])
  await harness.append('events', 0, ['behind'])
  await harness.clock.run(25_000)
  expect(harness.log.broker.lastStableOffset(at)).toBe(0)
  await harness.clock.run(10_000)
  expect(await values(harness, 0, 'committed')).toEqual(['behind'])
  await expect(writer.write('events', 0, ['late'])).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  await expect(writer.end('commit')).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  // The producer aborts when it gets this error, and goes on.
  await writer.end('abort')
  await writer.write('events', 0, ['next'])
  await writer.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['behind', 'next'])
  await harness.close()
})

test.each([-3_600_000, 3_600_000])('a wall clock that jumps by %d ms changes no timeout', async (jumpMs) => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments', 30_000)
  await writer.write('events', 0, ['hangs'])
  harness.clock.jumpTo(harness.clock.now() + jumpMs)
  await harness.clock.run(25_000)
  expect(harness.log.broker.lastStableOffset(at)).toBe(0)
  await harness.clock.run(15_000)
  expect(harness.log.broker.lastStableOffset(at)).toBe(2)
  await harness.close()
})

test('a transaction that was open when the log closed times out after the next opening', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments', 30_000)
  await writer.write('events', 0, ['hangs'])
  await harness.close()
  await harness.reopen()
  expect(await values(harness, 0, 'committed')).toEqual([])
  expect(harness.log.broker.lastStableOffset(at)).toBe(0)
  await harness.clock.run(45_000)
  expect(harness.log.broker.lastStableOffset(at)).toBe(2)
  await harness.close()
})

test.each([
  ['the journal', 0],
  ['a checkpoint', 1],
])('a producer can go on with its open transaction after a power cut, restored from %s', async (_from, every) => {
  const harness = await LogHarness.open({ checkpointEveryCommits: every })
  await harness.topic('events', 2)
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await writer.write('events', 0, ['a'])
  await writer.offset('events', 1, 7, outside('app'))
  await harness.clock.nextTurn()
  harness.crash({ powerCutSeed: 5 })
  await harness.reopen()
  expect(await values(harness, 0, 'committed')).toEqual([])
  expect(harness.log.broker.committedOffsets('app', [{ topic: 'events', partition: 1 }])).toEqual([])

  const same = Object.assign(new TransactionalWriter(harness.log.broker, 'payments'), {
    producerId: writer.producerId,
    producerEpoch: writer.producerEpoch,
  })
  await same.write('events', 1, ['b'])
  await same.end('commit')
  harness.crash({ powerCutSeed: 6 })
  await harness.reopen()
  expect(await values(harness, 0, 'committed')).toEqual(['a'])
  expect(await values(harness, 1, 'committed')).toEqual(['b'])
  expect(harness.log.broker.committedOffsets('app', [{ topic: 'events', partition: 1 }])).toMatchObject([{ offset: 7 }])
  await harness.close()
})

test('offsets of a transaction take effect when it is committed, and never when it is aborted', async () => {
  const harness = await opened()
  const { broker } = harness.log
  const writer = await TransactionalWriter.open(broker, 'payments')
  await broker.commitOffsets('app', -1, [{ at, offset: 1, leaderEpoch: 0, metadata: '' }])
  await writer.offset('events', 0, 5, outside('app'))
  expect(broker.committedOffsets('app', [at])).toMatchObject([{ offset: 1 }])
  expect(broker.hasUnstableOffset('app', at)).toBe(true)
  await writer.end('abort')
  expect(broker.hasUnstableOffset('app', at)).toBe(false)
  expect(broker.committedOffsets('app', [at])).toMatchObject([{ offset: 1 }])

  await writer.offset('events', 0, 6, outside('app'))
  await writer.end('commit')
  expect(broker.committedOffsets('app', [at])).toMatchObject([{ offset: 6 }])
  await harness.close()
})

test.each(['at once', 'after a power cut'])(
  'offsets of a transaction for a deleted topic do not apply to a new topic of that name, %s',
  async (when) => {
    const harness = await opened()
    const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
    await writer.offset('events', 0, 6, outside('app'))
    await harness.log.broker.deleteTopic('events')
    await harness.log.broker.createTopics([{ name: 'events', partitions: 2 }])
    expect(harness.log.broker.hasUnstableOffset('app', at)).toBe(false)
    if (when === 'after a power cut') {
      harness.crash({ powerCutSeed: 5 })
      await harness.reopen()
    }
    await harness.log.broker.endTransaction('payments', writer, 'commit')
    expect(harness.log.broker.committedOffsets('app', [at])).toEqual([])
    await harness.close()
  },
)

test('offsets of a transaction need a group id', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await expect(writer.offset('events', 0, 1, outside(''))).rejects.toMatchObject({ code: 'INVALID_GROUP_ID' })
  await harness.close()
})

test('offsets of another generation of the group are refused, and the transaction can still be aborted', async () => {
  const harness = await opened()
  const { broker } = harness.log
  const writer = await TransactionalWriter.open(broker, 'payments')
  await writer.write('events', 0, ['a'])
  await expect(writer.offset('events', 0, 1, { ...outside('app'), generation: 3 })).rejects.toThrow()
  await writer.end('abort')
  expect(await values(harness, 0, 'committed')).toEqual([])
  await harness.close()
})

test('the end of a transaction is atomic: if it cannot be written, no partition shows it', async () => {
  const harness = await opened(3)
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  for (const partition of [0, 1, 2]) await writer.write('events', partition, ['half'])
  harness.disk.faults.failSyncAt = harness.disk.counts.sync + harness.disk.counts.syncDirectory + 1
  await expect(writer.end('commit')).rejects.toMatchObject({ code: 'WRITE_FAILED' })
  for (const partition of [0, 1, 2]) expect(await values(harness, partition, 'committed')).toEqual([])
  await harness.close().catch(() => {})
})

test('a failed log refuses transactions by rejecting, never by throwing', async () => {
  const harness = await opened(1)
  const { broker } = harness.log
  const producer = await broker.initProducer('payments', 60_000)
  harness.disk.faults.failSyncAt = harness.disk.counts.sync + harness.disk.counts.syncDirectory + 1
  await expect(broker.initProducer('payments', 60_000)).rejects.toMatchObject({ code: 'WRITE_FAILED' })
  const refused = [
    broker.initProducer('others', 60_000),
    broker.endTransaction('payments', producer, 'abort'),
    broker.abortTransaction('payments'),
  ]
  for (const outcome of await Promise.allSettled(refused))
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'WRITE_FAILED' } })
  await harness.close().catch(() => {})
})

test.each([
  ['a batch of a producer id without a transactional id', 999_999, 0, 'INVALID_PRODUCER_ID_MAPPING'],
  ['a batch with an epoch from the future', -1, 1, 'INVALID_PRODUCER_EPOCH'],
])('%s is refused', async (_what, producerId, producerEpoch, code) => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  Object.assign(writer, { producerId: producerId < 0 ? writer.producerId : producerId, producerEpoch })
  await expect(writer.write('events', 0, ['a'])).rejects.toMatchObject({ code })
  expect(await values(harness, 0, 'durable')).toEqual([])
  await harness.close()
})

test.each([0, -1, 1.5, 900_001])('a timeout of %d ms is INVALID_TRANSACTION_TIMEOUT', async (timeoutMs) => {
  const harness = await opened()
  await expect(harness.log.broker.initProducer('payments', timeoutMs)).rejects.toMatchObject({
    code: 'INVALID_TRANSACTION_TIMEOUT',
  })
  await harness.close()
})

test('committing an empty transaction is INVALID_TXN_STATE, aborting one moves to the next epoch', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await expect(writer.end('commit')).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await writer.end('abort')
  expect(writer.producerEpoch).toBe(1)
  await harness.close()
})

test('transactions and producers are listed, and an open transaction can be aborted from outside', async () => {
  const harness = await opened()
  const { broker } = harness.log
  const writer = await TransactionalWriter.open(broker, 'payments')
  await writer.write('events', 0, ['a'])
  expect(broker.listTransactions()).toMatchObject([{ transactionalId: 'payments', phase: 'ongoing', partitions: [at] }])
  expect(broker.describeProducers(at)).toMatchObject([{ producerId: writer.producerId, transactionStart: 0 }])
  await broker.abortTransaction('payments')
  expect(broker.describeTransaction('payments')).toMatchObject({ phase: 'empty' })
  await expect(writer.write('events', 0, ['b'])).rejects.toMatchObject({ code: 'INVALID_PRODUCER_EPOCH' })
  expect(() => broker.describeTransaction('nobody')).toThrow('TRANSACTIONAL_ID_NOT_FOUND')
  await expect(broker.abortTransaction('payments')).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await harness.close()
})

test('records of an open transaction cannot be deleted', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await harness.append('events', 0, ['before'])
  await writer.write('events', 0, ['a'])
  await expect(harness.log.purgeBefore([{ at, offset: 2 }])).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await harness.log.purgeBefore([{ at, offset: 1 }])
  await writer.end('commit')
  await harness.log.purgeBefore([{ at, offset: 2 }])
  expect(harness.log.broker.bounds([at], 'committed')).toMatchObject([{ start: 2 }])
  await harness.close()
})

test('retention by size stops at an open transaction', async () => {
  const harness = await LogHarness.open({ retentionCheckIntervalMs: 1000 })
  await harness.topic('events', 1, { segmentBytes: 1024, retentionBytes: 1 })
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  const start = await writer.write('events', 0, ['a'])
  for (let index = 0; index < 6; index++) await harness.append('events', 0, ['x'.repeat(600)])
  await harness.clock.run(1500)
  expect(harness.log.broker.bounds([at], 'durable')).toMatchObject([{ start }])
  await writer.end('commit')
  for (let index = 0; index < 2; index++) await harness.append('events', 0, ['x'.repeat(600)])
  await harness.clock.run(1500)
  expect(harness.log.broker.bounds([at], 'durable')[0]?.start).toBeGreaterThan(start)
  await harness.close()
})

test('the end of a transaction skips topics that were deleted meanwhile', async () => {
  const harness = await opened()
  await harness.topic('gone')
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await writer.write('gone', 0, ['a'])
  await writer.write('events', 0, ['b'])
  await harness.log.broker.deleteTopic('gone')
  await writer.end('commit')
  expect(await values(harness, 0, 'committed')).toEqual(['b'])
  await harness.close()
})

test('a transactional id that is not used for transactionalIdExpirationMs is forgotten', async () => {
  const harness = await LogHarness.open({ retentionCheckIntervalMs: 1000, transactionalIdExpirationMs: 5000 })
  await harness.topic('events')
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await harness.clock.run(10_000)
  expect(harness.log.broker.listTransactions()).toEqual([])
  await expect(writer.write('events', 0, ['a'])).rejects.toMatchObject({ code: 'INVALID_PRODUCER_ID_MAPPING' })
  await harness.close()
  await harness.reopen()
  expect(harness.log.broker.listTransactions()).toEqual([])
  await harness.close()
})

test('a partition forgets producers without an open transaction after producerIdExpirationMs', async () => {
  const harness = await LogHarness.open({ retentionCheckIntervalMs: 1000, producerIdExpirationMs: 5000 })
  await harness.topic('events')
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await writer.write('events', 0, ['a'])
  await harness.clock.run(10_000)
  expect(harness.log.broker.describeProducers(at)).toHaveLength(1)
  await writer.end('commit')
  await harness.clock.run(10_000)
  expect(harness.log.broker.describeProducers(at)).toEqual([])
  await harness.close()
})

test('producer ids are never assigned twice, whatever a power cut loses', async () => {
  const harness = await opened()
  const ids = new Set<number>()
  for (const powerCutSeed of [1, 2, 3]) {
    ids.add(harness.log.broker.newProducer().producerId)
    ids.add(harness.log.broker.newProducer().producerId)
    harness.crash({ powerCutSeed })
    await harness.reopen()
  }
  expect(ids.size).toBe(6)
  await harness.close()
})

test('each state of a transaction is recorded in __transaction_state', async () => {
  const harness = await opened()
  const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
  await writer.write('events', 0, ['a'])
  await writer.end('commit')
  const partitions = await Promise.all(
    Array.from({ length: 50 }, (_, partition) => readAll(harness.log, { topic: transactionsTopic, partition })),
  )
  expect(partitions.flat()).toHaveLength(3)
  await harness.close()
})

async function opened(partitions = 1): Promise<LogHarness> {
  const harness = await LogHarness.open()
  await harness.topic('events', partitions)
  return harness
}

async function values(harness: LogHarness, partition: number, isolation: Isolation): Promise<readonly string[]> {
  const records = await readAll(harness.log, { topic: 'events', partition }, isolation)
  return records.map(({ value }) => value ?? '(null)')
}

for (const [where, recentBytesMax] of [
  ['in files', 0],
  ['still in memory', 1_000_000],
] as const)
  test(`compaction keeps the list of aborted transactions short, and none that is ${where} is ever shown`, async () => {
    const options = { recentBytesMax, compactionIntervalMs: 1000, checkpointIntervalMs: 3000 }
    const harness = await LogHarness.open(options)
    const config = {
      cleanupPolicy: 'compact',
      segmentBytes: 1024,
      minCleanableDirtyRatio: 0.01,
      deleteRetentionMs: 0,
    } as const
    await harness.topic('events', 1, config)
    // Batches stay in memory for somebody who reads at the end.
    const reader = harness.log.broker.openReader({ isolation: 'committed' })
    reader.assign([{ at, offset: 0 }])
    await reader.poll({ bytesMax: 1e6, waitMs: 0 })
    const writer = await TransactionalWriter.open(harness.log.broker, 'payments')
    for (let round = 0; round < 40; round++) {
      await writer.write('events', 0, [[`k${round % 3}`, `${round}`.padEnd(60)]])
      await writer.end(round % 4 === 0 ? 'commit' : 'abort')
      await harness.clock.run(1000)
      const seen = (await values(harness, 0, 'committed')).map((value) => Number(value.trim()))
      expect(seen.filter((value) => value % 4 !== 0)).toEqual([])
    }
    await harness.append('events', 0, [['k0', 'last'.padEnd(900)]])
    await harness.clock.run(20_000)
    const known = harness.log.broker.abortedTransactions(at, 0, 1000).length
    expect(known < 10).toBe(recentBytesMax === 0)
    await harness.close()

    await harness.reopen()
    expect(harness.log.broker.abortedTransactions(at, 0, 1000)).toHaveLength(known)
    const seen = (await values(harness, 0, 'committed')).map((value) => value.trim())
    expect(seen.filter((value) => Number(value) % 4 !== 0 && value !== 'last')).toEqual([])
    await harness.close()
  })

test('a reader of committed records reaches their end, also where compaction left nothing below it', async () => {
  const harness = await LogHarness.open({ recentBytesMax: 0, compactionIntervalMs: 1000, checkpointIntervalMs: 3000 })
  await harness.topic('events', 1, { cleanupPolicy: 'compact', segmentBytes: 1024, minCleanableDirtyRatio: 0.01 })
  const aborted = await TransactionalWriter.open(harness.log.broker, 'aborted')
  const open = await TransactionalWriter.open(harness.log.broker, 'open')
  await aborted.write('events', 0, [['k', 'aborted']])
  await open.write('events', 0, [['k', 'open']])
  await aborted.end('abort')
  await harness.append('events', 0, [['k', 'plain'.padEnd(1000)]])
  await harness.clock.run(20_000)

  const read = await readAll(harness.log, at, 'durable')
  expect(
    read.map(({ offset }) => offset),
    'the aborted record is gone',
  ).toEqual([1, 3])
  const reader = await harness.log.openReader({ isolation: 'committed' })
  reader.assign([{ at, offset: 0 }])
  const [chunk] = await reader.poll({ bytesMax: 1000, waitMs: 0 })
  expect(chunk).toMatchObject({ nextOffset: 1, endOffset: 1, bytes: 0 })
  expect(chunk?.cursor().next()).toBe(false)
  expect(await reader.poll({ bytesMax: 1000, waitMs: 0 })).toEqual([])
  const consumer = harness.log.consumer({ autoOffsetReset: 'earliest' })
  consumer.assign([at])
  expect(await consumer.poll()).toEqual([])
  expect(consumer.lag()).toMatchObject([{ position: 1, end: 1, lag: 0 }])

  await open.end('commit')
  expect((await consumer.poll()).map(({ offset }) => offset)).toEqual([1])
  await harness.close()
})
