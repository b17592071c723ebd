import type { Clock } from '../../base/clock.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { CommitCarrier } from './commit-carrier.ts'
import type { BytesRecord } from './producer-options.ts'
import { Producer } from './producer.ts'

/**
 * Hands failed records over to the topics where they wait: the copies, and the offset that says that their originals are
 * done, are one transaction.
 *
 * - A copy waits in memory until all records before it are done, for an offset says that of all of them. What failed
 *   meanwhile shares the transaction: one for a polled batch, or every {@link carryDelayMsMax}, not one per record.
 * - A commit past a record that failed carries its copy, whoever asks for the commit.
 * - What waits for a partition that was given up is dropped: the record was not committed, and comes again to whoever has
 *   the partition then. The group refuses the transaction of a member that it has replaced.
 *
 * It decides neither where a copy goes nor what is in it.
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

  /** Where the failures of a partition wait for as long as it is the consumer's: ask before the record is processed. */
  lineOf(at: TopicPartition): FailedLine {
    const name = partitionName(at)
    let line = this.#lines.get(name)
    if (line === undefined) {
      line = { waiting: [], isGone: false }
      this.#lines.set(name, line)
    }
    return line
  }

  /** The copy of a record that failed is written with the commit that covers it. */
  add(line: FailedLine, offset: Offset, copy: BytesRecord): void {
    if (line.isGone) return
    line.waiting.push({ offset, copy })
    this.waitingCount += 1
    if (this.waitingSince === Infinity) this.waitingSince = this.#clock.monotonic()
  }

  /** The partitions go to somebody else. Calls that are still under way have the line that is gone. */
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
        // A partition that was given up meanwhile took its count with it.
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

/** The failures of a partition that are not written yet. */
export interface FailedLine {
  waiting: { readonly offset: Offset; readonly copy: BytesRecord }[]
  /** The partition is somebody else's. */
  isGone: boolean
}

/**
 * The transactions of one set of retry topics, one at a time. Its transactional id is that of whoever had the same place
 * before a crash, so that `init` ends what was left open then.
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

  /** One transaction of these records and offsets, after those that were asked for before. */
  write(records: readonly BytesRecord[], offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    const written = this.#last.then(() => this.#tries(records, offsets, from))
    // Whoever asked hears of a failure; the next one is none the worse for it.
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
    // First what the group may refuse: then there is no record to abort.
    await this.#producer.sendOffsetsToTransaction(offsets, from)
    // Crash here, or anywhere before the end: the transaction is aborted by whoever takes the id over, or by its timeout.
    // No reader of committed records has seen a copy, and the group's offset is the former one: the records come again.
    for (const record of records) {
      while (!this.#producer.hasRoom) await this.#producer.ready()
      this.#producer.post(record)
    }
    // Crash behind its entry: copies and offsets count, and nothing comes again.
    await this.#producer.commitTransaction()
  }

  async close(): Promise<void> {
    await this.#last
    await this.#producer.close()
    this.#broker.leasedNames.release(this.#transactionalId)
  }
}

/** The process stood still in the middle of it, and the log has aborted the transaction meanwhile. */
function hasTimedOut(error: unknown): boolean {
  return error instanceof LogError && (error.code === 'INVALID_PRODUCER_EPOCH' || error.code === 'INVALID_TXN_STATE')
}

/** Nobody waits longer for a transaction whose process is gone, and whose id nobody has taken over. */
const timeoutMs = 10_000

const triesMax = 2
