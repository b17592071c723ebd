import type { Clock, Timer } from '../../base/clock.ts'
import type { Disk } from '../../base/disk.ts'
import type { Logger } from '../../base/logger.ts'
import { LogError } from '../api/errors.ts'
import { commitsTopic } from '../api/internal-topics.ts'
import type { Offset } from '../api/record.ts'
import type { LogConfig } from '../config.ts'
import type { SegmentState } from '../journal/checkpoint.ts'
import { partitionProducers } from '../storage/compaction/cleaned-transactions.ts'
import { compactPartition, dirtyRatio, discardOutputs } from '../storage/compaction/compaction.ts'
import type { PartitionReaders } from '../storage/read/partition-readers.ts'
import { segmentsDue } from '../storage/retention.ts'
import { partitionPath } from '../storage/segment/segment-files.ts'
import type { Checkpoints } from './checkpoints.ts'
import { EntryDraft, type Sequencer } from './sequencer.ts'
import type { Catalog } from './topics/catalog.ts'
import type { Partition } from './topics/partition.ts'
import type { RewindTrails } from './topics/rewind-trail.ts'
import { offsetForTime } from './topics/time-lookup.ts'
import type { Topics } from './topics/topics.ts'

/**
 * What the log does on its own at regular intervals. No routine runs twice at once.
 *
 * - Retention: removes segments that are too old (by time of append) or too many. Of the topics that applications keep
 *   for themselves, it removes recorded commits, expired windows and repartitioned records that no rewind needs any
 *   more. It also forgets producers and transactional ids that have not been used for long.
 * - Compaction: compacts the dirtiest partition, if it is dirty enough. Changelogs are compacted only as far as no
 *   rewind needs them.
 * - Offset expiry: deletes the offsets of groups without members when they are old enough.
 *
 * It only submits requests: a new log start and a replaced segment are entries of the journal, and checkpoints remove
 * the files.
 */
export class Housekeeping {
  readonly #parts: HousekeepingParts
  readonly #retention: Routine
  readonly #compaction: Routine
  readonly #expiry: Routine
  readonly #progress = new WeakMap<Partition, CompactionProgress>()

  constructor(parts: HousekeepingParts) {
    this.#parts = parts
    const { config } = parts
    this.#retention = new Routine(parts, 'retention', config.retentionCheckIntervalMs, () => this.retain())
    this.#compaction = new Routine(parts, 'compaction', config.compactionIntervalMs, () => this.compact())
    const { offsetsRetentionCheckIntervalMs } = config
    this.#expiry = new Routine(parts, 'offset expiry', offsetsRetentionCheckIntervalMs, parts.expireOffsets)
  }

  async retain(): Promise<void> {
    const { catalog, clock, config, rewinds, sequencer, topics } = this.#parts
    if (sequencer.failure !== null) return
    const now = clock.now()
    rewinds.advance(now)
    const moves: { partition: Partition; offset: Offset }[] = []
    for (const topic of catalog.topics) {
      if (topic.phase !== 'live') continue
      for (const partition of topic.partitions) {
        if (!partition.touched) continue
        partition.expireProducers(now - config.producerIdExpirationMs)
        // Readers of committed records are still positioned before an open transaction.
        const offset = Math.min(this.#startOf(partition, now), partition.stableEnd)
        if (offset > partition.logStart) moves.push({ partition, offset })
      }
    }
    if (moves.length > 0) await topics.moveLogStarts(moves)
    await this.#parts.expireTransactionalIds()
  }

  /** The offset below which no record is needed any more. */
  #startOf(partition: Partition, now: number): Offset {
    const { config, name } = partition.topic
    const { rewinds } = this.#parts
    if (name === commitsTopic) return this.#commitsStart(partition, now)
    const due = segmentsDue(partition, config, now).logStart
    const { windowRetentionMs, purgedWhenRead } = config
    if (windowRetentionMs !== undefined) return Math.max(due, rewinds.expiredUpTo(partition, windowRetentionMs))
    return purgedWhenRead === true ? Math.max(due, rewinds.readUpTo(partition)) : due
  }

  /** Recorded commits are removed below the first one that an application in the partition can still be rewound to. */
  #commitsStart(partition: Partition, now: number): Offset {
    const { config, rewinds, segments, sequencer } = this.#parts
    const from = rewinds.commitsFrom(partition, now)
    if (from !== null) return from
    return offsetForTime(partition, now - config.rewindRetentionMs, { segments, applied: sequencer.appliedSequence })
  }

  async compact(): Promise<void> {
    const { catalog, checkpoints, clock, rewinds, sequencer } = this.#parts
    if (sequencer.failure !== null) return
    // A segment that waits to be swapped in must not be replaced again before it is in place.
    const waiting = new Set(Array.from(checkpoints.waiting, ({ topicId, partition }) => `${topicId}/${partition}`))
    const now = clock.now()
    rewinds.advance(now)
    let dirtiest: { partition: Partition; ratio: number; cleanUpTo: Offset } | null = null
    for (const topic of catalog.topics) {
      if (topic.phase !== 'live' || topic.config.cleanupPolicy === 'delete') continue
      for (const partition of topic.partitions) {
        if (partition.segments.length < 2 || waiting.has(`${topic.id}/${partition.index}`)) continue
        const decided = Math.min(
          partition.appliedEnd(sequencer.appliedSequence),
          partition.stableEnd,
          this.#oldEnough(partition, now),
        )
        if (!this.#isDue(partition, decided, now)) continue
        const cleanUpTo = Math.min(rewinds.changelogEnd(partition), decided)
        if (!this.#isDue(partition, cleanUpTo, now)) continue
        const ratio = this.#dirtyRatio(partition, cleanUpTo)
        if (dirtiest === null || ratio > dirtiest.ratio) dirtiest = { partition, ratio, cleanUpTo }
      }
    }
    if (dirtiest !== null) await this.#compactPartition(dirtiest.partition, dirtiest.cleanUpTo)
  }

  #dirtyRatio(partition: Partition, cleanUpTo: Offset): number {
    return dirtyRatio(partition.segments, this.#progressOf(partition).dirtyFrom, cleanUpTo)
  }

  /** Whether the partition is dirty enough, or its oldest dirty segment has waited long enough. */
  #isDue(partition: Partition, cleanUpTo: Offset, now: number): boolean {
    const { minCleanableDirtyRatio, maxCompactionLagMs } = partition.topic.config
    const { dirtyFrom } = this.#progressOf(partition)
    const ratio = dirtyRatio(partition.segments, dirtyFrom, cleanUpTo)
    if (ratio === 0) return false
    const { segments } = partition
    const oldest = segments.find((_, index) => (segments[index + 1]?.base ?? Infinity) > dirtyFrom)
    return ratio >= minCleanableDirtyRatio || now - (oldest?.firstAppendAt ?? now) > maxCompactionLagMs
  }

  /** The offset below which everything was appended at least `minCompactionLagMs` ago. */
  #oldEnough(partition: Partition, now: number): Offset {
    const { minCompactionLagMs } = partition.topic.config
    if (minCompactionLagMs === 0) return partition.end
    const young = partition.segments.find(({ lastAppendAt }) => lastAppendAt > now - minCompactionLagMs)
    return young?.base ?? partition.end
  }

  async #compactPartition(partition: Partition, cleanUpTo: Offset): Promise<void> {
    const { clock, config, disk, sequencer } = this.#parts
    const progress = this.#progressOf(partition)
    const { deleteRetentionMs, segmentBytes } = partition.topic.config
    const files = { disk, path: partitionPath(config.dataDir, partition.at) }
    const result = await compactPartition({
      ...files,
      segments: partition.segments,
      dirtyFrom: progress.dirtyFrom,
      cleanUpTo,
      now: clock.now(),
      deleteRetentionMs,
      producers: partitionProducers(partition.producers),
      segmentBytesMax: segmentBytes,
      pause: async () => {
        await clock.nextTurn()
        // A long pass must not hold up closing: its output is discarded, and the next opening starts over.
        sequencer.checkWritable()
        if (this.#compaction.stopped) throw new LogError('CLOSED', 'the log is closing')
      },
    }).catch((error: unknown) => {
      if (error instanceof LogError && error.code === 'WRITE_FAILED') sequencer.filesFailed(error)
      throw error
    })
    // In the meantime, the topic may have been deleted, or the log start may have moved past what was rewritten.
    if (partition.topic.phase !== 'live' || sequencer.failure !== null) return
    const bases = new Set(staying(partition).map(({ base }) => base))
    // A replacement whose old segments are all gone is not needed any more. Of the others, all take effect or none: the
    // pass counts everything as cleaned, and if one were left out, a tombstone could be removed while older records of
    // its key remain.
    const live = result.replacements.filter(({ oldBases }) => oldBases.some((base) => bases.has(base)))
    const isWhole = live.every(({ oldBases }) => oldBases.every((base) => bases.has(base)))
    discardOutputs(files, isWhole ? result.replacements.filter((each) => !live.includes(each)) : result.replacements)
    if (!isWhole) return
    const draft = new EntryDraft(sequencer.placeContext())
    for (const replacement of live) {
      const { oldBases, segment } = replacement
      const at = { topicId: partition.topic.id, partition: partition.index }
      draft.add({ kind: 'segmentsReplaced', ...at, oldBases, newBase: segment.base, newBytes: segment.bytes }, () => {
        if (partition.promoteReplaced(replacement, sequencer.promotedSequence))
          this.#parts.catalog.deletions.push({ ...at, bases: oldBases })
      })
    }
    if (draft.parts.length > 0) {
      const written = draft.outcome()
      sequencer.submit(draft)
      await written
    }
    // Crash here, before a checkpoint: these transactions are known again, and the next pass finds again that none of
    // their records are left.
    partition.forgetAborted(result)
    partition.cleanedUpTo(result.cleanedUpTo)
    progress.dirtyFrom = result.cleanedUpTo
  }

  #progressOf(partition: Partition): CompactionProgress {
    let progress = this.#progress.get(partition)
    if (progress === undefined) {
      // Segments written by compaction have a checksum, and `dirtyFrom` if the pass ended within them: what precedes it
      // is clean.
      const dirty = partition.segments.find(
        ({ checksum, dirtyFrom }) => checksum === undefined || dirtyFrom !== undefined,
      )
      progress = { dirtyFrom: dirty?.dirtyFrom ?? dirty?.base ?? 0 }
      this.#progress.set(partition, progress)
    }
    return progress
  }

  async close(): Promise<void> {
    await Promise.all([this.#retention.close(), this.#compaction.close(), this.#expiry.close()])
  }
}

/** The segments that remain when everything in flight has been promoted. */
function staying({ segments, pendingLogStart }: Partition): readonly SegmentState[] {
  return segments.filter((_, index) => (segments[index + 1]?.base ?? Infinity) > pendingLogStart)
}

export interface HousekeepingParts {
  readonly config: LogConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly disk: Disk
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly topics: Topics
  readonly checkpoints: Pick<Checkpoints, 'waiting'>
  readonly rewinds: RewindTrails
  readonly segments: PartitionReaders
  /** Deletes the offsets of groups that no member has returned to. */
  readonly expireOffsets: () => Promise<void>
  readonly expireTransactionalIds: () => Promise<void>
}

interface CompactionProgress {
  dirtyFrom: Offset
}

/**
 * Work that is repeated at an interval, never twice at once. Failures are reported, and the next run comes as usual.
 */
class Routine {
  readonly #parts: { readonly clock: Clock; readonly logger: Logger }
  readonly #name: string
  readonly #intervalMs: number
  readonly #work: () => Promise<void>
  #timer: Timer | null = null
  #running: Promise<void> | null = null
  #stopped = false

  constructor(
    parts: { readonly clock: Clock; readonly logger: Logger },
    name: string,
    intervalMs: number,
    work: () => Promise<void>,
  ) {
    this.#parts = parts
    this.#name = name
    this.#intervalMs = intervalMs
    this.#work = work
    this.#schedule()
  }

  #schedule(): void {
    this.#timer = this.#parts.clock.setTimer(this.#intervalMs, () => {
      this.#running = this.#run()
    })
  }

  async #run(): Promise<void> {
    try {
      await this.#work()
    } catch (error) {
      const isFinal = error instanceof LogError && error.fatal
      if (!this.#stopped)
        this.#parts.logger.error(`${this.#name} failed${isFinal ? '' : ' and will be retried'}`, error)
    }
    this.#running = null
    if (!this.#stopped) this.#schedule()
  }

  get stopped(): boolean {
    return this.#stopped
  }

  async close(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
  }
}
