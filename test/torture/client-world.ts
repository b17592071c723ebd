import { SeededRandom } from '../../src/base/seeded-random.ts'
import { sleep } from '../../src/base/clock.ts'
import { LogError, type LogErrorCode } from '../../src/log/api/errors.ts'
import type { Bounds } from '../../src/log/api/log.ts'
import { partitionName, type TopicPartition } from '../../src/log/api/record.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { openLog } from '../../src/log/open-log.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { BoundedClock } from './bounded-clock.ts'
import { GroupLedger, type GroupSpec } from './client-groups.ts'
import { Ledger, type Incarnation, type Place, type Transaction } from './client-ledger.ts'
import { readAll } from './log-model.ts'

/** What the lives of one run have done. */
export class LifeTotals {
  lives = 0
  sent = 0
  acknowledged = 0
  delivered = 0
  transactions = 0
  commits = 0
  rebalances = 0
  restarts = 0
  administered = 0
  checks = 0
  readonly violations: string[] = []
}

/**
 * A log on a disk in memory, and all that its clients may know: time, randomness, what was sent and what must be there.
 * The same seed gives the same life.
 */
export class ClientWorld {
  readonly random: SeededRandom
  readonly totals: LifeTotals
  readonly ledger: Ledger
  readonly groups: GroupLedger[] = []
  readonly #seed: number
  readonly #options: {
    readonly recentBytesMax: number
    readonly gaps: boolean
    readonly everyCommits: number
    readonly sync: 'commit' | 'os'
  }
  clock: BoundedClock = new BoundedClock(startTime)
  #disk = new MemoryDisk()
  #log: EmbeddedLog | null = null
  #openings = 0
  #era = 0
  #names = 0
  /** Counts what happens, to tell what came first. */
  steps = 0
  /** No new work is begun. */
  isEnding = false
  isClosing = false
  readonly faults: string[] = []
  readonly #underWay = new Set<{ readonly op: string; readonly since: number }>()

  constructor(seed: number, totals: LifeTotals) {
    this.#seed = seed
    this.totals = totals
    this.random = new SeededRandom(seed)
    this.ledger = new Ledger((text) => this.fault(text))
    this.#options = {
      recentBytesMax: this.random.pick([0, 4096, 1 << 24]),
      gaps: this.random.chance(0.3),
      everyCommits: this.random.pick([0, 0, 12]),
      sync: this.random.pick(['commit', 'commit', 'os']),
    }
  }

  addGroup(spec: GroupSpec): GroupLedger {
    const group = new GroupLedger(spec, (text) => this.fault(text))
    this.groups.push(group)
    return group
  }

  get log(): EmbeddedLog {
    if (this.#log === null) throw new Error('the log is closed')
    return this.#log
  }

  /** Processes of before the last restart do nothing any more. */
  get era(): number {
    return this.#era
  }

  name(kind: string): string {
    return `${kind}${this.#names++}`
  }

  fault(text: string): void {
    if (this.faults.length < faultsMax && !this.faults.includes(text)) this.faults.push(text)
  }

  async open(): Promise<void> {
    const ids = new SeededRandom(this.#seed * 1000 + this.#openings++)
    const { recentBytesMax, gaps, everyCommits, sync } = this.#options
    this.clock = new BoundedClock(this.clock.now() + 1)
    this.#log = await openLog({
      dataDir: '/data',
      disk: this.#disk,
      clock: this.clock,
      sync,
      segmentBytes: 2048,
      segmentMs: 20_000,
      journalFileBytesMin: 16 * 1024,
      journalFileBytesMax: 32 * 1024,
      checkpointIntervalMs: 5000,
      checkpointEveryCommits: everyCommits,
      unappliedBytesMax: 64 * 1024,
      recentBytesMax,
      retentionCheckIntervalMs: 2000,
      compactionIntervalMs: 2000,
      scrubIntervalMs: 5000,
      transactionCheckIntervalMs: 1000,
      randomBytes: (count) => Uint8Array.from({ length: count }, () => ids.below(256)),
      ...(gaps ? { nextGap: () => (ids.chance(0.2) ? ids.between(1, 3) : 0) } : {}),
    })
  }

  /**
   * Ends the process, or cuts the power; whoever used the log is gone. Under `sync: 'os'` the power stays on, because what
   * was acknowledged is promised to survive only the process.
   */
  async crash(how: 'process' | 'power'): Promise<void> {
    const isCut = how === 'power' && this.#options.sync === 'commit'
    const left = isCut ? this.#disk.cut(this.random) : this.#disk.clone()
    this.#era++
    this.#underWay.clear()
    this.#disk.crashProcess()
    this.#disk = left
    await this.#begin()
  }

  /** Closes the log under the hands of its clients, and opens it again. */
  async reopen(): Promise<void> {
    this.isClosing = true
    const closing = this.log.close()
    for (let turn = 0; turn < 20; turn++) await this.clock.run(50)
    await closing
    await this.clock.run(1000)
    this.#era++
    this.#underWay.clear()
    await this.#begin()
  }

  async #begin(): Promise<void> {
    this.isClosing = false
    this.totals.restarts++
    for (const group of this.groups) group.beginEra()
    await this.open()
    await this.verify()
    this.ledger.processEnded()
    await this.verify()
  }

  /** Lets time pass; a client that makes no progress is a violation. */
  async run(ms: number): Promise<void> {
    await this.clock.run(ms)
    // Whoever can go on without time passing does so: after a crash nobody of before is left in the middle.
    await new Promise((resolve) => setImmediate(resolve))
    for (const { op, since } of this.#underWay)
      if (this.clock.monotonic() - since > waitMax) this.fault(`${op} has not ended in ${waitMax} ms`)
  }

  /** Waits; never returns for a process that has ended. */
  async sleep(ms: number): Promise<void> {
    const era = this.#era
    await sleep(this.clock, ms)
    if (era !== this.#era) await never
  }

  /** Does something that may fail in these ways; anything else is a violation. Never returns for an ended process. */
  async attempt<T>(op: string, allowed: readonly LogErrorCode[], act: () => T | Promise<T>): Promise<Answer<T>> {
    const era = this.#era
    const call = { op, since: this.clock.monotonic() }
    this.#underWay.add(call)
    this.steps++
    try {
      const value = await act()
      if (era !== this.#era) return await never
      return { value }
    } catch (error) {
      if (era !== this.#era) return await never
      if (error instanceof OwnFailure) return { error: 'own' }
      const code = error instanceof LogError ? error.code : null
      if (code === null || !(allowed.includes(code) || (code === 'CLOSED' && this.isClosing)))
        this.fault(`${op}: ${describe(error)}`)
      return { error: code ?? 'WRITE_FAILED' }
    } finally {
      this.#underWay.delete(call)
    }
  }

  incarnation(topic: string): Incarnation | undefined {
    const info = this.log.broker.topic(topic)
    return info === undefined ? undefined : this.ledger.incarnation(info)
  }

  place({ topic, partition }: TopicPartition): Place | undefined {
    return this.incarnation(topic)?.place(partition)
  }

  get topics(): readonly Incarnation[] {
    return this.log.admin.listTopics().map((info) => this.ledger.incarnation(info))
  }

  /** Holds everything in the log against what was sent. */
  async verify(): Promise<void> {
    this.totals.checks++
    for (const incarnation of this.ledger.incarnations) this.#checkTopic(incarnation)
    for (const incarnation of this.topics)
      for (let partition = 0; partition < incarnation.partitions; partition++)
        await this.#checkPlace(incarnation.place(partition))
    for (const transaction of this.ledger.transactions) this.#checkTransaction(transaction)
    for (const sent of this.ledger.unplaced) {
      const now = this.incarnation(sent.incarnation?.topic ?? '')
      if (sent.incarnation === null || now !== sent.incarnation || removes(now)) continue
      this.fault(`${sent.value} was acknowledged and is not in ${now.topic}`)
    }
    for (const group of this.groups) this.#checkGroup(group)
    const damage = this.log.admin.listDamage()
    if (damage.length > 0) this.fault(`the scrubber reports ${JSON.stringify(damage[0])}`)
  }

  #checkTopic(incarnation: Incarnation): void {
    const info = this.log.broker.topic(incarnation.topic)
    if (info?.id !== incarnation.id) {
      if (incarnation.created && !incarnation.deleteAsked) this.fault(`topic ${incarnation.topic} is gone`)
      return
    }
    if (incarnation.deletedAt < Infinity) this.fault(`topic ${incarnation.topic} (${incarnation.number}) is back`)
    if (info.partitions < incarnation.partitions)
      this.fault(`topic ${incarnation.topic} has ${info.partitions} partitions, not ${incarnation.partitions}`)
    incarnation.partitions = info.partitions
  }

  #bounds(place: Place, isolation: 'durable' | 'committed'): Bounds | null {
    if (this.place(place.at) !== place) return null
    return this.log.broker.bounds([place.at], isolation)[0] ?? null
  }

  /** Where a partition begins now; null if it is gone. */
  startOf(place: Place): number | null {
    return this.#bounds(place, 'durable')?.start ?? null
  }

  async #checkPlace(place: Place): Promise<void> {
    const stable = this.#bounds(place, 'committed')
    if (stable === null) return
    const read = async (isolation: 'durable' | 'committed'): Promise<readonly Found[] | null> => {
      try {
        const contents = await readAll(this.log, [place.at], isolation)
        return (contents.get(partitionName(place.at)) ?? []).map(({ offset, value, key }) => ({ offset, value, key }))
      } catch (error) {
        // Retention and deletion go on while it is read.
        if (error instanceof LogError && ['OFFSET_OUT_OF_RANGE', 'UNKNOWN_TOPIC'].includes(error.code)) return null
        throw error
      }
    }
    // What is committed is read first: everything below its end must then be found by the second reader as well.
    const committed = await read('committed')
    const durable = await read('durable')
    const bounds = this.#bounds(place, 'durable')
    if (committed === null || durable === null || bounds === null) return
    const last = new Map<string, number>()
    for (const { offset, value, key } of durable) {
      const sent = this.ledger.read(place, offset, valueOf(value))
      if (sent === null) continue
      if (sent.key !== key) this.fault(`${sent.value} has the key ${key}, sent was ${sent.key}`)
      const before = last.get(sent.writer) ?? -1
      if (before > sent.index) this.fault(`${place.name}: ${sent.value} comes after number ${before} of its producer`)
      last.set(sent.writer, sent.index)
    }
    this.#checkKept(place, durable, bounds)
    this.#checkCommitted(place, { durable, committed, stableEnd: stable.end, start: bounds.start })
    this.#checkStableEnd(place)
  }

  #checkKept(place: Place, durable: readonly Found[], { start, end }: Bounds): void {
    const { incarnation } = place
    const found = new Set(durable.map(({ offset }) => offset))
    const newest = new Map<string, number>()
    for (const [offset, { key, transaction }] of place.known)
      if (transaction?.outcome !== 'aborted' && found.has(offset))
        newest.set(key, Math.max(newest.get(key) ?? 0, offset))
    let bytesAfter = 0
    for (const [offset, sent] of [...place.known].toSorted(([left], [right]) => right - left)) {
      bytesAfter += recordBytesMax
      if (found.has(offset) || offset < place.deletedBelow) continue
      if (offset < start) {
        const old = this.clock.now() - sent.sentAt >= incarnation.retentionMs
        if (old || bytesAfter + (end - offset) * recordBytesMax >= incarnation.retentionBytes) continue
        this.fault(`${place.name} starts at ${start}: ${sent.value} at ${offset} was removed too early`)
        continue
      }
      const replaced = (newest.get(sent.key) ?? -1) > offset || sent.transaction?.outcome === 'aborted'
      if (incarnation.compacts && (replaced || sent.transaction?.outcome === 'open')) continue
      if (incarnation.compacts && sent.transaction?.outcome === 'unknown') {
        // Compaction removes what was aborted, so it was: if another of its records is ever shown, that is a fault.
        sent.transaction.outcome = 'aborted'
        continue
      }
      this.fault(`${place.name} (${start} to ${end}) has lost ${sent.value} at ${offset}`)
    }
  }

  #checkCommitted(place: Place, was: CommittedView): void {
    const { durable, committed, stableEnd, start } = was
    const seen = new Set(committed.map(({ offset }) => offset))
    const offsets = new Set(durable.map(({ offset }) => offset))
    for (const { offset, value } of committed) {
      const sent = this.ledger.of(valueOf(value))
      if (offset >= start && !offsets.has(offset) && !place.incarnation.compacts)
        this.fault(`${place.name} has offset ${offset} for readers of committed records only`)
      if (sent !== undefined && sent.transaction !== null)
        this.shown(sent.transaction, `${sent.value} of ${place.name}`)
    }
    for (const { offset, value } of durable) {
      const sent = this.ledger.of(valueOf(value))
      if (sent === undefined || offset >= stableEnd || seen.has(offset)) continue
      if (sent.transaction === null || sent.transaction.outcome === 'committed')
        this.fault(`${place.name}: ${sent.value} at ${offset} is hidden from readers of committed records`)
      // The log has decided it, and not in its favour.
      else if (sent.transaction.outcome === 'unknown') sent.transaction.outcome = 'aborted'
    }
  }

  /** A reader of committed records was given a record of this transaction. */
  shown(transaction: Transaction, what: string): void {
    if (transaction.outcome === 'unknown') transaction.outcome = 'committed'
    if (transaction.outcome !== 'committed')
      this.fault(`${what} is shown as committed, its transaction is ${transaction.outcome}`)
  }

  #checkTransaction(transaction: Transaction): void {
    const { outcome, records } = transaction
    if (outcome === 'committed' && transaction.ended)
      for (const { outcome: answer, value } of records)
        if (answer === 'refused') this.fault(`a transaction was committed without ${value}`)
    if (outcome === 'committed' || outcome === 'aborted') this.#forgetLater(transaction)
  }

  /** Transactions that have ended are looked at once more. */
  #forgetLater(transaction: Transaction): void {
    if (transaction.ended && transaction.records.every(({ outcome }) => outcome !== 'underWay'))
      this.ledger.transactions.delete(transaction)
  }

  #checkStableEnd(place: Place): void {
    const [stable, durable] = [this.#bounds(place, 'committed'), this.#bounds(place, 'durable')]
    if (stable === null || durable === null || stable.end === durable.end) return
    if (stable.end > durable.end) this.fault(`${place.name} is stable to ${stable.end} and ends at ${durable.end}`)
    const first = place.known.get(stable.end)
    if (first === undefined || first.transaction === null || first.transaction.ended)
      this.fault(`${place.name} is stable to ${stable.end} of ${durable.end}, where ${first?.value ?? 'nothing'} is`)
  }

  #checkGroup(group: GroupLedger): void {
    group.checkGaps((place) => this.startOf(place))
    for (const incarnation of this.topics)
      for (let partition = 0; partition < incarnation.partitions; partition++) {
        const place = incarnation.place(partition)
        const [entry] = this.log.admin.committedOffsets(group.spec.name, [place.at])
        group.checkCommitted(place, entry?.offset ?? null)
        if (entry === undefined) continue
        const [missed] = group.unprocessed(place, this.startOf(place) ?? 0, entry.offset)
        if (missed !== undefined)
          this.fault(`group ${group.spec.name} is at ${entry.offset} of ${place.name}, ${missed} was not processed`)
      }
  }
}

export type Answer<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly error: LogErrorCode | 'own'; readonly value?: undefined }

/** What listeners of ours throw. */
export class OwnFailure extends Error {}

interface Found {
  readonly offset: number
  readonly value: string | null
  readonly key: string | null
}

interface CommittedView {
  readonly durable: readonly Found[]
  readonly committed: readonly Found[]
  readonly stableEnd: number
  readonly start: number
}

/** Values are padded to different lengths. */
export function valueOf(text: string | null): string {
  return text?.split('|')[0] ?? ''
}

/** Whether records may be gone before anybody has read them. */
function removes({ compacts, retentionBytes, retentionMs, hasDeleted }: Incarnation): boolean {
  return compacts || hasDeleted || retentionBytes < Infinity || retentionMs < Infinity
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 6).join(' ') : String(error)
}

const never: Promise<never> = new Promise<never>(() => {})
const startTime = 1_700_000_000_000
const faultsMax = 5
/** Longer than any time-out of a client. */
const waitMax = 150_000
/** More than the longest value and its batch take, or a marker. */
const recordBytesMax = 1250
