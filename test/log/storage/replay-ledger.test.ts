import { expect, test } from 'vitest'
import { defaultTopicConfig } from '../../../src/log/api/topic.ts'
import type { SegmentState } from '../../../src/log/journal/checkpoint.ts'
import type { BatchPart } from '../../../src/log/journal/entry.ts'
import { ReplayLedger } from '../../../src/log/storage/replay-ledger.ts'
import { topicId } from './storage-harness.ts'

test('a batch is replayed only if its segment still exists', () => {
  const { ledger } = opened({ segments: 7 })
  const live = Array.from({ length: 75 }, (_, offset) => offset).filter((base) => ledger.isLive(batchIn(base)))
  expect(live).toEqual([0, 10, 20, 30, 40, 50, 60])
  expect(ledger.isLive({ ...batchIn(10), partition: 1 })).toBe(false)

  ledger.note({ kind: 'logStart', topicId, partition: 0, offset: 25 })
  ledger.note({ kind: 'segmentsReplaced', topicId, partition: 0, oldBases: [30, 40], newBase: 30, newBytes: 5 })
  expect([0, 10, 20, 30, 40, 50, 60].filter((base) => ledger.isLive(batchIn(base)))).toEqual([20, 30, 50, 60])

  ledger.note({ kind: 'topicDeleted', topicId })
  expect(ledger.isLive(batchIn(60))).toBe(false)
  expect(opened({ segments: 0 }).ledger.isLive(batchIn(0))).toBe(false)
})

test('whether a batch is replayed is found without scanning all segments', () => {
  const { ledger, looks } = opened({ segments: 10_000 })
  const batches = 1000
  for (let index = 0; index < batches; index++) ledger.isLive(batchIn(index * 100))
  expect(looks()).toBeLessThan(batches * 20)
})

function opened({ segments: count }: { readonly segments: number }): {
  readonly ledger: ReplayLedger
  /** How often the base of a segment was looked at. */
  readonly looks: () => number
} {
  let looks = 0
  const segments = Array.from({ length: count }, (_, index): SegmentState => {
    const state = { bytes: 100, firstAppendAt: 0, lastAppendAt: 0, maxTimestamp: 0 }
    const look = (): number => {
      looks += 1
      return index * 10
    }
    return Object.defineProperty({ ...state, base: -1 }, 'base', { get: look, enumerable: true })
  })
  const topic = { id: topicId, name: 'events', partitions: 1, config: defaultTopicConfig }
  const partition = { topicId, partition: 0, logStart: 0, end: count * 10, segments, epochs: [] }
  const ledger = new ReplayLedger({ topics: [topic], partitions: [partition], deletions: [] }, 0)
  looks = 0
  return { ledger, looks: () => looks }
}

function batchIn(segmentBase: number): BatchPart {
  const bytes = new Uint8Array(0)
  return { kind: 'batch', topicId, partition: 0, leaderEpoch: 0, segmentBase, filePosition: 0, bytes }
}
