import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { segmentsDue } from '../../../src/log/storage/retention.ts'

const segment = (base: number, bytes: number, lastAppendAt: number) => ({
  base,
  bytes,
  firstAppendAt: lastAppendAt,
  lastAppendAt,
  maxTimestamp: 9e15,
})
const segments = [segment(0, 100, 1000), segment(10, 100, 2000), segment(20, 100, 3000), segment(30, 50, 4000)]
const forever = { cleanupPolicy: 'delete', retentionMs: -1, retentionBytes: -1 } as const

test('without a limit no segment is deleted', () => {
  expect(segmentsDue({ segments, logStart: 0 }, forever, 1e15)).toEqual({ bases: [], logStart: 0 })
})

test('the age of a segment counts from its last append, not from the records’ timestamps', () => {
  const config = { ...forever, retentionMs: 1000 }
  expect(segmentsDue({ segments, logStart: 0 }, config, 2000)).toEqual({ bases: [], logStart: 0 })
  expect(segmentsDue({ segments, logStart: 0 }, config, 2001)).toEqual({ bases: [0], logStart: 10 })
  expect(segmentsDue({ segments, logStart: 0 }, config, 1e15)).toEqual({ bases: [0, 10, 20], logStart: 30 })
})

test('by size the oldest segments are deleted while the rest holds at least retentionBytes', () => {
  const keep = (retentionBytes: number) =>
    segmentsDue({ segments, logStart: 0 }, { ...forever, retentionBytes }, 0).bases
  expect(keep(350)).toEqual([])
  expect(keep(251)).toEqual([])
  expect(keep(250)).toEqual([0])
  expect(keep(0)).toEqual([0, 10, 20])
})

test('a segment below the log start is deleted under every policy, by age only under delete', () => {
  const compact = { cleanupPolicy: 'compact', retentionMs: 0, retentionBytes: 0 } as const
  expect(segmentsDue({ segments, logStart: 20 }, compact, 1e15)).toEqual({ bases: [0, 10], logStart: 20 })
  expect(segmentsDue({ segments, logStart: 19 }, compact, 1e15)).toEqual({ bases: [0], logStart: 19 })
})

test('the active segment is never deleted, and the log start never moves back', () => {
  const any = fc.record({ bytes: fc.nat(1000), at: fc.nat(1000) })
  fc.assert(
    fc.property(
      fc.array(any, { minLength: 1 }),
      fc.nat(60),
      fc.nat(1000),
      fc.nat(3000),
      (list, logStart, ms, bytes) => {
        const all = list.map(({ bytes: size, at }, index) => segment(index * 10, size, at))
        const config = { cleanupPolicy: 'delete', retentionMs: ms, retentionBytes: bytes } as const
        const due = segmentsDue({ segments: all, logStart }, config, 1000)
        expect(due.bases).toEqual(all.slice(0, due.bases.length).map(({ base }) => base))
        expect(due.bases.length).toBeLessThan(all.length)
        expect(due.logStart).toBeGreaterThanOrEqual(logStart)
      },
    ),
  )
})
