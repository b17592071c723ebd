import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { LogConfig } from '../config.ts'
import type { CheckpointState, PendingDeletion } from '../journal/checkpoint.ts'
import type { Journal } from '../journal/journal.ts'
import type { Applier } from '../storage/apply/applier.ts'
import type { LastSections } from './commits/last-sections.ts'
import type { GroupOffsets } from './groups/group-offsets.ts'
import type { GroupRecords } from './groups/group-records.ts'
import type { Sequencer } from './sequencer.ts'
import type { Catalog } from './topics/catalog.ts'
import type { RewindTrails } from './topics/rewind-trail.ts'
import type { TransactionLog } from './transactions/transaction-log.ts'
import type { TransactionalOffsets } from './transactions/transactional-offsets.ts'

/**
 * Decides when a checkpoint is due and what it contains: the promoted state, which is exactly the state after all
 * groups up to the promoted sequence.
 *
 * - Only one is written at a time. It is due after some time, after some bytes of journal or (in tests) after some
 *   groups, if anything was promoted since the last one.
 * - Under load it is due often, because the journal then writes over the same few files, whose pages are in memory.
 *   Pages that were never touched cost the writer many times as much as copying into them. On the other hand, a
 *   checkpoint syncs a file per partition, so many partitions make checkpoints rarer.
 * - The journal may be reused below the older of the two durable copies, never below the newer one.
 * - A deletion stays in the state until two checkpoints in a row have included it: then both copies know about it, and
 *   it is done.
 */
export class Checkpoints {
  readonly #parts: CheckpointsParts
  #running: Promise<void> | null = null
  #lastSequence: number
  #lastTime: number
  /** The number of partitions in the last checkpoint. */
  #partitionCount = 0
  /**
   * The deletions in the newest checkpoint that was written since this opening. Earlier checkpoints are not taken into
   * account: including a deletion more often than needed is safe.
   */
  #carried: ReadonlySet<PendingDeletion> = new Set()
  #timer: Timer | null = null
  #stopped = false

  constructor(parts: CheckpointsParts, lastSequence: number) {
    this.#parts = parts
    this.#lastSequence = lastSequence
    this.#lastTime = parts.clock.monotonic()
    this.#schedule()
  }

  /** Called after each promotion; takes a checkpoint if one is due. */
  promoted(): void {
    if (this.#running !== null || this.#stopped || !this.#due()) return
    this.takeSoon()
  }

  /** Takes a checkpoint in the background. */
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

  /** A single timer runs all the time and checks how long ago the last checkpoint was. */
  #schedule(): void {
    const { clock, config, sequencer } = this.#parts
    const sinceLast = clock.monotonic() - this.#lastTime
    this.#timer = clock.setTimer(Math.max(1, config.checkpointIntervalMs - sinceLast), () => {
      const overdue = clock.monotonic() - this.#lastTime >= config.checkpointIntervalMs
      if (overdue) {
        // One more checkpoint is taken when all deletions are done: as long as the newest one contains a swap, its
        // partition is not compacted again.
        const deleting = this.#parts.catalog.deletions.length + this.#carried.size > 0
        const anything = sequencer.promotedSequence > this.#lastSequence || deleting
        if (anything && sequencer.failure === null && this.#running === null) this.takeSoon()
        else this.#lastTime = clock.monotonic()
      }
      if (!this.#stopped) this.#schedule()
    })
  }

  /**
   * Deletions and swaps that recovery may still expect: the pending ones and those in the newest checkpoint. Under
   * `sync: 'os'`, recovery may go back to that checkpoint, and would mistake another file of the same name for the one
   * it expects.
   */
  get waiting(): ReadonlySet<PendingDeletion> {
    return new Set([...this.#carried, ...this.#parts.catalog.deletions])
  }

  /** Writes a checkpoint of the state that is promoted now, after waiting for one that is already being written. */
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
    // Compaction may have failed to sync a directory. The applier does not know of that, but must not sync it again.
    const { failure } = sequencer
    if (failure !== null && failure.code !== 'CLOSED') throw failure
    // The state is taken in the same turn in which it is given to the applier: a deletion applied in between would
    // remove files that are part of the state.
    const state = this.#state()
    this.#partitionCount = state.partitions.length
    await applier.checkpoint(state)
    // Both copies now include everything up to the sequence of the previous checkpoint.
    const lower = this.#lastSequence
    this.#lastSequence = state.sequence
    const done = new Set(state.deletions.filter((deletion) => this.#carried.has(deletion)))
    this.#carried = new Set(state.deletions)
    const left = catalog.deletions.filter((deletion) => !done.has(deletion))
    catalog.deletions.splice(0, catalog.deletions.length, ...left)
    journal.recycleBelow(lower)
  }

  #state(): CheckpointState {
    const {
      sequencer,
      catalog,
      journal,
      offsets,
      groupRecords,
      sections,
      rewinds,
      transactions,
      transactionalOffsets,
    } = this.#parts
    const partitions = [...catalog.topics].flatMap((topic) =>
      topic.partitions.filter(({ touched }) => touched).map((partition) => partition.state()),
    )
    return {
      sequence: sequencer.promotedSequence,
      incarnation: sequencer.incarnation,
      journal: { id: journal.id, durable: Math.min(journal.durableSequence, sequencer.promotedSequence) },
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

  /** Takes a last checkpoint, so that the next opening has nothing to replay. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    while (this.#running !== null) await this.#running.catch(() => {})
    const { sequencer } = this.#parts
    if (sequencer.failure !== null && sequencer.failure.code !== 'CLOSED') return
    if (sequencer.promotedSequence > this.#lastSequence) await this.take()
  }
}

/** A checkpoint syncs a file for each partition that was written to, which takes as long as writing this much. */
const bytesPerPartition = 64 * 1024
/** As a multiple of `checkpointBytes`. */
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
