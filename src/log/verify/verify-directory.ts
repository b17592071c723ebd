import { equalBytes } from '../../base/bytes.ts'
import { SystemClock, type Clock } from '../../base/clock.ts'
import { NodeDisk, readWhole, writeSynced, type Disk } from '../../base/disk.ts'
import type { OptionNames } from '../../base/option-names.ts'
import { checkOptions } from '../api/checked-options.ts'
import { LogError } from '../api/errors.ts'
import { partitionName, type Offset } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import { CheckpointFile } from '../journal/checkpoint-file.ts'
import type { CheckpointState, PartitionState, SegmentState } from '../journal/checkpoint.ts'
import { decodeCheckpoint } from '../journal/checkpoint.ts'
import { recoverJournal } from '../journal/journal-recovery.ts'
import { checkFormat } from '../storage/data-directory.ts'
import { lockDirectory, noDirectoryLock } from '../storage/directory-lock.ts'
import { checkJournalThere } from '../storage/journal-presence.ts'
import { checkNodeVersion } from '../storage/node-version.ts'
import { partitionMetadata, topicIdOf } from '../storage/partition-directory.ts'
import { checkProducerFiles } from '../storage/producers/producer-files-check.ts'
import { checkSegment, type CheckedBatch } from '../storage/segment/segment-check.ts'
import { logFileBase, partitionMetadataFile, partitionPath, segmentFile } from '../storage/segment/segment-files.ts'
import { SegmentIndexes } from '../storage/segment/segment-indexes.ts'
import { recoverStorage } from '../storage/storage-recovery.ts'
import { OverlayDisk } from './overlay-disk.ts'

/** What `verifyDirectory` checks, and whether it repairs. */
export interface VerifyOptions {
  /** A data directory that no process has open. */
  readonly dataDir: string
  /**
   * Whether to rewrite wrong indexes, producer snapshots and `partition.metadata`. Nothing else is ever changed. Default
   * false.
   */
  readonly repair?: boolean
  /** Default: the file system. */
  readonly disk?: Disk
  /** Default: the system's time. */
  readonly clock?: Clock
  /** Called again and again while it works. Default: nobody is told. */
  readonly onProgress?: (progress: VerifyProgress) => void
}

const verifyOptionNames: OptionNames<VerifyOptions> = {
  dataDir: true,
  repair: true,
  disk: true,
  clock: true,
  onProgress: true,
}

/** Totals are known before the first segment is read. */
export interface VerifyProgress {
  readonly bytes: number
  readonly bytesTotal: number
  readonly partitions: number
  readonly partitionsTotal: number
}

/** Something that was found in a data directory, and what it means. */
export interface Finding {
  /**
   * `damage`: stored data is not what was written, and can only be restored from a copy. `derived`: data that can be
   * derived is wrong, such as an index, which costs time but no records. `note`: nothing is wrong.
   */
  readonly kind: 'damage' | 'derived' | 'note'
  readonly path: string
  /** What is wrong and what to do about it. */
  readonly message: string
  readonly repaired: boolean
}

/** What was checked, and what was found. */
export interface VerifyReport {
  readonly findings: readonly Finding[]
  readonly partitions: number
  readonly segments: number
  readonly batches: number
  readonly records: number
  readonly bytes: number
  /** Groups of the journal that are not yet in the segment files. */
  readonly journalGroups: number
}

/**
 * Checks everything in a closed data directory: both checkpoints, the journal, every batch with its records, every
 * checksum, every index, every producer snapshot and every partition's `partition.metadata`. Recovery is run on a copy in
 * memory: a directory that was not closed is judged by the state that opening it would produce, and is not changed.
 *
 * Findings are returned, not thrown. Rejects with FOREIGN_DIRECTORY, NEWER_FORMAT or DIRECTORY_IN_USE if the directory
 * cannot be checked, or with UNSUPPORTED_NODE.
 * @example const { findings } = await verifyDirectory({ dataDir: 'data' })
 */
export async function verifyDirectory(options: VerifyOptions): Promise<VerifyReport> {
  checkNodeVersion(process.versions.node)
  checkOptions('verifyDirectory', options, verifyOptionNames)
  const { dataDir, disk = new NodeDisk() } = options
  checkFormat(disk, dataDir)
  const lock = options.disk === undefined ? lockDirectory(dataDir) : noDirectoryLock
  try {
    return await new Verification(disk, options).run()
  } finally {
    lock.release()
  }
}

interface Recovered {
  readonly disk: Disk
  readonly topics: readonly TopicInfo[]
  readonly partitions: readonly PartitionState[]
  readonly groups: number
  /** Paths of the `.log` files of segments that wait to be swapped in or unlinked. */
  readonly waiting: ReadonlySet<string>
}

class Verification {
  readonly #disk: Disk
  readonly #options: VerifyOptions
  readonly #findings: Finding[] = []
  #segments = 0
  #batches = 0
  #records = 0
  #bytes = 0
  #partitions = 0

  constructor(disk: Disk, options: VerifyOptions) {
    this.#disk = disk
    this.#options = options
  }

  async run(): Promise<VerifyReport> {
    const recovered = this.#recover()
    if (recovered !== null) await this.#checkPartitions(recovered)
    return {
      findings: this.#findings,
      partitions: this.#partitions,
      segments: this.#segments,
      batches: this.#batches,
      records: this.#records,
      bytes: this.#bytes,
      journalGroups: recovered?.groups ?? 0,
    }
  }

  #found(kind: Finding['kind'], path: string, message: string, repaired = false): void {
    this.#findings.push({ kind, path, message, repaired })
  }

  /** Notes an error of the operating system, such as EIO, EACCES or ENOTDIR; any other one is a defect. */
  #unreadable(error: unknown, place: string): void {
    if (!(error instanceof Error) || !('syscall' in error)) throw error
    const path = 'path' in error && typeof error.path === 'string' ? error.path : place
    this.#found(
      'damage',
      path,
      `it cannot be read or written (${error.message}): check the disk, or restore it from a copy`,
    )
  }

  /** The state that opening the directory would produce; null if it would be refused. */
  #recover(): Recovered | null {
    const { dataDir, clock = new SystemClock() } = this.#options
    const disk = new OverlayDisk(this.#disk)
    const directory = `${dataDir}/journal`
    try {
      const checkpoint = disk.exists(directory) ? this.#checkpoint(directory) : null
      if (checkpoint === null) checkJournalThere(disk, dataDir, directory)
      const journal = recoverJournal({
        disk,
        directory,
        checkpoint,
        newJournalId: new Uint8Array(16),
        bootId: new Uint8Array(16),
        lostAndFound: `${dataDir}/lost+found`,
        firstFileBytes: 1024 * 1024,
      })
      for (const cut of journal.cuts)
        this.#found(
          'note',
          cut.file,
          `the journal ends with a torn write: bytes ${cut.from} to ${cut.to} were never acknowledged`,
        )
      if (checkpoint !== null && journal.lastSequence < checkpoint.sequence) {
        const message = `the journal ends at group ${journal.lastSequence}, the checkpoint holds group ${checkpoint.sequence}: restore the journal's files`
        this.#found('damage', directory, message)
        return null
      }
      const groups = [...journal.groups()]
      if (!journal.closed)
        this.#found('note', directory, `the log was not closed: ${groups.length} groups are replayed when it is opened`)
      const storage = recoverStorage({
        disk,
        directory: dataDir,
        checkpoint,
        groups,
        clean: journal.closed,
        now: clock.now(),
      })
      for (const path of storage.moved)
        this.#found(
          'note',
          path,
          'neither the checkpoint nor the journal knows this file: opening moves it to lost+found',
        )
      return { disk, ...storage, groups: groups.length, waiting: waitingOf(dataDir, storage) }
    } catch (error) {
      if (!(error instanceof LogError)) this.#unreadable(error, directory)
      else {
        const place = error.values['path'] ?? error.values['file']
        this.#found('damage', typeof place === 'string' ? place : directory, error.message)
      }
      return null
    }
  }

  #checkpoint(directory: string): CheckpointState | null {
    for (const copy of ['checkpoint-0', 'checkpoint-1']) {
      const path = `${directory}/${copy}`
      if (!this.#disk.exists(path)) continue
      if (decodeCheckpoint(readWhole(this.#disk, path), path) !== null) continue
      this.#found(
        'derived',
        path,
        'this copy of the checkpoint is damaged; the other copy is used, and the next checkpoint replaces this one',
      )
    }
    return CheckpointFile.open(this.#disk, directory).newest
  }

  async #checkPartitions(recovered: Recovered): Promise<void> {
    const { dataDir, onProgress, clock = new SystemClock() } = this.#options
    const topics = new Map(recovered.topics.map((topic) => [topic.id, topic]))
    const bytesTotal = recovered.partitions.reduce(
      (sum, { segments }) => segments.reduce((all, { bytes }) => all + bytes, sum),
      0,
    )
    const partitionsTotal = recovered.partitions.length
    let sinceTurn = 0
    const turn = async (bytes: number): Promise<void> => {
      this.#bytes += bytes
      sinceTurn += bytes
      if (sinceTurn < turnBytes) return
      sinceTurn = 0
      onProgress?.({ bytes: this.#bytes, bytesTotal, partitions: this.#partitions, partitionsTotal })
      await clock.nextTurn()
    }
    for (const state of recovered.partitions) {
      const topic = topics.get(state.topicId)
      if (topic === undefined) continue
      const path = partitionPath(dataDir, { topic: topic.name, partition: state.partition })
      for (const [index, segment] of state.segments.entries()) {
        const below = state.segments[index + 1]?.base ?? state.end
        await this.#checkSegment({ path, topic, state, segment, below, recovered }, turn)
      }
      try {
        this.#checkMetadata(path, topic, recovered.disk)
        for (const { path: file, message, anew } of checkProducerFiles(recovered.disk, path, state))
          this.#found('derived', file, message, this.#repair(file, anew))
        this.#unknownFiles(path, state, recovered)
      } catch (error) {
        this.#unreadable(error, path)
      }
      this.#partitions += 1
      onProgress?.({ bytes: this.#bytes, bytesTotal, partitions: this.#partitions, partitionsTotal })
    }
  }

  async #checkSegment(at: SegmentPlace, turn: (bytes: number) => Promise<void>): Promise<void> {
    const { path, topic, state, segment, below, recovered } = at
    const log = `${path}/${segmentFile(segment.base, '.log')}`
    const swap = `${path}/${segmentFile(segment.base, '.log.swap')}`
    const isSwap = recovered.disk.exists(swap)
    this.#segments += 1
    const batches: CheckedBatch[] = []
    try {
      const file = recovered.disk.open(isSwap ? swap : log, 'read')
      try {
        const check = { file, segment, below, epochs: state.epochs, contiguous: true, deep: true }
        for (const batch of checkSegment(check)) {
          batches.push(batch)
          this.#batches += 1
          this.#records += batch.records
          await turn(batch.bytes)
        }
        const beyond = file.size() - segment.bytes
        if (beyond > 0)
          this.#found('note', file.path, `${beyond} bytes follow the ${segment.bytes} that belong to the log`)
      } finally {
        file.close()
      }
    } catch (error) {
      const left = segment.bytes - batches.reduce((sum, { bytes }) => sum + bytes, 0)
      const message = error instanceof Error ? error.message : String(error)
      this.#found(
        'damage',
        isSwap ? swap : log,
        `${partitionName({ topic: topic.name, partition: state.partition })} cannot be read from offset ${batches.at(-1)?.nextOffset ?? segment.base} on: ${message}`,
      )
      await turn(left)
      return
    }
    if (isSwap) return
    try {
      this.#checkIndexes(at, batches)
    } catch (error) {
      this.#unreadable(error, path)
    }
  }

  /**
   * Every index entry must point to its batch. Missing entries are not reported, because the interval may have been
   * changed.
   */
  #checkIndexes({ path, topic, segment, recovered }: SegmentPlace, batches: readonly CheckedBatch[]): void {
    const starts = new Map(batches.map(({ nextOffset, filePosition }) => [nextOffset - 1, filePosition]))
    const rising = new Map<Offset, number>()
    let highest = -1
    for (const { nextOffset, maxTimestamp } of batches) {
      if (maxTimestamp > highest) rising.set(nextOffset - 1, (highest = maxTimestamp))
    }
    const expected = new SegmentIndexes(segment.base, topic.config.indexIntervalBytes)
    for (const { nextOffset, maxTimestamp, bytes } of batches) expected.count(nextOffset, maxTimestamp, bytes)
    expected.finish()
    this.#checkIndex(recovered.disk, `${path}/${segmentFile(segment.base, '.index')}`, {
      entryBytes: 8,
      holds: (entry) => starts.get(segment.base + entry.readInt32BE(0)) === entry.readInt32BE(4),
      anew: expected.offsets.encode(),
    })
    this.#checkIndex(recovered.disk, `${path}/${segmentFile(segment.base, '.timeindex')}`, {
      entryBytes: 12,
      holds: (entry) => rising.get(segment.base + entry.readInt32BE(8)) === Number(entry.readBigInt64BE(0)),
      anew: expected.times.encode(),
    })
  }

  #checkIndex(
    disk: Disk,
    path: string,
    rule: { readonly entryBytes: number; readonly holds: (entry: Buffer) => boolean; readonly anew: Uint8Array },
  ): void {
    if (!disk.exists(path)) {
      this.#found(
        'derived',
        path,
        'the index is missing: lookups read the segment instead',
        this.#repair(path, rule.anew),
      )
      return
    }
    const bytes = readWhole(disk, path)
    if (equalBytes(bytes, rule.anew)) return
    const whole = Math.floor(bytes.length / rule.entryBytes)
    for (let entry = 0; entry < whole; entry++) {
      const at = entry * rule.entryBytes
      if (rule.holds(bytes.subarray(at, at + rule.entryBytes))) continue
      const message = `entry ${entry} of ${whole} does not point to its batch: lookups detect this and read the segment instead`
      this.#found('derived', path, message, this.#repair(path, rule.anew))
      return
    }
    if (whole * rule.entryBytes === bytes.length) return
    const message = `${bytes.length} bytes are not a whole number of entries: the last one is torn`
    this.#found('derived', path, message, this.#repair(path, rule.anew))
  }

  /** After a crash, a directory with the id of another topic is taken for that topic's, and not for its own. */
  #checkMetadata(directory: string, topic: TopicInfo, disk: Disk): void {
    if (!disk.exists(directory) || topicIdOf(disk, directory) === topic.id) return
    const path = `${directory}/${partitionMetadataFile}`
    const message = `it does not say that the directory belongs to topic ${topic.name}, ${topic.id}: an opening after a crash would not find its segments`
    this.#found('derived', path, message, this.#repair(path, partitionMetadata(topic.id)))
  }

  #repair(path: string, bytes: Uint8Array): boolean {
    if (this.#options.repair !== true) return false
    // Crash here: half a file is no worse than before. It is wrong, readers detect that, and no records depend on it.
    writeSynced(this.#disk, path, bytes)
    return true
  }

  #unknownFiles(path: string, { segments }: PartitionState, { disk, waiting }: Recovered): void {
    if (!disk.exists(path)) return
    const known = new Set(segments.map(({ base }) => base))
    for (const name of disk.list(path)) {
      const base = logFileBase(name)
      if (base === null || known.has(base) || waiting.has(`${path}/${name}`)) continue
      this.#found('note', `${path}/${name}`, 'neither the checkpoint nor the journal knows this segment')
    }
  }
}

interface SegmentPlace {
  readonly path: string
  readonly topic: TopicInfo
  readonly state: PartitionState
  readonly segment: SegmentState
  readonly below: Offset
  readonly recovered: Recovered
}

function waitingOf(
  dataDir: string,
  { topics, deletions }: { readonly topics: readonly TopicInfo[]; readonly deletions: CheckpointState['deletions'] },
): ReadonlySet<string> {
  const names = new Map(topics.map(({ id, name }) => [id, name]))
  return new Set(
    deletions.flatMap(({ topicId, partition, bases = [] }) => {
      const path = partitionPath(dataDir, { topic: names.get(topicId) ?? '', partition })
      return bases.map((base) => `${path}/${segmentFile(base, '.log')}`)
    }),
  )
}

/** Bytes after which other work gets a turn and progress is reported. */
const turnBytes = 4 * 1024 * 1024
