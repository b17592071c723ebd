import type { Clock, Timer } from '../../base/clock.ts'
import type { Disk } from '../../base/disk.ts'
import type { Logger } from '../../base/logger.ts'
import type { LogConfig } from '../config.ts'
import { segmentsDue } from '../storage/retention.ts'
import type { PartitionReaders } from '../storage/partition-reader.ts'
import type { Catalog } from './catalog.ts'
import type { Sequencer } from './sequencer.ts'
import type { Topics } from './topics.ts'

/** What the log does on its own, by the clock: retention. */
export class Housekeeping {
  readonly #parts: HousekeepingParts
  #timer: Timer | null = null
  #running: Promise<void> | null = null

  constructor(parts: HousekeepingParts) {
    this.#parts = parts
    this.#schedule()
  }

  #schedule(): void {
    const { clock, config } = this.#parts
    this.#timer = clock.setTimer(config.retentionCheckIntervalMs, () => {
      this.#running = this.retain()
        .catch((error: unknown) => this.#parts.logger.error('retention failed', error))
        .finally(() => {
          this.#running = null
          this.#schedule()
        })
    })
  }

  async retain(): Promise<void> {
    const { catalog, clock, sequencer, topics } = this.#parts
    if (sequencer.failure !== null) return
    const now = clock.now()
    for (const topic of [...catalog.topics]) {
      if (topic.phase !== 'live') continue
      for (const partition of topic.partitions) {
        const { logStart } = segmentsDue(partition, topic.config, now)
        if (logStart > partition.logStart) await topics.moveLogStarts([{ partition, offset: logStart }])
      }
    }
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    await this.#running
    this.#timer?.cancel()
  }
}

export interface HousekeepingParts {
  readonly config: LogConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly disk: Disk
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly topics: Topics
  readonly segments: PartitionReaders
}
