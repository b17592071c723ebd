import type { Clock } from '../../../base/clock.ts'
import type { Reader } from '../../api/log.ts'
import { partitionName } from '../../api/record.ts'
import { topicDeleted } from '../../broker/broker.ts'
import type { ConsumerNumbers } from '../client-options.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumerCommits } from './consumer-commits.ts'
import type { ConsumerRecord, PollOptions } from './consumer-options.ts'
import type { GroupSharing } from './group-sharing.ts'
import type { StartOffsets } from './start-offsets.ts'

/**
 * How a consumer gets its next records: it does what the group requires, commits what is due, returns what was already
 * fetched, and only if there is nothing left, it fetches and waits.
 *
 * - A poll waits no longer than requested, not past the next automatic commit, and, while a partition waits for a
 *   transaction to end, only briefly before it checks again.
 * - It ends early, without records, when it is woken, when its signal is aborted, and when the consumer is closed.
 * - Fetched records are never lost: if reading fails for one partition, records of the others are returned first.
 * - An event that makes room for records (the end of a listener's call) nudges the poll: it ends, and the caller polls
 *   again.
 *
 * The consumer decides whether a poll may begin, and what happens to the records.
 */
export class RecordPolling {
  readonly #parts: RecordPollingParts
  readonly #partitions: AssignedPartitions
  readonly #sharing: GroupSharing
  readonly #commits: ConsumerCommits
  readonly #reader: Reader
  /** When (monotonic) user code received the records of the last poll; null while it has none. */
  #handedOutAt: number | null = null
  /**
   * Number of records a listener may hold across all partitions, each of which gets an equal share; Infinity: no
   * shares.
   */
  shareOf: number = Infinity
  /** A listener's call has ended, so there may be room for more records. */
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

  /** Notes that user code continues with a record that was fetched before. */
  handsOut(): void {
    this.#handedOutAt = this.#parts.clock.monotonic()
  }

  /** Notes that user code holds no records any more. */
  handsNothing(): void {
    this.#handedOutAt = null
  }

  /** Ends the running poll, or else the next one. */
  wakeup(): void {
    this.#woken = true
    this.#reader.wakeup()
  }

  /** Wakes a waiting poll, because the group needs attention. */
  lookUp(): void {
    this.#reader.wakeup()
  }

  nudge(): void {
    this.#nudged = true
    this.#reader.wakeup()
  }

  /** Listening has ended: no listener holds records, or makes room for them. */
  listeningIsOver(): void {
    this.#nudged = false
    this.shareOf = Infinity
    this.handsNothing()
  }

  /** Updates the partitions that the reader leaves out. */
  tellPaused(): void {
    this.#reader.setPaused(this.#partitions.paused)
  }

  close(): Promise<void> {
    return this.#reader.close()
  }

  /**
   * With `open`, records are open until they are completed, and `open` gets their keys. With `countMax` 0, returns no
   * records.
   */
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
        // Computed after the commit, which may have made room.
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

  /**
   * The time to wait until: not past the next automatic commit that is due, nor the next check of an open transaction.
   */
  #waitUntil(deadline: number): number {
    if (this.#partitions.list.some(({ unresolved }) => unresolved))
      return Math.min(deadline, this.#parts.clock.monotonic() + unstableRetryMs)
    return Math.min(deadline, this.#commits.nextDue)
  }

  /** Fetches, and returns whether there is anything new. Without `more` it only waits. */
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
      // The consumer was closed while it waited: the poll ends without records.
      if (!this.#parts.isOpen()) return false
      // A topic was deleted while it waited: the next round drops its partitions and continues.
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
    // Same rule as for a reader that fails for one partition: records of the others are returned first.
    if (neverRead !== null && chunks.length === 0) throw topicDeleted(neverRead.topic)
    // A seek during the wait has moved the partitions, so records from the old positions are not wanted any more.
    if (!partitions.moved) for (const chunk of chunks) partitions.get(partitionName(chunk.at))?.add(chunk)
    return chunks.length > 0
  }

  /** Number of records of one partition that a listener may hold. */
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

/** How long to wait before checking again whether a transaction may still change a committed offset. */
const unstableRetryMs = 20
