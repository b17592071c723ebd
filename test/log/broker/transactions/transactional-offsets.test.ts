import { expect, test } from 'vitest'
import type { OffsetEntry } from '../../../../src/log/api/log.ts'
import { GroupOffsets } from '../../../../src/log/broker/groups/group-offsets.ts'
import { TransactionalOffsets } from '../../../../src/log/broker/transactions/transactional-offsets.ts'
import { LogHarness } from '../../../harness/log-harness.ts'
import { outside, TransactionalWriter } from '../../../harness/transactional-writer.ts'

const everyTopic = (): boolean => true

test('an open transaction keeps only the newest offset of each group and partition, however many it sends', () => {
  const { offsets, transactional, send } = opened()
  for (let round = 1; round <= 1000; round++) {
    send(1, 'g', round, [entry(0, round), entry(1, round)])
    send(1, 'h', round, [entry(0, -round + 2000)])
    send(2, 'g', round, [entry(2, round)])
  }

  expect(transactional.states().flatMap(({ entries }) => entries)).toHaveLength(4)
  expect(new Set(transactional.places).size).toBeLessThanOrEqual(8)

  transactional.end(1, 'commit', everyTopic)
  transactional.end(2, 'abort', everyTopic)
  expect(offsets.of('g').map(({ at, offset }) => [at.partition, offset])).toEqual([
    [0, 1000],
    [1, 1000],
  ])
  expect(offsets.of('h')).toMatchObject([{ offset: 1000 }])
  expect(transactional.states()).toEqual([])
  expect(transactional.places).toEqual([])
})

test('a checkpoint keeps the offsets of one request together, without those that later requests replaced', () => {
  const { transactional, send } = opened()
  send(1, 'g', 10, [entry(0, 1), entry(1, 1), entry(2, 1)])
  send(1, 'g', 20, [entry(1, 2)])
  const states = transactional.states()
  expect(states).toEqual([
    { producerId: 1, group: 'g', entries: [entry(0, 1), entry(2, 1)], committedAt: 10, recordOffset: 10 },
    { producerId: 1, group: 'g', entries: [entry(1, 2)], committedAt: 20, recordOffset: 20 },
  ])
  // They are restored from a checkpoint.
  const again = opened(states)
  expect(again.transactional.states()).toEqual(states)
  again.transactional.end(1, 'commit', everyTopic)
  expect(again.offsets.of('g').map(({ at, offset }) => [at.partition, offset])).toEqual([
    [0, 1],
    [2, 1],
    [1, 2],
  ])
})

test('a deleted offset is not restored by the transaction that sent it, but one sent since counts', () => {
  const { offsets, transactional, send } = opened()
  send(1, 'g', 1, [entry(0, 1), entry(1, 1)])
  for (const { at } of [entry(0, 0), entry(1, 0)]) {
    transactional.deleting('g', at)
    transactional.forget('g', at)
  }
  expect(transactional.isUnstable('g', 'events', 0)).toBe(false)
  send(1, 'g', 2, [entry(1, 2)])
  expect(transactional.isUnstable('g', 'events', 1)).toBe(true)
  expect(transactional.isUnstable('other', 'events', 1)).toBe(false)

  transactional.end(1, 'commit', everyTopic)
  expect(offsets.of('g')).toMatchObject([{ at: { partition: 1 }, offset: 2 }])
})

test.each(['closes', 'crashes'])(
  'the newest offset of a transaction counts even when the log %s in between',
  async (how) => {
    const harness = await LogHarness.open({ checkpointEveryCommits: 3 })
    await harness.topic('events')
    const writer = await TransactionalWriter.open(harness.log.broker, 'id')
    for (let offset = 1; offset <= 20; offset++) await writer.offset('events', 0, offset, outside('g'))
    if (how === 'closes') await harness.close()
    else harness.crash()
    await harness.reopen()
    const { broker } = harness.log
    expect(broker.hasUnstableOffset('g', { topic: 'events', partition: 0 })).toBe(true)
    await broker.endTransaction('id', writer, 'commit')
    expect(broker.committedOffsets('g', [{ topic: 'events', partition: 0 }])).toMatchObject([{ offset: 20 }])
    await harness.close()
  },
)

function opened(states: ConstructorParameters<typeof TransactionalOffsets>[1] = []): {
  readonly offsets: GroupOffsets
  readonly transactional: TransactionalOffsets
  /** Sends offsets whose record has its offset and is promoted. */
  readonly send: (producerId: number, group: string, recordOffset: number, entries: readonly OffsetEntry[]) => void
} {
  const offsets = new GroupOffsets()
  const transactional = new TransactionalOffsets(offsets, states)
  return {
    offsets,
    transactional,
    send: (producerId, group, recordOffset, entries) => {
      transactional.sequenced(producerId, group, entries)
      transactional.add({ producerId, group, entries, committedAt: recordOffset, recordOffset })
    },
  }
}

function entry(partition: number, offset: number): OffsetEntry {
  return { at: { topic: 'events', partition }, offset, leaderEpoch: -1, metadata: '' }
}
