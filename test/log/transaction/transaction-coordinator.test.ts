import { expect, test } from 'vitest'
import { ByteWriter } from '../../../src/base/bytes.ts'
import { ProducerIds } from '../../../src/log/transaction/producer-ids.ts'
import { TransactionCoordinator, type EndedTransaction } from '../../../src/log/transaction/transaction-coordinator.ts'
import { transactionPhaseIds, type TransactionPhase } from '../../../src/log/transaction/transaction-lifecycle.ts'
import {
  decodeTransactionKey,
  decodeTransactionValue,
  encodeTransactionKey,
  encodeTransactionValue,
  type TransactionState,
} from '../../../src/log/transaction/transaction-topic.ts'

const events = { topic: 'events', partition: 0 }

test('a marker has the epoch after that of its transaction, and the next transaction uses that epoch', async () => {
  const { coordinator, ended } = opened()
  const producer = await coordinator.init('id', 1000)
  coordinator.joining(producer, [events])?.taken(Promise.resolve())
  const next = await coordinator.end('id', producer, 'commit')
  expect(ended).toEqual([{ ...producer, producerEpoch: 1, outcome: 'commit', partitions: [events] }])
  expect(next).toEqual({ ...producer, producerEpoch: 1 })
})

test('after the last epoch the next transaction has a new producer id, and a repeated end gets the same answer', async () => {
  const { coordinator, ended } = opened({ producerEpoch: 32_766, phase: 'ongoing', partitions: [events] })
  const last = { producerId: 7, producerEpoch: 32_766 }
  const next = await coordinator.end('id', last, 'commit')
  expect(ended).toMatchObject([{ producerId: 7, producerEpoch: 32_767 }])
  expect(next).toEqual({ producerId: 3_000_000_000, producerEpoch: 0 })
  expect(await coordinator.end('id', last, 'commit')).toEqual(next)
  expect(() => coordinator.joining(last, [events])).toThrow('INVALID_PRODUCER_ID_MAPPING')
})

test.each(['prepareCommit', 'prepareAbort'] as const)(
  'a transaction that a Kafka broker left in %s is completed',
  async (phase) => {
    const { coordinator, ended } = opened({ phase, partitions: [events] })
    await coordinator.finishPrepared()
    const outcome = phase === 'prepareCommit' ? 'commit' : 'abort'
    expect(ended).toMatchObject([{ outcome, producerEpoch: 5, partitions: [events] }])
    expect(coordinator.describe('id').phase).toBe(outcome === 'commit' ? 'completeCommit' : 'completeAbort')
  },
)

test('a transaction that a Kafka broker left at the last epoch is completed with a marker of that epoch', async () => {
  const { coordinator, ended } = opened({ phase: 'prepareCommit', producerEpoch: 32_767, partitions: [events] })
  await coordinator.finishPrepared()
  expect(ended).toMatchObject([{ producerId: 7, producerEpoch: 32_767 }])
  expect(coordinator.describe('id')).toMatchObject({ producerId: 3_000_000_000, producerEpoch: 0 })
})

test('the current producer can ask for a new epoch, also again when the answer was lost', async () => {
  const { coordinator } = opened({ producerEpoch: 4, phase: 'completeCommit' })
  const producer = { producerId: 7, producerEpoch: 4 }
  const next = await coordinator.init('id', 1000, producer)
  expect(next).toEqual({ producerId: 7, producerEpoch: 5 })
  expect(await coordinator.init('id', 1000, producer)).toEqual(next)
  await expect(coordinator.init('id', 1000, { producerId: 7, producerEpoch: 3 })).rejects.toMatchObject({
    code: 'PRODUCER_FENCED',
  })
})

test('a replaced producer that asks for a new epoch is PRODUCER_FENCED', async () => {
  const { coordinator } = opened()
  const old = await coordinator.init('id', 1000)
  await coordinator.init('id', 1000)
  await expect(coordinator.init('id', 1000, old)).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
})

test('only the last epoch of an exhausted producer id gets the answer of its end again', async () => {
  const { coordinator } = opened({ producerEpoch: 32_766, phase: 'ongoing', partitions: [events] })
  const next = await coordinator.end('id', { producerId: 7, producerEpoch: 32_766 }, 'abort')
  await expect(coordinator.end('id', { producerId: 7, producerEpoch: 100 }, 'abort')).rejects.toMatchObject({
    code: 'PRODUCER_FENCED',
  })
  expect(await coordinator.end('id', { producerId: 7, producerEpoch: 32_766 }, 'abort')).toEqual(next)
})

/** Kafka's table of KIP-890: the answer to an end, by phase, for the present producer epoch and the one before. */
test.each<[TransactionPhase, 'commit' | 'abort', 'present' | 'before', string]>([
  ['empty', 'abort', 'before', 'PRODUCER_FENCED'],
  ['empty', 'abort', 'present', 'next epoch'],
  ['empty', 'commit', 'before', 'PRODUCER_FENCED'],
  ['empty', 'commit', 'present', 'INVALID_TXN_STATE'],
  ['completeAbort', 'abort', 'before', 'same answer'],
  ['completeAbort', 'abort', 'present', 'next epoch'],
  ['completeAbort', 'commit', 'before', 'INVALID_TXN_STATE'],
  ['completeAbort', 'commit', 'present', 'INVALID_TXN_STATE'],
  ['completeCommit', 'abort', 'before', 'INVALID_TXN_STATE'],
  ['completeCommit', 'abort', 'present', 'next epoch'],
  ['completeCommit', 'commit', 'before', 'same answer'],
  ['completeCommit', 'commit', 'present', 'INVALID_TXN_STATE'],
  ['ongoing', 'commit', 'before', 'PRODUCER_FENCED'],
  ['ongoing', 'commit', 'present', 'next epoch'],
])('in %s, %s from the producer %s is: %s', async (phase, outcome, who, expected) => {
  const { coordinator } = opened({ phase, producerEpoch: 4, partitions: phase === 'ongoing' ? [events] : [] })
  const producer = { producerId: 7, producerEpoch: who === 'present' ? 4 : 3 }
  const found = await coordinator.end('id', producer, outcome).then(
    ({ producerEpoch }) => (producerEpoch === 5 ? 'next epoch' : 'same answer'),
    (error: { code: string }) => error.code,
  )
  expect(found).toBe(expected)
})

test('a state is read back from its record as it was written', () => {
  for (const phase of Object.keys(transactionPhaseIds) as TransactionPhase[]) {
    const partitions =
      phase === 'empty' ? [] : [events, { topic: 'events', partition: 3 }, { topic: 'é', partition: 1 }]
    const state = { ...initial, phase, partitions, previousProducerId: phase === 'ongoing' ? 5 : -1 }
    const value = new ByteWriter()
    encodeTransactionValue(value, state)
    expect(decodeTransactionValue('id', value.toBytes())).toEqual(state)
  }
  const key = new ByteWriter()
  encodeTransactionKey(key, 'zahlungen-ü')
  expect(decodeTransactionKey(key.toBytes())).toBe('zahlungen-ü')
})

test('a record of version 0 is read as Kafka writes it', () => {
  const bytes = Buffer.from(
    '0000' + // version
      '0000000000000fa0' + // producer id 4000
      '0002' + // epoch
      '0000ea60' + // timeout
      '02' + // prepareCommit
      '00000001' + // one topic
      '00066576656e7473' + // events
      '00000002' + // two partitions
      '0000000000000003' +
      '0000018bcfe56800' + // last update
      '0000018bcfe56800', // start
    'hex',
  )
  expect(decodeTransactionValue('id', bytes)).toEqual({
    transactionalId: 'id',
    producerId: 4000,
    producerEpoch: 2,
    previousProducerId: -1,
    timeoutMs: 60_000,
    phase: 'prepareCommit',
    partitions: [events, { topic: 'events', partition: 3 }],
    startedAt: 1_700_000_000_000,
    updatedAt: 1_700_000_000_000,
  })
})

const initial: TransactionState = {
  transactionalId: 'id',
  producerId: 7,
  producerEpoch: 4,
  previousProducerId: -1,
  timeoutMs: 60_000,
  phase: 'empty',
  partitions: [],
  startedAt: 1_700_000_000_000,
  updatedAt: 1_700_000_000_000,
}

function opened(state?: Partial<TransactionState>): {
  readonly coordinator: TransactionCoordinator
  readonly ended: EndedTransaction[]
} {
  const ended: EndedTransaction[] = []
  const coordinator = new TransactionCoordinator({
    ids: new ProducerIds(3),
    now: () => 1_700_000_000_000,
    monotonic: () => 0,
    timeoutMaxMs: 900_000,
    write: (_state, end) => {
      if (end !== null) ended.push(end)
      return Promise.resolve()
    },
    forget: () => Promise.resolve(),
  })
  if (state !== undefined) coordinator.restore({ ...initial, ...state })
  return { coordinator, ended }
}
