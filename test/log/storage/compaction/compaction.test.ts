import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Compression } from '../../../../src/log/format/compression.ts'
import { stampBatch } from '../../../../src/log/format/record-batch.ts'
import {
  compactPartition,
  dirtyRatio,
  type CompactionOptions,
} from '../../../../src/log/storage/compaction/compaction.ts'
import { PartitionSegments } from '../../../../src/log/storage/partition-segments.ts'
import { segmentFile } from '../../../../src/log/storage/segment/segment-files.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import {
  batchOf,
  directory,
  partitionFile,
  StorageHarness,
  topicId,
  type StoredRecord,
  type TestRecord,
  nth,
} from '../storage-harness.ts'

/** Compacts, journals and applies; returns the next dirty offset. */
async function compact(
  harness: StorageHarness,
  options: Partial<CompactionOptions> = {},
): Promise<{ readonly cleanedUpTo: number; readonly replaced: number }> {
  const result = await compactPartition({
    disk: harness.disk,
    path: `${directory}/orders-0`,
    segments: harness.partition.segments,
    dirtyFrom: 0,
    cleanUpTo: harness.partition.end,
    now: 1000,
    deleteRetentionMs: 1_000_000,
    segmentBytesMax: 1 << 20,
    ...options,
  })
  for (const { oldBases, segment } of result.replacements) {
    expect(harness.partition.replaced({ oldBases, segment })).toBe(true)
    harness.deletions.push({ topicId, partition: 0, bases: oldBases })
    const { base: newBase, bytes: newBytes } = segment
    harness.commit([{ kind: 'segmentsReplaced', topicId, partition: 0, oldBases, newBase, newBytes }])
  }
  return { cleanedUpTo: result.cleanedUpTo, replaced: result.replacements.length }
}

function tableOf(records: readonly StoredRecord[]): Map<string | null, string> {
  const table = new Map<string | null, string>()
  for (const { key, value } of records) {
    if (value === null) table.delete(key)
    else table.set(key, value)
  }
  return table
}

const record = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  value: fc.option(fc.string({ maxLength: 30 }), { nil: null, freq: 4 }),
  timestamp: fc.integer({ min: 0, max: 10_000 }),
})
const batches = fc.array(
  fc.record({
    records: fc.array(record, { minLength: 1, maxLength: 5 }),
    compression: fc.constantFrom<Compression>('none', 'gzip', 'none'),
  }),
  { minLength: 1, maxLength: 40 },
)

describe('compaction', () => {
  test('keeps exactly the newest record of each key, unchanged and in order', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(120), fc.boolean(), fc.nat(400), async (appended, upTo, later, keyBytes) => {
        const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 400, indexIntervalBytes: 100 })
        const batchEnds: number[] = []
        for (const batch of appended) {
          const base = harness.append(batch.records, batch.compression)
          for (const _ of batch.records) batchEnds.push(base + batch.records.length)
        }
        const before = harness.readAll()
        const horizon = Math.min(upTo, nth(harness.partition.segments, -1).base)
        const options = { cleanUpTo: upTo, segmentBytesMax: 1000, keyBytesMax: keyBytes }
        const swap = async (): Promise<void> => {
          await harness.checkpoint()
          await harness.checkpoint()
          harness.deletions.length = 0
        }

        let dirtyFrom = 0
        // With little room for keys a pass ends early and the next one continues.
        while (dirtyFrom < horizon) {
          const { cleanedUpTo } = await compact(harness, { ...options, dirtyFrom })
          expect(cleanedUpTo).toBeGreaterThan(dirtyFrom)
          dirtyFrom = cleanedUpTo
          await swap()
        }
        // Now all tombstones have their delete horizon, and may be dropped once it has passed.
        await compact(harness, { ...options, dirtyFrom })
        await swap()
        if (later) await compact(harness, { ...options, dirtyFrom, now: 1_001_000 })
        const after = harness.readAll()

        const original = new Map(before.map((stored) => [stored.offset, stored]))
        for (const stored of after) expect(stored).toEqual(original.get(stored.offset))
        expect(after.map(({ offset }) => offset)).toEqual(after.map(({ offset }) => offset).sort((a, b) => a - b))
        expect(tableOf(after)).toEqual(tableOf(before))
        // Exactly those records are gone that the rule names.
        const newestBelow = new Map(
          before.filter(({ offset }) => offset < horizon).map(({ key, offset }) => [key, offset]),
        )
        const expected = before.filter(
          ({ offset, key, value }) =>
            offset >= horizon ||
            (newestBelow.get(key) === offset && (value !== null || !later || (batchEnds[offset] ?? 0) > horizon)),
        )
        expect(after.map(({ offset }) => offset)).toEqual(expected.map(({ offset }) => offset))
      }),
      { numRuns: 60 },
    )
  })

  test('writes segments in which lookups by offset and time work, under .swap and in place', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 500 })
    for (let batch = 0; batch < 40; batch++) {
      const keys = [batch % 5, (batch + 1) % 9]
      harness.append(keys.map((key): TestRecord => ({ key: `k${key}`, value: `v${batch}`, timestamp: 100 * batch })))
    }
    await compact(harness)
    const check = (): void => {
      const all = harness.readAll()
      expect(all.length).toBeLessThan(30)
      const reader = harness.readers().of({ topic: 'orders', partition: 0 })
      const { segments, end } = harness.partition
      for (let from = 0; from < end; from++) {
        expect(harness.readAll(200, from)).toEqual(all.filter(({ offset }) => offset >= from))
        const timestamp = 100 * (from / 2)
        const found = reader.offsetForTime({ timestamp, from: 0, end, segments })
        expect(found?.offset).toBe(all.find((stored) => stored.timestamp >= timestamp)?.offset)
      }
    }
    check()
    expect(harness.disk.exists(partitionFile(segmentFile(0, '.log.swap')))).toBe(true)
    await harness.checkpoint()
    check()
    expect(harness.disk.exists(partitionFile(segmentFile(0, '.log.swap'))), 'one checkpoint knows').toBe(true)
    await harness.checkpoint()
    check()
    expect(harness.disk.exists(partitionFile(segmentFile(0, '.log.swap')))).toBe(false)
    const logs = harness.disk.list(`${directory}/orders-0`).filter((name) => name.endsWith('.log'))
    expect(logs).toEqual(harness.partition.segments.map(({ base }) => segmentFile(base, '.log')))
  })

  test('has nothing to do a second time and leaves no file behind', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 300 })
    for (let batch = 0; batch < 9; batch++) harness.append([{ key: 'k', value: `${batch}`, timestamp: 1 }])
    expect((await compact(harness)).replaced).toBe(1)
    expect((await compact(harness)).replaced).toBe(0)
    expect(harness.disk.list(`${directory}/orders-0`).filter((name) => name.endsWith('.cleaned'))).toEqual([])
  })

  test('fails with CORRUPT_BATCH at a damaged batch and removes its own output', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 300 })
    for (let batch = 0; batch < 20; batch++) harness.append([{ key: 'k', value: `${batch}`, timestamp: 1 }])
    const file = harness.disk.open(partitionFile(segmentFile(nth(harness.partition.segments, 2).base, '.log')), 'write')
    file.write(Buffer.from('x'), 70)
    const before = harness.disk.list(`${directory}/orders-0`)
    await expect(compact(harness)).rejects.toThrow(/CORRUPT_BATCH/)
    expect(harness.disk.list(`${directory}/orders-0`)).toEqual(before)
  })

  test('merges no segments whose offsets lie too far apart for an index, counting those of the last one', async () => {
    const disk = new MemoryDisk()
    const path = `${directory}/orders-0`
    disk.makeDirectory(path)
    const far = 2 ** 31
    // The batch of the second segment is further from the first one's base than the 31 bits of an index entry say.
    const places = [
      { base: 0, offset: 0 },
      { base: far - 100, offset: far + 100 },
      { base: far + 200, offset: far + 200 },
    ]
    const segments = places.map(({ base, offset }, index) => {
      const bytes = Buffer.from(batchOf([{ key: `k${index}`, value: 'v', timestamp: 1 }]))
      stampBatch(bytes, 0, offset, 0)
      const file = disk.open(`${path}/${segmentFile(base, '.log')}`, 'create')
      file.write(bytes, 0)
      file.close()
      return { base, bytes: bytes.length, firstAppendAt: 0, lastAppendAt: 0, maxTimestamp: 1 }
    })
    const options = { disk, path, dirtyFrom: 0, now: 1000, deleteRetentionMs: 1000, segmentBytesMax: 1 << 20 }
    const compacted = async (): Promise<readonly unknown[]> =>
      (await compactPartition({ ...options, segments, cleanUpTo: far + 300 })).replacements
    expect(await compacted()).toEqual([])
    // Nearer together they are merged.
    segments.splice(2, 1, { ...nth(segments, 2), base: far - 50 })
    const [, second] = segments
    const nearer = Buffer.from(batchOf([{ key: 'k1', value: 'v', timestamp: 1 }]))
    stampBatch(nearer, 0, far - 60, 0)
    const file = disk.open(`${path}/${segmentFile(second?.base ?? 0, '.log')}`, 'write')
    file.write(nearer, 0)
    file.close()
    expect(await compacted()).toMatchObject([{ oldBases: [0, far - 100] }])
  })

  test('has a dirty ratio that counts bytes no pass has seen, without the active segment', () => {
    const segment = { firstAppendAt: 0, lastAppendAt: 0, maxTimestamp: 0 }
    const segments = [0, 10, 20, 30].map((base) => ({ ...segment, base, bytes: 100 }))
    expect(dirtyRatio(segments, 0, 30)).toBe(1)
    expect(dirtyRatio(segments, 10, 30)).toBeCloseTo(2 / 3)
    expect(dirtyRatio(segments, 30, 30)).toBe(0)
    expect(dirtyRatio(segments.slice(3), 0, 30)).toBe(0)
  })
})

test('a segment replacement is applied to the partition once, and ignored when it is repeated', () => {
  const segment = { base: 0, bytes: 1, firstAppendAt: 0, lastAppendAt: 0, maxTimestamp: 0 }
  const state = {
    topicId,
    partition: 0,
    logStart: 0,
    end: 30,
    epochs: [],
    segments: [0, 10, 20].map((base) => ({ ...segment, base })),
  }
  const partition = new PartitionSegments(state)
  expect(partition.replaced({ oldBases: [0, 10], segment })).toBe(true)
  expect(partition.replaced({ oldBases: [0, 10], segment })).toBe(false)
  expect(partition.segments.map(({ base }) => base)).toEqual([0, 20])
})
