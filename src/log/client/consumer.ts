import type { Clock } from '../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../base/lifecycle.ts'
import type { AnyTopic, Topic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import type { Isolation, Membership, OffsetEntry, Position, Reader } from '../api/log.ts'
import { partitionName, type Header, type Offset, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import { clientNumbers, consumerNumbers } from './client-options.ts'
import { ConsumedPartition } from './consumed-partition.ts'
import { bytesFormat, checkFormat, declaredFormat, type BytesOut, type RecordFormat } from './record-format.ts'

/**
 * Reads records, by hand from partitions of choice (`assign`) or as the one member of a group (`subscribe`).
 *
 * - The position of a partition is the offset of the record that comes next; `poll` moves it past what it gives out.
 * - It starts at the group's committed offset; without one, and where the log no longer has it, as `autoOffsetReset` says.
 * - Automatic commits happen inside `poll` and `close` and cover what earlier polls gave out: after a crash the records
 *   of the last poll come again. With an interval of 0 they are off.
 * - A record that cannot be read (foreign bytes in a declared topic) is INVALID_RECORD, on the poll that would start with
 *   it; the position stays, `seek` past it to go on.
 *
 * Rebalancing between several members is not here: a second member is GROUP_IN_USE.
 * @example
 * const consumer = log.consumer({ group: 'report', topics: [pageViews], autoOffsetReset: 'earliest' })
 * consumer.subscribe()
 * for await (const { key, value } of consumer) report(key, value.path)
 */
export class Consumer<out K = BytesOut, out V = BytesOut> {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #group: string | undefined
  readonly #autoOffsetReset: OffsetReset
  readonly #isolation: Isolation
  readonly #pollRecordsMax: number
  readonly #fetchBytesMax: number
  readonly #autoCommitIntervalMs: number
  readonly #declared: ReadonlyMap<string, AnyTopic>
  readonly #reader: Reader
  readonly #lifecycle = new Lifecycle<ConsumerPhase>('the consumer', consumerTransitions, 'open')

  #membership: Membership | null = null
  #partitions: ConsumedPartition[] = []
  readonly #byName = new Map<string, ConsumedPartition>()
  /** Which partition gives first in the next poll. */
  #first = 0
  /** The reader does not stand where the partitions do: a seek or an assignment came in between. */
  #moved = false
  #committedAt: number
  #polling = false

  constructor(broker: Broker, clock: Clock, options: ConsumerOptions<K, V> = {}) {
    const numbers = clientNumbers('consumer', consumerNumbers, options)
    this.#broker = broker
    this.#clock = clock
    this.#group = options.group
    this.#autoOffsetReset = checkedReset(options.autoOffsetReset ?? 'latest')
    this.#isolation = options.isolation ?? 'committed'
    this.#pollRecordsMax = numbers.pollRecordsMax
    this.#fetchBytesMax = numbers.fetchBytesMax
    this.#autoCommitIntervalMs = options.group === undefined ? 0 : numbers.autoCommitIntervalMs
    this.#declared = new Map((options.topics ?? []).map((topic) => [topic.name, topic]))
    this.#committedAt = clock.monotonic()
    this.#reader = broker.openReader({ isolation: this.#isolation })
  }

  /**
   * Joins the group as its one member and takes all partitions of these topics, by default of all declared ones. Throws
   * GROUP_IN_USE, UNKNOWN_TOPIC, TOPIC_MISMATCH, or NO_OFFSET if nothing is committed and there is no reset.
   */
  subscribe(topics: readonly string[] = [...this.#declared.keys()]): void {
    this.#checkIdle()
    const group = this.#groupName()
    if (this.#membership !== null) throw misuse('the consumer is subscribed already: unsubscribe first')
    if (topics.length === 0) throw misuse('subscribe to at least one topic, or declare topics in the options')
    const membership = this.#broker.joinGroup({ group, topics })
    try {
      this.#take(membership.assigned)
    } catch (error) {
      void membership.leave()
      throw error
    }
    this.#membership = membership
  }

  /** Takes exactly these partitions, without joining a group; a group in the options still keeps the offsets. */
  assign(at: readonly TopicPartition[]): void {
    this.#checkIdle()
    if (this.#membership !== null) throw misuse('the consumer is subscribed: unsubscribe before you assign')
    this.#take(at)
  }

  /** Gives up all partitions and leaves the group. Commits first, if commits are automatic. */
  async unsubscribe(): Promise<void> {
    this.#checkIdle()
    await this.#leave()
  }

  get assignment(): readonly TopicPartition[] {
    return this.#partitions.map((partition) => partition.at)
  }

  /**
   * The next records, at most `pollRecordsMax`; waits up to `waitMs` (default 0) for the first. Records of a partition
   * come in the order of their offsets.
   */
  async poll(options: { readonly waitMs?: number } = {}): Promise<readonly ConsumerRecord<K, V>[]> {
    this.#checkIdle()
    this.#polling = true
    try {
      await this.#commitIfDue()
      const deadline = this.#clock.monotonic() + (options.waitMs ?? 0)
      for (;;) {
        const records = this.#takeRecords()
        if (records.length > 0 || !this.#lifecycle.is('open')) return records
        const waitMs = Math.max(0, deadline - this.#clock.monotonic())
        if (!(await this.#fetch(waitMs))) return []
      }
    } finally {
      this.#polling = false
    }
  }

  /** Ends a waiting `poll` early; it resolves with nothing. */
  wakeup(): void {
    this.#reader.wakeup()
  }

  /** Every record from here on, until the consumer is closed. Do not poll beside it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ConsumerRecord<K, V>, void, undefined> {
    while (this.#lifecycle.is('open')) {
      for (const record of await this.poll({ waitMs: iterationWaitMs })) yield record
    }
  }

  /** The offset of the record that comes next from this partition. */
  position(at: TopicPartition): Offset {
    return this.#of(at).position
  }

  /** Goes to an offset, to the `beginning` or `end` of what can be read, or to the first record of a time. */
  seek(at: TopicPartition, to: SeekTarget): void {
    this.#checkIdle()
    const partition = this.#of(at)
    partition.moveTo(this.#resolve(at, to))
    this.#moved = true
  }

  /** Leaves these partitions out of `poll` until they are resumed. Their positions stay. */
  pause(at: readonly TopicPartition[]): void {
    for (const place of at) this.#of(place).paused = true
    this.#tellPaused()
  }

  resume(at: readonly TopicPartition[]): void {
    for (const place of at) this.#of(place).paused = false
    this.#tellPaused()
  }

  get paused(): readonly TopicPartition[] {
    return this.#partitions.filter((partition) => partition.paused).map((partition) => partition.at)
  }

  /** Commits these offsets (the next to read), by default the positions of all partitions. Resolves when written. */
  async commitOffsets(offsets?: readonly OffsetEntry[]): Promise<void> {
    this.#checkOpen()
    await this.#commit(offsets ?? this.#partitions.map((partition) => partition.progress()))
  }

  /** What the group has committed, by default for all partitions of this consumer; partitions without are left out. */
  committed(at: readonly TopicPartition[] = this.assignment): readonly OffsetEntry[] {
    return this.#broker.committedOffsets(this.#groupName(), at)
  }

  /** Commits if commits are automatic, leaves the group and ends. A waiting poll resolves with nothing. */
  async close(): Promise<void> {
    if (!this.#lifecycle.is('open')) return
    this.#lifecycle.to('closing')
    try {
      this.#reader.wakeup()
      await this.#leave()
    } finally {
      this.#lifecycle.to('closed')
      await this.#reader.close()
    }
  }

  async #leave(): Promise<void> {
    try {
      if (this.#autoCommitIntervalMs > 0) await this.#commitProgress()
    } finally {
      await this.#membership?.leave()
      this.#membership = null
      this.#partitions = []
      this.#byName.clear()
      this.#moved = true
    }
  }

  #take(at: readonly TopicPartition[]): void {
    const committed = new Map<string, OffsetEntry>()
    if (this.#group !== undefined) {
      for (const entry of this.#broker.committedOffsets(this.#group, at)) committed.set(partitionName(entry.at), entry)
    }
    const partitions = new Map<string, ConsumedPartition>()
    for (const place of at) {
      const name = partitionName(place)
      const format = this.#formatOf(place)
      const start = committed.get(name)?.offset ?? this.#reset(place)
      partitions.set(name, new ConsumedPartition(place, format, start))
    }
    this.#partitions = [...partitions.values()]
    this.#byName.clear()
    for (const [name, partition] of partitions) this.#byName.set(name, partition)
    this.#first = 0
    this.#moved = true
  }

  #formatOf(at: TopicPartition): RecordFormat {
    const info = this.#broker.topic(at.topic)
    if (info === undefined) throw new LogError('UNKNOWN_TOPIC', `topic ${at.topic} does not exist`, { topic: at.topic })
    if (!Number.isInteger(at.partition) || at.partition < 0 || at.partition >= info.partitions) {
      throw new LogError(
        'UNKNOWN_PARTITION',
        `topic ${at.topic} has partitions 0 to ${info.partitions - 1}, not ${at.partition}`,
        { ...at },
      )
    }
    const declared = this.#declared.get(at.topic)
    if (declared === undefined) {
      // The types promise records of the declared topics; bytes among them would break the promise.
      if (this.#declared.size === 0) return bytesFormat(at.topic)
      throw misuse(`topic ${at.topic} is not among the declared ones: ${[...this.#declared.keys()].join(', ')}`)
    }
    const format = declaredFormat(declared)
    checkFormat(info, format)
    return format
  }

  #takeRecords(): readonly ConsumerRecord<K, V>[] {
    const records: ConsumerRecord<K, V>[] = []
    const count = this.#partitions.length
    for (let step = 0; step < count && records.length < this.#pollRecordsMax; step++) {
      const partition = this.#partitions[(this.#first + step) % count] as ConsumedPartition
      if (partition.paused) continue
      // The declared topics say that their records have these types; `take` has validated them.
      partition.take(records, this.#pollRecordsMax)
    }
    if (count > 0) this.#first = (this.#first + 1) % count
    return records
  }

  /** Whether anything came. */
  async #fetch(waitMs: number): Promise<boolean> {
    if (this.#moved) {
      this.#moved = false
      this.#reader.assign(
        this.#partitions.map((partition): Position => ({ at: partition.at, offset: partition.fetchAt })),
      )
      this.#tellPaused()
    }
    try {
      const chunks = await this.#reader.poll({ bytesMax: this.#fetchBytesMax, waitMs })
      // A seek while the poll waited has moved the partition: what the old position gave is not asked for any more.
      if (!this.#moved) for (const chunk of chunks) this.#byName.get(partitionName(chunk.at))?.add(chunk)
      return chunks.length > 0
    } catch (error) {
      // Closed while it waited: the poll ends with nothing.
      if (!this.#lifecycle.is('open')) return false
      if (!this.#resetWhere(error)) throw error
      return true
    }
  }

  /** Moves partitions whose offset the log does not have any more, if there is a reset. */
  #resetWhere(error: unknown): boolean {
    if (!(error instanceof LogError) || error.code !== 'OFFSET_OUT_OF_RANGE' || this.#autoOffsetReset === 'none')
      return false
    let any = false
    const bounds = this.#broker.bounds(this.assignment, this.#isolation)
    for (const { at, start, end } of bounds) {
      const partition = this.#of(at)
      if (partition.fetchAt >= start && partition.fetchAt <= end) continue
      partition.moveTo(this.#autoOffsetReset === 'earliest' ? start : end)
      any = true
    }
    this.#moved ||= any
    return any
  }

  #reset(at: TopicPartition): Offset {
    if (this.#autoOffsetReset === 'none') {
      throw new LogError(
        'NO_OFFSET',
        `${this.#group === undefined ? 'no group' : `group ${this.#group}`} has a committed offset for ${partitionName(at)} and autoOffsetReset is none: seek, commit one, or choose earliest or latest`,
        { group: this.#group, ...at },
      )
    }
    return this.#resolve(at, this.#autoOffsetReset === 'earliest' ? 'beginning' : 'end')
  }

  #resolve(at: TopicPartition, to: SeekTarget): Offset {
    if (typeof to === 'number') {
      if (Number.isSafeInteger(to) && to >= 0) return to
      throw new LogError('OFFSET_OUT_OF_RANGE', `offset ${to} of ${partitionName(at)}: use an integer of 0 or more`, {
        to,
      })
    }
    if (typeof to === 'object') {
      if (!Number.isSafeInteger(to.timestamp)) {
        throw new LogError('INVALID_TIMESTAMP', `seek to time ${to.timestamp}: use milliseconds, an integer`, { ...to })
      }
      return onlyOne(this.#broker.offsetsForTime([{ at, timestamp: to.timestamp }])).offset
    }
    const { start, end } = onlyOne(this.#broker.bounds([at], this.#isolation))
    return to === 'beginning' ? start : end
  }

  #tellPaused(): void {
    this.#reader.setPaused(this.paused)
  }

  async #commitIfDue(): Promise<void> {
    if (this.#autoCommitIntervalMs === 0) return
    if (this.#clock.monotonic() - this.#committedAt < this.#autoCommitIntervalMs) return
    await this.#commitProgress()
  }

  async #commitProgress(): Promise<void> {
    this.#committedAt = this.#clock.monotonic()
    await this.#commit(
      this.#partitions.filter((partition) => partition.hasProgress).map((partition) => partition.progress()),
    )
  }

  async #commit(offsets: readonly OffsetEntry[]): Promise<void> {
    if (offsets.length === 0) return
    await this.#broker.commitOffsets(this.#groupName(), this.#membership?.generation ?? -1, offsets)
    for (const { at, offset } of offsets) this.#byName.get(partitionName(at))?.committed(offset)
  }

  #groupName(): string {
    if (this.#group === undefined) throw misuse('the consumer has no group: give one in its options')
    return this.#group
  }

  #of(at: TopicPartition): ConsumedPartition {
    const partition = this.#byName.get(partitionName(at))
    if (partition !== undefined) return partition
    throw new LogError('UNKNOWN_PARTITION', `${partitionName(at)} is not assigned to this consumer`, { ...at })
  }

  #checkOpen(): void {
    if (!this.#lifecycle.is('open')) throw new LogError('CLOSED', 'the consumer is closed')
  }

  #checkIdle(): void {
    this.#checkOpen()
    if (this.#polling) throw misuse('a poll is going on: a consumer does one thing at a time, await it first')
  }
}

/** Where a partition without a committed offset starts. Kafka: `auto.offset.reset`. */
export type OffsetReset = 'earliest' | 'latest' | 'none'

export type SeekTarget = Offset | 'beginning' | 'end' | { readonly timestamp: number }

export interface ConsumerOptions<K, V> {
  /** Whose committed offsets are used. Default none: nothing is committed. Kafka: `group.id`. */
  readonly group?: string
  /** Declared topics: their records come decoded and validated, and no others may be read. Default: bytes of any topic. */
  readonly topics?: readonly Topic<K, V, never, never>[]
  /** Default `latest`, as Kafka has it. */
  readonly autoOffsetReset?: OffsetReset
  /** Time between automatic commits. Default 5000 ms with a group; 0: off. Kafka: `auto.commit.interval.ms`. */
  readonly autoCommitIntervalMs?: number
  /** Records of one poll. Default 500. Kafka: `max.poll.records`. */
  readonly pollRecordsMax?: number
  /** Bytes fetched at a time. Default 1 MiB. Kafka: `fetch.max.bytes`. */
  readonly fetchBytesMax?: number
  /** Default `committed`. Kafka: `isolation.level`. */
  readonly isolation?: Isolation
}

/** A record as it was read. Bytes are views of memory that does not change, and that lives as long as they do. */
export interface ConsumerRecord<out K, out V> {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestamp: number
  readonly key: K
  readonly value: V
  readonly headers: readonly Header[]
}

type ConsumerPhase = 'open' | 'closing' | 'closed'

const consumerTransitions: Transitions<ConsumerPhase> = { open: ['closing'], closing: ['closed'], closed: [] }

/** How long an iteration waits at a time; `close` wakes it. */
const iterationWaitMs = 60_000

function checkedReset(reset: OffsetReset): OffsetReset {
  if (reset === 'earliest' || reset === 'latest' || reset === 'none') return reset
  throw new LogError('INVALID_CONFIG', `autoOffsetReset is ${String(reset)}: use earliest, latest or none`, { reset })
}

function misuse(what: string): LogError {
  return new LogError('INVALID_CONFIG', what)
}

function onlyOne<T>(list: readonly T[]): T {
  const [first] = list
  if (first === undefined) throw new LogError('UNKNOWN_PARTITION', 'the log does not know the partition')
  return first
}
