import { describe, expect, test } from 'vitest'
import { encodeMarker } from '../../../../src/log/format/control-batch.ts'
import {
  baseSequenceOf,
  checkBatch,
  isControl,
  lastOffsetDeltaOf,
  maxTimestampOf,
  nextOffset,
  producerEpochOf,
  producerIdOf,
  recordCountOf,
} from '../../../../src/log/format/record-batch.ts'
import { partitionProducers } from '../../../../src/log/storage/compaction/cleaned-transactions.ts'
import { compactPartition } from '../../../../src/log/storage/compaction/compaction.ts'
import { segmentFile } from '../../../../src/log/storage/segment/segment-files.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import { directory, fileBytes, partitionFile, StorageHarness, topicId } from '../storage-harness.ts'

const retention = 1000

/** A compacted partition with transactional producers; every batch has a segment of its own. */
class CompactedPartition {
  readonly harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 100 })
  readonly #sequences = new Map<number, number>()
  dirtyFrom = 0

  write(producerId: number, records: Readonly<Record<string, string | null>>, transactional = true): number {
    const entries = Object.entries(records)
    const baseSequence = this.#sequences.get(producerId) ?? 0
    this.#sequences.set(producerId, baseSequence + entries.length)
    const timed = entries.map(([key, value]) => ({ key, value, timestamp: 5000 + baseSequence }))
    return this.harness.append(timed, 'none', { producerId, producerEpoch: 0, baseSequence, transactional })
  }

  end(producerId: number, outcome: 'commit' | 'abort'): number {
    return this.harness.appendBatch(
      encodeMarker({ outcome, producerId, producerEpoch: 0, coordinatorEpoch: 0, timestamp: 6000 }),
    )
  }

  async compact(now: number): Promise<void> {
    const { harness } = this
    const { disk, partition } = harness
    const result = await compactPartition({
      disk,
      path: `${directory}/orders-0`,
      segments: partition.segments,
      dirtyFrom: this.dirtyFrom,
      cleanUpTo: partition.stableEnd,
      now,
      deleteRetentionMs: retention,
      segmentBytesMax: 1 << 20,
      producers: partitionProducers(partition.producers),
    })
    for (const { oldBases, segment } of result.replacements) {
      expect(partition.replaced({ oldBases, segment })).toBe(true)
      harness.deletions.push({ topicId, partition: 0, bases: oldBases })
      const { base: newBase, bytes: newBytes } = segment
      harness.commit([{ kind: 'segmentsReplaced', topicId, partition: 0, oldBases, newBase, newBytes }])
    }
    await harness.checkpoint()
    await harness.checkpoint()
    harness.deletions.length = 0
    this.dirtyFrom = result.cleanedUpTo
    partition.producers?.aborted.forgetEmpty(result.readUpTo, result.abortsLeft)
  }

  /** Offsets of the markers of the aborted transactions that the partition remembers. */
  aborted(): number[] {
    return (this.harness.partition.producers?.aborted.list ?? []).map(({ lastOffset }) => lastOffset)
  }

  /** What a reader of committed records sees. */
  committed(): string[] {
    const aborted = this.harness.partition.producers?.aborted
    return this.batches().flatMap(({ bytes, offset }) =>
      aborted?.has(producerIdOf(bytes, 0), offset) === true ? [] : valuesOf(this.harness, offset, nextOffset(bytes, 0)),
    )
  }

  /** Every batch of the files, checked. */
  batches(): { readonly offset: number; readonly bytes: Buffer }[] {
    return this.harness.partition.segments.flatMap(({ base, bytes: size }) => {
      const bytes = fileBytes(this.harness.disk, partitionFile(segmentFile(base, '.log')))
      const batches: { readonly offset: number; readonly bytes: Buffer }[] = []
      for (let at = 0; at < size;) {
        const end = checkBatch(bytes, at, size)
        batches.push({ offset: Number(bytes.readBigInt64BE(at)), bytes: bytes.subarray(at, end) })
        at = end
      }
      return batches
    })
  }

  /** `offset:records`, with `m` for a marker. */
  shape(): string {
    return this.batches()
      .map(({ offset, bytes }) => `${offset}:${isControl(bytes, 0) ? 'm' : ''}${recordCountOf(bytes, 0)}`)
      .join(' ')
  }

  /** Something in the last segment, which is never touched. */
  seal(): void {
    this.write(99, { last: 'x' }, false)
  }
}

function valuesOf(harness: StorageHarness, from: number, end: number): string[] {
  return harness
    .readAll()
    .flatMap(({ offset, key, value }) => (offset >= from && offset < end ? [`${key}=${value}`] : []))
}

describe('compaction of a partition with transactions', () => {
  test('drops aborted records, which remove no older record of the same key', async () => {
    const partition = new CompactedPartition()
    partition.write(1, { a: 'committed' })
    partition.end(1, 'commit')
    partition.write(2, { a: 'aborted', b: 'aborted' })
    partition.end(2, 'abort')
    partition.seal()
    await partition.compact(0)

    expect(partition.committed()).toEqual(['a=committed', 'last=x'])
    // An empty batch of producer 2 stays, for its sequence numbers.
    expect(partition.shape()).toBe('0:1 1:m1 2:0 4:m1 5:1')
  })

  test('keeps a marker while batches of its transaction exist, and deleteRetentionMs longer', async () => {
    const partition = new CompactedPartition()
    partition.write(1, { a: '1' })
    partition.end(1, 'commit')
    partition.write(1, { a: '2' })
    partition.end(1, 'commit')
    partition.seal()

    await partition.compact(0)
    expect(partition.shape()).toBe('1:m1 2:1 3:m1 4:1')
    await partition.compact(100)
    expect(partition.shape(), 'its horizon is set').toBe('1:m1 2:1 3:m1 4:1')
    await partition.compact(100 + retention - 1)
    expect(partition.shape()).toBe('1:m1 2:1 3:m1 4:1')
    await partition.compact(100 + retention)
    expect(partition.shape()).toBe('2:1 3:m1 4:1')
    expect(partition.committed()).toEqual(['a=2', 'last=x'])
  })

  test('keeps the last batch of a producer, as a header that holds its sequence, epoch and timestamp', async () => {
    const partition = new CompactedPartition()
    partition.write(7, { a: '1', b: '1' }, false)
    partition.write(7, { a: '2', b: '2', c: '2' }, false)
    partition.write(8, { a: '3', b: '3', c: '3' }, false)
    partition.seal()
    await partition.compact(0)

    expect(partition.shape()).toBe('2:0 5:3 8:1')
    const [empty] = partition.batches()
    const bytes = empty?.bytes ?? Buffer.alloc(0)
    expect(bytes).toHaveLength(61)
    expect([producerIdOf(bytes, 0), producerEpochOf(bytes, 0), baseSequenceOf(bytes, 0)]).toEqual([7, 0, 2])
    expect([lastOffsetDeltaOf(bytes, 0), maxTimestampOf(bytes, 0)]).toEqual([2, 5002])

    partition.harness.partition.producers?.expire(Infinity)
    await partition.compact(0)
    expect(partition.shape(), 'nobody knows producer 7 any more').toBe('5:3 8:1')
  })

  test('does not clean beyond the start of the first open transaction', async () => {
    const partition = new CompactedPartition()
    partition.write(1, { a: '1' }, false)
    partition.write(2, { a: 'open' })
    partition.write(1, { a: '2' }, false)
    partition.seal()
    await partition.compact(0)
    expect(partition.shape()).toBe('0:1 1:1 2:1 3:1')
    partition.end(2, 'abort')
    partition.seal()
    await partition.compact(0)
    expect(partition.committed()).toEqual(['a=2', 'last=x', 'last=x'])
  })

  test('keeps a tombstone with its timestamp until its delete horizon, which is stored in the batch', async () => {
    const partition = new CompactedPartition()
    partition.write(1, { a: '1' }, false)
    partition.write(1, { a: null, b: '2' }, false)
    partition.seal()
    const before = partition.harness.readAll()
    await partition.compact(10_000)
    expect(partition.harness.readAll()).toEqual(before.slice(1))
    await partition.compact(10_000 + retention - 1)
    expect(partition.harness.readAll()).toEqual(before.slice(1))
    // Nothing but the batches is remembered from one pass to the next.
    await partition.compact(10_000 + retention)
    expect(partition.harness.readAll()).toEqual(before.slice(2))
  })

  test('forgets an aborted transaction when a pass finds none of its records, and drops its marker at the horizon', async () => {
    const partition = new CompactedPartition()
    partition.write(2, { a: 'aborted', b: 'aborted' })
    partition.end(2, 'abort')
    partition.write(2, { a: 'again' })
    partition.end(2, 'abort')
    partition.write(2, { a: 'kept' })
    partition.end(2, 'commit')
    partition.seal()
    expect(partition.aborted()).toEqual([2, 4])

    await partition.compact(0)
    expect(partition.shape()).toBe('2:m1 4:m1 5:1 6:m1 7:1')
    expect(partition.aborted(), 'readers may still have the old files').toEqual([2, 4])
    await partition.compact(100)
    expect(partition.aborted()).toEqual([])
    expect(partition.shape(), 'their horizon is set').toBe('2:m1 4:m1 5:1 6:m1 7:1')
    await partition.compact(100 + retention)
    expect(partition.shape()).toBe('5:1 6:m1 7:1')
    expect(partition.committed()).toEqual(['a=kept', 'last=x'])
  })

  test('remembers an aborted transaction while one of its headers stays, and every one above what was cleaned', async () => {
    const partition = new CompactedPartition()
    partition.write(2, { a: 'aborted' })
    partition.end(2, 'abort')
    partition.seal()
    partition.write(3, { a: 'aborted' })
    for (let pass = 0; pass < 3; pass++) await partition.compact(pass * 10 * retention)
    expect(partition.shape()).toBe('0:0 1:m1 2:1 3:1')
    partition.end(3, 'abort')
    expect(partition.aborted()).toEqual([1, 4])
    await partition.compact(50 * retention)
    expect(partition.aborted()).toEqual([1, 4])
    expect(partition.committed()).toEqual(['last=x'])
  })
})
