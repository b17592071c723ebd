import type { Clock, Timer } from '../../base/clock.ts'
import { isMissing, type Disk } from '../../base/disk.ts'
import type { Logger } from '../../base/logger.ts'
import { LogError } from '../api/errors.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { LogConfig } from '../config.ts'
import type { SegmentState } from '../journal/checkpoint.ts'
import { checkSegment } from '../storage/segment-check.ts'
import { partitionPath, segmentFile } from '../storage/segment-files.ts'
import type { Catalog } from './catalog.ts'
import type { Partition } from './partition.ts'
import type { Sequencer } from './sequencer.ts'

/** Stored bytes that are not what was written. */
export interface Damage {
  readonly at: TopicPartition
  /** Base offset of the segment. */
  readonly segment: Offset
  readonly path: string
  /** What is wrong, where, and what to do. */
  readonly message: string
  /** Wall-clock time at which it was found. */
  readonly foundAt: number
}

/**
 * Reads again, in the background and slowly, what nobody may have read for years: every closed segment, each batch against
 * its checksum, its place and its epoch. Rot is reported while there may still be a copy to restore from.
 *
 * - It never repairs, moves or deletes anything.
 * - It reads `scrubBytesPerSecond` at most, a pass every `scrubIntervalMs`; between passes it does nothing.
 * - A segment that went or was replaced meanwhile is nobody's business any more.
 * - What was found is told once, and kept until it is found whole.
 */
export class Scrubber {
  readonly #parts: ScrubberParts
  readonly #found = new Map<string, Damage>()
  #timer: Timer | null = null
  #running: Promise<void> | null = null
  #pass: Generator<number, void, undefined> | null = null
  /** Below 0 where a batch was larger than what was due. */
  #due = 0
  #nextPassAt: number
  #stopped = false

  constructor(parts: ScrubberParts) {
    this.#parts = parts
    // Not at once: opening is busy enough, and a process that lives for a minute need not begin.
    this.#nextPassAt = parts.clock.monotonic() + firstPassMs
    if (parts.config.scrubBytesPerSecond > 0) this.#schedule()
  }

  /** What was found and not found whole again since, by path. */
  get damage(): readonly Damage[] {
    return [...this.#found.values()]
  }

  #schedule(): void {
    const { clock } = this.#parts
    const waitMs = this.#pass === null ? Math.min(timerMsMax, this.#nextPassAt - clock.monotonic()) : 0
    this.#timer = clock.setTimer(Math.max(turnMs, waitMs), () => {
      this.#running = this.#turn()
    })
  }

  async #turn(): Promise<void> {
    const { clock, config, logger, sequencer } = this.#parts
    try {
      if (this.#pass === null && clock.monotonic() >= this.#nextPassAt) {
        this.#pass = this.#segments()
        this.#nextPassAt = clock.monotonic() + config.scrubIntervalMs
      }
      this.#due = Math.min(0, this.#due) + (config.scrubBytesPerSecond * turnMs) / 1000
      for (let sincePause = 0; this.#pass !== null && this.#due > 0 && !this.#stopped && sequencer.failure === null;) {
        const { done, value } = this.#pass.next()
        if (done === true) this.#pass = null
        else {
          this.#due -= value
          sincePause += value
        }
        if (sincePause < pauseBytes) continue
        sincePause = 0
        await clock.nextTurn()
      }
    } catch (error) {
      this.#pass = null
      if (!this.#stopped) logger.error('reading closed segments again failed and is tried again', error)
    }
    this.#running = null
    if (!this.#stopped) this.#schedule()
  }

  /** One pass; yields the bytes that were read. */
  *#segments(): Generator<number, void, undefined> {
    const { catalog, sequencer } = this.#parts
    for (const topic of catalog.topics) {
      for (const partition of topic.partitions) {
        // What compaction has put in the place of others has no file to look at before it is applied.
        if (!partition.hasFiles(sequencer.appliedSequence)) continue
        const segments = [...partition.segments]
        for (const [index, segment] of segments.entries()) {
          const below = segments[index + 1]?.base
          // The last one is still written to; of the others the applier may lag behind.
          if (below === undefined || below > partition.appliedEnd(sequencer.appliedSequence)) break
          if (topic.phase === 'live') yield* this.#segment(partition, segment, below)
        }
      }
    }
  }

  *#segment(partition: Partition, segment: SegmentState, below: Offset): Generator<number, void, undefined> {
    const { config, contiguous, disk } = this.#parts
    const path = partitionPath(config.dataDir, partition.at)
    const swap = `${path}/${segmentFile(segment.base, '.log.swap')}`
    const log = disk.exists(swap) ? swap : `${path}/${segmentFile(segment.base, '.log')}`
    try {
      const file = disk.open(log, 'read')
      try {
        const { epochs } = partition
        for (const { bytes } of checkSegment({ file, segment, below, epochs, contiguous, deep: false })) yield bytes
      } finally {
        file.close()
      }
      this.#found.delete(log)
    } catch (error) {
      const isLive = partition.topic.phase === 'live' && partition.segments.includes(segment)
      if (isLive && (isMissing(error) || error instanceof LogError)) this.#tell(partition, segment, log, error)
      else if (isLive) throw error
    }
  }

  #tell(partition: Partition, segment: SegmentState, path: string, error: unknown): void {
    if (this.#found.has(path) || this.#found.size >= foundMax) return
    const { clock, logger } = this.#parts
    const what = isMissing(error) ? 'the file is missing; restore it from a copy' : String(error)
    const message = `${partition.name}, the segment from offset ${segment.base} on: ${what}`
    this.#found.set(path, { at: partition.at, segment: segment.base, path, message, foundAt: clock.now() })
    logger.error(`stored records are damaged: ${message}`)
  }

  async close(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
    // Closes the file that it was in.
    this.#pass?.return()
  }
}

export interface ScrubberParts {
  readonly config: Pick<LogConfig, 'dataDir' | 'scrubBytesPerSecond' | 'scrubIntervalMs'>
  readonly clock: Clock
  readonly logger: Logger
  readonly disk: Disk
  readonly catalog: Catalog
  readonly sequencer: Pick<Sequencer, 'appliedSequence' | 'failure'>
  /** Whether batches follow each other without gaps where compaction has not been. */
  readonly contiguous: boolean
}

const firstPassMs = 60_000
const turnMs = 1000
const pauseBytes = 256 * 1024
const foundMax = 1000
/** The longest timer that Node knows. */
const timerMsMax = 2 ** 31 - 1
