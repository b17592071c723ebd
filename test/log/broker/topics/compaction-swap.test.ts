import { describe, expect, test } from 'vitest'
import { Scrubber } from '../../../../src/log/broker/scrubber.ts'
import { Catalog } from '../../../../src/log/broker/topics/catalog.ts'
import type { Partition } from '../../../../src/log/broker/topics/partition.ts'
import { offsetForTime } from '../../../../src/log/broker/topics/time-lookup.ts'
import { compactPartition } from '../../../../src/log/storage/compaction/compaction.ts'
import type { SegmentReplacement } from '../../../../src/log/storage/partition-segments.ts'
import type { PartitionReaders } from '../../../../src/log/storage/read/partition-readers.ts'
import { segmentFile } from '../../../../src/log/storage/segment/segment-files.ts'
import { ManualClock } from '../../../../src/testing/manual-clock.ts'
import { MemoryDisk } from '../../../../src/testing/memory-disk.ts'
import {
  directory,
  partitionFile,
  recordsOf,
  StorageHarness,
  topicId,
  type StoredRecord,
} from '../../storage/storage-harness.ts'

/**
 * Compaction as the broker sees it while the applier works in another thread: promoted replacements, applied ones, and
 * those that the broker knows to be applied are three different things.
 */
class Compacted {
  readonly harness = new StorageHarness(new MemoryDisk(), { segmentBytes: 400, cleanupPolicy: 'compact' })
  readonly readers: PartitionReaders = this.harness.readers()
  readonly partition: Partition
  readonly #catalog = new Catalog()
  readonly #clock = new ManualClock(1_000_000)
  readonly errors: string[] = []
  applied: number

  constructor() {
    this.append(60)
    const { topic, partition, sequence } = this.harness
    const created = this.#catalog.promoteCreated(topic)
    const [restored] = created.partitions
    if (restored === undefined) throw new RangeError('the topic has a partition')
    restored.restore(partition.state())
    this.partition = restored
    this.applied = sequence
  }

  append(count: number): void {
    for (let index = 0; index < count; index++) {
      const timestamp = 1000 * this.harness.partition.end
      this.harness.append([{ key: `k${index % 4}`, value: `${index}`.padEnd(40), timestamp }])
    }
  }

  /** Compacts and promotes the replacements, which are not applied yet. */
  async promote(segmentBytesMax: number): Promise<readonly SegmentReplacement[]> {
    const { replacements } = await compactPartition({
      disk: this.harness.disk,
      path: `${directory}/orders-0`,
      segments: this.partition.segments,
      dirtyFrom: 0,
      cleanUpTo: this.partition.end,
      now: 1000,
      deleteRetentionMs: 1_000_000,
      segmentBytesMax,
    })
    for (const replacement of replacements)
      expect(this.partition.promoteReplaced(replacement, this.harness.sequence + 1)).toBe(true)
    return replacements
  }

  /** The applier applies the replacements; the broker does not know it yet. */
  apply(replacements: readonly SegmentReplacement[]): void {
    const parts = replacements.map(({ oldBases, segment }) => {
      expect(this.harness.partition.replaced({ oldBases, segment })).toBe(true)
      this.harness.deletions.push({ topicId, partition: 0, bases: oldBases })
      const { base: newBase, bytes: newBytes } = segment
      return { kind: 'segmentsReplaced', topicId, partition: 0, oldBases, newBase, newBytes } as const
    })
    this.harness.commit(parts)
  }

  async swap(): Promise<void> {
    await this.harness.checkpoint()
    await this.harness.checkpoint()
    this.harness.deletions.length = 0
  }

  know(): void {
    this.applied = this.harness.sequence
  }

  read(): StoredRecord[] {
    const { at, end, epochs } = this.partition
    const records: StoredRecord[] = []
    for (let next = 0; next < end;) {
      const toRead = this.partition.segmentsToRead(this.applied, () => this.readers.forget(at))
      const read = this.readers.of(at).read({ from: next, end, bytesMax: 300, epochs, ...toRead })
      records.push(...recordsOf(read.bytes).filter(({ offset }) => offset >= next))
      next = read.nextOffset
    }
    return records
  }

  /** The offsets that lookups by time find, for the time of every offset. */
  found(): number[] {
    return Array.from({ length: this.partition.end }, (_, offset) =>
      offsetForTime(this.partition, 1000 * offset, { segments: this.readers, applied: this.applied }),
    )
  }

  async damage(): Promise<readonly string[]> {
    const scrubber = new Scrubber({
      config: { dataDir: directory, scrubBytesPerSecond: 1_000_000, scrubIntervalMs: 1000 },
      clock: this.#clock,
      logger: { info: () => {}, warn: () => {}, error: (message) => void this.errors.push(message) },
      disk: this.harness.disk,
      catalog: this.#catalog,
      sequencer: { appliedSequence: this.applied, failure: null },
      contiguous: true,
    })
    await this.#clock.run(70_000)
    await scrubber.close()
    return [...scrubber.damage.map(({ message }) => message), ...this.errors]
  }
}

describe('while compacted segments replace old ones', () => {
  test('readers, lookups and the scrubber see all of the old ones, then all of the new ones', async () => {
    const log = new Compacted()
    const before = log.read()
    const times = log.found()
    const replacements = await log.promote(1500)
    expect(replacements.length, 'a pass replaces several runs at once').toBeGreaterThan(1)
    const swapFile = partitionFile(segmentFile(0, '.log.swap'))

    const asBefore = async (): Promise<void> => {
      expect(log.read()).toEqual(before)
      expect(log.found()).toEqual(times)
      expect(await log.damage()).toEqual([])
    }
    await asBefore()
    log.apply(replacements)
    expect(log.harness.disk.exists(swapFile), 'the applier is ahead of what is known').toBe(true)
    await asBefore()
    log.readers.forget(log.partition.at)
    await asBefore()

    log.know()
    const after = log.read()
    expect(after.length).toBeLessThan(before.length)
    expect(after).toEqual(before.filter(({ offset }) => after.some((record) => record.offset === offset)))
    expect(log.found()).toEqual(times.map((offset) => after.find((record) => record.offset >= offset)?.offset))
    expect(await log.damage()).toEqual([])
    await log.swap()
    expect(log.harness.disk.exists(swapFile)).toBe(false)
    expect(log.read()).toEqual(after)
  })

  test('files kept open from before one pass are not mistaken for those that the next pass replaces', async () => {
    const log = new Compacted()
    const before = log.read()
    log.apply(await log.promote(1500))
    log.know()
    await log.swap()
    // Nothing was read since: the files from before the pass are still open.
    const second = await log.promote(1 << 20)
    expect(second).toHaveLength(1)
    const between = log.read()
    expect(between.length).toBeLessThan(before.length)
    log.apply(second)
    expect(log.read()).toEqual(between)
    log.know()
    expect(log.read()).toEqual(between)
  })
})
