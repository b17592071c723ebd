import { assert } from '../../../base/assert.ts'
import type { Disk } from '../../../base/disk.ts'
import { LogError } from '../../api/errors.ts'
import type { Offset, TopicPartition } from '../../api/record.ts'
import type { TopicInfo } from '../../api/topic.ts'
import { producerIdOf } from '../../format/record-batch.ts'
import type { CheckpointState, PartitionState, PendingDeletion, ProducerState } from '../../journal/checkpoint.ts'
import type { BatchPart, EntryPart, SegmentsReplacedPart, TopicDeletedPart } from '../../journal/entry.ts'
import { isDirectoryOf, leaderEpochCheckpoint, partitionMetadata } from '../partition-directory.ts'
import { ProducerFiles } from '../producers/producer-files.ts'
import { FileCache } from '../segment/file-cache.ts'
import { GatherMemory } from '../segment/gather-memory.ts'
import { writeKafkaFiles } from '../segment/kafka-files.ts'
import {
  deletedPartitionPath,
  leaderEpochFile,
  partitionMetadataFile,
  partitionPath,
  segmentFile,
} from '../segment/segment-files.ts'
import { gatherBytesMax, SegmentWriter } from '../segment/segment-writer.ts'
import { DeletedFiles } from './deleted-files.ts'

export interface SegmentApplierOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** The topics that exist before the first group that will be applied. */
  readonly topics: readonly TopicInfo[]
  /** Partitions whose directories and segments are durable, including their names: the partitions of a checkpoint. */
  readonly durable?: readonly Pick<PartitionState, 'topicId' | 'partition' | 'segments'>[]
  /** The producers of each partition before the first group. */
  readonly producers?: readonly Pick<PartitionState, 'topicId' | 'partition' | 'producers'>[]
  /** Files and directories that recovery wrote and the first checkpoint has to sync. */
  readonly unsynced?: UnsyncedNames
  /**
   * Only for recovery, whose files are synced by the applier that comes after it: the directories that recovery found
   * to belong to their partitions; all others do not exist. Default: every directory is checked before its first batch.
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
 * Writes the journal's entries to the segment files. All calls come from one thread, in the order of the journal. They
 * are synchronous, except that syncs go on in the background while further entries are applied.
 *
 * - Batches are positioned writes. A part of a topic that is unknown or already deleted is skipped.
 * - Nothing is synced before `sync`: until a checkpoint covers the files, the journal can restore everything.
 * - A checkpoint syncs no more than it must: bytes of segments, and names that are new. Indexes of open segments and
 *   leader epochs can be derived from the rest and are always checked before use, so it does not matter if a power cut
 *   loses them.
 * - Only `carryOut` unlinks files (`DeletedFiles`), for deletions that both checkpoints contain.
 * - The directory of a deleted topic is renamed at once, so that a new topic may use the name; its files remain.
 * - The first error is final: the caller does not use the applier any more.
 */
export class SegmentApplier {
  readonly #disk: Disk
  readonly #directory: string
  readonly #files: FileCache
  readonly #deleted: DeletedFiles
  readonly #gather = new GatherMemory(gatherBytesMax)
  readonly #topics = new Map<string, AppliedTopic>()
  readonly #present: ReadonlySet<string> | null
  /** Writers with batches that were not written yet. */
  readonly #unflushed = new Set<SegmentWriter>()
  readonly #unsyncedDirectories = new Set<string>()
  /** The partitions in the newest checkpoint of this opening. */
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
        // Only the sequencer tracks these; segments below the log start are deleted by `carryOut`.
        return
    }
  }

  /** Takes note of a batch whose segment is deleted: nothing is written, but its producer's state is updated. */
  pass(part: BatchPart): void {
    const topic = this.#topics.get(part.topicId)
    if (topic !== undefined && producerIdOf(part.bytes, 0) >= 0)
      this.#producers(topic, part.partition, this.#partition(topic, part.partition)).note(part.bytes, null)
  }

  /** Writes what `apply` gathered. Readers may read it from here on. */
  flush(): void {
    for (const writer of this.#unflushed) writer.flush()
    this.#unflushed.clear()
  }

  /**
   * Begins to sync segments to which much was written since their last sync, so that the next checkpoint has less to
   * wait for. It promises nothing about what is durable; it rejects if a sync fails.
   */
  syncAhead(): Promise<void> {
    return this.#files.syncAhead()
  }

  /** Makes everything applied before this call durable, bytes and names, while more is applied. */
  async sync(partitions: CheckpointState['partitions']): Promise<void> {
    this.flush()
    for (const topic of this.#topics.values()) {
      for (const partition of topic.partitions.values()) partition.writer?.flushIndexes()
    }
    for (const state of partitions) this.#writeEpochs(state)
    this.#newest = partitions
    this.#startFrom(partitions)
    await this.#files.syncWritten()
    // Crash here: the bytes are durable, their names perhaps not. The older checkpoint counts, and the journal restores
    // the rest.
    for (const directory of this.#unsyncedDirectories) {
      this.#files.withRoom(() => this.#disk.syncDirectory(directory))
    }
    this.#unsyncedDirectories.clear()
  }

  /**
   * Tells that recovery has nothing more for this partition: completes its files while they are open. If this waited
   * until all partitions are replayed, every file would be opened twice.
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

  /** Closes all files, and returns what must be synced before a checkpoint may cover it. */
  handOver(): UnsyncedNames {
    assert(this.#unflushed.size === 0, `${this.#unflushed.size} partitions were not settled`)
    const directories = [...this.#unsyncedDirectories]
    const files = this.#files.handOver()
    this.#files.close()
    return { files, directories }
  }

  /** From here on the partitions' producers are those of the checkpoint, which omits producers that have expired. */
  #startFrom(partitions: readonly Pick<PartitionState, 'topicId' | 'partition' | 'producers'>[]): void {
    for (const topic of this.#topics.values()) {
      topic.producers.clear()
      for (const partition of topic.partitions.values()) partition.producers = null
    }
    for (const { topicId, partition, producers } of partitions)
      if (producers !== undefined) this.#topics.get(topicId)?.producers.set(partition, producers)
  }

  /**
   * Carries out deletions that both checkpoints contain: unlinks segments, and renames compacted ones to their final
   * names.
   */
  carryOut(deletions: readonly PendingDeletion[], state: CheckpointState): void {
    this.#deleted.carryOut(deletions, state)
  }

  /**
   * Completes the indexes and closes all files. It syncs nothing: the last checkpoint has done that, and a power cut may
   * take what is added here.
   */
  close(): void {
    this.flush()
    for (const topic of this.#topics.values()) {
      for (const partition of topic.partitions.values()) partition.writer?.completeIndexes()
    }
    for (const state of this.#newest) {
      const topic = this.#topics.get(state.topicId)
      if (topic === undefined) continue
      const path = partitionPath(this.#directory, { topic: topic.info.name, partition: state.partition })
      if (state.aborted !== undefined || state.producers !== undefined) writeKafkaFiles(this.#disk, path, state)
    }
    this.#files.close()
  }

  /** Resolves when no sync is going on, whatever came of it. Only then may the applier be closed or abandoned. */
  settled(): Promise<void> {
    return this.#files.settled()
  }

  /** Closes files and leaves everything as it is. Called after a failure, when nothing more may be written. */
  abandon(): void {
    this.#files.close()
  }

  #applyBatch(part: BatchPart): void {
    const topic = this.#topics.get(part.topicId)
    if (topic === undefined) return
    const partition = this.#partition(topic, part.partition)
    let writer = partition.writer
    if (writer === null || writer.base !== part.segmentBase) {
      // A new segment. Writes to an older segment happen only while recovery replays, before newer segments are opened.
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
      // Crash here, with a segment older than the last checkpoint: its name has been durable since that checkpoint.
      if (part.segmentBase > (topic.durable.get(part.partition) ?? -1)) this.#unsyncedDirectories.add(partition.path)
    }
    const named = producerIdOf(part.bytes, 0) >= 0
    const known = partition.producers !== null || topic.producers.has(part.partition)
    // A snapshot is created together with its segment, and synced with it.
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

  /** A partition's directory is created with its first batch. */
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
    // Even an existing directory may be younger than the last sync of its parent, unless a checkpoint knows it.
    if (!isThere || !topic.durable.has(index)) {
      // Opened here already, so that the sync need not open it.
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
      // Crash here: under the old name, replaying the entry finds the directory by its topic id and renames it. Under
      // the new name, if the entry is lost (`sync: 'os'`), recovery sees that the topic exists and renames the
      // directory back.
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
    // A rename from before a crash may not be durable yet either.
    this.#unsyncedDirectories.add(path)
    if (this.#disk.exists(cleaned)) return this.#disk.rename(cleaned, swap)
    // The entry was applied before: the file waits as `.swap` or has its final name already.
    if (this.#disk.exists(swap)) return
    const log = this.#files.openIfPresent(`${path}/${segmentFile(part.newBase, '.log')}`)
    if (log !== null && log.size() === part.newBytes) return
    throw new LogError(
      'CORRUPT_BATCH',
      `${cleaned}, which compaction wrote and synced, is missing; restore the directory`,
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
    // Crash here: the file is empty or incomplete. Only Kafka's tools read it, and only in a closed directory; the log
    // itself takes the epochs from the checkpoint.
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
  /** Base of the last segment of each partition that was durable when the applier started; -1 if there was none. */
  readonly durable = new Map<number, Offset>()
  /** The producers in the newest checkpoint, by partition; partitions that never had a producer are absent. */
  readonly producers = new Map<number, readonly ProducerState[]>()

  constructor(info: TopicInfo) {
    this.info = info
  }
}

interface AppliedPartition {
  readonly path: string
  writer: SegmentWriter | null
  /** Null until a batch has a producer id, or a segment begins in a partition with known producers. */
  producers: ProducerFiles | null
  /** The text last written to `leader-epoch-checkpoint`. */
  epochs: string
}
