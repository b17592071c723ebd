import { describe, expect, test } from 'vitest'
import type { OffsetEntry } from '../../../src/log/api/log.ts'
import { LogHarness } from '../../harness/log-harness.ts'
import { outside, TransactionalWriter } from '../../harness/transactional-writer.ts'
import { ClientHarness, codeOf, drain } from './client-harness.ts'

const place = (partition: number): { topic: string; partition: number } => ({ topic: 'orders', partition })
const hour = 3_600_000

async function open(): Promise<ClientHarness> {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 2 }])
  const producer = log.producer()
  const now = log.clock.now()
  for (const [index, age] of [5, 4, 3, 2, 1].entries())
    await producer.send({ topic: 'orders', partition: 0, value: `${index}`, timestamp: now - age * 1000 })
  await log.broker.commitOffsets('g', -1, [{ at: place(0), offset: 3, leaderEpoch: -1, metadata: 'note' }])
  return log
}

describe('groups are', () => {
  test('listed with kind, phase and number of members', async () => {
    const log = await open()
    const consumer = log.consumer({ group: 'c' })
    consumer.subscribe(['orders'])
    await consumer.poll()
    const application = log.broker.joinGroup({ group: 'a', topics: ['orders'] })
    expect(log.admin.listGroups().map(({ group, kind, phase, members }) => [group, kind, phase, members])).toEqual([
      ['a', 'application', 'stable', 1],
      ['c', 'consumers', 'stable', 1],
      ['g', 'offsets', 'empty', 0],
    ])
    await application.leave()
    await consumer.close()
    await log.close()
  })

  test('described with members, assignments and lag', async () => {
    const log = await open()
    const consumer = log.consumer({ group: 'g', clientId: 'reader', autoCommitIntervalMs: 0 })
    consumer.subscribe(['orders'])
    await consumer.poll()
    const described = log.admin.describeGroup('g')
    expect(described).toMatchObject({ phase: 'stable', protocol: 'cooperative-sticky', generation: 1 })
    const { memberId } = consumer.groupMetadata()
    expect(described.memberList).toMatchObject([
      { memberId, clientId: 'reader', topics: ['orders'], assigned: [place(0), place(1)] },
    ])
    expect(described.partitions).toEqual([
      { at: place(0), offset: 3, metadata: 'note', end: 5, lag: 2, memberId },
      { at: place(1), offset: null, metadata: '', end: 0, lag: null, memberId },
    ])
    expect(await codeOf(() => log.admin.describeGroup('nope'))).toBe('GROUP_ID_NOT_FOUND')
    await log.close()
  })

  test('deleted when they are empty, with their offsets, for good', async () => {
    const harness = await LogHarness.open()
    await harness.topic('orders', 2)
    const { log } = harness
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    consumer.subscribe(['orders'])
    await consumer.poll()
    await log.broker.commitOffsets('simple', -1, [{ at: place(0), offset: 0, leaderEpoch: -1, metadata: '' }])
    expect(await codeOf(() => log.admin.deleteGroup('g'))).toBe('NON_EMPTY_GROUP')
    expect(await codeOf(() => log.admin.deleteGroup('nope'))).toBe('GROUP_ID_NOT_FOUND')
    await consumer.close()
    await log.admin.deleteGroup('g')
    await log.admin.deleteGroup('simple')
    expect(log.admin.listGroups()).toEqual([])
    harness.crash()
    await harness.reopen()
    expect(harness.log.admin.listGroups()).toEqual([])
    await harness.close()
  })

  test('freed of offsets in topics that no member reads any more', async () => {
    const log = await open()
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    await consumer.poll()
    expect(await codeOf(() => log.admin.deleteGroupOffsets('g', [place(0)]))).toBe('GROUP_SUBSCRIBED_TO_TOPIC')
    await consumer.close()
    await log.broker.commitOffsets('c', -1, [{ at: place(0), offset: 3, leaderEpoch: -1, metadata: '' }])
    await log.admin.deleteGroupOffsets('g', [place(0), place(1)])
    expect(log.admin.committedOffsets('g', [place(0)])).toEqual([])
    expect(await codeOf(() => log.admin.deleteGroupOffsets('c', [{ topic: 'nope', partition: 0 }]))).toBe(
      'UNKNOWN_TOPIC',
    )
    expect(await codeOf(() => log.admin.deleteGroupOffsets('c', [place(2)]))).toBe('UNKNOWN_PARTITION')
    await log.close()
  })

  test('known by offsets that an open transaction carries, and if these are deleted, its commit brings none back', async () => {
    const log = await open()
    const writer = await TransactionalWriter.open(log.broker, 'tx')
    await writer.offset('orders', 1, 4, outside('g'))
    for (const group of ['h', 'i']) await writer.offset('orders', 1, 4, outside(group))
    expect(log.admin.listGroups().map(({ group, phase }) => [group, phase])).toEqual([
      ['g', 'empty'],
      ['h', 'empty'],
      ['i', 'empty'],
    ])
    expect(log.admin.describeGroup('h').partitions).toEqual([])

    await log.admin.deleteGroupOffsets('g', [place(1)])
    await log.admin.deleteGroupOffsets('h', [place(1)])
    await log.admin.deleteGroup('i')
    await writer.end('commit')

    expect(log.admin.describeGroup('g').partitions.map(({ at }) => at)).toEqual([place(0)])
    expect(log.admin.listGroups().map(({ group }) => group)).toEqual(['g'])
    await log.close()
  })
})

describe('a reset of offsets', () => {
  test('reports the new offsets and changes nothing unless it is executed', async () => {
    const log = await open()
    for (const [to, expected] of [
      ['earliest', 0],
      ['latest', 5],
      ['current', 3],
      [{ offset: 1 }, 1],
      [{ offset: 99 }, 5],
      [{ timestamp: log.clock.now() - 4000 }, 1],
      [{ ago: 2500 }, 3],
      [{ ago: 0 }, 5],
      [{ shift: -2 }, 1],
      [{ shift: -99 }, 0],
      [{ shift: 1 }, 4],
    ] as const) {
      const moved = await log.admin.resetGroupOffsets('g', { to })
      expect(moved, JSON.stringify(to)).toEqual([{ at: place(0), from: 3, to: expected }])
    }
    expect(log.admin.committedOffsets('g', [place(0)])[0]?.offset).toBe(3)
    const moved = await log.admin.resetGroupOffsets('g', { to: 'earliest', topics: ['orders'], execute: true })
    expect(moved.map(({ from, to }) => [from, to])).toEqual([
      [3, 0],
      [null, 0],
    ])
    expect(log.admin.committedOffsets('g', [place(0)])[0]?.offset).toBe(0)
    await log.close()
  })

  test('creates an unknown group for the topics that are named, and is GROUP_ID_NOT_FOUND without any', async () => {
    const log = await open()
    expect(await codeOf(() => log.admin.resetGroupOffsets('gg', { to: 'latest', execute: true }))).toBe(
      'GROUP_ID_NOT_FOUND',
    )
    await log.admin.resetGroupOffsets('gg', { to: 'latest', topics: ['orders'], execute: true })
    expect(log.admin.committedOffsets('gg', [place(0)])).toMatchObject([{ offset: 5 }])
    await log.close()
  })

  test('is refused while the group has members, for an unknown topic and for an invalid target', async () => {
    const log = await open()
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    await consumer.poll()
    expect(await codeOf(() => log.admin.resetGroupOffsets('g', { to: 'latest', execute: true }))).toBe(
      'NON_EMPTY_GROUP',
    )
    await consumer.close()
    expect(await codeOf(() => log.admin.resetGroupOffsets('g', { to: 'latest', topics: ['nope'] }))).toBe(
      'UNKNOWN_TOPIC',
    )
    expect(await codeOf(() => log.admin.resetGroupOffsets('g', { to: { ago: -1 } }))).toBe('INVALID_CONFIG')
    // Callers without types.
    for (const to of ['beginning', {}, null, undefined, 3])
      expect(await codeOf(() => log.admin.resetGroupOffsets('g', { to: to as 'latest' }))).toBe('INVALID_CONFIG')
    await log.close()
  })
})

describe('offsets expire', () => {
  const expiry = { offsetsRetentionMs: hour, offsetsRetentionCheckIntervalMs: 600_000 }

  test('together with their group when it has had no members for offsetsRetentionMs', async () => {
    const harness = await LogHarness.open(expiry)
    await harness.topic('orders')
    await harness.append('orders', 0, ['a'])
    const { log, clock } = harness
    const consumer = log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
    consumer.subscribe(['orders'])
    await drain(consumer)
    await consumer.commitOffsets()
    await log.broker.commitOffsets('simple', -1, [{ at: place(0), offset: 1, leaderEpoch: -1, metadata: '' }])
    // The consumer is alive but idle for longer: only the offsets of the group without members expire.
    const waiting = consumer.poll({ waitMs: 3 * hour })
    await clock.run(2 * hour)
    expect(log.admin.listGroups().map(({ group }) => group)).toEqual(['g'])
    await consumer.close()
    await waiting
    await clock.run(hour - 600_000)
    expect(log.admin.committedOffsets('g', [place(0)])).toHaveLength(1)
    await clock.run(1_200_000)
    expect(log.admin.listGroups()).toEqual([])
    await harness.close()
  })

  test('for topics that no member reads any more, while the group has members', async () => {
    const harness = await LogHarness.open(expiry)
    await harness.topic('orders')
    await harness.topic('old')
    const { log, clock } = harness
    const old = { topic: 'old', partition: 0 }
    await log.broker.commitOffsets('g', -1, [
      { at: place(0), offset: 0, leaderEpoch: -1, metadata: '' },
      { at: old, offset: 0, leaderEpoch: -1, metadata: '' },
    ])
    const consumer = log.consumer({ group: 'g' })
    consumer.subscribe(['orders'])
    await consumer.poll()
    const waiting = consumer.poll({ waitMs: 3 * hour })
    await clock.run(2 * hour)
    expect(log.admin.committedOffsets('g', [place(0), old]).map(({ at }) => at)).toEqual([place(0)])
    await consumer.close()
    await waiting
    await harness.close()
  })

  describe('but not those of a commit in flight', () => {
    const byHand = { offsetsRetentionMs: hour, offsetsRetentionCheckIntervalMs: 100 * hour }
    const offsetOf = (partition: number, offset: number): OffsetEntry => ({
      at: place(partition),
      offset,
      leaderEpoch: -1,
      metadata: '',
    })

    test.each(['that never had members', 'whose members have left'])('to a group %s', async (which) => {
      const harness = await LogHarness.open(byHand)
      await harness.topic('orders', 2)
      const { broker } = harness.log
      if (which === 'whose members have left') {
        const consumer = harness.log.consumer({ group: 'g' })
        consumer.subscribe(['orders'])
        await consumer.poll()
        await consumer.close()
      }
      await broker.commitOffsets('g', -1, [offsetOf(0, 1), offsetOf(1, 1)])
      await harness.clock.run(2 * hour)

      const underWay = broker.commitOffsets('g', -1, [offsetOf(1, 2)])
      await broker.groupAdmin.expire()
      await underWay

      const left = (): unknown => harness.log.broker.committedOffsets('g', [place(0), place(1)])
      expect(left()).toEqual([offsetOf(1, 2)])
      const { kind, generation } = harness.log.admin.describeGroup('g')
      harness.crash()
      await harness.reopen()
      expect(left()).toEqual([offsetOf(1, 2)])
      expect(harness.log.admin.describeGroup('g')).toMatchObject({ kind, generation })
      await harness.close()
    })

    test.each(['plainly', 'in a transaction'])('%s, to a partition without an offset: the group stays', async (how) => {
      const harness = await LogHarness.open(byHand)
      await harness.topic('orders', 2)
      const { broker } = harness.log
      const consumer = harness.log.consumer({ group: 'g' })
      consumer.subscribe(['orders'])
      await consumer.poll()
      await consumer.close()
      const { generation } = harness.log.admin.describeGroup('g')
      await broker.commitOffsets('g', -1, [offsetOf(0, 1)])
      await harness.clock.run(2 * hour)

      const writer = await TransactionalWriter.open(broker, 'id')
      const underWay =
        how === 'plainly'
          ? broker.commitOffsets('g', -1, [offsetOf(1, 2)])
          : writer.offset('orders', 1, 2, outside('g'))
      await broker.groupAdmin.expire()
      await underWay
      if (how === 'in a transaction') await writer.end('commit')

      expect(broker.committedOffsets('g', [place(0), place(1)])).toEqual([offsetOf(1, 2)])
      expect(harness.log.admin.describeGroup('g')).toMatchObject({ kind: 'consumers', generation })
      await harness.close()
    })
  })
})

test('generation and offsets of a group survive a crash and a clean stop, with and without a checkpoint', async () => {
  for (const checkpointEveryCommits of [0, 1]) {
    for (const stop of ['crash', 'close'] as const) {
      const harness = await LogHarness.open({ checkpointEveryCommits })
      await harness.topic('orders', 2)
      const join = async (): Promise<number> => {
        const consumer = harness.log.consumer({ group: 'g', autoOffsetReset: 'earliest' })
        consumer.subscribe(['orders'])
        await consumer.poll()
        await consumer.commitOffsets([{ at: place(1), offset: 0, leaderEpoch: -1, metadata: 'kept' }])
        return consumer.groupMetadata().generation
      }
      expect(await join()).toBe(1)
      for (const generation of [2, 3]) {
        if (stop === 'crash') harness.crash()
        else await harness.close()
        await harness.reopen()
        expect(harness.log.admin.describeGroup('g')).toMatchObject({ phase: 'empty', generation: generation - 1 })
        expect(harness.log.admin.committedOffsets('g', [place(1)])).toMatchObject([{ metadata: 'kept' }])
        expect(await join(), `${stop} ${checkpointEveryCommits}`).toBe(generation)
      }
      await harness.close()
    }
  }
})

test('deleting a group also drops offsets in flight to it, in transactions too', async () => {
  const log = await ClientHarness.open([{ name: 'orders', partitions: 3 }])
  const offset = (partition: number): OffsetEntry => ({
    at: { topic: 'orders', partition },
    offset: 5,
    leaderEpoch: -1,
    metadata: '',
  })
  await log.broker.commitOffsets('g', -1, [offset(0)])
  const producer = log.producer({ transactionalId: 'id' })
  await producer.initTransactions()
  producer.beginTransaction()
  await producer.sendOffsetsToTransaction([offset(1)], outside('g'))
  const onItsWay = log.broker.commitOffsets('g', -1, [offset(2)])
  await log.admin.deleteGroup('g')
  await onItsWay
  await producer.commitTransaction()
  expect(log.admin.listGroups()).toEqual([])
  await log.close()
})
