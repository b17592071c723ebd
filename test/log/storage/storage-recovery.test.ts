import { describe, expect, test } from 'vitest'
import type { DiskFile } from '../../../src/base/disk.ts'
import { SeededRandom } from '../../../src/base/seeded-random.ts'
import { defaultTopicConfig, topicNameLengthMax } from '../../../src/log/api/topic.ts'
import { stampBatch } from '../../../src/log/format/record-batch.ts'
import { CheckpointFile } from '../../../src/log/journal/checkpoint-file.ts'
import { measureEntry, readEntries, writeEntry, type EntryPart } from '../../../src/log/journal/entry.ts'
import type { WrittenGroup } from '../../../src/log/journal/journal.ts'
import { InlineApplier } from '../../../src/log/storage/apply/inline-applier.ts'
import { compactPartition } from '../../../src/log/storage/compaction/compaction.ts'
import { PartitionSegments } from '../../../src/log/storage/partition-segments.ts'
import { lostAndFound, segmentFile } from '../../../src/log/storage/segment/segment-files.ts'
import { recoverStorage, type RecoveredStorage } from '../../../src/log/storage/storage-recovery.ts'
import { PowerCut } from '../../../src/testing/disk-error.ts'
import { MemoryDisk } from '../../../src/testing/memory-disk.ts'
import {
  batchOf,
  directory,
  fileBytes,
  partitionFile,
  recordsOf,
  someRecords,
  StorageHarness,
  topicId,
  type StoredRecord,
  nth,
} from './storage-harness.ts'

const config = { segmentBytes: 900, indexIntervalBytes: 200 }

function recover(disk: MemoryDisk, groups: readonly WrittenGroup[], clean = false): RecoveredStorage {
  const checkpoint = CheckpointFile.open(disk, directory).newest
  const after = checkpoint?.sequence ?? 0
  const later = groups.filter(({ sequence }) => sequence > after)
  return recoverStorage({ disk, directory, checkpoint, groups: later, clean, now: 77 })
}

function readRecovered(disk: MemoryDisk, recovered: RecoveredStorage): StoredRecord[] {
  const harness = new StorageHarness(disk, config, recovered.topics)
  const state = recovered.partitions.find((partition) => partition.topicId === topicId)
  if (state !== undefined) harness.partition = new PartitionSegments(state)
  return harness.readAll()
}

class CountingDisk extends MemoryDisk {
  /** How often each segment was opened. */
  readonly opened = new Map<string, number>()

  override open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    if (path.endsWith('.log')) this.opened.set(path, (this.opened.get(path) ?? 0) + 1)
    return super.open(path, mode)
  }
}

/** In every round a group with two records for each partition. */
function mixedGroups(partitions: number, rounds: number, name = 'orders'): WrittenGroup[] {
  const topic = { topicId, name, partitions, config: defaultTopicConfig }
  const entries: EntryPart[][] = [[{ kind: 'topicCreated', ...topic }]]
  let end = 0
  for (let round = 0; round < rounds; round++) {
    const bytes = batchOf(someRecords(2, 2 * round))
    stampBatch(bytes, 0, 2 * round, 1)
    const place = { kind: 'batch', topicId, leaderEpoch: 1, segmentBase: 0 } as const
    const filePosition = end
    entries.push(Array.from({ length: partitions }, (_, partition) => ({ ...place, partition, filePosition, bytes })))
    end += bytes.length
  }
  return entries.map((parts, index) => {
    const memory = Buffer.alloc(measureEntry(parts))
    writeEntry(parts, memory, 0)
    return { sequence: index + 1, memory }
  })
}

/** A short life: appends with rolls and checkpoints, a new log start, a compaction, and the deletions of both. */
async function life(disk: MemoryDisk, onStep: (harness: StorageHarness) => void = () => {}): Promise<StorageHarness> {
  const harness = new StorageHarness(disk, config)
  const append = (from: number, batches: number): void => {
    for (let batch = from; batch < from + batches; batch++) {
      harness.append(someRecords(1 + (batch % 3), 3 * batch))
      onStep(harness)
    }
  }
  append(0, 8)
  await harness.checkpoint()
  append(8, 8)
  const first = nth(harness.partition.segments, 1).base
  const bases = harness.partition.logStartMoved(first)
  harness.deletions.push({ topicId, partition: 0, bases })
  harness.commit([{ kind: 'logStart', topicId, partition: 0, offset: first }])
  onStep(harness)
  await harness.checkpoint()

  const { segments } = harness.partition
  const { replacements } = await compactPartition({
    disk,
    path: `${directory}/orders-0`,
    segments,
    dirtyFrom: 0,
    cleanUpTo: harness.partition.end,
    now: 0,
    deleteRetentionMs: 0,
    segmentBytesMax: 1 << 20,
  })
  for (const { oldBases, segment } of replacements) {
    harness.partition.replaced({ oldBases, segment })
    harness.deletions.push({ topicId, partition: 0, bases: oldBases })
    const { base: newBase, bytes: newBytes } = segment
    harness.commit([{ kind: 'segmentsReplaced', topicId, partition: 0, oldBases, newBase, newBytes }])
    onStep(harness)
  }
  append(16, 4)
  await harness.checkpoint()
  append(20, 2)
  await harness.checkpoint()
  await harness.checkpoint()
  return harness
}

describe('recovery', () => {
  test('writes the same files when it is run twice', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, config)
    for (let batch = 0; batch < 20; batch++) harness.append(someRecords(2, 2 * batch))
    await harness.applier.close()
    const names = disk.list(`${directory}/orders-0`)
    const before = names.map((name) => fileBytes(disk, partitionFile(name)).toString('hex'))

    const recovered = recover(disk, harness.groups)
    recover(disk, harness.groups)

    expect(names.map((name) => fileBytes(disk, partitionFile(name)).toString('hex'))).toEqual(before)
    expect(nth(recovered.partitions, 0).end).toBe(harness.partition.end)
    expect(nth(recovered.partitions, 0).segments.map(({ base, bytes }) => [base, bytes])).toEqual(
      harness.partition.segments.map(({ base, bytes }) => [base, bytes]),
    )
  })

  test('touches no file after a clean close', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, config)
    for (let batch = 0; batch < 9; batch++) harness.append(someRecords(2, 2 * batch))
    await harness.checkpoint()
    await harness.applier.close()
    const { operations } = disk
    const recovered = recover(disk, [], true)
    expect(disk.operations).toBe(operations)
    expect(recovered.partitions).toEqual([harness.partition.state()])
  })

  test('cuts segments at the recorded end and moves unknown segments to lost+found', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, { segmentBytes: 900 })
    for (let batch = 0; batch < 6; batch++) harness.append(someRecords(2, 2 * batch))
    await harness.checkpoint()
    const all = harness.readAll()
    // These reach the files, but with `sync: 'os'` the power cut removes their journal entries.
    const bytes = harness.partition.segments.map(({ base, bytes: size }) => [base, size])
    for (let batch = 6; batch < 16; batch++) harness.append(someRecords(2, 2 * batch))

    const recovered = recover(disk, [])
    expect(nth(recovered.partitions, 0).segments.map(({ base, bytes: size }) => [base, size])).toEqual(bytes)
    expect(recovered.moved.length).toBeGreaterThan(0)
    expect(disk.list(`${directory}/${lostAndFound}`).length).toBe(recovered.moved.length)
    expect(readRecovered(disk, recovered)).toEqual(all)
    expect(recover(disk, []).moved).toEqual([])
  })

  test.each(['known', 'unreadable'])(
    'empties the directory of a partition that lost all its batches, its id %s',
    (id) => {
      const disk = new MemoryDisk()
      const harness = new StorageHarness(disk, { segmentBytes: 900 })
      for (let batch = 0; batch < 8; batch++) harness.append(someRecords(2, 2 * batch))
      // The files of a segment that compaction replaced in the future that was lost: a reader would look here first.
      const [base] = harness.partition.segments.map((segment) => segment.base)
      disk.open(partitionFile(segmentFile(base ?? 0, '.log.swap')), 'create').write(new Uint8Array(300), 0)
      if (id === 'unreadable') disk.open(partitionFile('partition.metadata'), 'write').truncate(0)

      // Only the topic's creation is left of the journal.
      const recovered = recover(disk, harness.groups.slice(0, 1))

      expect(recovered.topics.map(({ name }) => name)).toEqual(['orders'])
      expect(recovered.partitions).toEqual([])
      expect(disk.list(`${directory}/orders-0`)).toEqual(['partition.metadata'])
      expect(recovered.moved.length).toBe(harness.partition.segments.length + 1)
    },
  )

  test('moves unknown segments to lost+found even if the name of their topic is as long as possible', () => {
    const disk = new MemoryDisk()
    const name = 'n'.repeat(topicNameLengthMax)
    disk.makeDirectory(`${directory}/${name}-0`)
    for (const base of [7, 9])
      disk.open(`${directory}/${name}-0/${segmentFile(base, '.log')}`, 'create').write(new Uint8Array(base), 0)

    const recovered = recover(disk, mixedGroups(1, 1, name))

    expect(recovered.moved.map((path) => disk.contents(path).length)).toEqual([7, 9])
    expect(recovered.moved.every((path) => path.endsWith('.log'))).toBe(true)
  })

  test('opens each segment twice, however its batches are mixed with those of others', () => {
    const disk = new CountingDisk()
    disk.makeDirectory(directory)
    const groups = mixedGroups(6, 5)

    const recovered = recoverStorage({
      disk,
      directory,
      checkpoint: null,
      groups,
      clean: false,
      now: 77,
      openFilesMax: 4,
    })

    expect([...disk.opened.values()]).toEqual([2, 2, 2, 2, 2, 2])
    expect(recovered.partitions.map(({ end }) => end)).toEqual([10, 10, 10, 10, 10, 10])
  })

  test('refuses a segment that is missing or shorter than the checkpoint says', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, config)
    for (let batch = 0; batch < 9; batch++) harness.append(someRecords(2, 2 * batch))
    await harness.checkpoint()
    const path = partitionFile(segmentFile(0, '.log'))
    const file = disk.open(path, 'write')
    file.truncate(file.size() - 1)
    expect(() => recover(disk, [])).toThrow(/CORRUPT_BATCH.*lacks 1 bytes/)
    disk.unlink(path)
    expect(() => recover(disk, [])).toThrow(/CORRUPT_BATCH.*missing/)
  })

  test('restores the directory of a topic whose deletion was lost, and not that of a deleted one', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, config)
    for (let batch = 0; batch < 6; batch++) harness.append(someRecords(2, 2 * batch))
    await harness.checkpoint()
    const all = harness.readAll()
    const deleted = harness.group([{ kind: 'topicDeleted', topicId }])
    harness.applier.apply(deleted)
    expect(disk.exists(`${directory}/orders-0`)).toBe(false)

    const lost = disk.clone()
    expect(readRecovered(lost, recover(lost, []))).toEqual(all)

    const kept = recover(disk, [deleted])
    expect(kept.topics).toEqual([])
    expect(kept.deletions).toEqual([{ topicId, partition: 0 }])
    expect(disk.list(directory).filter((name) => name.startsWith('orders'))).toEqual([
      'orders-0.00000000000000000000000000000001-delete',
    ])
  })

  test('keeps a new topic apart from a deleted one of the same name', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, config)
    harness.append(someRecords(3))
    harness.commit([{ kind: 'topicDeleted', topicId }])
    const id = 'BBBBBBBBBBBBBBBBBBBBBQ'
    const { config: topicConfig } = harness.topic
    harness.commit([{ kind: 'topicCreated', topicId: id, name: 'orders', partitions: 1, config: topicConfig }])
    const bytes = batchOf(someRecords(2))
    const place = { partition: 0, leaderEpoch: 1, segmentBase: 0, filePosition: 0 }
    harness.commit([{ kind: 'batch', topicId: id, ...place, bytes: stamped(bytes) }])

    const recovered = recover(disk, harness.groups)
    expect(recovered.topics.map((topic) => topic.id)).toEqual([id])
    expect(recovered.partitions.map(({ topicId: owner, end }) => [owner, end])).toEqual([[id, 2]])
    expect(recordsOf(fileBytes(disk, partitionFile(segmentFile(0, '.log'))))).toHaveLength(2)
    expect(recovered.deletions).toEqual([{ topicId, partition: 0 }])
  })

  test('loses nothing after a power cut at any operation, with rolls, compaction and deletions', async () => {
    const total = await life(new MemoryDisk()).then((harness) => (harness.disk as MemoryDisk).operations)
    expect(total).toBeGreaterThan(100)
    for (let cutAt = 1; cutAt <= total; cutAt++) {
      const disk = new MemoryDisk({ cutAt })
      const seen: StorageHarness[] = []
      let expected: StoredRecord[] = []
      try {
        await life(disk, (harness) => void (seen[0] = harness))
      } catch (error) {
        expect(error instanceof PowerCut || String(error).includes('power')).toBe(true)
      }
      const harness = seen[0]
      if (harness === undefined) continue
      // The journal is durable: what it holds must be readable, with the newest value per key where it was compacted.
      for (const seed of [1, 2]) {
        const device = disk.cut(new SeededRandom(cutAt * 10 + seed))
        if (!device.exists(directory)) continue
        const recovered = recover(device, harness.groups)
        const state = recovered.partitions.find((partition) => partition.topicId === topicId)
        const records = readRecovered(device, recovered)
        const again = recover(device.cut(new SeededRandom(seed)), harness.groups)
        expect(
          again.partitions.map(({ end, segments }) => [end, segments.map(({ base, bytes }) => [base, bytes])]),
        ).toEqual(
          recovered.partitions.map(({ end, segments }) => [end, segments.map(({ base, bytes }) => [base, bytes])]),
        )
        expected = [...appendedBy(harness)].filter(({ offset }) => offset >= (state?.logStart ?? 0))
        expect(foldOf(records), `cut at ${cutAt}, seed ${seed}`).toEqual(foldOf(expected))
      }
    }
  })
})

test('a power cut at any operation of a recovery does not change what the next one recovers', async () => {
  const before = new MemoryDisk()
  let groups: readonly WrittenGroup[] = []
  const harness = await life(before, (seen) => void (groups = seen.groups))
  // Applied but never synced: recovery has to apply these again, across a roll or two.
  for (let batch = 30; batch < 38; batch++) harness.append(someRecords(2, 3 * batch))
  const expected = foldOf(appendedBy(harness).filter(({ offset }) => offset >= harness.partition.logStart))
  for (let seed = 0; seed < 4; seed++) {
    const crashed = before.cut(new SeededRandom(seed))
    const probe = crashed.clone()
    recover(probe, groups)
    for (let cutAt = 1; cutAt <= probe.operations; cutAt++) {
      const disk = crashed.clone()
      disk.faults.cutAt = cutAt
      expect(() => recover(disk, groups)).toThrow(PowerCut)
      const device = disk.cut(new SeededRandom(100 * seed + cutAt))
      expect(foldOf(readRecovered(device, recover(device, groups))), `seed ${seed}, cut at ${cutAt}`).toEqual(expected)
    }
  }
})

test('what recovery wrote is durable with the first checkpoint: after it a power cut needs no journal', async () => {
  const before = new MemoryDisk()
  let groups: readonly WrittenGroup[] = []
  const harness = await life(before, (seen) => void (groups = seen.groups))
  for (let batch = 30; batch < 38; batch++) harness.append(someRecords(2, 3 * batch))
  const expected = foldOf(appendedBy(harness).filter(({ offset }) => offset >= harness.partition.logStart))
  for (let seed = 0; seed < 20; seed++) {
    // With even seeds only the process crashed, and much of what it wrote is in the page cache.
    const crashed = seed % 2 === 0 ? before.crashProcess() : before.cut(new SeededRandom(seed))
    const durable = CheckpointFile.open(crashed, directory).newest?.partitions ?? []
    const { topics, partitions, deletions, unsynced } = recover(crashed, groups)
    const state = { ...harness.state(), topics, partitions, deletions }
    const applier = new InlineApplier(
      { disk: crashed, directory, checkpointDirectory: directory, topics, durable, unsynced, openFilesMax: 4 },
      { applied: () => {}, failed: () => {} },
    )
    await applier.checkpoint(state)
    const device = crashed.cut(new SeededRandom(seed))
    expect(foldOf(readRecovered(device, recover(device, []))), `seed ${seed}`).toEqual(expected)
  }
})

/** What the journal's groups say was appended. */
function appendedBy(harness: StorageHarness): StoredRecord[] {
  return harness.groups.flatMap(({ memory }) =>
    [...readEntries(memory)].flat().flatMap((part) => (part.kind === 'batch' ? recordsOf(part.bytes) : [])),
  )
}

function stamped(batch: Uint8Array): Uint8Array {
  stampBatch(batch, 0, 0, 1)
  return batch
}

/** The table that a reader ends up with. */
function foldOf(records: readonly StoredRecord[]): StoredRecord[] {
  return [...new Map(records.map((record) => [record.key, record])).values()].sort((a, b) => a.offset - b.offset)
}
