import type { Clock } from '../../../base/clock.ts'
import { Lifecycle, type Transitions } from '../../../base/lifecycle.ts'
import { checkOptions } from '../../api/checked-options.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { Isolation, OffsetEntry } from '../../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import { checkGroupName } from '../../group/group-coordinator.ts'
import {
  checkList,
  checkOffsetEntries,
  checkOptionalFunction,
  checkOptionalName,
  checkPlace,
  checkPlaces,
  checkSignal,
  checkText,
  checkWait,
} from '../checked-arguments.ts'
import { clientNumbers, consumerNumbers, type ConsumerNumbers } from '../client-options.ts'
import type { CommitCarrier } from '../commit-carrier.ts'
import { DeclaredTopics } from '../declared-topics.ts'
import { checkedIsolation, checkedReset, resolveSeek, type SeekTarget } from '../offset-reset.ts'
import type { BytesOut } from '../record-format.ts'
import { AssignedPartitions } from './assigned-partitions.ts'
import { namedAssignors } from './assignors/named-assignors.ts'
import { ConsumerCommits } from './consumer-commits.ts'
import {
  checkListening,
  checkRebalanceListener,
  consumerOptionNames,
  listenOptionNames,
  pollOptionNames,
  recordListenOptionNames,
  type ConsumerOptions,
  type ConsumerRecord,
  type ListenOptions,
  type PartitionLag,
  type PollOptions,
  type RebalanceListener,
  type RecordBatch,
  type RecordListenOptions,
} from './consumer-options.ts'
import { GroupMembership } from './group-membership.ts'
import { GroupSharing } from './group-sharing.ts'
import {
  callPerBatch,
  callPerRecord,
  checkedConcurrency,
  RecordListening,
  type AddRecords,
} from './record-listening.ts'
import { RecordPolling } from './record-polling.ts'
import { StartOffsets } from './start-offsets.ts'
import { TopicSubscription } from './topic-subscription.ts'

/**
 * Reads records, either from partitions of your choice (`assign`) or from topics that it shares with the other members of a
 * group (`subscribe`). Records are delivered by `poll`, by `for await`, or to a listener (`eachRecord`, `eachBatch`).
 *
 * - The position of a partition is the offset of the next record; `poll` moves it past the records that it returns.
 * - It starts at the group's committed offset. Without one, or if the log no longer has that offset, `autoOffsetReset` decides.
 * - Automatic commits cover what was processed. With `poll` that is what earlier polls returned (and what the last one
 *   returned, when partitions are given up or the consumer is closed); with iteration and listeners, everything before the
 *   first record that is not done. After a crash, what was not committed is delivered again: at least once.
 * - A rebalance happens inside `poll`, and rebalance listeners are called there. A member that does not poll holds up the
 *   group, but only for `maxPollIntervalMs`; then the others go on without it.
 * - A poll never waits longer than `waitMs` for other members, although the log's own writes may take a moment longer.
 * - A record that cannot be read (foreign bytes in a declared topic) makes the poll that would start with it reject with
 *   INVALID_RECORD. The position does not move; `seek` past the record to go on.
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
  readonly #isolation: Isolation
  readonly #declared: DeclaredTopics
  readonly #starts: StartOffsets
  readonly #lifecycle = new Lifecycle<ConsumerPhase>('the consumer', consumerTransitions, 'open')
  #closing: Promise<void> | null = null

  readonly #partitions: AssignedPartitions
  readonly #commits: ConsumerCommits
  readonly #sharing: GroupSharing
  readonly #listening: RecordListening
  readonly #polling: RecordPolling
  /** Whether `subscribe` or `assign` has said what to read, and `unsubscribe` has not taken it back. */
  #hasChosen = false
  #use: 'idle' | 'polling' | 'inListener' | 'iterating' | 'running' = 'idle'

  /**
   * With a `carrier`, commits also write what resulted from the records; for consumers that are part of something larger.
   */
  constructor(broker: Broker, clock: Clock, options: ConsumerOptions<K, V> = {}, carrier: CommitCarrier | null = null) {
    this.#broker = broker
    this.#clock = clock
    checkOptions('the consumer', options, consumerOptionNames)
    const { groupInstanceId, clientId, assignors } = options
    checkOptionalName('groupInstanceId', groupInstanceId)
    checkOptionalName('clientId', clientId)
    if (assignors !== undefined) checkList('assignors', assignors)
    this.#identity = {
      ...(groupInstanceId === undefined ? {} : { groupInstanceId }),
      ...(clientId === undefined ? {} : { clientId }),
      ...(assignors === undefined ? {} : { assignors }),
    }
    this.#numbers = clientNumbers('consumer', consumerNumbers, options)
    this.#isolation = checkedIsolation(options.isolation ?? 'committed')
    const { group } = options
    if (group !== undefined) checkGroupName(group)
    const autoOffsetReset = checkedReset(options.autoOffsetReset ?? 'latest')
    const declared = options.topics ?? []
    checkList('topics', declared)
    this.#declared = new DeclaredTopics(broker, declared)
    this.#starts = new StartOffsets({ broker, clock, group, isolation: this.#isolation, autoOffsetReset })
    const partitions = new AssignedPartitions(this.#declared, this.#starts, (topic) => broker.topic(topic)?.id)
    this.#partitions = partitions
    this.#commits = new ConsumerCommits({
      broker,
      clock,
      group,
      intervalMs: this.#numbers.autoCommitIntervalMs,
      partitions,
      membership: () => this.#sharing.membership,
      carrier,
      openCount: () => this.#listening.runner?.openCount ?? 0,
    })
    this.#listening = new RecordListening(clock, () => this.#polling.nudge())
    this.#sharing = new GroupSharing({
      broker,
      clock,
      partitions,
      starts: this.#starts,
      commits: this.#commits,
      runner: () => this.#listening.runner,
      busySince: () => this.#busySince(),
      maxPollIntervalMs: this.#numbers.maxPollIntervalMs,
      isOpen: () => this.#lifecycle.is('open'),
      call: (listener) => this.#call(listener),
    })
    const { heartbeatIntervalMs, sessionTimeoutMs } = this.#numbers
    if (heartbeatIntervalMs >= sessionTimeoutMs)
      throw misuse(
        `heartbeatIntervalMs is ${heartbeatIntervalMs}, not below sessionTimeoutMs (${sessionTimeoutMs}): use a third of it`,
      )
    namedAssignors(assignors)
    this.#polling = new RecordPolling({
      clock,
      reader: broker.openReader({ isolation: this.#isolation }),
      partitions,
      sharing: this.#sharing,
      commits: this.#commits,
      starts: this.#starts,
      numbers: this.#numbers,
      isOpen: () => this.#lifecycle.is('open'),
    })
  }

  /**
   * Shares these topics with the other members of the group: topics by name (default: all declared ones), or all topics whose
   * name matches a pattern, including topics that are created later. The next `poll` joins the group. Throws UNKNOWN_TOPIC,
   * TOPIC_MISMATCH, or INVALID_CONFIG without a group. Kafka: `subscribe`.
   * @example consumer.subscribe(/^orders-/, { onPartitionsRevoked: () => consumer.commitOffsets() })
   */
  subscribe(topics: readonly string[] | RegExp = this.#declared.names, listener: RebalanceListener = {}): void {
    this.#checkIdle()
    const { group } = this.#commits
    if (this.#sharing.membership !== null) throw misuse('the consumer is subscribed already: unsubscribe first')
    checkRebalanceListener(listener)
    if (topics instanceof RegExp) {
      if (this.#declared.names.length > 0) throw misuse('a consumer of declared topics subscribes to them by name')
    } else {
      checkList('topics', topics)
      for (const topic of topics) checkText('a topic to subscribe to', topic)
      if (topics.length === 0) throw misuse('subscribe to at least one topic, or declare topics in the options')
    }
    const subscription = new TopicSubscription(this.#broker, topics)
    for (const topic of subscription.topics) this.#declared.formatOf({ topic, partition: 0 })
    this.#partitions.drop(this.#partitions.list)
    const membership = new GroupMembership({
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
    this.#sharing.begin(membership, listener)
    this.#hasChosen = true
  }

  /**
   * Reads exactly these partitions, without joining a group; offsets are still committed for the group of the options. A
   * partition that was assigned before goes on where it is; progress in those that are given up is not committed. Where the
   * others start is decided now, not by the first poll as in Kafka: with `latest`, a record that is appended after this call
   * is read. An empty list is like `unsubscribe`. Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, TOPIC_MISMATCH, or
   * INVALID_CONFIG while it is subscribed. Kafka: `assign`.
   * @example consumer.assign([{ topic: 'orders', partition: 0 }])
   */
  assign(at: readonly TopicPartition[]): void {
    this.#checkIdle()
    if (this.#sharing.membership !== null) throw misuse('the consumer is subscribed: unsubscribe before you assign')
    checkPlaces('partitions to assign', at)
    const kept = new Set(this.#partitions.list.filter((partition) => !this.#partitions.isDeleted(partition)))
    const taken = at.map((place) => {
      const known = this.#partitions.get(partitionName(place))
      return known !== undefined && kept.has(known) ? known : this.#partitions.create(place)
    })
    const added = taken.filter((partition) => !kept.has(partition))
    // A partition whose start a transaction may still change, or which has none before a seek, stays unresolved; polls
    // check it again.
    for (const partition of added) partition.unresolved = !this.#starts.isKnown(partition.at)
    this.#starts.resolve(added.filter(({ unresolved }) => !unresolved))
    this.#sharing.chosen()
    this.#partitions.replace(taken)
    this.#hasChosen = taken.length > 0
  }

  /**
   * Gives up all partitions and leaves the group; if commits are automatic, commits first. Until the next `subscribe` or
   * `assign` there is nothing to poll. Kafka: `unsubscribe`.
   */
  async unsubscribe(): Promise<void> {
    this.#checkIdle()
    try {
      await this.#leave()
    } finally {
      this.#hasChosen = false
    }
  }

  /** The partitions that this consumer reads now. */
  get assignment(): readonly TopicPartition[] {
    return this.#partitions.places
  }

  /**
   * Identifies this consumer in its group, for a transaction that commits its offsets. A consumer that the group has expelled
   * keeps its old identity, so that the transaction is refused. Kafka: `groupMetadata`.
   */
  groupMetadata(): GroupMetadata {
    return this.#sharing.lastMember ?? this.#commits.metadata()
  }

  /**
   * Returns the next records, at most `maxPollRecords`; waits up to `waitMs` (default 0) for the first. Records of a partition
   * come in the order of their offsets. Rejects with what a rebalance listener threw, with the reason why joining failed,
   * with INVALID_CONFIG if it has nothing to read, because neither `subscribe` nor `assign` was called or `unsubscribe` was,
   * or with NO_OFFSET, OFFSET_OUT_OF_RANGE, INVALID_RECORD, READ_FAILED or CORRUPT_BATCH.
   */
  async poll(options: PollOptions = {}): Promise<readonly ConsumerRecord<K, V>[]> {
    checkOptions('poll', options, pollOptionNames)
    checkWait(options.waitMs)
    checkSignal(options.signal)
    this.#checkReady()
    this.#use = 'polling'
    try {
      // A caller that polls again is done with the records of the previous poll.
      this.#partitions.completeAll()
      return await this.#polling.poll<K, V>(options, null)
    } finally {
      this.#use = 'idle'
    }
  }

  /** Ends a waiting `poll` early; it resolves without records. Kafka: `wakeup`. */
  wakeup(): void {
    if (this.#use === 'idle') return
    this.#polling.wakeup()
  }

  /** Every record from here on, until the consumer is closed. A record counts as done when the next one is requested. */
  [Symbol.asyncIterator](): AsyncGenerator<ConsumerRecord<K, V>, void, undefined> {
    return this.records()
  }

  /**
   * Every record from here on, until the consumer is closed or the signal is aborted. You can leave the loop by `break` and
   * continue later: nothing is lost or repeated.
   * @example for await (const { key, value } of consumer.records({ signal })) report(key, value.path)
   */
  async *records(
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<ConsumerRecord<K, V>, void, undefined> {
    checkOptions('records', options, { signal: true })
    checkSignal(options.signal)
    this.#checkReady()
    this.#use = 'iterating'
    this.#partitions.completeAll()
    const goesOn = (): boolean => this.#lifecycle.is('open') && options.signal?.aborted !== true
    try {
      while (goesOn()) {
        const open: (string | null)[] = []
        const records = await this.#polling.poll<K, V>({ ...options, waitMs: iterationWaitMs }, open)
        for (const [index, record] of records.entries()) {
          // Records that may belong to another member by now are not handed out: the previous record took too long.
          if (!goesOn() || this.#sharing.hasLostAll) {
            this.#partitions.giveBackFrom(records.slice(index))
            break
          }
          let finished = false
          try {
            this.#polling.handsOut()
            yield record
            finished = true
          } finally {
            const of = this.#partitions.get(partitionName(record))
            if (finished) of?.complete(record.offset)
            else this.#partitions.giveBackFrom(records.slice(index + 1))
          }
        }
      }
    } finally {
      this.#use = 'idle'
    }
  }

  /**
   * Calls the listener with every record, records with the same key one after the other, with up to `concurrency` calls
   * (default 1) at a time, until the signal is aborted or the consumer is closed. Automatic commits stop before the first
   * record that is not done. If the listener throws, listening ends: running calls are finished, and the promise rejects
   * with that error; the record is delivered again when reading continues. To carry on without it, see {@link
   * RetryTopics}.
   *
   * Do not await `close` inside the listener, because `close` waits for the listener.
   * @example await consumer.eachRecord(async ({ value }) => charge(value), { concurrency: 16, signal })
   */
  async eachRecord(
    listener: (record: ConsumerRecord<K, V>) => void | Promise<void>,
    options: RecordListenOptions<K, V> = {},
  ): Promise<void> {
    checkOptions('eachRecord', options, recordListenOptionNames)
    checkListening(listener, options)
    checkOptionalFunction('notBefore', options.notBefore)
    // With shares, records that wait for their time do not block records of other partitions that are due.
    const shares = options.notBefore !== undefined
    await this.#listen(options, { rounds: 1, shares }, callPerRecord(this.#partitions, listener, options))
  }

  /**
   * Calls the listener with batches: records of one partition that were read together. Batches of a partition are processed
   * one after the other, up to `concurrency` (default 1) of different partitions at a time; a batch is done when its call has
   * ended. Otherwise like {@link eachRecord}.
   * @example await consumer.eachBatch(async ({ records }) => insert(records), { concurrency: 4, signal })
   */
  async eachBatch(
    listener: (batch: RecordBatch<K, V>) => void | Promise<void>,
    options: ListenOptions = {},
  ): Promise<void> {
    checkOptions('eachBatch', options, listenOptionNames)
    checkListening(listener, options)
    const rounds = options.concurrency ?? 1
    await this.#listen(options, { rounds, shares: false }, callPerBatch(this.#partitions, listener))
  }

  /**
   * `rounds`: how many times `maxPollRecords` records may be with the listener; `shares`: each partition gets a part of
   * that.
   */
  async #listen(
    options: ListenOptions,
    { rounds, shares }: { readonly rounds: number; readonly shares: boolean },
    add: AddRecords<ConsumerRecord<K, V>>,
  ): Promise<void> {
    const concurrency = checkedConcurrency(options)
    this.#checkReady()
    this.#use = 'running'
    this.#partitions.completeAll()
    const { autoCommitIntervalMs, maxPollRecords } = this.#numbers
    const openMax = Math.max(maxPollRecords, concurrency) * rounds
    this.#polling.shareOf = shares ? openMax : Infinity
    await this.#listening.run({
      concurrency,
      signal: options.signal,
      openMax,
      read: (keys, countMax, isBusy) =>
        this.#polling.poll<K, V>(
          { waitMs: isBusy && this.#commits.isAutomatic ? autoCommitIntervalMs : iterationWaitMs },
          keys,
          countMax,
        ),
      add,
      over: () => {
        this.#partitions.giveBack()
        this.#polling.listeningIsOver()
        this.#use = 'idle'
      },
    })
    if (this.#commits.isAutomatic && this.#lifecycle.is('open')) await this.#commits.commitProgress()
  }

  /** The offset of the next record of this partition. Throws UNKNOWN_PARTITION if it is not assigned, or NO_OFFSET. */
  position(at: TopicPartition): Offset {
    checkPlace('partition', at)
    const partition = this.#partitions.of(at)
    if (!partition.unresolved) return partition.position
    if (this.#starts.isUnstable(at))
      throw new LogError(
        'NO_OFFSET',
        `${partitionName(at)}: an open transaction may still change the offset of group ${this.#commits.group}: poll, then ask again`,
        { ...at },
      )
    this.#partitions.resolveStarts([partition])
    return partition.position
  }

  /** How far this consumer is, in each of its partitions, from the end of what can be read. */
  lag(): readonly PartitionLag[] {
    const known = this.#partitions.list.filter(
      (partition) => !partition.unresolved || !this.#starts.isUnstable(partition.at),
    )
    const places = known.map((partition) => partition.at)
    return this.#broker.bounds(places, this.#isolation).map(({ at, end }) => {
      const position = this.position(at)
      return { at, position, end, lag: Math.max(0, end - position) }
    })
  }

  /**
   * Moves to an offset, to the `beginning` or `end` of what can be read, or to the first record with at least that
   * timestamp; both are looked up now, not by the next poll as in Kafka. Throws UNKNOWN_PARTITION if the partition is not
   * assigned, OFFSET_OUT_OF_RANGE, INVALID_TIMESTAMP or INVALID_CONFIG. Kafka: `seek`, `seekToBeginning`, `seekToEnd`,
   * `offsetsForTimes`.
   * @example consumer.seek({ topic: 'orders', partition: 0 }, { timestamp: Date.parse('2026-01-31T12:00Z') })
   */
  seek(at: TopicPartition, to: SeekTarget): void {
    this.#checkOpen()
    if (this.#use !== 'inListener') this.#checkIdle()
    checkPlace('partition to seek in', at)
    const partition = this.#partitions.of(at)
    const offset = resolveSeek(this.#broker, at, { to, isolation: this.#isolation })
    partition.completeAll()
    partition.moveTo(offset)
    this.#partitions.moved = true
  }

  /**
   * Leaves these partitions out of `poll` until they are resumed. Their positions do not change. Throws UNKNOWN_PARTITION if
   * one is not assigned. Kafka: `pause`.
   */
  pause(at: readonly TopicPartition[]): void {
    checkPlaces('partitions to pause', at)
    const partitions = at.map((place) => this.#partitions.of(place))
    for (const partition of partitions) partition.paused = true
    this.#polling.tellPaused()
  }

  /** Reads these partitions again. Throws UNKNOWN_PARTITION if one is not assigned. Kafka: `resume`. */
  resume(at: readonly TopicPartition[]): void {
    checkPlaces('partitions to resume', at)
    const partitions = at.map((place) => this.#partitions.of(place))
    for (const partition of partitions) partition.paused = false
    this.#polling.tellPaused()
  }

  /** The partitions that are paused. */
  get paused(): readonly TopicPartition[] {
    return this.#partitions.paused
  }

  /**
   * Commits these offsets, each that of the next record to read; by default the progress of all partitions. Resolves when they
   * are written. Rejects with UNKNOWN_MEMBER_ID or ILLEGAL_GENERATION if the partitions have been given to other members
   * meanwhile, or with REBALANCE_IN_PROGRESS if they are about to be: poll, then try again. Kafka: `commitSync`.
   */
  async commitOffsets(offsets?: readonly OffsetEntry[]): Promise<void> {
    // While it is closing, calls under way and the rebalance listener still commit what they have done.
    if (this.#lifecycle.is('closed')) throw closed()
    if (offsets !== undefined) checkOffsetEntries(offsets)
    const known = this.#partitions.list.filter(({ unresolved }) => !unresolved)
    await this.#commits.commit(offsets ?? this.#commits.progressOf(known))
  }

  /**
   * The offsets that the group has committed, by default for all partitions of this consumer; partitions without one are left
   * out. Throws UNSTABLE_OFFSET_COMMIT while an open transaction may still change one of them.
   */
  committed(at: readonly TopicPartition[] = this.assignment): readonly OffsetEntry[] {
    checkPlaces('partitions', at)
    return this.#broker.committedOffsets(this.#commits.group, at, { requireStable: true })
  }

  /**
   * Ends listening, commits if commits are automatic, leaves the group (a static member stays in it) and ends. A waiting
   * poll resolves without records. Listeners may commit by hand until they have ended. Every call waits for the same end.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#lifecycle.to('closing')
    try {
      const ended = this.#listening.end()
      this.wakeup()
      await ended
      await this.#leave()
    } finally {
      this.#lifecycle.to('closed')
      await this.#polling.close()
    }
  }

  /** Since when (monotonic) there was no poll and no call has finished; null if no record is with the user's code. */
  #busySince(): number | null {
    const { runner } = this.#listening
    return runner === null ? this.#polling.handedOutAt : runner.oldestBegan
  }

  #callAttention(): void {
    this.#sharing.callAttention()
    this.#polling.lookUp()
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

  async #leave(): Promise<void> {
    try {
      await this.#sharing.leave()
    } finally {
      this.#polling.handsNothing()
    }
  }

  #checkOpen(): void {
    if (!this.#lifecycle.is('open')) throw closed()
  }

  #checkIdle(): void {
    this.#checkOpen()
    if (this.#use === 'idle') return
    throw misuse(`the consumer is ${busyWith[this.#use]}: it does one thing at a time, let it end first`)
  }

  /** A forgotten call would look like a topic without records. */
  #checkReady(): void {
    this.#checkIdle()
    if (!this.#hasChosen)
      throw misuse('the consumer has nothing to read: subscribe to topics or assign partitions first')
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

/** How long an iteration waits in one poll; `close` wakes it. */
const iterationWaitMs = 60_000

function closed(): LogError {
  return new LogError('CLOSED', 'the consumer is closed')
}

function misuse(what: string): LogError {
  return new LogError('INVALID_CONFIG', what)
}
