import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { CheckpointState, PendingDeletion } from '../journal/checkpoint.ts'
import type { Journal } from '../journal/journal.ts'
import type { Applier } from '../storage/applier.ts'
import type { LogConfig } from '../config.ts'
import type { Catalog } from './catalog.ts'
import type { GroupOffsets } from './group-offsets.ts'
import type { GroupRecords } from './group-records.ts'
import type { LastSections } from './last-sections.ts'
import type { RewindTrails } from './rewind-trail.ts'
import type { Sequencer } from './sequencer.ts'
import type { TransactionLog } from './transaction-log.ts'
import type { TransactionalOffsets } from './transactional-offsets.ts'

/**
 * Decides when a checkpoint is due and says what it holds: the promoted state, which is exactly that of all groups up to
 * the promoted sequence.
 *
 * - One at a time. Due by time, by bytes of journal or (in tests) by groups, if anything was promoted since the last.
 * - Due soon, under load: it lets the journal write over the same few files, whose pages are in memory. Pages that nobody
 *   has touched yet cost a writer many times the copying. But it syncs a file per partition, so many of them make it rarer.
 * - The journal may be used again below the older of the two durable copies, never below the newer.
 * - A deletion stays in the state until two checkpoints in a row carried it: then both copies know, and it is done.
 */
export class Checkpoints {
  readonly #parts: CheckpointsParts
  #running: Promise<void> | null = null
  #lastSequence: number
  #lastTime: number
  /** That the last one spoke of. */
  #partitionCount = 0
  /** Deletions in the checkpoint that this opening wrote last. What older openings knew is not counted: twice is safe. */
  #carried: ReadonlySet<PendingDeletion> = new Set()
  #timer: Timer | null = null
  #stopped = false

  constructor(parts: CheckpointsParts, lastSequence: number) {
    this.#parts = parts
    this.#lastSequence = lastSequence
    this.#lastTime = parts.clock.monotonic()
    this.#schedule()
  }

  /** Called after each promotion: takes one if it is due. */
  promoted(): void {
    if (this.#running !== null || this.#stopped || !this.#due()) return
    this.takeSoon()
  }

  /** Takes one without anybody waiting for it. */
  takeSoon(): void {
    void this.take().catch((error: unknown) => this.#parts.logger.error('a checkpoint failed', error))
  }

  #due(): boolean {
    const { config, sequencer, journal } = this.#parts
    const groups = sequencer.promotedSequence - this.#lastSequence
    if (groups <= 0) return false
    if (config.checkpointEveryCommits > 0 && groups >= config.checkpointEveryCommits) return true
    const most = config.checkpointBytes * rarerAtMost
    const bytes = Math.min(most, Math.max(config.checkpointBytes, this.#partitionCount * bytesPerPartition))
    return journal.bytesSince(this.#lastSequence) >= bytes
  }

  /** One timer serves for ever: it looks how long ago the last checkpoint was. */
  #schedule(): void {
    const { clock, config, sequencer } = this.#parts
    const sinceLast = clock.monotonic() - this.#lastTime
    this.#timer = clock.setTimer(Math.max(1, config.checkpointIntervalMs - sinceLast), () => {
      const overdue = clock.monotonic() - this.#lastTime >= config.checkpointIntervalMs
      if (overdue) {
        // One more when all is done: as long as the newest speaks of a swap, its partition is not compacted again.
        const deleting = this.#parts.catalog.deletions.length + this.#carried.size > 0
        const anything = sequencer.promotedSequence > this.#lastSequence || deleting
        if (anything && sequencer.failure === null) this.takeSoon()
        else this.#lastTime = clock.monotonic()
      }
      if (!this.#stopped) this.#schedule()
    })
  }

  /**
   * Deletions and swaps that a recovery may hold to be still to come: those that are, and those of the newest checkpoint.
   * Under `os` a recovery may go back to it, so a file by a name that it waits for would be taken for what it waits for.
   */
  get waiting(): ReadonlySet<PendingDeletion> {
    return new Set([...this.#carried, ...this.#parts.catalog.deletions])
  }

  /** Writes a checkpoint of what is promoted now; one that is under way is waited for first. */
  async take(): Promise<void> {
    while (this.#running !== null) await this.#running
    this.#running = this.#write()
    try {
      await this.#running
    } finally {
      this.#running = null
    }
  }

  async #write(): Promise<void> {
    const { applier, catalog, clock, journal, sequencer } = this.#parts
    this.#lastTime = clock.monotonic()
    // A checkpoint says that the journal up to it was durable. Under `os` nobody else has seen to that, and after a power
    // cut the torn groups below it would be taken for rot. The state is taken in the turn in which it goes to the applier:
    // a deletion applied in between would take files away that it counts.
    while (journal.durableSequence < sequencer.promotedSequence) await journal.syncTo(sequencer.promotedSequence)
    const state = this.#state()
    this.#partitionCount = state.partitions.length
    await applier.checkpoint(state)
    // Both copies now hold everything up to the sequence of the one before.
    const lower = this.#lastSequence
    this.#lastSequence = state.sequence
    const done = new Set(state.deletions.filter((deletion) => this.#carried.has(deletion)))
    this.#carried = new Set(state.deletions)
    const left = catalog.deletions.filter((deletion) => !done.has(deletion))
    catalog.deletions.splice(0, catalog.deletions.length, ...left)
    journal.recycleBelow(lower)
  }

  #state(): CheckpointState {
    const { sequencer, catalog, offsets, groupRecords, sections, rewinds, transactions, transactionalOffsets } =
      this.#parts
    const partitions = [...catalog.topics].flatMap((topic) =>
      topic.partitions.filter(({ touched }) => touched).map((partition) => partition.state()),
    )
    return {
      sequence: sequencer.promotedSequence,
      incarnation: sequencer.incarnation,
      topics: [...catalog.topics].map(({ info }) => info),
      partitions,
      offsets: offsets.states(),
      groups: groupRecords.states(),
      sections: sections.states(),
      rewinds: rewinds.states(),
      transactions: transactions.records(),
      transactionalOffsets: transactionalOffsets.states(),
      deletions: [...catalog.deletions],
    }
  }

  /** The last one, so that opening has nothing to replay. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    while (this.#running !== null) await this.#running.catch(() => {})
    const { sequencer } = this.#parts
    if (sequencer.failure !== null && sequencer.failure.code !== 'CLOSED') return
    if (sequencer.promotedSequence > this.#lastSequence) await this.take()
  }
}

/** A checkpoint syncs a file per partition that was written to, which takes as long as writing this much. */
const bytesPerPartition = 64 * 1024
/** Times `checkpointBytes`. */
const rarerAtMost = 4

export interface CheckpointsParts {
  readonly config: Pick<LogConfig, 'checkpointIntervalMs' | 'checkpointBytes' | 'checkpointEveryCommits'>
  readonly clock: Clock
  readonly logger: Logger
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly offsets: GroupOffsets
  readonly groupRecords: GroupRecords
  readonly sections: LastSections
  readonly rewinds: RewindTrails
  readonly transactions: TransactionLog
  readonly transactionalOffsets: TransactionalOffsets
  readonly journal: Journal
  readonly applier: Applier
}
