import { assert } from '../../base/assert.ts'
import type { Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import { producerIdOf } from '../format/record-batch.ts'
import type { CheckpointState, PartitionState, PendingDeletion, ProducerState } from '../journal/checkpoint.ts'
import type { BatchPart, EntryPart, SegmentsReplacedPart, TopicDeletedPart } from '../journal/entry.ts'
import { DeletedFiles } from './deleted-files.ts'
import { FileCache } from './file-cache.ts'
import { GatherMemory } from './gather-memory.ts'
import { writeKafkaFiles } from './kafka-files.ts'
import { isDirectoryOf, leaderEpochCheckpoint, partitionMetadata } from './partition-directory.ts'
import { ProducerFiles } from './producer-files.ts'
import {
  deletedPartitionPath,
  leaderEpochFile,
  partitionMetadataFile,
  partitionPath,
  segmentFile,
} from './segment-files.ts'
import { gatherBytesMax, SegmentWriter } from './segment-writer.ts'

export interface SegmentApplierOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** Topics as they are before the first group that will be applied. */
  readonly topics: readonly TopicInfo[]
  /** Partitions whose directories and segments are durable, names included: what a checkpoint says of them. */
  readonly durable?: readonly Pick<PartitionState, 'topicId' | 'partition' | 'segments'>[]
  /** What partitions know of their producers before the first group. */
  readonly producers?: readonly Pick<PartitionState, 'topicId' | 'partition' | 'producers'>[]
  /** What recovery wrote and left to be synced with the first checkpoint. */
  readonly unsynced?: UnsyncedNames
  /**
   * Recovery's own, whose files are synced by the applier that comes after it: the directories that it found to be their
   * partitions'. Others are not there. Default: every directory is looked at before its first batch.
   */
  readonly present?: ReadonlySet<string>
  /** Default 256. */
  readonly openFilesMax?: number
}

export interface UnsyncedNames {
  readonly files: readonly string[]
  readonly directories: readonly string[]
}

/**
 * Carries entries into files. Synchronous and single-minded: one thread calls it, in the order of the journal.
 *
 * - Batches are positioned writes; a part of a topic that is not (or no longer) known is skipped.
 * - Nothing is synced before `sync`: until a checkpoint vouches for the files, the journal can bring everything again.
 * - A checkpoint syncs no more than it must: bytes of segments, and names of what was not there before. Indexes of open
 *   segments and leader epochs follow from the rest; nobody believes them unseen, so a power cut may take what it likes.
 * - Nothing is unlinked but by `carryOut` (`DeletedFiles`), which is told what both checkpoints know.
 * - A deleted topic's directory changes its name at once, so that a new topic may take it; its files stay.
 * - The first error is final: the caller uses this no more.
 */
export class SegmentApplier {
  readonly #disk: Disk
  readonly #directory: string
  readonly #files: FileCache
  readonly #deleted: DeletedFiles
  readonly #gather = new GatherMemory(gatherBytesMax)
  readonly #topics = new Map<string, AppliedTopic>()
  readonly #present: ReadonlySet<string> | null
  /** Writers with batches that are not written yet. */
  readonly #unflushed = new Set<SegmentWriter>()
  readonly #unsyncedDirectories = new Set<string>()
  /** As the newest checkpoint of this opening has them. */
  #newest: CheckpointState['partitions'] = []

  constructor(options: SegmentApplierOptions) {
    this.#disk = options.disk
    this.#directory = options.directory
    this.#present = options.present ?? null
    const whenClosed = this.#present === null ? 'synced' : 'handed over'
    this.#files = new FileCache(options.disk, 'create', options.openFilesMax, whenClosed)
    this.#deleted = new DeletedFiles({
      disk: options.disk,
      directory: options.directory,
      files: this.#files,
      topicOf: (topicId) => this.#topics.get(topicId)?.info,
    })
    for (const path of options.unsynced?.files ?? []) this.#files.written(path)
    for (const path of options.unsynced?.directories ?? []) this.#unsyncedDirectories.add(path)
    for (const topic of options.topics) this.#topics.set(topic.id, new AppliedTopic(topic))
    for (const { topicId, partition, segments } of options.durable ?? []) {
      this.#topics.get(topicId)?.durable.set(partition, segments.at(-1)?.base ?? -1)
    }
    this.#startFrom(options.producers ?? [])
  }

  apply(part: EntryPart): void {
    switch (part.kind) {
      case 'batch':
        return this.#applyBatch(part)
      case 'topicCreated': {
        if (this.#topics.has(part.topicId)) return
        const { name, partitions, config } = part
        this.#topics.set(part.topicId, new AppliedTopic({ id: part.topicId, name, partitions, config }))
        return
      }
      case 'topicConfig': {
        const topic = this.#topics.get(part.topicId)
        if (topic !== undefined) topic.info = { ...topic.info, config: part.config }
        return
      }
      case 'partitionsAdded': {
        const topic = this.#topics.get(part.topicId)
        if (topic !== undefined) topic.info = { ...topic.info, partitions: part.partitions }
        return
      }
      case 'topicDeleted':
        return this.#deleteTopic(part)
      case 'segmentsReplaced':
        return this.#replaceSegments(part)
      case 'logStart':
      case 'incarnation':
        // Bookkeeping of the sequencer; segments below the log start go by `carryOut`.
        return
    }
  }

  /** A batch of a segment that is gone: nothing is written of it, but what it says of its producer counts. */
  pass(part: BatchPart): void {
    const topic = this.#topics.get(part.topicId)
    if (topic !== undefined && producerIdOf(part.bytes, 0) >= 0)
      this.#producers(topic, part.partition, this.#partition(topic, part.partition)).note(part.bytes, null)
  }

  /** Writes what `apply` gathered: from here on readers may look. */
  flush(): void {
    for (const writer of this.#unflushed) writer.flush()
    this.#unflushed.clear()
  }

  /**
   * Syncs a segment that got much since it was synced, if there is one. A checkpoint has to, and what is applied then waits:
   * piece by piece nobody waits for long. Says nothing about what is durable.
   */
  syncAhead(): void {
    this.#files.syncAhead()
  }

  /** Makes everything applied so far durable: bytes and names. */
  sync(partitions: CheckpointState['partitions']): void {
    this.flush()
    for (const topic of this.#topics.values()) {
      for (const partition of topic.partitions.values()) partition.writer?.flushIndexes()
    }
    for (const state of partitions) this.#writeEpochs(state)
    this.#newest = partitions
    this.#startFrom(partitions)
    this.#files.syncWritten()
    // Crash here: the bytes are there, perhaps without their names. The older checkpoint holds, the journal brings again.
    for (const directory of this.#unsyncedDirectories) {
      this.#files.withRoom(() => this.#disk.syncDirectory(directory))
    }
    this.#unsyncedDirectories.clear()
  }

  /**
   * Recovery has nothing more for this partition: completes its files while they are open. Whoever waits until all
   * partitions have come opens each file twice.
   */
  settle(state: PartitionState): void {
    const partition = this.#topics.get(state.topicId)?.partitions.get(state.partition)
    if (partition?.writer) {
      this.#unflushed.delete(partition.writer)
      partition.writer.completeIndexes()
      partition.writer = null
    }
    if (partition !== undefined) partition.producers = null
    this.#writeEpochs(state)
  }

  /** Closes all files, and says what is to be synced before a checkpoint may speak of it. */
  handOver(): UnsyncedNames {
    assert(this.#unflushed.size === 0, `${this.#unflushed.size} partitions were not settled`)
    const directories = [...this.#unsyncedDirectories]
    const files = this.#files.handOver()
    this.#files.close()
    return { files, directories }
  }

  /** From here on the partitions' producers are those of the checkpoint: it has forgotten who has expired. */
  #startFrom(partitions: readonly Pick<PartitionState, 'topicId' | 'partition' | 'producers'>[]): void {
    for (const topic of this.#topics.values()) {
      topic.producers.clear()
      for (const partition of topic.partitions.values()) partition.producers = null
    }
    for (const { topicId, partition, producers } of partitions)
      if (producers !== undefined) this.#topics.get(topicId)?.producers.set(partition, producers)
  }

  /** Unlinks what deletions that both checkpoints know of speak of, and swaps in what compaction put in its place. */
  carryOut(deletions: readonly PendingDeletion[], state: CheckpointState): void {
    this.#deleted.carryOut(deletions, state)
  }

  /** Completes the indexes and closes all files. Syncs nothing: that was the last checkpoint's work. */
  close(): void {
    this.flush()
    for (const topic of this.#topics.values()) {
      for (const partition of topic.partitions.values()) partition.writer?.finish()
    }
    for (const state of this.#newest) {
      const topic = this.#topics.get(state.topicId)
      if (topic === undefined) continue
      const path = partitionPath(this.#directory, { topic: topic.info.name, partition: state.partition })
      if (state.aborted !== undefined || state.producers !== undefined) writeKafkaFiles(this.#disk, path, state)
    }
    this.#files.close()
  }

  /** Closes files and leaves everything as it is: after a failure nothing more is written. */
  abandon(): void {
    this.#files.close()
  }

  #applyBatch(part: BatchPart): void {
    const topic = this.#topics.get(part.topicId)
    if (topic === undefined) return
    const partition = this.#partition(topic, part.partition)
    let writer = partition.writer
    if (writer === null || writer.base !== part.segmentBase) {
      // A roll. An older segment is written again only while recovery replays, before newer ones are opened.
      if (writer !== null) {
        writer.finish()
        this.#unflushed.delete(writer)
      }
      writer = new SegmentWriter(this.#files, partition.path, {
        base: part.segmentBase,
        bytes: part.filePosition,
        intervalBytes: topic.info.config.indexIntervalBytes,
        gather: this.#gather,
        indexes: this.#present === null ? 'as they grow' : 'at the end',
      })
      partition.writer = writer
      // Crash here, with a segment that is older than the last checkpoint: its name is durable since then.
      if (part.segmentBase > (topic.durable.get(part.partition) ?? -1)) this.#unsyncedDirectories.add(partition.path)
    }
    const named = producerIdOf(part.bytes, 0) >= 0
    const known = partition.producers !== null || topic.producers.has(part.partition)
    // A snapshot gets its name with its segment's, and is synced with it.
    if (known && part.filePosition === 0)
      this.#producers(topic, part.partition, partition).segmentBegins(part.segmentBase)
    if (named && this.#producers(topic, part.partition, partition).note(part.bytes, part.segmentBase))
      this.#unsyncedDirectories.add(partition.path)
    writer.write(part.filePosition, part.bytes)
    this.#unflushed.add(writer)
  }

  #producers(topic: AppliedTopic, index: number, partition: AppliedPartition): ProducerFiles {
    partition.producers ??= new ProducerFiles(this.#files, partition.path, topic.producers.get(index) ?? [])
    return partition.producers
  }

  /** Directories appear with their first batch. */
  #partition(topic: AppliedTopic, index: number): AppliedPartition {
    let partition = topic.partitions.get(index)
    if (partition !== undefined) return partition
    const path = partitionPath(this.#directory, { topic: topic.info.name, partition: index })
    const metadata = `${path}/${partitionMetadataFile}`
    const at = { topic: topic.info.name, partition: index }
    const isThere = this.#present?.has(path) ?? this.#isDirectoryOf(at, topic.info.id)
    if (!isThere) {
      this.#disk.makeDirectory(path)
      const file = this.#files.open(metadata)
      file.truncate(0)
      file.write(partitionMetadata(topic.info.id), 0)
    }
    // Also a directory that was there may be younger than the last sync of its names, unless a checkpoint knows it.
    if (!isThere || !topic.durable.has(index)) {
      // Opened, or a sync would find the file closed and open it only then.
      if (this.#present === null) this.#files.open(metadata)
      this.#files.written(metadata)
      this.#unsyncedDirectories.add(path).add(this.#directory)
    }
    partition = { path, writer: null, producers: null, epochs: '' }
    topic.partitions.set(index, partition)
    return partition
  }

  #deleteTopic(part: TopicDeletedPart): void {
    const topic = this.#topics.get(part.topicId)
    if (topic === undefined) return
    this.#topics.delete(part.topicId)
    for (const { writer } of topic.partitions.values()) if (writer !== null) this.#unflushed.delete(writer)
    for (let index = 0; index < topic.info.partitions; index++) {
      const at: TopicPartition = { topic: topic.info.name, partition: index }
      if (!this.#isDirectoryOf(at, part.topicId)) continue
      const path = partitionPath(this.#directory, at)
      this.#files.forgetDirectory(path)
      this.#unsyncedDirectories.delete(path)
      // Crash here: under the old name it is found by its topic id and renamed when the entry is replayed. Under the new
      // name with the entry lost (`sync: 'os'`), recovery sees that the topic lives and gives the name back.
      this.#disk.rename(path, deletedPartitionPath(this.#directory, at, part.topicId))
      this.#unsyncedDirectories.add(this.#directory)
    }
  }

  #isDirectoryOf(at: TopicPartition, topicId: string): boolean {
    return this.#files.withRoom(() => isDirectoryOf(this.#disk, this.#directory, at, topicId))
  }

  #replaceSegments(part: SegmentsReplacedPart): void {
    const topic = this.#topics.get(part.topicId)
    if (topic === undefined) return
    const path = partitionPath(this.#directory, { topic: topic.info.name, partition: part.partition })
    const cleaned = `${path}/${segmentFile(part.newBase, '.log.cleaned')}`
    const swap = `${path}/${segmentFile(part.newBase, '.log.swap')}`
    // Also a rename of before a crash may not be on the device yet.
    this.#unsyncedDirectories.add(path)
    if (this.#disk.exists(cleaned)) return this.#disk.rename(cleaned, swap)
    // Applied before: it waits as `.swap` or is in place already.
    if (this.#disk.exists(swap)) return
    const log = this.#files.openIfPresent(`${path}/${segmentFile(part.newBase, '.log')}`)
    if (log !== null && log.size() === part.newBytes) return
    throw new LogError(
      'CORRUPT_BATCH',
      `${cleaned}, which compaction wrote and synced, is gone; restore the directory`,
      {
        path: cleaned,
      },
    )
  }

  #writeEpochs(state: CheckpointState['partitions'][number]): void {
    const partition = this.#topics.get(state.topicId)?.partitions.get(state.partition)
    if (partition === undefined || state.epochs.length === 0) return
    const text = leaderEpochCheckpoint(state.epochs)
    if (text === partition.epochs) return
    // Crash here: empty, or half of it. Only Kafka's tools read it, of a closed directory; the epochs are in the checkpoint.
    const file = this.#files.open(`${partition.path}/${leaderEpochFile}`)
    const bytes = new TextEncoder().encode(text)
    file.write(bytes, 0)
    if (file.size() > bytes.length) file.truncate(bytes.length)
    partition.epochs = text
  }
}

class AppliedTopic {
  info: TopicInfo
  readonly partitions = new Map<number, AppliedPartition>()
  /** Base of the last segment of each partition that was durable when this began; -1: of none. */
  readonly durable = new Map<number, Offset>()
  /** What was known of producers at the newest checkpoint; partitions that never knew of any are not in it. */
  readonly producers = new Map<number, readonly ProducerState[]>()

  constructor(info: TopicInfo) {
    this.info = info
  }
}

interface AppliedPartition {
  readonly path: string
  writer: SegmentWriter | null
  /** Null until a batch names a producer, or a segment begins where some are known. */
  producers: ProducerFiles | null
  /** The text last written to `leader-epoch-checkpoint`. */
  epochs: string
}
