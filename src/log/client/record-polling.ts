import type { Clock } from '../../base/clock.ts'
import type { Reader } from '../api/log.ts'
import { partitionName } from '../api/record.ts'
import { topicDeleted } from '../broker/broker.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumerNumbers } from './client-options.ts'
import type { ConsumerCommits } from './consumer-commits.ts'
import type { ConsumerRecord, PollOptions } from './consumer-options.ts'
import type { GroupSharing } from './group-sharing.ts'
import type { StartOffsets } from './start-offsets.ts'

/**
 * How a consumer comes by its next records: what the group asks is done, what is due is committed, what was fetched is given
 * out, and only with nothing of that left it fetches and waits.
 *
 * - A poll waits no longer than it may, and not past the next automatic commit, nor the moment in which a transaction that
 *   keeps a partition waiting may be over.
 * - It ends early, with nothing, when it is woken, when its signal is aborted, and when the consumer is closed.
 * - What was fetched is never lost: if reading fails for one partition, what came of the others is given out first.
 * - What makes room for records (a listener's call that ended) nudges it: then it ends, and whoever polls asks again.
 *
 * Whether a poll may begin, and what becomes of the records, the consumer knows.
 */
export class RecordPolling {
  readonly #parts: RecordPollingParts
  readonly #partitions: AssignedPartitions
  readonly #sharing: GroupSharing
  readonly #commits: ConsumerCommits
  readonly #reader: Reader
  /** Since when (monotonic) user code has what the last poll gave out. */
  #handedOutAt: number | null = null
  /** Records that may be with a listener of all partitions, where each has a share of them; Infinity: whoever comes first. */
  shareOf: number = Infinity
  /** A listener's call has ended: there may be room for more. */
  #nudged = false
  #woken = false

  constructor(parts: RecordPollingParts) {
    this.#parts = parts
    this.#partitions = parts.partitions
    this.#sharing = parts.sharing
    this.#commits = parts.commits
    this.#reader = parts.reader
  }

  get handedOutAt(): number | null {
    return this.#handedOutAt
  }

  /** The user's code goes on with something that was given out before. */
  handsOut(): void {
    this.#handedOutAt = this.#parts.clock.monotonic()
  }

  /** Nobody has anything in hand any more. */
  handsNothing(): void {
    this.#handedOutAt = null
  }

  /** Ends the poll that is under way, or else the next one. */
  wakeup(): void {
    this.#woken = true
    this.#reader.wakeup()
  }

  /** The group has something to be looked after: a waiting poll goes on. */
  lookUp(): void {
    this.#reader.wakeup()
  }

  nudge(): void {
    this.#nudged = true
    this.#reader.wakeup()
  }

  /** Nobody listens any more: nobody has records, or makes room for them. */
  listeningIsOver(): void {
    this.#nudged = false
    this.shareOf = Infinity
    this.handsNothing()
  }

  /** The reader leaves out what the consumer does now. */
  tellPaused(): void {
    this.#reader.setPaused(this.#partitions.paused)
  }

  close(): Promise<void> {
    return this.#reader.close()
  }

  /** With `open`, records are open until they are completed, and it gets their keys. `countMax` 0: only what else is due. */
  async poll<K, V>(
    options: PollOptions,
    open: (string | null)[] | null,
    countMax: number = this.#parts.numbers.maxPollRecords,
  ): Promise<readonly ConsumerRecord<K, V>[]> {
    const { waitMs = 0, signal } = options
    const { clock, isOpen, numbers } = this.#parts
    this.handsNothing()
    const deadline = clock.monotonic() + waitMs
    const wake = (): void => this.wakeup()
    signal?.addEventListener('abort', wake)
    try {
      for (;;) {
        await this.#sharing.keep()
        await this.#commits.commitIfDue()
        if (this.#woken || signal?.aborted === true || !isOpen()) return []
        // Asked for here: the commit may have made room.
        const room = Math.min(countMax - this.#commits.carriedCount, numbers.maxPollRecords)
        const records = room > 0 ? this.#partitions.take<K, V>(room, open, this.#partitionShare) : []
        if (records.length > 0) return records
        const now = clock.monotonic()
        const came = await this.#fetch(Math.max(0, this.#waitUntil(deadline) - now), room > 0)
        if (this.#nudged) {
          this.#nudged = false
          return []
        }
        if (!came && !this.#sharing.needsAttention && clock.monotonic() >= deadline) return []
      }
    } finally {
      signal?.removeEventListener('abort', wake)
      this.#woken = false
      this.handsOut()
    }
  }

  /** No longer than until the next automatic commit, if there is anything to commit, or until a transaction may be over. */
  #waitUntil(deadline: number): number {
    if (this.#partitions.list.some(({ unresolved }) => unresolved))
      return Math.min(deadline, this.#parts.clock.monotonic() + unstableRetryMs)
    return Math.min(deadline, this.#commits.nextDue)
  }

  /** Whether anything came. Without `more` it only waits. */
  async #fetch(waitMs: number, more: boolean): Promise<boolean> {
    const partitions = this.#partitions
    try {
      if (partitions.moved) {
        this.#reader.assign(partitions.positions)
        partitions.moved = false
        this.tellPaused()
      }
      if (this.#sharing.needsAttention || this.#nudged) return false
      return await this.#read(waitMs, more)
    } catch (error) {
      // Closed while it waited: the poll ends with nothing.
      if (!this.#parts.isOpen()) return false
      // A topic was deleted while it waited: the next step drops what it had of it, and reads on.
      if (this.#sharing.noticeDeleted()) return true
      if (!this.#parts.starts.moveIntoRange(partitions, error)) throw error
      return true
    }
  }

  async #read(waitMs: number, more: boolean): Promise<boolean> {
    const partitions = this.#partitions
    const { neverRead } = this.#sharing
    const full = more ? partitions.full(this.#partitionShare) : partitions.places
    if (full.length > 0) this.#reader.setPaused([...partitions.paused, ...full])
    const chunks = await this.#reader
      .poll({ bytesMax: this.#parts.numbers.fetchBytesMax, waitMs: neverRead === null ? waitMs : 0 })
      .finally(() => {
        if (full.length > 0) this.tellPaused()
      })
    // As of a reader that fails for one partition: what there is of others is given out first.
    if (neverRead !== null && chunks.length === 0) throw topicDeleted(neverRead.topic)
    // A seek while the poll waited has moved the partition: what the old position gave is not asked for any more.
    if (!partitions.moved) for (const chunk of chunks) partitions.get(partitionName(chunk.at))?.add(chunk)
    return chunks.length > 0
  }

  /** Records that a listener may have of one partition. */
  get #partitionShare(): number {
    return Math.max(1, Math.floor(this.shareOf / Math.max(1, this.#partitions.list.length)))
  }
}

export interface RecordPollingParts {
  readonly clock: Clock
  readonly reader: Reader
  readonly partitions: AssignedPartitions
  readonly sharing: GroupSharing
  readonly commits: ConsumerCommits
  readonly starts: StartOffsets
  readonly numbers: Pick<ConsumerNumbers, 'maxPollRecords' | 'fetchBytesMax'>
  readonly isOpen: () => boolean
}

/** How often a partition is tried whose committed offset a transaction may still change. */
const unstableRetryMs = 20
