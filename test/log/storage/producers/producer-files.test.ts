import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../../../src/base/seeded-random.ts'
import { encodeAbortedIndexEntry } from '../../../../src/log/format/aborted-index-entry.ts'
import { encodeMarker } from '../../../../src/log/format/control-batch.ts'
import { decodeProducerSnapshot } from '../../../../src/log/format/producer-snapshot.ts'
import { CheckpointFile } from '../../../../src/log/journal/checkpoint-file.ts'
import { PartitionSegments } from '../../../../src/log/storage/partition-segments.ts'
import { abortedIndexes, producerSnapshot } from '../../../../src/log/storage/segment/kafka-files.ts'
import { segmentFile } from '../../../../src/log/storage/segment/segment-files.ts'
import { recoverStorage } from '../../../../src/log/storage/storage-recovery.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { directory, fileBytes, nth, overwrite, partitionFile, StorageHarness, topicId } from '../storage-harness.ts'

/** A partition with three producers, one without transactions, and the files that it must have. */
class ProducedPartition {
  readonly harness: StorageHarness
  readonly disk = new MemoryDisk()
  readonly #random: SeededRandom
  readonly #sequences = new Map<number, number>()
  readonly #open = new Set<number>()
  /** Expected snapshots by base offset, as of the batch that began the segment. */
  readonly snapshots = new Map<number, string>()

  constructor(seed: number, segmentBytes = 600) {
    this.harness = new StorageHarness(this.disk, { segmentBytes })
    this.#random = new SeededRandom(seed)
  }

  step(): void {
    const producerId = this.#random.between(1, 3)
    if (this.#open.has(producerId) && this.#random.chance(0.4)) return this.end(producerId)
    this.write(producerId)
  }

  write(producerId: number): void {
    const baseSequence = this.#sequences.get(producerId) ?? 0
    const count = this.#random.between(1, 3)
    this.#sequences.set(producerId, baseSequence + count)
    const records = Array.from({ length: count }, (_, index) => ({
      key: `k${index}`,
      value: 'x'.repeat(this.#random.below(60)),
      timestamp: 1000 + baseSequence,
    }))
    const transactional = producerId > 1
    if (transactional) this.#open.add(producerId)
    this.#noted(() =>
      this.harness.append(records, 'none', { producerId, producerEpoch: 0, baseSequence, transactional }),
    )
  }

  end(producerId: number, outcome: 'abort' | 'commit' = this.#random.chance(0.6) ? 'abort' : 'commit'): void {
    this.#open.delete(producerId)
    const marker = { outcome, producerId, producerEpoch: 0, coordinatorEpoch: 0, timestamp: 6000 }
    this.#noted(() => this.harness.appendBatch(encodeMarker(marker)))
  }

  #noted(append: () => void): void {
    const { partition } = this.harness
    const before = partition.producers?.states() ?? []
    const segments = partition.segments.length
    append()
    if (partition.segments.length > segments && before.length > 0)
      this.snapshots.set(nth(partition.segments, -1).base, hex(producerSnapshot(before)))
  }

  snapshotsThere(disk = this.disk): ReadonlyMap<number, string> {
    return filesOf(disk, '.snapshot')
  }

  indexes(): ReadonlyMap<number, string> {
    return new Map([...abortedIndexes(this.harness.partition.state())].map(([base, bytes]) => [base, hex(bytes)]))
  }

  /** Recovers the disk as an opening would. */
  recover(disk: MemoryDisk): void {
    const checkpoint = CheckpointFile.open(disk, directory).newest
    const groups = this.harness.groups.filter(({ sequence }) => sequence > (checkpoint?.sequence ?? 0))
    recoverStorage({ disk, directory, checkpoint, groups, clean: false, now: 7 })
  }
}

function filesOf(disk: MemoryDisk, suffix: string): ReadonlyMap<number, string> {
  const names = disk.list(`${directory}/orders-0`).filter((name) => name.endsWith(suffix))
  return new Map(names.map((name) => [Number(name.slice(0, 20)), hex(fileBytes(disk, partitionFile(name)))]))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

describe('the files of a partition’s producers', () => {
  test('are written beside each segment when it rolls, and at each abort marker', async () => {
    const partition = new ProducedPartition(1)
    for (let step = 0; step < 60; step++) {
      partition.step()
      expect(partition.snapshotsThere(), `after step ${step}`).toEqual(partition.snapshots)
      expect(filesOf(partition.disk, '.txnindex'), `after step ${step}`).toEqual(partition.indexes())
      // A checkpoint may happen at any time.
      if (step % 17 === 0) await partition.harness.checkpoint()
    }
    expect(partition.snapshots.size).toBeGreaterThan(8)
    expect(partition.indexes().size).toBeGreaterThan(4)
    const first = nth([...partition.snapshots.keys()], 0)
    const [producer] = decodeProducerSnapshot(fileBytes(partition.disk, partitionFile(segmentFile(first, '.snapshot'))))
    expect(producer?.lastOffset).toBeLessThan(first)
  })

  test('are restored by recovery after a power cut, whatever it left of them', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const partition = new ProducedPartition(seed)
      for (let step = 0; step < 40; step++) {
        partition.step()
        if (step === 11 || step === 25) await partition.harness.checkpoint()
      }
      const disk = partition.disk.cut(new SeededRandom(seed))
      partition.recover(disk)
      expect(partition.snapshotsThere(disk), `seed ${seed}`).toEqual(partition.snapshots)
      expect(filesOf(disk, '.txnindex'), `seed ${seed}`).toEqual(partition.indexes())
    }
  })

  test('hold nothing of markers that a power cut undid', async () => {
    const partition = new ProducedPartition(3, 10_000)
    partition.write(2)
    partition.end(2, 'abort')
    await partition.harness.checkpoint()
    const expected = partition.indexes()
    partition.write(2)
    partition.end(2, 'abort')
    partition.write(3)
    expect(filesOf(partition.disk, '.txnindex')).not.toEqual(expected)
    partition.harness.groups.length = 0
    partition.recover(partition.disk)
    expect(filesOf(partition.disk, '.txnindex')).toEqual(expected)
  })

  test('are deleted with their segments; a clean close adds only the snapshot of the end', async () => {
    const partition = new ProducedPartition(5)
    const { harness } = partition
    for (let step = 0; step < 40; step++) partition.step()
    overwrite(harness.disk, partitionFile(segmentFile(1, '.snapshot')), Buffer.from('of a close long ago'))
    const start = nth(harness.partition.segments, 3).base
    const bases = harness.partition.logStartMoved(start)
    harness.deletions.push({ topicId, partition: 0, bases })
    harness.commit([{ kind: 'logStart', topicId, partition: 0, offset: start }])
    await harness.checkpoint()
    await harness.checkpoint()
    await harness.applier.close()
    const { end, segments, producers } = harness.partition
    const expected = new Map([...partition.snapshots].filter(([base]) => base >= start))
    expected.set(end, hex(producerSnapshot(producers?.states() ?? [])))
    expect(segments.length).toBeGreaterThan(3)
    expect(partition.snapshotsThere()).toEqual(expected)
    expect(filesOf(partition.disk, '.txnindex')).toEqual(partition.indexes())
  })

  test('are repaired by the next clean close when they are damaged', async () => {
    const partition = new ProducedPartition(6)
    for (let step = 0; step < 20; step++) partition.step()
    const { harness } = partition
    await harness.checkpoint()
    await harness.applier.close()
    const whole = [partition.snapshotsThere(), filesOf(partition.disk, '.txnindex')]
    const [base] = nth([...partition.indexes()], -1)
    for (const name of [segmentFile(harness.partition.end, '.snapshot'), segmentFile(base, '.txnindex')])
      overwrite(harness.disk, partitionFile(name), fileBytes(harness.disk, partitionFile(name)).subarray(0, 7))
    harness.applier = harness.openApplier(harness.disk, [harness.topic])
    await harness.checkpoint()
    await harness.applier.close()
    expect([partition.snapshotsThere(), filesOf(partition.disk, '.txnindex')]).toEqual(whole)
  })

  test('do not exist for a partition whose batches name no producer', async () => {
    const harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 300 })
    for (let batch = 0; batch < 10; batch++) harness.append([{ key: 'k', value: 'x'.repeat(99), timestamp: 1 }])
    await harness.checkpoint()
    await harness.applier.close()
    expect(harness.partition.segments.length).toBeGreaterThan(3)
    expect(harness.disk.list(`${directory}/orders-0`).filter((name) => /snapshot|txnindex/.test(name))).toEqual([])
  })

  test('include, after a restart from a checkpoint, the producers of before', () => {
    const before = new ProducedPartition(8)
    for (let step = 0; step < 5; step++) before.step()
    const { harness } = before
    const state = harness.partition.state()
    const producers = [
      { topicId, partition: 0, ...(state.producers === undefined ? {} : { producers: state.producers }) },
    ]
    harness.applier = harness.openApplier(harness.disk, [harness.topic], producers)
    harness.partition = new PartitionSegments(state)
    for (let step = 0; step < 20; step++) before.step()
    expect(before.snapshotsThere()).toEqual(before.snapshots)
  })

  test('list an aborted transaction by producer, first offset, marker and last stable offset, as Kafka does', () => {
    const partition = new ProducedPartition(9)
    partition.write(2)
    partition.write(3)
    const first = partition.harness.partition.producers?.transactionStart(2) ?? -1
    const stillOpen = partition.harness.partition.producers?.transactionStart(3) ?? -1
    const marker = partition.harness.partition.end
    partition.end(2, 'abort')
    const bytes = fileBytes(partition.disk, partitionFile(segmentFile(0, '.txnindex')))
    const entry = { producerId: 2, firstOffset: first, lastOffset: marker, lastStableOffset: stillOpen }
    expect(hex(bytes)).toBe(hex(encodeAbortedIndexEntry(entry)))
  })
})
