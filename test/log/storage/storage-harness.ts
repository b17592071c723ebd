import type { Disk } from '../../../src/base/disk.ts'
import { outgoingRecord, type Offset } from '../../../src/log/api/record.ts'
import { defaultTopicConfig, type TopicConfig, type TopicInfo } from '../../../src/log/api/topic.ts'
import { BatchBuilder, type SealOptions } from '../../../src/log/format/batch-builder.ts'
import type { Compression } from '../../../src/log/format/compression.ts'
import { maxTimestampOf, nextOffset, stampBatch } from '../../../src/log/format/record-batch.ts'
import { BatchCursor } from '../../../src/log/format/record-cursor.ts'
import type { CheckpointState, PendingDeletion } from '../../../src/log/journal/checkpoint.ts'
import { measureEntry, writeEntry, type EntryPart } from '../../../src/log/journal/entry.ts'
import type { WrittenGroup } from '../../../src/log/journal/journal.ts'
import { InlineApplier, type ApplierOptions } from '../../../src/log/storage/apply/inline-applier.ts'
import { PartitionSegments } from '../../../src/log/storage/partition-segments.ts'
import { producedBatch } from '../../../src/log/storage/producers/produced-batch.ts'
import { PartitionReaders } from '../../../src/log/storage/read/partition-readers.ts'

export const directory = '/data'
export const topicId = 'AAAAAAAAAAAAAAAAAAAAAQ'

export interface TestRecord {
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
}

export interface StoredRecord extends TestRecord {
  readonly offset: Offset
}

/** A batch as a producer would send it. */
export function batchOf(
  records: readonly TestRecord[],
  compression: Compression = 'none',
  seal: SealOptions = {},
): Uint8Array {
  const builder = new BatchBuilder()
  for (const { key, value, timestamp } of records) {
    const keyBytes = Buffer.from(key ?? '')
    const valueBytes = Buffer.from(value ?? '')
    builder.append({
      ...outgoingRecord(),
      key: keyBytes,
      keyStart: key === null ? -1 : 0,
      keyEnd: keyBytes.length,
      value: valueBytes,
      valueStart: value === null ? -1 : 0,
      valueEnd: valueBytes.length,
      timestamp,
    })
  }
  return builder.finish({ ...seal, compression })
}

/** Every record of whole batches. */
export function recordsOf(bytes: Uint8Array): StoredRecord[] {
  const cursor = new BatchCursor([bytes], 0)
  const records: StoredRecord[] = []
  const text = (start: number, end: number): string | null =>
    start < 0 ? null : Buffer.from(cursor.bytes).toString('utf8', start, end)
  while (cursor.next()) {
    records.push({
      offset: cursor.offset,
      key: text(cursor.keyStart, cursor.keyEnd),
      value: text(cursor.valueStart, cursor.valueEnd),
      timestamp: cursor.timestamp,
    })
  }
  return records
}

/** Stands in for the sequencer and the journal: assigns offsets, makes groups, keeps the state. */
export class StorageHarness {
  disk: Disk
  readonly topic: TopicInfo
  readonly groups: WrittenGroup[] = []
  readonly deletions: PendingDeletion[] = []
  readonly failures: string[] = []
  partition: PartitionSegments
  applier: InlineApplier
  applied = 0
  sequence = 0
  leaderEpoch = 1

  constructor(disk: Disk, config: Partial<TopicConfig> = {}, topics?: readonly TopicInfo[]) {
    this.disk = disk
    this.topic = { id: topicId, name: 'orders', partitions: 1, config: { ...defaultTopicConfig, ...config } }
    this.partition = PartitionSegments.empty(topicId, 0)
    if (!disk.exists(directory)) {
      disk.makeDirectory(directory)
      disk.syncDirectory('/')
    }
    this.applier = this.openApplier(disk, topics ?? [])
    if (topics === undefined) {
      const { name, partitions, config: topicConfig } = this.topic
      this.commit([{ kind: 'topicCreated', topicId, name, partitions, config: topicConfig }])
    }
  }

  openApplier(disk: Disk, topics: readonly TopicInfo[], producers: ApplierOptions['producers'] = []): InlineApplier {
    const options = { disk, directory, checkpointDirectory: directory, topics, producers, openFilesMax: 4 }
    return new InlineApplier(options, {
      applied: (sequence) => void (this.applied = sequence),
      failed: (error) => void this.failures.push(error.code),
    })
  }

  group(parts: readonly EntryPart[]): WrittenGroup {
    const memory = Buffer.alloc(measureEntry(parts))
    writeEntry(parts, memory, 0)
    return { sequence: ++this.sequence, memory }
  }

  /** A group of one entry, journaled and applied. */
  commit(parts: readonly EntryPart[]): void {
    const group = this.group(parts)
    this.groups.push(group)
    this.applier.apply(group)
  }

  /** Appends a batch, rolling by `segment.bytes`. Returns its base offset. */
  append(records: readonly TestRecord[], compression: Compression = 'none', seal: SealOptions = {}): Offset {
    return this.appendBatch(batchOf(records, compression, seal))
  }

  /** Appends a finished batch or a marker. */
  appendBatch(batch: Uint8Array): Offset {
    const base = this.partition.end
    stampBatch(batch, 0, base, this.leaderEpoch)
    const active = this.partition.segments.at(-1)
    const rolls = active === undefined || active.bytes + batch.length > this.topic.config.segmentBytes
    const segmentBase = rolls ? base : active.base
    const filePosition = rolls ? 0 : active.bytes
    const { leaderEpoch } = this
    this.partition.appended({
      baseOffset: base,
      nextOffset: nextOffset(batch, 0),
      leaderEpoch,
      maxTimestamp: maxTimestampOf(batch, 0),
      segmentBase,
      filePosition,
      bytes: batch.length,
      appendedAt: this.sequence,
      produced: producedBatch(batch, 0),
    })
    this.commit([{ kind: 'batch', topicId, partition: 0, leaderEpoch, segmentBase, filePosition, bytes: batch }])
    return base
  }

  state(): CheckpointState {
    return {
      sequence: this.sequence,
      incarnation: 1,
      topics: [this.topic],
      partitions: [this.partition.state()],
      offsets: [],
      sections: [],
      deletions: [...this.deletions],
    }
  }

  checkpoint(): Promise<void> {
    return this.applier.checkpoint(this.state())
  }

  readers(contiguous = true): PartitionReaders {
    return new PartitionReaders({ disk: this.disk, directory, openFilesMax: 3, contiguous })
  }

  /** All records from the files, read in pieces of `bytesMax`. */
  readAll(bytesMax = 300, from: Offset = 0, readers: PartitionReaders = this.readers()): StoredRecord[] {
    const reader = readers.of({ topic: 'orders', partition: 0 })
    const { segments, end, epochs } = this.partition
    const records: StoredRecord[] = []
    for (let next = from; next < end;) {
      const read = reader.read({ from: next, end, bytesMax, segments, epochs })
      records.push(...recordsOf(read.bytes).filter(({ offset }) => offset >= next))
      next = read.nextOffset
    }
    readers.close()
    return records
  }
}

export function partitionFile(name: string): string {
  return `${directory}/orders-0/${name}`
}

export function fileBytes(disk: Disk, path: string): Buffer {
  const file = disk.open(path, 'read')
  const bytes = Buffer.alloc(file.size())
  file.read(bytes, 0)
  file.close()
  return bytes
}

export function overwrite(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, 'create')
  file.truncate(0)
  file.write(bytes, 0)
  file.close()
}

/** Batches of one to four records with distinct keys and mostly rising timestamps. */
export function someRecords(count: number, from = 0): TestRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    key: `key-${(from + index) % 7}`,
    value: `value-${from + index}-${'x'.repeat((from + index) % 50)}`,
    timestamp: 1000 + 10 * (from + index) - ((from + index) % 5 === 0 ? 300 : 0),
  }))
}

/** The item at an index that must exist. */
export function nth<T>(items: ArrayLike<T>, index: number): T {
  const item = items[index < 0 ? items.length + index : index]
  if (item === undefined) throw new RangeError(`${items.length} items, none at ${index}`)
  return item
}
