import { expect, test } from 'vitest'
import { BatchBuilder, type SealOptions } from '../../../src/log/format/batch-builder.ts'
import { LogHarness, recordOf } from '../../harness/log-harness.ts'

const at = { topic: 'events', partition: 0 }

test('a repeated batch is written once and gets the same answer', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  const first = await harness.log.broker.append(at, numbered(['a', 'b'], 0))
  await harness.log.broker.append(at, numbered(['c'], 2))
  expect(await harness.log.broker.append(at, numbered(['a', 'b'], 0))).toEqual(first)
  expect(await harness.values('events', 0)).toEqual(['a', 'b', 'c'])
  await harness.close()
})

test('a duplicate of a batch in flight waits for it and fails with it', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  harness.disk.faults.failSyncAt = harness.disk.counts.sync + harness.disk.counts.syncDirectory + 1
  const settled: string[] = []
  const answers = [0, 1].map((copy) =>
    harness.log.broker.append(at, numbered(['a'], 0)).then(
      () => settled.push(`copy ${copy} was written`),
      (error: { code: string }) => settled.push(`copy ${copy}: ${error.code}`),
    ),
  )
  await Promise.resolve()
  expect(settled).toEqual([])
  await Promise.all(answers)
  expect(settled).toEqual(['copy 0: WRITE_FAILED', 'copy 1: WRITE_FAILED'])
  await harness.close().catch(() => {})
})

test('a gap is OUT_OF_ORDER_SEQUENCE and writes nothing; the missing batch may still arrive', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  await harness.log.broker.append(at, numbered(['a'], 0))
  await expect(harness.log.broker.append(at, numbered(['c'], 2))).rejects.toMatchObject({
    code: 'OUT_OF_ORDER_SEQUENCE',
    message: expect.stringContaining('1 is expected'),
  })
  await harness.log.broker.append(at, numbered(['b'], 1))
  await harness.log.broker.append(at, numbered(['c'], 2))
  expect(await harness.values('events', 0)).toEqual(['a', 'b', 'c'])
  await harness.close()
})

test.each([
  ['in the journal', 0],
  ['in a checkpoint', 1],
])('after a power cut the log recognizes a duplicate that is recorded %s', async (_where, checkpointEveryCommits) => {
  const harness = await LogHarness.open({ checkpointEveryCommits })
  await harness.topic('events')
  const answers = []
  for (let index = 0; index < 5; index++)
    answers.push(await harness.log.broker.append(at, numbered([`${index}`], index)))
  await harness.clock.nextTurn()
  for (const seed of [1, 2, 3]) {
    harness.crash({ powerCutSeed: seed })
    await harness.reopen()
    for (let index = 0; index < 5; index++)
      expect(await harness.log.broker.append(at, numbered([`${index}`], index))).toEqual(answers[index])
  }
  expect(await harness.values('events', 0)).toEqual(['0', '1', '2', '3', '4'])
  await harness.log.broker.append(at, numbered(['5'], 5))
  await harness.close()
})

test('an older epoch of the producer is refused, also after a clean restart', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  await harness.log.broker.append(at, numbered(['old'], 0))
  await harness.log.broker.append(at, numbered(['new'], 0, { producerEpoch: 1 }))
  await harness.close()
  await harness.reopen()
  await expect(harness.log.broker.append(at, numbered(['late'], 1))).rejects.toMatchObject({
    code: 'INVALID_PRODUCER_EPOCH',
  })
  await harness.close()
})

test.each([
  [{ baseSequence: -1 }, 'no sequence'],
  [{ producerEpoch: -1 }, 'no epoch'],
  [{ lastOffsetDelta: 4 }, 'more offsets than records'],
])('a batch with %o is INVALID_RECORD: %s', async (options: SealOptions, _what: string) => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  await expect(harness.log.broker.append(at, numbered(['a'], 0, options))).rejects.toMatchObject({
    code: 'INVALID_RECORD',
  })
  expect(await harness.values('events', 0)).toEqual([])
  await harness.close()
})

function numbered(values: readonly string[], baseSequence: number, options: SealOptions = {}): Uint8Array {
  const builder = new BatchBuilder()
  for (const value of values) builder.append(recordOf(value))
  return builder.finish({ producerId: 42, producerEpoch: 0, baseSequence, ...options })
}
