import type { Clock } from '../../../base/clock.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { OffsetEntry } from '../../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import type { CommitCarrier } from '../commit-carrier.ts'
import type { BytesRecord } from '../producer/producer-options.ts'
import { Producer } from '../producer/producer.ts'

/**
 * Writes failed records to their retry topics: the copies, and the offset that marks their originals as done, are
 * written in one transaction.
 *
 * - A copy waits in memory until all records before it are done, because a committed offset covers all of them. Records
 *   that fail meanwhile share the transaction: one per polled batch, or one every {@link carryDelayMsMax}, not one per
 *   record.
 * - A commit past a failed record includes its copy, no matter who requests the commit.
 * - Copies for a partition that was given up are discarded: their records were not committed, and are delivered again
 *   to the partition's next owner. The group refuses the transaction of a member that it has replaced.
 *
 * It decides neither the destination of a copy nor its contents.
 */
export class RetryHandOver implements CommitCarrier {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #transactions: RetryTransactions
  readonly #lines = new Map<string, FailedLine>()
  waitingCount: number = 0
  waitingSince: number = Infinity

  constructor(broker: Broker, clock: Clock, transactions: RetryTransactions) {
    this.#broker = broker
    this.#clock = clock
    this.#transactions = transactions
  }

  /** The waiting failures of a partition, while this consumer owns it: get it before the record is processed. */
  lineOf(at: TopicPartition): FailedLine {
    const name = partitionName(at)
    let line = this.#lines.get(name)
    if (line === undefined) {
      line = { waiting: [], isGone: false }
      this.#lines.set(name, line)
    }
    return line
  }

  /** Adds the copy of a failed record, to be written with the commit that covers the record. */
  add(line: FailedLine, offset: Offset, copy: BytesRecord): void {
    if (line.isGone) return
    line.waiting.push({ offset, copy })
    this.waitingCount += 1
    if (this.waitingSince === Infinity) this.waitingSince = this.#clock.monotonic()
  }

  /** Discards the failures of partitions that are given up. Calls that are still running hold the line that is gone. */
  forget(at: readonly TopicPartition[]): void {
    for (const place of at) {
      const name = partitionName(place)
      const line = this.#lines.get(name)
      if (line === undefined) continue
      line.isGone = true
      this.waitingCount -= line.waiting.length
      this.#lines.delete(name)
    }
    if (this.waitingCount === 0) this.waitingSince = Infinity
  }

  async commit(offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<number> {
    const ends = offsets.map(({ at, offset }) => ({ line: this.#lines.get(partitionName(at)), offset }))
    const copies = ends.flatMap(({ line, offset }) => line?.waiting.filter((one) => one.offset < offset) ?? [])
    if (copies.length === 0) {
      const { group, generation, memberId, groupInstanceId } = from
      await this.#broker.commitOffsets(group, generation, offsets, { memberId, groupInstanceId })
    } else {
      await this.#transactions.write(
        copies.map(({ copy }) => copy),
        offsets,
        from,
      )
      const written = new Set(copies)
      for (const { line } of ends) {
        // A partition that was given up meanwhile has already reduced the count.
        if (line === undefined || line.isGone) continue
        const left = line.waiting.filter((one) => !written.has(one))
        this.waitingCount -= line.waiting.length - left.length
        line.waiting = left
      }
    }
    this.waitingSince = this.waitingCount === 0 ? Infinity : this.#clock.monotonic()
    return copies.length
  }
}

/** The failures of a partition that were not written yet. */
export interface FailedLine {
  waiting: { readonly offset: Offset; readonly copy: BytesRecord }[]
  /** The partition belongs to another member now. */
  isGone: boolean
}

/**
 * The transactions of one set of retry topics, one at a time. It gets the transactional id that a process used before a
 * crash, so that `init` ends the transaction that was left open.
 */
export class RetryTransactions {
  readonly #broker: Broker
  readonly #transactionalId: string
  readonly #producer: Producer
  #last: Promise<unknown> = Promise.resolve()
  /** Why there will be no further transaction: one could not even be aborted. */
  #failure: { readonly error: unknown } | null = null

  constructor(broker: Broker, clock: Clock, group: string) {
    this.#broker = broker
    this.#transactionalId = broker.leasedNames.lease(`${group}-retry-topics`)
    const transactionTimeoutMs = Math.min(timeoutMs, broker.transactionTimeoutMaxMs)
    this.#producer = new Producer(broker, clock, { transactionalId: this.#transactionalId, transactionTimeoutMs })
  }

  init(): Promise<void> {
    return this.#producer.initTransactions()
  }

  /** Writes these records and offsets in one transaction, after those requested before. */
  write(records: readonly BytesRecord[], offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    const written = this.#last.then(() => this.#tries(records, offsets, from))
    // A failure is reported to its caller only; it does not affect the next transaction.
    this.#last = written.catch(() => {})
    return written
  }

  async #tries(records: readonly BytesRecord[], offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    for (let tries = 1; this.#failure === null; tries++) {
      try {
        return await this.#try(records, offsets, from)
      } catch (error) {
        await this.#producer.abortTransaction().catch(() => (this.#failure = { error }))
        if (tries === triesMax || !hasTimedOut(error)) throw error
      }
    }
    throw this.#failure.error
  }

  async #try(records: readonly BytesRecord[], offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    this.#producer.beginTransaction()
    // The offsets first, as the group may refuse them: then there are no records to abort.
    await this.#producer.sendOffsetsToTransaction(offsets, from)
    // Crash here, or anywhere before the end: the transaction is aborted by the next process with this id, or by its
    // timeout. No reader of committed records has seen a copy, and the group's offset is unchanged: the records are
    // delivered again.
    for (const record of records) {
      while (!this.#producer.hasRoom) await this.#producer.ready()
      this.#producer.post(record)
    }
    // Crash after its journal entry: copies and offsets are committed, and nothing is delivered again.
    await this.#producer.commitTransaction()
  }

  async close(): Promise<void> {
    await this.#last
    await this.#producer.close()
    this.#broker.leasedNames.release(this.#transactionalId)
  }
}

/** The process was suspended during the transaction, and the log has aborted it meanwhile. */
function hasTimedOut(error: unknown): boolean {
  return error instanceof LogError && (error.code === 'INVALID_PRODUCER_EPOCH' || error.code === 'INVALID_TXN_STATE')
}

/** Bounds how long an open transaction of a dead process blocks readers, if no process takes over its id. */
const timeoutMs = 10_000

const triesMax = 2
