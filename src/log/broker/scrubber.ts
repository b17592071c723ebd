import type { Clock, Timer } from '../../base/clock.ts'
import { isMissing, type Disk } from '../../base/disk.ts'
import type { Logger } from '../../base/logger.ts'
import { LogError } from '../api/errors.ts'
import type { Offset, TopicPartition } from '../api/record.ts'
import type { LogConfig } from '../config.ts'
import type { SegmentState } from '../journal/checkpoint.ts'
import { checkSegment } from '../storage/segment/segment-check.ts'
import { partitionPath, segmentFile } from '../storage/segment/segment-files.ts'
import type { Sequencer } from './sequencer.ts'
import type { Catalog } from './topics/catalog.ts'
import type { Partition } from './topics/partition.ts'

/** Stored bytes that differ from what was written. */
export interface Damage {
  readonly at: TopicPartition
  /** The base offset of the segment. */
  readonly segment: Offset
  readonly path: string
  /** What is wrong, where, and what to do about it. */
  readonly message: string
  /** When it was found, in ms since the epoch by the wall clock. */
  readonly foundAt: number
}

/**
 * Rereads every closed segment, slowly and in the background, because parts of it may not have been read for years. It
 * checks each batch against its checksum, its place and its epoch, and reports corruption while there may still be a
 * copy to restore from.
 *
 * - It never repairs, moves or deletes anything.
 * - It reads at most `scrubBytesPerSecond`, in a pass every `scrubIntervalMs`; between passes it does nothing.
 * - It ignores a segment that was removed or replaced in the meantime.
 * - It reports each damaged file once, and lists it until a later pass finds it intact.
 */
export class Scrubber {
  readonly #parts: ScrubberParts
  readonly #found = new Map<string, Damage>()
  #timer: Timer | null = null
  #running: Promise<void> | null = null
  #pass: Generator<number, void, undefined> | null = null
  /** The bytes that may be read now; negative after a batch that was larger than that. */
  #due = 0
  #nextPassAt: number
  #stopped = false

  constructor(parts: ScrubberParts) {
    this.#parts = parts
    // Not immediately: opening is busy enough, and a process that only runs for a minute need not start.
    this.#nextPassAt = parts.clock.monotonic() + firstPassMs
    if (parts.config.scrubBytesPerSecond > 0) this.#schedule()
  }

  /** The damage that was found and has not been found repaired since, one per file. */
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
      if (!this.#stopped) logger.error('rereading closed segments failed and will be retried', error)
    }
    this.#running = null
    if (!this.#stopped) this.#schedule()
  }

  /** A single pass, which yields the numbers of bytes read. */
  *#segments(): Generator<number, void, undefined> {
    const { catalog, sequencer } = this.#parts
    for (const topic of catalog.topics) {
      for (const partition of topic.partitions) {
        // Segments made by compaction have no file to check before their replacement has been applied.
        if (!partition.hasFiles(sequencer.appliedSequence)) continue
        const segments = [...partition.segments]
        for (const [index, segment] of segments.entries()) {
          const below = segments[index + 1]?.base
          // The last segment is still being written to, and the applier may lag behind with the others.
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
    // Closes the file that the pass was reading.
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
  /** Whether batches follow each other without gaps where compaction has not removed any. */
  readonly contiguous: boolean
}

const firstPassMs = 60_000
const turnMs = 1000
const pauseBytes = 256 * 1024
const foundMax = 1000
/** The longest timer that Node supports. */
const timerMsMax = 2 ** 31 - 1
