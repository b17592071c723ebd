import { dirname } from 'node:path'
import { isMissing, type Disk } from '../../base/disk.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { PartitionState, SegmentState } from '../journal/checkpoint.ts'
import { readEntries, type BatchPart, type EntryPart, type SegmentsReplacedPart } from '../journal/entry.ts'
import type { WrittenGroup } from '../journal/journal.ts'
import { SegmentApplier, type UnsyncedNames } from './apply/segment-applier.ts'
import { moveToLostAndFound, topicIdOf } from './partition-directory.ts'
import { PartitionSegments } from './partition-segments.ts'
import { type LedgerStart, type LedgerState, partitionKey, ReplayLedger, sumLater } from './replay-ledger.ts'
import { corrupt } from './segment/batch-frame.ts'
import { segmentChecksum } from './segment/batch-scanner.ts'
import { abortedIndexes, settleAbortedIndexes } from './segment/kafka-files.ts'
import {
  deletedPartitionPath,
  logFileBase,
  partitionMetadataFile,
  partitionOfName,
  partitionPath,
  segmentFile,
} from './segment/segment-files.ts'

export interface StorageRecoveryOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** The newest valid checkpoint; null before the first. */
  readonly checkpoint: LedgerStart | null
  /** The durable groups after the checkpoint, in order. They are iterated twice. */
  readonly groups: Iterable<WrittenGroup>
  /** Whether the journal was sealed by a clean close. */
  readonly clean: boolean
  /** Wall-clock time that is noted as the append time of replayed batches. */
  readonly now: number
  readonly openFilesMax?: number
}

export interface RecoveredStorage extends LedgerState {
  /**
   * What was written and must be synced before a checkpoint may cover it. Until then the journal contains all of it.
   */
  readonly unsynced: UnsyncedNames
  /** New paths of files and directories that belong to nothing and were moved to `lost+found/`. */
  readonly moved: readonly string[]
}

/**
 * Brings the segment files into the state that checkpoint and journal describe, whatever they contain.
 *
 * 1. Names: a directory that has the id of another topic is renamed or moved away; a directory renamed for a deletion
 *    that was lost gets its name back.
 * 2. Replay: every batch of a live segment is written to its position again, partition by partition, so that a log with
 *    many partitions does not open each file for each batch.
 * 3. Ends: segments are cut to their recorded ends, files that belong to no segment are moved to `lost+found/`, also
 *    where a partition has no segment at all, and missing bytes are an error.
 * 4. The applier syncs what recovery wrote, with its first checkpoint. Waiting here for as many syncs as there are
 *    partitions would delay the opening, for data that the journal has anyway.
 *
 * Recovery is idempotent: after a crash in it, the next run does the same. After a clean close with nothing to replay
 * no file is touched. It deletes nothing but derived files and the unfinished output of a compaction.
 */
export function recoverStorage(options: StorageRecoveryOptions): RecoveredStorage {
  const ledger = new ReplayLedger(options.checkpoint, options.now)
  let replayed = 0
  for (const group of options.groups) {
    replayed++
    for (const parts of readEntries(group.memory)) for (const part of parts) ledger.note(part)
  }
  if (options.clean && replayed === 0) return { ...ledger.state(), moved: [], unsynced: { files: [], directories: [] } }
  return new StorageRepair(options, ledger).run()
}

/** The part of recovery that works on files. */
class StorageRepair {
  readonly #disk: Disk
  readonly #directory: string
  readonly #options: StorageRecoveryOptions
  readonly #ledger: ReplayLedger
  readonly #moved: string[] = []
  /** Directories that belong to their partitions. */
  readonly #present = new Set<string>()
  /** Aborted indexes that were rewritten. */
  readonly #settled: string[] = []

  constructor(options: StorageRecoveryOptions, ledger: ReplayLedger) {
    this.#disk = options.disk
    this.#directory = options.directory
    this.#options = options
    this.#ledger = ledger
  }

  run(): RecoveredStorage {
    this.#settleNames()
    const unsynced = this.#replay()
    const pending = this.#ledger.pendingBases()
    for (const [key, partition] of this.#ledger.partitions) this.#settleEnds(partition, pending.get(key) ?? new Set())
    for (const partition of this.#withoutBatches()) this.#settleEnds(partition, new Set())
    this.#disk.syncDirectory(this.#directory)
    return {
      ...this.#ledger.state(),
      moved: this.#moved,
      unsynced: {
        files: [...unsynced.files, ...this.#settled],
        directories: [...unsynced.directories, ...this.#settled.map((file) => dirname(file))],
      },
    }
  }

  #settleNames(): void {
    const { topics, deletions } = this.#ledger
    const dead = new Set(deletions.filter(({ bases }) => bases === undefined).map(({ topicId }) => topicId))
    const names = this.#disk.list(this.#directory)
    for (const name of names) {
      const at = partitionOfName(name)
      const path = `${this.#directory}/${name}`
      if (at === null) continue
      const id = topicIdOf(this.#disk, path)
      if (this.#owns(id, at)) {
        this.#present.add(path)
        continue
      }
      if (id === null && !this.#disk.exists(`${path}/${partitionMetadataFile}`)) continue
      // An unreadable id was never synced, so nothing in the directory counts: replay writes both anew.
      if (id === null && [...topics.values()].some(({ name: topic }) => topic === at.topic)) continue
      if (id !== null && dead.has(id)) this.#disk.rename(path, deletedPartitionPath(this.#directory, at, id))
      else this.#moved.push(moveToLostAndFound(this.#disk, this.#directory, path))
    }
    for (const name of names) {
      const match = /-(\d{1,10})\.([0-9a-f]{32})-delete$/.exec(name)
      const id = Buffer.from(match?.[2] ?? '', 'hex').toString('base64url')
      const topic = topics.get(id)
      if (match === null || topic === undefined) continue
      const back = partitionPath(this.#directory, { topic: topic.name, partition: Number(match[1]) })
      if (this.#disk.exists(back)) this.#moved.push(moveToLostAndFound(this.#disk, this.#directory, back))
      this.#disk.rename(`${this.#directory}/${name}`, back)
      if (topicIdOf(this.#disk, back) === id) this.#present.add(back)
    }
    // Crash here: every step checks what exists and continues from there.
    this.#disk.syncDirectory(this.#directory)
  }

  #owns(id: string | null, at: TopicPartition): boolean {
    const topic = id === null ? undefined : this.#ledger.topics.get(id)
    return topic !== undefined && topic.name === at.topic && at.partition < topic.partitions
  }

  #replay(): UnsyncedNames {
    const { disk, directory, openFilesMax, groups } = this.#options
    const topics = [...this.#ledger.topics.values()]
    const limit = openFilesMax === undefined ? {} : { openFilesMax }
    const durable = this.#options.checkpoint?.partitions ?? []
    const applier = new SegmentApplier({
      disk,
      directory,
      topics,
      durable,
      producers: durable,
      present: this.#present,
      ...limit,
    })
    try {
      let gathered = new Map<string, (BatchPart | SegmentsReplacedPart)[]>()
      let bytes = 0
      for (const group of groups) {
        for (const parts of readEntries(group.memory)) for (const part of parts) gather(gathered, part)
        bytes += group.memory.length
        if (bytes < gatherBytesMax) continue
        this.#replayGathered(applier, gathered)
        gathered = new Map()
        bytes = 0
      }
      this.#replayGathered(applier, gathered)
      return applier.handOver()
    } catch (error) {
      applier.abandon()
      throw error
    }
  }

  /** Keeps the journal's order within a partition; the order between partitions does not matter. */
  #replayGathered(
    applier: SegmentApplier,
    gathered: ReadonlyMap<string, readonly (BatchPart | SegmentsReplacedPart)[]>,
  ): void {
    const { batches, partitions } = this.#ledger
    for (const [key, parts] of gathered) {
      let count = 0
      for (const part of parts) {
        this.#replayPart(applier, part)
        if (part.kind === 'batch') count++
      }
      applier.flush()
      const left = (batches.get(key) ?? 0) - count
      batches.set(key, left)
      const partition = partitions.get(key)
      if (left === 0 && partition !== undefined) applier.settle(partition.state())
    }
  }

  /**
   * The applier starts with the final topics, so parts of deleted topics and of segments below the log start are
   * skipped.
   */
  #replayPart(applier: SegmentApplier, part: BatchPart | SegmentsReplacedPart): void {
    if (part.kind === 'batch' ? this.#ledger.isLive(part) : this.#ledger.topics.has(part.topicId)) applier.apply(part)
    else if (part.kind === 'batch') applier.pass(part)
  }

  /**
   * Partitions that have a directory, although neither the checkpoint nor the journal knows a batch of theirs: a power cut
   * took the batches and left their files, which the partition's next segments must not be mistaken for.
   */
  #withoutBatches(): PartitionSegments[] {
    const { topics, partitions } = this.#ledger
    const byName = new Map([...topics.values()].map((topic) => [topic.name, topic]))
    return this.#disk.list(this.#directory).flatMap((name) => {
      const at = partitionOfName(name)
      const topic = at === null ? undefined : byName.get(at.topic)
      if (at === null || topic === undefined || at.partition >= topic.partitions) return []
      if (partitions.has(partitionKey(topic.id, at.partition))) return []
      return [PartitionSegments.empty(topic.id, at.partition)]
    })
  }

  #settleEnds(partition: PartitionSegments, pending: ReadonlySet<Offset>): void {
    const topic = this.#ledger.topics.get(partition.topicId)
    if (topic === undefined) return
    const path = partitionPath(this.#directory, { topic: topic.name, partition: partition.partition })
    const names = this.#namesIn(path)
    const live = new Map(partition.segments.map((segment) => [segment.base, segment]))
    let changed = false
    for (const name of names) changed = this.#settleFile(path, name, { pending, live }) || changed
    const present = new Set(names)
    for (const segment of partition.segments) this.#settleSegment(path, segment, partition, { pending, present })
    // A cut may have removed markers, or a crash may have left an incomplete index of a segment that compaction swapped
    // in.
    const { segments, producers } = partition
    const aborted = producers?.aborted.list ?? []
    const indexes = settleAbortedIndexes(this.#disk, path, { segments, aborted })
    this.#settled.push(...indexes)
    changed = this.#dropAbortedIndexes(path, names, { segments, aborted }) || changed
    // New names of segments are synced together with their bytes.
    if (changed) this.#disk.syncDirectory(path)
  }

  #namesIn(path: string): string[] {
    try {
      return this.#disk.list(path)
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }

  /** Removes the indexes of segments without aborted transactions; returns whether there were any. */
  #dropAbortedIndexes(
    path: string,
    names: readonly string[],
    state: Pick<PartitionState, 'aborted' | 'segments'>,
  ): boolean {
    const present = names.filter((name) => name.endsWith('.txnindex') && this.#disk.exists(`${path}/${name}`))
    if (present.length === 0) return false
    const wanted = abortedIndexes(state)
    const stale = present.filter((name) => !wanted.has(Number(name.slice(0, 20))))
    for (const name of stale) this.#disk.unlink(`${path}/${name}`)
    return stale.length > 0
  }

  /** Moves or removes a file that belongs to no segment; returns whether it did. */
  #settleFile(
    path: string,
    name: string,
    known: { readonly pending: ReadonlySet<Offset>; readonly live: Map<Offset, SegmentState> },
  ): boolean {
    const match = /^(\d{20})(\.log|\.index|\.timeindex|\.txnindex|\.snapshot|\.log\.cleaned|\.log\.swap)$/.exec(name)
    if (match === null) return false
    const base = Number(match[1])
    const file = `${path}/${name}`
    // A file that a journal entry of compaction refers to has been renamed to `.swap` by now.
    if (match[2] === '.log.cleaned') {
      this.#disk.unlink(file)
      return true
    }
    if (known.pending.has(base)) return false
    if (match[2] === '.log.swap') this.#moved.push(moveToLostAndFound(this.#disk, this.#directory, file))
    else if (known.live.has(base)) return false
    else if (logFileBase(name) === null) this.#disk.unlink(file)
    else this.#moved.push(moveToLostAndFound(this.#disk, this.#directory, file))
    return true
  }

  #settleSegment(
    path: string,
    segment: SegmentState,
    partition: PartitionSegments,
    known: { readonly pending: ReadonlySet<Offset>; readonly present: ReadonlySet<string> },
  ): void {
    const swap = segmentFile(segment.base, '.log.swap')
    const waits = known.pending.has(segment.base) && known.present.has(swap)
    const fileName = waits ? swap : segmentFile(segment.base, '.log')
    const name = `${path}/${fileName}`
    if (!known.present.has(fileName)) throw corrupt({ path: name, filePosition: 0 }, 'the file is missing')
    const file = this.#disk.open(name, 'write')
    try {
      const size = file.size()
      if (size < segment.bytes) {
        throw corrupt({ path: name, filePosition: size }, `the file lacks ${segment.bytes - size} bytes`)
      }
      if (size > segment.bytes) {
        // Nothing beyond the end that the journal knows was acknowledged, and new batches need the space.
        file.truncate(segment.bytes)
        file.sync()
      }
      if (segment.checksum === sumLater) {
        const summed = { ...segment, checksum: segmentChecksum(file, segment) }
        partition.replaced({ oldBases: [segment.base], segment: summed })
      }
    } finally {
      file.close()
    }
  }
}

/** Bytes of journal that replay holds at a time, so that it can write each partition's batches together. */
const gatherBytesMax = 32 * 1024 * 1024

function gather(gathered: Map<string, (BatchPart | SegmentsReplacedPart)[]>, part: EntryPart): void {
  if (part.kind !== 'batch' && part.kind !== 'segmentsReplaced') return
  const key = partitionKey(part.topicId, part.partition)
  const parts = gathered.get(key)
  if (parts === undefined) gathered.set(key, [part])
  else parts.push(part)
}
