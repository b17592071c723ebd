import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NodeDisk, type DiskFile } from '../../../../src/base/disk.ts'
import { SystemClock } from '../../../../src/base/clock.ts'
import { LogError } from '../../../../src/log/api/errors.ts'
import { defaultTopicConfig } from '../../../../src/log/api/topic.ts'
import { CheckpointFile } from '../../../../src/log/journal/checkpoint-file.ts'
import { SegmentApplier } from '../../../../src/log/storage/apply/segment-applier.ts'
import { ThreadedApplier } from '../../../../src/log/storage/apply/threaded-applier.ts'
import { FileCache } from '../../../../src/log/storage/segment/file-cache.ts'
import { segmentFile } from '../../../../src/log/storage/segment/segment-files.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { SlowDisk } from '../../../harness/slow-disk.ts'
import {
  batchOf,
  directory,
  fileBytes,
  partitionFile,
  someRecords,
  StorageHarness,
  topicId,
  nth,
} from '../storage-harness.ts'

class FewFilesDisk extends MemoryDisk {
  readonly #limit: number
  refused = 0

  constructor(limit: number) {
    super()
    this.#limit = limit
  }

  override open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    this.#checkRoom()
    return super.open(path, mode)
  }

  override syncDirectory(path: string): void {
    this.#checkRoom()
    super.syncDirectory(path)
  }

  #checkRoom(): void {
    if (this.openFiles < this.#limit) return
    this.refused++
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
  }
}

describe('the applier', () => {
  test('syncs a segment whenever 8 MiB were written to it, so that a checkpoint has little left to do', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk)
    const syncs: number[] = []
    disk.onOperation = ({ kind, path }) => {
      if (kind === 'sync' && path.endsWith('.log')) syncs.push(harness.applied)
    }
    const large = { key: 'k', value: 'x'.repeat(1024 * 1024), timestamp: 1 }
    for (let count = 0; count < 18; count++) {
      harness.append([large])
      await new SystemClock().nextTurn()
    }

    // The first group creates the topic.
    expect(syncs).toEqual([9, 17])
    await harness.checkpoint()
    expect(syncs).toEqual([9, 17, 19])
    await harness.checkpoint()
    expect(syncs).toEqual([9, 17, 19])
  })

  test('writes Kafka’s text files beside the segments', async () => {
    const harness = new StorageHarness(new MemoryDisk())
    harness.append(someRecords(3))
    harness.leaderEpoch = 4
    harness.append(someRecords(2))
    await harness.checkpoint()
    expect(fileBytes(harness.disk, partitionFile('partition.metadata')).toString()).toBe(
      `version: 0\ntopic_id: ${topicId}`,
    )
    expect(fileBytes(harness.disk, partitionFile('leader-epoch-checkpoint')).toString()).toBe('0\n2\n1 0\n4 3\n')
  })

  test('syncs what it wrote before it writes a checkpoint', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk, { segmentBytes: 500 })
    for (let batch = 0; batch < 10; batch++) harness.append(someRecords(2))
    const kinds: string[] = []
    disk.onOperation = ({ kind, path }) => void kinds.push(`${kind} ${path}`)
    await harness.checkpoint()
    const named = kinds.findIndex((operation) => /rename .*checkpoint-\d/.test(operation))
    for (const { base } of harness.partition.segments) {
      const synced = kinds.indexOf(`sync ${partitionFile(segmentFile(base, '.log'))}`)
      // Files beyond openFilesMax were synced when they were closed.
      expect(synced).toBeLessThan(named)
    }
    expect(kinds.indexOf(`syncDirectory ${directory}/orders-0`)).toBeLessThan(named)
    expect(named).toBeGreaterThan(0)
  })

  test('applies groups while a checkpoint syncs, and the checkpoint does not contain them', async () => {
    const disk = new SlowDisk()
    const harness = new StorageHarness(disk, { segmentBytes: 500 })
    for (let batch = 0; batch < 5; batch++) harness.append(someRecords(2))
    disk.holds = () => true
    const before = harness.sequence
    const written = harness.checkpoint()
    harness.append(someRecords(2))
    await new SystemClock().nextTurn()

    expect(disk.syncing.length).toBeGreaterThan(0)
    expect(harness.applied).toBe(before + 1)
    expect(CheckpointFile.open(disk, directory).newest).toBeNull()
    disk.holds = () => false
    disk.release()
    await written
    expect(CheckpointFile.open(disk, directory).newest?.sequence).toBe(before)
    await harness.applier.close()
    expect(disk.openFiles).toBe(0)
  })

  test('closes a file that is being synced only afterwards, whether it was deleted, evicted or the cache is closed', async () => {
    const disk = new SlowDisk()
    const files = new FileCache(disk, 'create', 2)
    const names = ['/one', '/two', '/three']
    for (const name of names.slice(0, 2)) {
      files.open(name).write(Buffer.from('x'), 0)
      files.written(name)
    }
    disk.holds = () => true
    const synced = files.syncWritten()
    expect(disk.syncing).toEqual(['/one', '/two'])

    files.forget('/one')
    for (const name of ['/one', '/three']) files.open(name)
    expect(disk.openFiles).toBe(3)
    disk.release()
    await synced
    await files.settled()
    for (const name of names) files.open(name)
    expect(disk.openFiles).toBe(2)
    files.close()
    expect(disk.openFiles).toBe(0)
  })

  test('waits for a sync that began ahead of the checkpoint', async () => {
    const disk = new SlowDisk()
    const files = new FileCache(disk, 'create')
    files.open('/large').write(Buffer.from('x'), 0)
    files.written('/large', 8 * 1024 * 1024)
    disk.holds = () => true
    const ahead = files.syncAhead()
    let done = false
    const synced = files.syncWritten().then(() => (done = true))
    await new SystemClock().nextTurn()
    expect(done).toBe(false)

    disk.release()
    await Promise.all([ahead, synced])
    expect(disk.counts.sync).toBe(1)
  })

  test('never has more files open than openFilesMax', async () => {
    const disk = new MemoryDisk()
    const files = new FileCache(disk, 'create', 3)
    for (let name = 0; name < 10; name++) {
      files.open(`/file-${name}`).write(Buffer.from('x'), 0)
      files.written(`/file-${name}`)
      expect(files.openCount).toBeLessThanOrEqual(3)
    }
    expect(disk.openFiles).toBe(3)
    expect(disk.counts.sync, 'written files are synced before they are closed').toBe(7)
    await files.syncWritten()
    expect(disk.counts.sync).toBe(10)
  })

  test.each([4, 5, 6, 7, 8, 9])(
    'works where the process may open only %i files, fewer than its bound',
    async (limit) => {
      const disk = new FewFilesDisk(limit)
      disk.makeDirectory(directory)
      const topic = { id: topicId, name: 'orders', partitions: 40, config: defaultTopicConfig }
      const place = { kind: 'batch', topicId, leaderEpoch: 1, segmentBase: 0, filePosition: 0 } as const
      // The second one finds existing directories and checks whose they are.
      for (const life of ['first', 'second']) {
        const segments = new SegmentApplier({ disk, directory, topics: [topic] })
        for (let partition = 0; partition < topic.partitions; partition++) {
          segments.apply({ ...place, partition, bytes: batchOf(someRecords(1)) })
          if (partition % 7 === 0) await segments.sync([])
        }
        await segments.sync([])
        if (life === 'second') segments.apply({ kind: 'topicDeleted', topicId })
        segments.close()
      }

      expect(disk.refused).toBeGreaterThan(0)
      expect(disk.list(directory).every((name) => name.endsWith('-delete'))).toBe(true)
    },
  )

  test('syncs nothing when it closes after a checkpoint, not even where files must be closed to open others', async () => {
    const disk = new MemoryDisk()
    disk.makeDirectory(directory)
    const topic = { id: topicId, name: 'orders', partitions: 40, config: defaultTopicConfig }
    const place = { kind: 'batch', topicId, leaderEpoch: 1, segmentBase: 0, filePosition: 0 } as const
    const segments = new SegmentApplier({ disk, directory, topics: [topic], openFilesMax: 8 })
    for (let partition = 0; partition < topic.partitions; partition++)
      segments.apply({ ...place, partition, bytes: batchOf(someRecords(1)) })
    await segments.sync([])
    const { sync, syncDirectory } = disk.counts

    segments.close()

    expect(disk.counts).toMatchObject({ sync, syncDirectory })
    expect(disk.openFiles).toBe(0)
    for (let partition = 0; partition < topic.partitions; partition++)
      expect(fileBytes(disk, `${directory}/orders-${partition}/${segmentFile(0, '.timeindex')}`)).toHaveLength(12)
  })

  test('unlinks segments only after two checkpoints in a row record their deletion', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 500 })
    for (let batch = 0; batch < 20; batch++) harness.append(someRecords(2))
    const third = nth(harness.partition.segments, 2).base
    const bases = harness.partition.logStartMoved(third)
    harness.deletions.push({ topicId, partition: 0, bases })
    harness.commit([{ kind: 'logStart', topicId, partition: 0, offset: third }])
    const there = (): boolean[] => bases.map((base) => harness.disk.exists(partitionFile(segmentFile(base, '.log'))))
    expect(there()).toEqual([true, true])
    await harness.checkpoint()
    expect(there()).toEqual([true, true])
    await harness.checkpoint()
    expect(there()).toEqual([false, false])
    expect(harness.disk.exists(partitionFile(segmentFile(nth(bases, 0), '.index')))).toBe(false)
    await harness.checkpoint()
  })

  test('frees the name of a deleted topic’s directory at once and removes it after two checkpoints', async () => {
    const harness = new StorageHarness(new MemoryDisk())
    harness.append(someRecords(2))
    harness.commit([{ kind: 'topicDeleted', topicId }])
    harness.append(someRecords(2))
    const names = (): string[] => harness.disk.list(directory).filter((name) => name.startsWith('orders'))
    expect(names()).toEqual(['orders-0.00000000000000000000000000000001-delete'])
    const state = { ...harness.state(), topics: [], partitions: [], deletions: [{ topicId, partition: 0 }] }
    await harness.applier.checkpoint(state)
    expect(names()).toHaveLength(1)
    await harness.applier.checkpoint(state)
    expect(names()).toEqual([])
  })

  test('reports the first failed write or sync, once, and applies nothing after it', async () => {
    const disk = new MemoryDisk()
    const harness = new StorageHarness(disk)
    harness.append(someRecords(2))
    disk.faults.failWriteAt = disk.counts.write + 1
    harness.append(someRecords(2))
    harness.append(someRecords(2))
    expect(harness.failures).toEqual(['WRITE_FAILED'])
    expect(harness.applied).toBe(2)
    await expect(harness.checkpoint()).rejects.toThrow(/WRITE_FAILED/)
    expect(disk.list(directory)).not.toContain('checkpoint-0')

    const other = new StorageHarness(new MemoryDisk())
    const otherDisk = other.disk as MemoryDisk
    other.append(someRecords(2))
    otherDisk.faults.failSyncAt = otherDisk.counts.sync + otherDisk.counts.syncDirectory + 1
    await expect(other.checkpoint()).rejects.toThrow(LogError)
    await expect(other.checkpoint()).rejects.toThrow(LogError)
    expect(other.failures).toEqual(['WRITE_FAILED'])
  })
})

describe('the applier in a thread', () => {
  let home: string
  beforeEach(() => void (home = mkdtempSync(`${tmpdir()}/millrace-applier-`)))
  afterEach(() => rmSync(home, { recursive: true, force: true }))

  test('writes the same files as the inline one, reports in order, and writes checkpoints', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 4000 })
    for (let batch = 0; batch < 200; batch++) harness.append(someRecords(3, batch))

    const reported: number[] = []
    let done = (): void => {}
    const all = new Promise<void>((resolve) => (done = resolve))
    const options = { directory: home, checkpointDirectory: home, topics: [] }
    const applier = new ThreadedApplier(options, {
      applied: (sequence) => {
        reported.push(sequence)
        if (sequence === harness.sequence) done()
      },
      failed: (error) => expect.unreachable(error.message),
    })
    for (const { sequence, memory } of harness.groups) {
      const shared = Buffer.from(new SharedArrayBuffer(memory.length + 64), 64, memory.length)
      shared.set(memory)
      applier.apply({ sequence, memory: sequence % 2 === 0 ? shared : memory })
    }
    await all
    await applier.checkpoint(harness.state())
    await applier.close()
    await harness.checkpoint()
    await harness.applier.close()

    expect(reported).toEqual(reported.toSorted((a, b) => a - b))
    const disk = new NodeDisk()
    expect(CheckpointFile.open(disk, home).newest?.sequence).toBe(harness.sequence)
    expect(disk.list(`${home}/orders-0`)).toEqual(harness.disk.list(`${directory}/orders-0`))
    for (const name of disk.list(`${home}/orders-0`)) {
      expect(fileBytes(disk, `${home}/orders-0/${name}`), name).toEqual(fileBytes(harness.disk, partitionFile(name)))
    }
    await expect(applier.checkpoint(harness.state())).rejects.toThrow(/CLOSED/)
  })

  test('says once what closing failed with', async () => {
    const harness = new StorageHarness(new MemoryDisk())
    harness.append(someRecords(3, 0), 'none', { producerId: 7, producerEpoch: 0, baseSequence: 0 })
    const options = { directory: home, checkpointDirectory: home, topics: [] }
    const applier = new ThreadedApplier(options, { applied: () => {}, failed: () => {} })
    for (const { sequence, memory } of harness.groups) applier.apply({ sequence, memory })
    await applier.checkpoint(harness.state())
    rmSync(`${home}/orders-0`, { recursive: true })

    const error: unknown = await applier.close().catch((thrown: unknown) => thrown)

    expect(String(error)).toMatch(
      /^LogError: WRITE_FAILED: applying to the segment files failed \(ENOENT: [^()]*\): check the disk/,
    )
  })

  test('reports an error, and rejects those that wait for a checkpoint', async () => {
    const failures: string[] = []
    const options = { directory: `${home}/missing/deep`, checkpointDirectory: `${home}/nowhere`, topics: [] }
    const applier = new ThreadedApplier(options, {
      applied: () => {},
      failed: (error) => void failures.push(error.code),
    })
    const harness = new StorageHarness(new MemoryDisk())
    await expect(applier.checkpoint(harness.state())).rejects.toThrow(/WRITE_FAILED/)
    expect(failures).toEqual(['WRITE_FAILED'])
    await applier.close()
  })
})
