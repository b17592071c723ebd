import { dirname } from 'node:path'
import { isMissing, type Disk } from '../../base/disk.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { PartitionState, SegmentState } from '../journal/checkpoint.ts'
import { readEntries, type BatchPart, type EntryPart, type SegmentsReplacedPart } from '../journal/entry.ts'
import type { WrittenGroup } from '../journal/journal.ts'
import { corrupt } from './batch-frame.ts'
import { segmentChecksum } from './batch-scanner.ts'
import { abortedIndexes, settleAbortedIndexes } from './kafka-files.ts'
import { moveToLostAndFound, topicIdOf } from './partition-directory.ts'
import type { PartitionSegments } from './partition-segments.ts'
import { type LedgerStart, type LedgerState, partitionKey, ReplayLedger, sumLater } from './replay-ledger.ts'
import { SegmentApplier, type UnsyncedNames } from './segment-applier.ts'
import {
  deletedPartitionPath,
  logFileBase,
  partitionMetadataFile,
  partitionOfName,
  partitionPath,
  segmentFile,
} from './segment-files.ts'

export interface StorageRecoveryOptions {
  readonly disk: Disk
  /** The data directory. */
  readonly directory: string
  /** The newest valid checkpoint; null before the first. */
  readonly checkpoint: LedgerStart | null
  /** The durable groups after the checkpoint, in order. Walked twice. */
  readonly groups: Iterable<WrittenGroup>
  /** Whether the journal was sealed by a clean close. */
  readonly clean: boolean
  /** Wall-clock time that replayed batches count as appended at. */
  readonly now: number
  readonly openFilesMax?: number
}

export interface RecoveredStorage extends LedgerState {
  /** What was written and is to be synced before a checkpoint may say so. Until then the journal has it all. */
  readonly unsynced: UnsyncedNames
  /** Where files and directories went that belong to nothing: `lost+found/`. */
  readonly moved: readonly string[]
}

/**
 * Brings the segment files to the state that checkpoint and journal describe, whatever they hold.
 *
 * 1. Names: a directory that carries another topic's id gives its name back; one renamed for a deletion that was lost
 *    returns.
 * 2. Replay: every batch of a living segment is written to its place once more, partition by partition, so that a log of
 *    many partitions does not open each file anew for each batch.
 * 3. Ends: segments are cut to their recorded ends; what lies beyond goes to `lost+found/`; what is missing is an error.
 * 4. What it wrote is for the applier to sync with its first checkpoint: waiting for as many syncs as there are partitions
 *    would keep everybody waiting for what the journal has anyway.
 *
 * Idempotent: a crash inside is a crash, the next run does the same. After a clean close with nothing to replay no file is
 * touched. Deletes nothing but caches and the unfinished output of a compaction.
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

/** The work on files. */
class StorageRepair {
  readonly #disk: Disk
  readonly #directory: string
  readonly #options: StorageRecoveryOptions
  readonly #ledger: ReplayLedger
  readonly #moved: string[] = []
  /** Directories that are their partitions'. */
  readonly #present = new Set<string>()
  /** Aborted indexes that were written anew. */
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
      // An id that cannot be read was never synced, so nothing in the directory counts: replay writes both anew.
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
    // Crash here: every step looks at what is there and goes on.
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

  /** Within a partition the order is that of the journal; between partitions there is none to keep. */
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

  /** Topics are as they will be already: deleted ones are unknown, and segments below the log start are skipped. */
  #replayPart(applier: SegmentApplier, part: BatchPart | SegmentsReplacedPart): void {
    if (part.kind === 'batch' ? this.#ledger.isLive(part) : this.#ledger.topics.has(part.topicId)) applier.apply(part)
    else if (part.kind === 'batch') applier.pass(part)
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
    // A cut may have taken markers back, or half of a file that compaction had put in its place.
    const { segments, producers } = partition
    const aborted = producers?.aborted.list ?? []
    const indexes = settleAbortedIndexes(this.#disk, path, { segments, aborted })
    this.#settled.push(...indexes)
    changed = this.#dropAbortedIndexes(path, names, { segments, aborted }) || changed
    // New names of segments were synced with their bytes.
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

  /** Removes the indexes of segments in which nothing was aborted; tells whether there were any. */
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

  /** Moves or removes a file that belongs to no segment; tells whether it did. */
  #settleFile(
    path: string,
    name: string,
    known: { readonly pending: ReadonlySet<Offset>; readonly live: Map<Offset, SegmentState> },
  ): boolean {
    const match = /^(\d{20})(\.log|\.index|\.timeindex|\.txnindex|\.snapshot|\.log\.cleaned|\.log\.swap)$/.exec(name)
    if (match === null) return false
    const base = Number(match[1])
    const file = `${path}/${name}`
    // Whatever compaction's entry vouches for is called `.swap` by now.
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
        // Beyond the end that the journal knows nothing was acknowledged, and new batches need the place.
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

/** Bytes of journal that replay holds at a time, to write each partition's batches together. */
const gatherBytesMax = 32 * 1024 * 1024

function gather(gathered: Map<string, (BatchPart | SegmentsReplacedPart)[]>, part: EntryPart): void {
  if (part.kind !== 'batch' && part.kind !== 'segmentsReplaced') return
  const key = partitionKey(part.topicId, part.partition)
  const parts = gathered.get(key)
  if (parts === undefined) gathered.set(key, [part])
  else parts.push(part)
}
