import type { Clock } from '../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../base/lifecycle.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { Isolation, OffsetEntry, Position, Reader } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import { namedAssignors } from './assignors/named-assignors.ts'
import { clientNumbers, consumerNumbers, type ConsumerNumbers } from './client-options.ts'
import { ConsumedPartition } from './consumed-partition.ts'
import type {
  ConsumerOptions,
  ConsumerRecord,
  ListenOptions,
  PartitionLag,
  PollOptions,
  RebalanceListener,
  RecordBatch,
  RecordListenOptions,
} from './consumer-options.ts'
import { GroupMembership } from './group-membership.ts'
import { checkedReset, resolveReset, resolveSeek, type CheckedReset, type SeekTarget } from './offset-reset.ts'
import { bytesFormat, checkFormat, declaredFormat, type BytesOut, type RecordFormat } from './record-format.ts'
import { RecordRunner } from './record-runner.ts'
import { TopicSubscription } from './topic-subscription.ts'

/**
 * Reads records: from partitions of choice (`assign`), or sharing topics with the other members of a group (`subscribe`).
 * Records come by `poll`, by `for await`, or to a listener (`eachRecord`, `eachBatch`).
 *
 * - The position of a partition is the offset of the record that comes next; `poll` moves it past what it gives out.
 * - It starts at the group's committed offset; without one, and where the log no longer has it, as `autoOffsetReset` says.
 * - Automatic commits cover what was processed: by poll, what earlier polls gave out (and, when partitions are given up or
 *   the consumer is closed, the last one too); by iteration and listeners, everything before the first record that is not
 *   done. After a crash what was not committed comes again: at least once.
 * - A rebalance happens inside `poll`: listeners are called there, and who does not poll holds the group up, for at most
 *   `maxPollIntervalMs`; then the others go on without it.
 * - A poll never waits longer than `waitMs` for other members; it may take a moment longer for the log's own writes.
 * - A record that cannot be read (foreign bytes in a declared topic) is INVALID_RECORD, on the poll that would start with
 *   it; the position stays, `seek` past it to go on.
 * @example
 * const consumer = log.consumer({ group: 'report', topics: [pageViews], autoOffsetReset: 'earliest' })
 * consumer.subscribe()
 * for await (const { key, value } of consumer) report(key, value.path)
 */
export class Consumer<out K = BytesOut, out V = BytesOut> {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #identity: Pick<ConsumerOptions<never, never>, 'groupInstanceId' | 'clientId' | 'assignors'>
  readonly #numbers: ConsumerNumbers
  readonly #group: string | undefined
  readonly #autoOffsetReset: CheckedReset
  readonly #isolation: Isolation
  readonly #autoCommitIntervalMs: number
  readonly #declared: ReadonlyMap<string, AnyTopic>
  readonly #reader: Reader
  readonly #lifecycle = new Lifecycle<ConsumerPhase>('the consumer', consumerTransitions, 'open')

  #membership: GroupMembership | null = null
  #listener: RebalanceListener = {}
  #partitions: ConsumedPartition[] = []
  readonly #byName = new Map<string, ConsumedPartition>()
  /** Which partition gives first in the next poll. */
  #first = 0
  /** The reader does not stand where the partitions do: a seek or an assignment came in between. */
  #moved = false
  #committedAt: number
  #use: 'idle' | 'polling' | 'inListener' | 'iterating' | 'running' = 'idle'
  /** Since when (monotonic) user code has what the last poll gave out. */
  #handedOutAt: number | null = null
  #runner: RecordRunner | null = null
  #runEnded: Promise<void> = Promise.resolve()
  #stopRunning: () => void = () => {}
  /** Something other than records has to be looked after; a waiting poll was woken for it. */
  #attention = false
  /** A listener's call has ended: there may be room for more. */
  #nudged = false
  #woken = false

  constructor(broker: Broker, clock: Clock, options: ConsumerOptions<K, V> = {}) {
    this.#broker = broker
    this.#clock = clock
    const { groupInstanceId, clientId, assignors } = options
    this.#identity = {
      ...(groupInstanceId === undefined ? {} : { groupInstanceId }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(assignors === undefined ? {} : { assignors }),
    }
    this.#numbers = clientNumbers('consumer', consumerNumbers, options)
    this.#group = options.group
    this.#autoOffsetReset = checkedReset(options.autoOffsetReset ?? 'latest')
    this.#isolation = options.isolation ?? 'committed'
    this.#autoCommitIntervalMs = options.group === undefined ? 0 : this.#numbers.autoCommitIntervalMs
    this.#declared = new Map((options.topics ?? []).map((topic) => [topic.name, topic]))
    this.#committedAt = clock.monotonic()
    const { heartbeatIntervalMs, sessionTimeoutMs } = this.#numbers
    if (heartbeatIntervalMs >= sessionTimeoutMs)
      throw misuse(
        `heartbeatIntervalMs is ${heartbeatIntervalMs}, not below sessionTimeoutMs (${sessionTimeoutMs}): use a third of it`,
      )
    namedAssignors(assignors)
    this.#reader = broker.openReader({ isolation: this.#isolation })
  }

  /**
   * Shares these topics with the other members of the group: by name (default all declared ones), or all whose name matches
   * a pattern, also those that come later. The group is joined by the next `poll`. Throws UNKNOWN_TOPIC or TOPIC_MISMATCH.
   * @example consumer.subscribe(/^orders-/, { onPartitionsRevoked: () => consumer.commitOffsets() })
   */
  subscribe(topics: readonly string[] | RegExp = [...this.#declared.keys()], listener: RebalanceListener = {}): void {
    this.#checkIdle()
    const group = this.#groupName()
    if (this.#membership !== null) throw misuse('the consumer is subscribed already: unsubscribe first')
    if (topics instanceof RegExp) {
      if (this.#declared.size > 0) throw misuse('a consumer of declared topics subscribes to them by name')
    } else {
      if (topics.length === 0) throw misuse('subscribe to at least one topic, or declare topics in the options')
    }
    const subscription = new TopicSubscription(this.#broker, topics)
    for (const topic of subscription.topics) this.#formatOf({ topic, partition: 0 })
    this.#drop(this.#partitions)
    this.#listener = listener
    this.#membership = new GroupMembership({
      broker: this.#broker,
      clock: this.#clock,
      group,
      groupInstanceId: this.#identity.groupInstanceId ?? null,
      clientId: this.#identity.clientId ?? 'consumer',
      assignors: namedAssignors(this.#identity.assignors),
      ...this.#numbers,
      topics: () => subscription.topics,
      busySince: () => this.#busySince(),
      wake: () => this.#callAttention(),
    })
  }

  /** Takes exactly these partitions, without joining a group; a group in the options still keeps the offsets. */
  assign(at: readonly TopicPartition[]): void {
    this.#checkIdle()
    if (this.#membership !== null) throw misuse('the consumer is subscribed: unsubscribe before you assign')
    const taken = at.map((place) => new ConsumedPartition(place, this.#formatOf(place), 0))
    this.#resolveStarts(taken)
    this.#replace(taken)
  }

  /** Gives up all partitions and leaves the group. Commits first, if commits are automatic. */
  async unsubscribe(): Promise<void> {
    this.#checkIdle()
    await this.#leave()
  }

  get assignment(): readonly TopicPartition[] {
    return this.#partitions.map((partition) => partition.at)
  }

  /** Who this consumer is in its group, for a transaction that commits its offsets. Kafka: `groupMetadata`. */
  groupMetadata(): GroupMetadata {
    const group = this.#groupName()
    return this.#membership?.metadata ?? { group, generation: -1, memberId: '', groupInstanceId: null }
  }

  /**
   * The next records, at most `maxPollRecords`; waits up to `waitMs` (default 0) for the first. Records of a partition
   * come in the order of their offsets. Rejects with what a rebalance listener threw, with what joining failed with, or
   * with NO_OFFSET, OFFSET_OUT_OF_RANGE, INVALID_RECORD, READ_FAILED or CORRUPT_BATCH.
   */
  async poll(options: PollOptions = {}): Promise<readonly ConsumerRecord<K, V>[]> {
    this.#checkIdle()
    this.#use = 'polling'
    try {
      // Who polls again is done with what came before.
      for (const partition of this.#partitions) partition.completeAll()
      return await this.#poll(options, null)
    } finally {
      this.#use = 'idle'
    }
  }

  /** Ends a waiting `poll` early; it resolves with nothing. */
  wakeup(): void {
    if (this.#use === 'idle') return
    this.#woken = true
    this.#reader.wakeup()
  }

  /** Every record from here on, until the consumer is closed. A record is done when the next one is asked for. */
  [Symbol.asyncIterator](): AsyncGenerator<ConsumerRecord<K, V>, void, undefined> {
    return this.records()
  }

  /** The same, until the signal is aborted. Leave the loop by `break` and go on later: nothing is lost or comes twice. */
  async *records(
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<ConsumerRecord<K, V>, void, undefined> {
    this.#checkIdle()
    this.#use = 'iterating'
    for (const partition of this.#partitions) partition.completeAll()
    try {
      while (this.#lifecycle.is('open') && options.signal?.aborted !== true) {
        const open: (string | null)[] = []
        const records = await this.#poll({ ...options, waitMs: iterationWaitMs }, open)
        for (const [index, record] of records.entries()) {
          let finished = false
          try {
            this.#handedOutAt = this.#clock.monotonic()
            yield record
            finished = true
          } finally {
            const of = this.#byName.get(partitionName(record))
            if (finished) of?.complete(record.offset)
            else this.#giveBackFrom(records.slice(index + 1))
          }
        }
      }
    } finally {
      this.#use = 'idle'
    }
  }

  /** The loop was left: what it did not see comes first when reading goes on. The record it was at stays uncommitted. */
  #giveBackFrom(rest: readonly ConsumerRecord<K, V>[]): void {
    const seen = new Set<string>()
    for (const record of rest) {
      const name = partitionName(record)
      if (seen.has(name)) continue
      seen.add(name)
      this.#byName.get(name)?.rewindTo(record.offset)
    }
    this.#moved = true
  }

  /**
   * Calls the listener with every record, records with the same key one after the other, up to `concurrency` (default 1)
   * at a time; until the signal is aborted or the consumer is closed. Commits (if they are automatic) end before the first
   * record that is not done. When the listener throws, listening ends: calls under way are finished, and it rejects with
   * that error; the record comes again when somebody reads on. To go on without it, see {@link RetryTopics}.
   *
   * Do not await `close` inside the listener: it waits for the listener.
   * @example await consumer.eachRecord(async ({ value }) => charge(value), { concurrency: 16, signal })
   */
  async eachRecord(
    listener: (record: ConsumerRecord<K, V>) => void | Promise<void>,
    options: RecordListenOptions<K, V> = {},
  ): Promise<void> {
    const { order = 'key', notBefore } = options
    if (order !== 'key' && order !== 'partition' && order !== 'none')
      throw misuse(`order is ${String(order)}: use key, partition or none`)
    await this.#listen(options, 1, (runner, records, keys) => {
      for (const [index, record] of records.entries()) {
        const name = partitionName(record)
        runner.add({
          partition: this.#of(record),
          offsets: [record.offset],
          lane: order === 'none' ? null : order === 'partition' ? name : `${name}/${keys[index] ?? nullKey}`,
          notBefore: notBefore?.(record) ?? 0,
          run: () => listener(record),
          dropped: false,
        })
      }
    })
  }

  /**
   * The same with batches: the records of one partition that came together, batches of a partition one after the other. A
   * batch is done when its call is.
   */
  async eachBatch(
    listener: (batch: RecordBatch<K, V>) => void | Promise<void>,
    options: ListenOptions = {},
  ): Promise<void> {
    await this.#listen(options, options.concurrency ?? 1, (runner, records) => {
      for (const [name, batch] of Map.groupBy(records, partitionName)) {
        const [first] = batch
        if (first === undefined) continue
        const { topic, partition } = first
        runner.add({
          partition: this.#of(first),
          offsets: batch.map(({ offset }) => offset),
          lane: name,
          notBefore: 0,
          run: () => listener({ topic, partition, records: batch }),
          dropped: false,
        })
      }
    })
  }

  /** `rounds`: how often `maxPollRecords` may be with the listener. */
  async #listen(
    options: ListenOptions,
    rounds: number,
    add: (runner: RecordRunner, records: readonly ConsumerRecord<K, V>[], keys: readonly (string | null)[]) => void,
  ): Promise<void> {
    const { concurrency = 1, signal } = options
    if (!Number.isSafeInteger(concurrency) || concurrency < 1 || concurrency > concurrencyMax)
      throw misuse(`concurrency is ${String(concurrency)}: use an integer from 1 to ${concurrencyMax}`)
    this.#checkIdle()
    this.#use = 'running'
    for (const partition of this.#partitions) partition.completeAll()
    const runner = new RecordRunner(this.#clock, concurrency, () => this.#nudge())
    const ended = Promise.withResolvers<void>()
    this.#runner = runner
    this.#runEnded = ended.promise
    const stop = (): void => {
      runner.stop()
      this.#nudge()
    }
    this.#stopRunning = stop
    signal?.addEventListener('abort', stop)
    if (signal?.aborted === true) stop()
    const openMax = Math.max(this.#numbers.maxPollRecords, concurrency) * rounds
    try {
      while (!runner.hasEnded) {
        const keys: (string | null)[] = []
        const waitMs =
          runner.runningCount > 0 && this.#autoCommitIntervalMs > 0 ? this.#autoCommitIntervalMs : undefined
        const records = await this.#poll({ waitMs: waitMs ?? iterationWaitMs }, keys, openMax - runner.openCount)
        add(runner, records, keys)
        runner.dispatch()
      }
    } finally {
      signal?.removeEventListener('abort', stop)
      await runner.end()
      // What is not done comes again to whoever reads on.
      for (const partition of this.#partitions) partition.giveBack()
      this.#moved = true
      this.#runner = null
      this.#nudged = false
      this.#handedOutAt = null
      this.#use = 'idle'
      ended.resolve()
    }
    if (runner.failure !== null) throw runner.failure.error
    if (this.#autoCommitIntervalMs > 0 && this.#lifecycle.is('open')) await this.#commitProgress()
  }

  /** The offset of the record that comes next from this partition. */
  position(at: TopicPartition): Offset {
    const partition = this.#of(at)
    if (!partition.unresolved) return partition.position
    if (this.#isUnstable(at))
      throw new LogError(
        'NO_OFFSET',
        `${partitionName(at)}: a transaction that is not over may move the offset of group ${this.#group}: poll, then ask again`,
        { ...at },
      )
    this.#resolveStarts([partition])
    return partition.position
  }

  /** Per partition of this consumer, how far it is from the end of what can be read. */
  lag(): readonly PartitionLag[] {
    const known = this.#partitions.filter((partition) => !partition.unresolved || !this.#isUnstable(partition.at))
    const places = known.map((partition) => partition.at)
    return this.#broker.bounds(places, this.#isolation).map(({ at, end }) => {
      const position = this.position(at)
      return { at, position, end, lag: Math.max(0, end - position) }
    })
  }

  /** Goes to an offset, to the `beginning` or `end` of what can be read, or to the first record of a time. */
  seek(at: TopicPartition, to: SeekTarget): void {
    this.#checkOpen()
    if (this.#use !== 'inListener') this.#checkIdle()
    const partition = this.#of(at)
    partition.completeAll()
    partition.moveTo(resolveSeek(this.#broker, at, { to, isolation: this.#isolation }))
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

  /**
   * Commits these offsets (the next to read), by default what all partitions have done. Resolves when written. Rejects with
   * UNKNOWN_MEMBER_ID or ILLEGAL_GENERATION when the partitions were given to others meanwhile, with REBALANCE_IN_PROGRESS
   * when they are about to be: poll, then try again.
   */
  async commitOffsets(offsets?: readonly OffsetEntry[]): Promise<void> {
    this.#checkOpen()
    const known = this.#partitions.filter(({ unresolved }) => !unresolved)
    await this.#commit(offsets ?? known.map((partition) => partition.progress()))
  }

  /** What the group has committed, by default for all partitions of this consumer; partitions without are left out. */
  committed(at: readonly TopicPartition[] = this.assignment): readonly OffsetEntry[] {
    return this.#broker.committedOffsets(this.#groupName(), at)
  }

  /**
   * Ends listening, commits if commits are automatic, leaves the group (a static member stays in it) and ends. A waiting
   * poll resolves with nothing.
   */
  async close(): Promise<void> {
    if (!this.#lifecycle.is('open')) return
    this.#lifecycle.to('closing')
    try {
      this.#stopRunning()
      this.wakeup()
      await this.#runEnded
      await this.#leave()
    } finally {
      this.#lifecycle.to('closed')
      await this.#reader.close()
    }
  }

  // One step of reading

  /** With `open`, records are open until they are completed, and it gets their keys. `countMax` 0: only what else is due. */
  async #poll(
    options: PollOptions,
    open: (string | null)[] | null,
    countMax: number = this.#numbers.maxPollRecords,
  ): Promise<readonly ConsumerRecord<K, V>[]> {
    const { waitMs = 0, signal } = options
    this.#handedOutAt = null
    const deadline = this.#clock.monotonic() + waitMs
    const wake = (): void => this.wakeup()
    signal?.addEventListener('abort', wake)
    try {
      for (;;) {
        await this.#keepMembership()
        await this.#commitIfDue()
        if (this.#woken || signal?.aborted === true || !this.#lifecycle.is('open')) return []
        const records = countMax > 0 ? this.#takeRecords(Math.min(countMax, this.#numbers.maxPollRecords), open) : []
        if (records.length > 0) return records
        const now = this.#clock.monotonic()
        const came = await this.#fetch(Math.max(0, this.#waitUntil(deadline) - now), countMax > 0)
        if (this.#nudged) {
          this.#nudged = false
          return []
        }
        if (!came && !this.#attention && this.#clock.monotonic() >= deadline) return []
      }
    } finally {
      signal?.removeEventListener('abort', wake)
      this.#woken = false
      this.#handedOutAt = this.#clock.monotonic()
    }
  }

  /** No longer than until the next automatic commit, if there is anything to commit, or until a transaction may be over. */
  #waitUntil(deadline: number): number {
    if (this.#partitions.some(({ unresolved }) => unresolved))
      return Math.min(deadline, this.#clock.monotonic() + unstableRetryMs)
    if (this.#autoCommitIntervalMs === 0 || !this.#partitions.some(({ hasProgress }) => hasProgress)) return deadline
    return Math.min(deadline, this.#committedAt + this.#autoCommitIntervalMs)
  }

  #takeRecords(countMax: number, open: (string | null)[] | null): readonly ConsumerRecord<K, V>[] {
    const records: ConsumerRecord<K, V>[] = []
    const count = this.#partitions.length
    for (let step = 0; step < count && records.length < countMax; step++) {
      const partition = this.#partitions[(this.#first + step) % count] as ConsumedPartition
      if (partition.paused) continue
      // The declared topics say that their records have these types; `take` has validated them.
      partition.take(records, countMax, open)
    }
    if (count > 0) this.#first = (this.#first + 1) % count
    return records
  }

  /** Whether anything came. Without `more` it only waits. */
  async #fetch(waitMs: number, more: boolean): Promise<boolean> {
    if (this.#moved) {
      this.#moved = false
      this.#reader.assign(
        this.#partitions
          .filter(({ unresolved }) => !unresolved)
          .map((partition): Position => ({ at: partition.at, offset: partition.fetchAt })),
      )
      this.#tellPaused()
    }
    try {
      if (this.#attention || this.#nudged) return false
      if (!more) this.#reader.setPaused(this.assignment)
      const chunks = await this.#reader.poll({ bytesMax: this.#numbers.fetchBytesMax, waitMs })
      if (!more) this.#tellPaused()
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
      partition.moveTo(Math.min(end, Math.max(start, this.#resetOf(at))))
      any = true
    }
    this.#moved ||= any
    return any
  }

  #resetOf(at: TopicPartition): Offset {
    const how = { reset: this.#autoOffsetReset, isolation: this.#isolation, now: this.#clock.now() }
    return resolveReset(this.#broker, at, this.#group === undefined ? how : { ...how, group: this.#group })
  }

  /** Since when nobody has polled and nothing was finished; null while there is no reason to worry. */
  #busySince(): number | null {
    return this.#runner === null ? this.#handedOutAt : this.#runner.oldestBegan
  }

  #callAttention(): void {
    this.#attention = true
    this.#reader.wakeup()
  }

  #nudge(): void {
    this.#nudged = true
    this.#reader.wakeup()
  }

  // Sharing with the group

  /** Does what the group asks of this member, as far as it needs nobody else. */
  async #keepMembership(): Promise<void> {
    const membership = this.#membership
    if (membership === null) {
      this.#attention = false
      return
    }
    for (;;) {
      if (this.#attention || membership.isBeatDue) {
        this.#attention = false
        membership.look()
      }
      if (membership.takeLost()) await this.#lost()
      const failure = membership.takeFailure()
      if (failure !== null) throw failure
      const assignment = membership.takeAssignment()
      if (assignment !== null) await this.#assigned(membership, assignment)
      if (!this.#lifecycle.is('open') || membership !== this.#membership) return
      // Who still sits in a call that took too long would be given up again: first that call has to end.
      const mayJoin = !this.#isOverdue
      if (membership.mustJoin && mayJoin) await this.#rejoin(membership)
      if (membership.isSettling) await membership.progress
      else if (!(membership.mustJoin && mayJoin) && !membership.hasNews && !this.#attention) break
    }
    this.#resolveStarts(this.#partitions.filter((partition) => partition.unresolved && !this.#isUnstable(partition.at)))
  }

  /** A transaction may still move the group's offset: whoever started now might do again what it has done. */
  #isUnstable(at: TopicPartition): boolean {
    return this.#group !== undefined && this.#broker.hasUnstableOffset(this.#group, at)
  }

  get #isOverdue(): boolean {
    const since = this.#busySince()
    return since !== null && this.#clock.monotonic() - since >= this.#numbers.maxPollIntervalMs
  }

  async #rejoin(membership: GroupMembership): Promise<void> {
    if (!membership.isCooperative) await this.#giveUp(this.#partitions)
    else if (this.#autoCommitIntervalMs > 0) await this.#commitProgress()
    // While others were waited for, things may have gone on.
    if (membership === this.#membership && membership.mustJoin) membership.begin(this.assignment)
  }

  /** The partitions that are the consumer's from now on. */
  async #assigned(membership: GroupMembership, at: readonly TopicPartition[]): Promise<void> {
    const names = new Set(at.map(partitionName))
    const surplus = this.#partitions.filter((partition) => !names.has(partitionName(partition.at)))
    if (surplus.length > 0) {
      await this.#giveUp(surplus)
      // Only now may somebody else get them.
      membership.gaveUp()
    }
    const added = at.filter((place) => !this.#byName.has(partitionName(place)) && this.#exists(place))
    for (const place of added) this.#add(place)
    this.#moved = true
    await this.#call(() => this.#listener.onPartitionsAssigned?.(added))
  }

  #exists(at: TopicPartition): boolean {
    return at.partition < (this.#broker.topic(at.topic)?.partitions ?? 0)
  }

  #add(at: TopicPartition): void {
    const partition = new ConsumedPartition(at, this.#formatOf(at), 0)
    partition.unresolved = true
    this.#partitions.push(partition)
    this.#byName.set(partitionName(at), partition)
  }

  /** In this order: what is under way is finished, it is committed, the listener hears of it, they are gone. */
  async #giveUp(partitions: readonly ConsumedPartition[]): Promise<void> {
    if (partitions.length === 0) return
    const going = [...partitions]
    await this.#runner?.release(new Set(going))
    if (this.#autoCommitIntervalMs > 0) await this.#commitProgress()
    await this.#call(() => this.#listener.onPartitionsRevoked?.(going.map(({ at }) => at)))
    this.#drop(going)
  }

  async #lost(): Promise<void> {
    const at = this.assignment
    this.#runner?.abandon(new Set(this.#partitions))
    this.#drop(this.#partitions)
    if (at.length === 0) return
    const listener = this.#listener
    await this.#call(() =>
      listener.onPartitionsLost === undefined ? listener.onPartitionsRevoked?.(at) : listener.onPartitionsLost(at),
    )
  }

  async #call(listener: () => void | Promise<void> | undefined): Promise<void> {
    const use = this.#use
    this.#use = 'inListener'
    try {
      await listener()
    } finally {
      this.#use = use
    }
  }

  #drop(partitions: readonly ConsumedPartition[]): void {
    const going = new Set(partitions)
    this.#replace(this.#partitions.filter((partition) => !going.has(partition)))
  }

  #replace(partitions: readonly ConsumedPartition[]): void {
    const byName = new Map(partitions.map((partition) => [partitionName(partition.at), partition]))
    this.#partitions = [...byName.values()]
    this.#byName.clear()
    for (const [name, partition] of byName) this.#byName.set(name, partition)
    this.#first = 0
    this.#moved = true
  }

  async #leave(): Promise<void> {
    const membership = this.#membership
    try {
      if (this.#autoCommitIntervalMs > 0) await this.#commitProgress()
      if (membership !== null && this.#partitions.length > 0)
        await this.#call(() => this.#listener.onPartitionsRevoked?.(this.assignment))
    } finally {
      membership?.leave()
      this.#membership = null
      this.#handedOutAt = null
      this.#drop(this.#partitions)
    }
  }

  // Positions and commits

  /** Where partitions start that nobody has sought in: at the committed offset, or as the reset says. */
  #resolveStarts(partitions: readonly ConsumedPartition[]): void {
    if (partitions.length === 0) return
    const at = partitions.map((partition) => partition.at)
    const committed = new Map<string, Offset>()
    if (this.#group !== undefined)
      for (const entry of this.#broker.committedOffsets(this.#group, at))
        committed.set(partitionName(entry.at), entry.offset)
    for (const partition of partitions) {
      partition.startAt(committed.get(partitionName(partition.at)) ?? this.#resetOf(partition.at))
      this.#moved = true
    }
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

  #tellPaused(): void {
    this.#reader.setPaused(this.paused)
  }

  async #commitIfDue(): Promise<void> {
    if (this.#autoCommitIntervalMs === 0) return
    if (this.#clock.monotonic() - this.#committedAt < this.#autoCommitIntervalMs) return
    await this.#commitProgress()
  }

  /** Automatic commits ask nobody: where the group refuses, the records come again, to whoever has the partitions then. */
  async #commitProgress(): Promise<void> {
    this.#committedAt = this.#clock.monotonic()
    try {
      await this.#commit(
        this.#partitions.filter((partition) => partition.hasProgress).map((partition) => partition.progress()),
      )
    } catch (error) {
      if (this.#membership?.commitRefused(error) !== true) throw error
    }
  }

  async #commit(offsets: readonly OffsetEntry[]): Promise<void> {
    if (offsets.length === 0) return
    const { group, generation, memberId, groupInstanceId } = this.groupMetadata()
    try {
      // Without its generation it would pass for somebody who never joined, which an empty group allows.
      if (this.#membership !== null && generation < 0) throw noMember(group)
      await this.#broker.commitOffsets(group, generation, offsets, { memberId, groupInstanceId })
    } catch (error) {
      this.#membership?.commitRefused(error)
      throw error
    }
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
    if (this.#use === 'idle') return
    throw misuse(`the consumer is ${busyWith[this.#use]}: it does one thing at a time, let it end first`)
  }
}

type ConsumerPhase = 'open' | 'closing' | 'closed'

const consumerTransitions: Transitions<ConsumerPhase> = { open: ['closing'], closing: ['closed'], closed: [] }

const busyWith = {
  polling: 'polling',
  inListener: 'rebalancing',
  iterating: 'iterated over',
  running: 'running a listener',
} as const

/** How long an iteration waits at a time; `close` wakes it. */
const iterationWaitMs = 60_000

const concurrencyMax = 10_000

/** How often a partition is tried whose committed offset a transaction may still change. */
const unstableRetryMs = 20

/** No key's text: keys are text of bytes. */
const nullKey = '\u{10ffff}'

function noMember(group: string): LogError {
  return new LogError(
    'UNKNOWN_MEMBER_ID',
    `the consumer is not in group ${group} (any more): poll, which joins again, and start from the committed offsets`,
    { group },
  )
}

function misuse(what: string): LogError {
  return new LogError('INVALID_CONFIG', what)
}
