import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../../../src/base/seeded-random.ts'
import { LogError } from '../../../../src/log/api/errors.ts'
import { batchBytesOf } from '../../../../src/log/format/record-batch.ts'
import { segmentFile } from '../../../../src/log/storage/segment/segment-files.ts'
import { SegmentIndexes } from '../../../../src/log/storage/segment/segment-indexes.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { fileBytes, overwrite, partitionFile, recordsOf, someRecords, StorageHarness, nth } from '../storage-harness.ts'

async function written(segmentBytes = 3000, indexIntervalBytes = 400, batches = 60): Promise<StorageHarness> {
  const harness = new StorageHarness(new MemoryDisk(), { segmentBytes, indexIntervalBytes })
  for (let batch = 0; batch < batches; batch++) harness.append(someRecords(1 + (batch % 4), 4 * batch))
  await harness.checkpoint()
  await harness.applier.close()
  return harness
}

describe('the indexes', () => {
  test('have Kafka’s bytes: an entry per interval, the last offset and the start of its batch', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { indexIntervalBytes: 100 })
    // 61 bytes of header and 11 of record each: the third batch is the first with more than 100 bytes before it.
    for (const timestamp of [5, 3, 9, 7]) harness.append([{ key: 'k', value: 'abc', timestamp }])
    await harness.applier.close()

    const size = nth(harness.partition.segments, 0).bytes / 4
    const index = Buffer.alloc(8)
    index.writeInt32BE(2, 0)
    index.writeInt32BE(2 * size, 4)
    expect(fileBytes(harness.disk, partitionFile('00000000000000000000.index'))).toEqual(index)
    const times = Buffer.alloc(12)
    times.writeBigInt64BE(9n, 0)
    times.writeInt32BE(2, 8)
    expect(fileBytes(harness.disk, partitionFile('00000000000000000000.timeindex'))).toEqual(times)
  })

  test('are the same rebuilt as written, for every segment', async () => {
    const { disk, partition } = await written()
    expect(partition.segments.length).toBeGreaterThan(3)
    for (const segment of partition.segments) {
      const log = disk.open(partitionFile(segmentFile(segment.base, '.log')), 'read')
      const rebuilt = SegmentIndexes.build(log, { ...segment, intervalBytes: 400 })
      rebuilt.finish()
      const stored = (suffix: '.index' | '.timeindex'): Buffer =>
        fileBytes(disk, partitionFile(segmentFile(segment.base, suffix)))
      expect(stored('.index')).toEqual(rebuilt.offsets.encode())
      expect(stored('.timeindex')).toEqual(rebuilt.times.encode())
      expect(rebuilt.offsets.count).toBeGreaterThan(2)
    }
  })

  test('that are cut short or missing are completed to what a full rebuild gives', async () => {
    const { disk, partition } = await written(1 << 20)
    const segment = { ...nth(partition.segments, 0), intervalBytes: 400 }
    const log = disk.open(partitionFile(segmentFile(0, '.log')), 'read')
    const whole = SegmentIndexes.build(log, segment)
    const index = fileBytes(disk, partitionFile(segmentFile(0, '.index')))
    const timeIndex = fileBytes(disk, partitionFile(segmentFile(0, '.timeindex')))
    for (let bytes = 0; bytes < segment.bytes; bytes += 997) {
      // What a crash leaves: entries beyond the valid bytes, and a final time entry.
      const shorter = SegmentIndexes.build(log, { ...segment, bytes: batchEdge(log, segment.bytes, bytes) })
      const resumed = SegmentIndexes.open(log, { index, timeIndex }, { ...segment, bytes: shorter.countedBytes })
      expect(resumed.offsets.encode()).toEqual(shorter.offsets.encode())
      expect(resumed.times.encode()).toEqual(shorter.times.encode())
    }
    const none = SegmentIndexes.open(log, { index: null, timeIndex: null }, segment)
    expect(none.offsets.encode()).toEqual(whole.offsets.encode())
  })

  test('that lost different entries in a power cut are completed to what a full rebuild gives', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 1 << 20, indexIntervalBytes: 200 })
    // Timestamps go up and down, with new maxima throughout.
    const random = new SeededRandom(7)
    for (let batch = 0; batch < 80; batch++)
      harness.append([{ key: 'k', value: `${batch}`, timestamp: 1000 + 20 * batch + random.below(400) }])
    await harness.checkpoint()
    await harness.applier.close()
    const segment = { ...nth(harness.partition.segments, 0), intervalBytes: 200 }
    const log = harness.disk.open(partitionFile(segmentFile(0, '.log')), 'read')
    const index = fileBytes(harness.disk, partitionFile(segmentFile(0, '.index')))
    const timeIndex = fileBytes(harness.disk, partitionFile(segmentFile(0, '.timeindex')))
    const whole = SegmentIndexes.build(log, segment)
    expect(whole.times.count).toBeGreaterThan(8)
    for (let lost = 0; lost < timeIndex.length / 12; lost++) {
      for (const damaged of [
        timeIndex.subarray(0, lost * 12),
        Buffer.from(timeIndex).fill(0, lost * 12),
        Buffer.from(timeIndex).fill(0, 0, lost * 12),
        Buffer.from(timeIndex).fill(0, lost * 12, lost * 12 + 12),
      ]) {
        const resumed = SegmentIndexes.open(log, { index, timeIndex: damaged }, segment)
        expect(resumed.offsets.encode(), `without entry ${lost}`).toEqual(whole.offsets.encode())
        expect(resumed.times.encode(), `without entry ${lost}`).toEqual(whole.times.encode())
      }
      const fewer = SegmentIndexes.open(log, { index: index.subarray(0, lost * 8), timeIndex }, segment)
      expect(fewer.times.encode(), `without offset entry ${lost}`).toEqual(whole.times.encode())
    }
  })
})

function batchEdge(log: { read(into: Uint8Array, at: number): number }, end: number, atLeast: number): number {
  const header = Buffer.alloc(12)
  let at = 0
  while (at < atLeast && at < end) {
    log.read(header, at)
    at += 12 + header.readInt32BE(8)
  }
  return at
}

describe('reading', () => {
  test('returns every record once, whatever bytesMax is', async () => {
    const harness = await written()
    const all = harness.readAll(1 << 20)
    expect(all.map(({ offset }) => offset)).toEqual([...Array(harness.partition.end).keys()])
    for (const bytesMax of [1, 100, 500, 5000]) expect(harness.readAll(bytesMax)).toEqual(all)
  })

  test('starts at any offset, with indexes and without', async () => {
    const harness = await written()
    const all = harness.readAll()
    const startEverywhere = (): void => {
      for (let from = 0; from <= harness.partition.end; from += 3) {
        expect(harness.readAll(4000, from)).toEqual(all.slice(from))
      }
    }
    startEverywhere()
    for (const { base } of harness.partition.segments) {
      harness.disk.unlink(partitionFile(segmentFile(base, '.index')))
      harness.disk.unlink(partitionFile(segmentFile(base, '.timeindex')))
    }
    startEverywhere()
  })

  test('stops at the given end, though bytes follow', async () => {
    const harness = await written()
    const reader = harness.readers().of({ topic: 'orders', partition: 0 })
    const { segments } = harness.partition
    const edge = reader.read({ from: 0, end: 1, bytesMax: 1 << 20, segments })
    expect(edge.nextOffset).toBe(1)
    expect(reader.read({ from: 1, end: 1, bytesMax: 1 << 20, segments })).toEqual({
      bytes: Buffer.alloc(0),
      nextOffset: 1,
    })
  })

  test('finds records by time as a plain search does, with any damage to the indexes', async () => {
    const harness = await written()
    const all = harness.readAll(1 << 20)
    const searchEverywhere = (step: number): void => {
      const reader = harness.readers().of({ topic: 'orders', partition: 0 })
      const { segments, end } = harness.partition
      for (let timestamp = 600; timestamp < 4000; timestamp += step) {
        const expected = all.find((record) => record.timestamp >= timestamp && record.offset >= 5)
        const found = reader.offsetForTime({ timestamp, from: 5, end, segments })
        expect(found?.offset, `timestamp ${timestamp}`).toBe(expected?.offset)
      }
    }
    searchEverywhere(7)
    const base = nth(harness.partition.segments, 1).base
    for (const suffix of ['.index', '.timeindex'] as const) {
      const path = partitionFile(segmentFile(base, suffix))
      const good = fileBytes(harness.disk, path)
      const damages = [good.subarray(0, good.length - 5), Buffer.alloc(good.length), Buffer.alloc(0)]
      for (let bit = 0; bit < good.length * 8; bit += 3) {
        const flipped = Buffer.from(good)
        flipped.writeUInt8(nth(flipped, bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        damages.push(flipped)
      }
      for (const damage of damages) {
        overwrite(harness.disk, path, damage)
        searchEverywhere(101)
        for (let from = 0; from < all.length; from += 17) expect(harness.readAll(4000, from)).toEqual(all.slice(from))
      }
      overwrite(harness.disk, path, good)
    }
  })

  test('returns the batches before a damaged one, and then reports it', async () => {
    const harness = new StorageHarness(new MemoryDisk(), {})
    for (let batch = 0; batch < 4; batch++) harness.append(someRecords(2, batch))
    await harness.applier.close()
    const all = harness.readAll()
    const path = partitionFile(segmentFile(0, '.log'))
    const bytes = fileBytes(harness.disk, path)
    const second = batchBytesOf(bytes, 0)
    const third = second + batchBytesOf(bytes, second)
    // In its checksum, its length, its base offset and its epoch.
    for (const at of [third + 70, third + 11, third + 7, third + 15]) {
      const bad = Buffer.from(bytes)
      bad.writeUInt8(nth(bad, at) ^ 1, at)
      overwrite(harness.disk, path, bad)
      const reader = harness.readers().of({ topic: 'orders', partition: 0 })
      const { segments, end, epochs } = harness.partition
      const request = { from: 0, end, bytesMax: 1 << 20, segments, epochs }
      const read = reader.read(request)
      expect(recordsOf(read.bytes)).toEqual(all.slice(0, 4))
      expect(() => reader.read({ ...request, from: read.nextOffset })).toThrow(
        `CORRUPT_BATCH: the batch at byte ${third} of`,
      )
    }
  })

  test('reports every flipped bit of a segment as CORRUPT_BATCH with file and position', async () => {
    const harness = new StorageHarness(new MemoryDisk(), {})
    for (let batch = 0; batch < 4; batch++) harness.append(someRecords(2, batch))
    await harness.applier.close()
    const path = partitionFile(segmentFile(0, '.log'))
    const good = fileBytes(harness.disk, path)
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad.writeUInt8(nth(bad, bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      overwrite(harness.disk, path, bad)
      expect(() => harness.readAll(150), `bit ${bit}`).toThrow(/CORRUPT_BATCH: the batch at byte \d+ of .*\.log/)
    }
  })

  test('fails for a segment that lost its tail, and never returns nothing instead', async () => {
    const harness = await written(1 << 20)
    const path = partitionFile(segmentFile(0, '.log'))
    const good = fileBytes(harness.disk, path)
    for (const lost of [1, 60, 200]) {
      overwrite(harness.disk, path, good.subarray(0, good.length - lost))
      expect(() => harness.readAll()).toThrow(LogError)
    }
    harness.disk.unlink(path)
    expect(() => harness.readAll()).toThrow(/READ_FAILED/)
  })
})
