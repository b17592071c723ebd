import { assert } from '../../base/assert.ts'
import type { LastSection, TaskId } from '../api/commit-section.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type {
  Bounds,
  Committer,
  EpochQuery,
  GroupOptions,
  Isolation,
  Membership,
  OffsetEntry,
  Position,
  Reader,
  TimeQuery,
} from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { TopicConfig, TopicInfo, TopicSpec } from '../api/topic.ts'
import { BatchBuilder } from '../format/batch-builder.ts'
import { checkGroupName } from '../group/group-coordinator.ts'
import type { MemberName } from '../group/group-requests.ts'
import type { ProducerState, RememberedBatch } from '../journal/checkpoint.ts'
import { producedBatch, type AbortedTransaction, type ProducedRecords } from '../storage/producers/produced-batch.ts'
import type { PartitionReaders } from '../storage/read/partition-readers.ts'
import type { Outcome, ProducerName } from '../transaction/transaction-coordinator.ts'
import type { TransactionState } from '../transaction/transaction-topic.ts'
import type { Committers } from './commits/committer.ts'
import type { LastSections } from './commits/last-sections.ts'
import { LeasedNames } from './commits/leased-names.ts'
import type { GroupAdmin } from './groups/group-admin.ts'
import { checkOffsetEntry, type GroupOffsets } from './groups/group-offsets.ts'
import type { Groups } from './groups/groups.ts'
import type { OffsetLog } from './groups/offset-log.ts'
import { PartitionsReader } from './reads/reader.ts'
import type { Damage, Scrubber } from './scrubber.ts'
import { EntryDraft, type Sequencer } from './sequencer.ts'
import { checkAppended, checkOwn, checkProduced, type BatchOrigin } from './topics/append-check.ts'
import type { Catalog } from './topics/catalog.ts'
import type { Partition } from './topics/partition.ts'
import { offsetForTime } from './topics/time-lookup.ts'
import type { Topics } from './topics/topics.ts'
import type { TransactionalOffsets } from './transactions/transactional-offsets.ts'
import type { Transactions } from './transactions/transactions.ts'

/**
 * What a broker does with bytes. The embedded clients call it, and a wire server will call it too. There is one append
 * path, one read path and one commit path.
 */
export class Broker {
  /** Names that the clients of this log share. */
  readonly leasedNames: LeasedNames = new LeasedNames()
  readonly #parts: BrokerParts
  #closing: Promise<void> | null = null

  constructor(parts: BrokerParts) {
    this.#parts = parts
  }

  /**
   * Appends one finished record batch (v2). Its base offset and leader epoch may be anything: both are stamped into
   * `batch`, because they are outside its checksum. If {@link Broker.canAppend} is true, the bytes are copied before
   * `append` returns; otherwise the append waits in line, and the caller must not change the bytes until the promise
   * settles. Resolves when the batch is written (synced under `sync: 'commit'`). A duplicate of a numbered batch is not
   * written again: the answer is that of the first. Every record of a batch from outside is decoded first. `accepted` is
   * called when the bytes are copied: from then on it can only fail if the log fails.
   *
   * Rejects with UNKNOWN_TOPIC, UNKNOWN_PARTITION, MESSAGE_TOO_LARGE, INVALID_RECORD, CORRUPT_BATCH, WRITE_FAILED,
   * DISK_FULL or CLOSED; a producer's numbered batch also with OUT_OF_ORDER_SEQUENCE or INVALID_PRODUCER_EPOCH, and a
   * batch of a transaction with INVALID_PRODUCER_ID_MAPPING or INVALID_TXN_STATE.
   */
  append(
    at: TopicPartition,
    batch: Uint8Array,
    origin: BatchOrigin = 'outside',
    accepted: () => void = () => {},
  ): Promise<AppendedBatch> {
    return this.#parts.sequencer.whenRoom(() => {
      const answer = this.appendNow(at, batch, origin)
      accepted()
      return answer
    })
  }

  /**
   * Like {@link Broker.append}, for callers that know {@link Broker.canAppend} to be true. A batch that is refused
   * makes it throw, while the bytes are still the caller's; the returned promise can only fail if the log fails.
   */
  appendNow(at: TopicPartition, batch: Uint8Array, origin: BatchOrigin = 'outside'): Promise<AppendedBatch> {
    const { sequencer, catalog } = this.#parts
    sequencer.checkWritable()
    const partition = catalog.partition(at)
    checkAppended(partition, batch, origin, sequencer.clock.now())
    const produced = producedBatch(batch, 0)
    if (produced?.kind === 'records') {
      const duplicate = this.#checkedProduced(partition, produced)
      if (duplicate !== null) return this.#appendedBefore(partition, duplicate)
    }
    const draft = new EntryDraft(sequencer.placeContext())
    const joined =
      produced?.kind === 'records' && produced.transactional
        ? this.#parts.transactions.join(draft, produced, partition.at)
        : null
    const { baseOffset, nextOffset, leaderEpoch } = draft.batch(partition, batch)
    const written = draft.outcome()
    sequencer.submit(draft)
    joined?.()
    return written.then(() => ({ baseOffset, lastOffset: nextOffset - 1, leaderEpoch }))
  }

  #checkedProduced(partition: Partition, batch: ProducedRecords): RememberedBatch | null {
    try {
      return checkProduced(partition, batch)
    } catch (error) {
      // A partition that never got a marker of a transaction does not know that its producer was fenced.
      if (batch.transactional) this.#parts.transactions.checkJoin(batch, partition.at)
      throw error
    }
  }

  /** Answers a duplicate like the batch that came first, and not before that one is answered. */
  async #appendedBefore(partition: Partition, { lastOffset, offsetDelta }: RememberedBatch): Promise<AppendedBatch> {
    const baseOffset = lastOffset - offsetDelta
    if (baseOffset >= partition.end) {
      const first = partition.tail[partition.tailIndex(baseOffset)]
      assert(first?.baseOffset === baseOffset, `the batch at ${baseOffset} of ${partition.name} is on its way`)
      await this.#parts.sequencer.follow(first.sequence)
    }
    return { baseOffset, lastOffset, leaderEpoch: partition.epochAt(baseOffset) }
  }

  /** Whether there is room under the bound on batches that are not yet in the segment files. */
  get canAppend(): boolean {
    return this.#parts.sequencer.hasRoom
  }

  /** Resolves when {@link Broker.canAppend} is true. */
  ready(): Promise<void> {
    return this.#parts.sequencer.ready()
  }

  /** The only way to read: a long poll over any number of partitions, fair between them. */
  openReader(options: { readonly isolation: Isolation }): Reader {
    const { catalog, sequencer, segments } = this.#parts
    return new PartitionsReader({ catalog, sequencer, waiters: sequencer.waiters, segments }, options.isolation)
  }

  openCommitter(options: { readonly id: string }): Committer {
    return this.#parts.committers.open(options.id)
  }

  bounds(at: readonly TopicPartition[], isolation: Isolation): readonly Bounds[] {
    const { catalog, sequencer } = this.#parts
    return at.map((place) => {
      const partition = catalog.partition(place)
      const end = partition.visibleEnd(isolation)
      const leaderEpoch = partition.epochs.at(-1)?.epoch ?? sequencer.incarnation
      return { at: place, start: partition.logStart, end, leaderEpoch }
    })
  }

  /**
   * For each query, the offset of the first record with at least that timestamp, or the partition's end offset if there
   * is none. As in Kafka, the offset is never beyond what a reader of this isolation is shown, but it may be that of an
   * aborted record; unlike there, it is never that of a marker.
   */
  offsetsForTime(at: readonly TimeQuery[], isolation: Isolation = 'durable'): readonly Position[] {
    const { catalog, segments, sequencer } = this.#parts
    return at.map(({ at: place, timestamp }) => {
      const partition = catalog.partition(place)
      const found = offsetForTime(partition, timestamp, { segments, applied: sequencer.appliedSequence })
      return { at: place, offset: Math.min(found, partition.visibleEnd(isolation)) }
    })
  }

  epochEnds(at: readonly EpochQuery[]): readonly Position[] {
    const { catalog } = this.#parts
    return at.map(({ at: place, leaderEpoch }) => ({
      at: place,
      offset: catalog.partition(place).epochEnd(leaderEpoch),
    }))
  }

  purgeBefore(at: readonly Position[]): Promise<void> {
    for (const { at: place } of at) checkOwn(place)
    return this.#parts.topics.purgeBefore(at)
  }

  /** Deletes the records below the offsets (-1: all records) and resolves with the log starts. */
  async deleteRecords(at: readonly Position[]): Promise<readonly Position[]> {
    for (const { at: place } of at) checkOwn(place)
    return await this.#parts.topics.deleteRecords(at)
  }

  /** Stored records that were found to be damaged when closed segments were reread. */
  get damage(): readonly Damage[] {
    return this.#parts.scrubber.damage
  }

  /** The topic, or undefined. Cheap enough to call for every send. */
  topic(name: string): TopicInfo | undefined {
    const topic = this.#parts.catalog.topic(name)
    return topic?.phase === 'live' ? topic.info : undefined
  }

  /** The log's wall clock. */
  now(): number {
    return this.#parts.sequencer.clock.now()
  }

  /** Increases whenever a topic is created, deleted or given more partitions. */
  get catalogRevision(): number {
    return this.#parts.catalog.revision
  }

  /** All topics, including internal ones, sorted by name. */
  listTopics(): readonly TopicInfo[] {
    const live = [...this.#parts.catalog.topics].filter(({ phase }) => phase === 'live')
    return live.map(({ info }) => info).sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  /** How much of the disk each partition uses, sorted by topic and partition. */
  logDirs(): readonly PartitionSize[] {
    const live = [...this.#parts.catalog.topics].filter(({ phase }) => phase === 'live')
    const sizes = live.flatMap(({ partitions }) =>
      partitions.map(({ at, logStart: start, end, segments }) => ({
        at,
        start,
        end,
        segments: segments.length,
        bytes: segments.reduce((sum, segment) => sum + segment.bytes, 0),
      })),
    )
    return sizes.sort((left, right) =>
      left.at.topic === right.at.topic
        ? left.at.partition - right.at.partition
        : left.at.topic < right.at.topic
          ? -1
          : 1,
    )
  }

  /** Creates all of the topics or none. Rejects with TOPIC_EXISTS, INVALID_TOPIC or INVALID_CONFIG. */
  createTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    return this.#parts.topics.create(specs)
  }

  /**
   * Creates the topics that are missing. Rejects with TOPIC_MISMATCH, naming both sides, where partitions or codecs
   * differ.
   */
  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    return this.#parts.topics.ensure(specs)
  }

  /**
   * Deletes a topic. Its name is free at once; its files are removed when both checkpoint copies know about the
   * deletion. Groups lose their offsets in it.
   */
  deleteTopic(name: string): Promise<void> {
    return this.#parts.topics.delete(name)
  }

  alterTopicConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo> {
    return this.#parts.topics.alterConfig(name, changes)
  }

  /** Gives a topic more partitions. Rejects with INVALID_CONFIG unless the number is greater than before. */
  addPartitions(name: string, partitions: number): Promise<TopicInfo> {
    return this.#parts.topics.addPartitions(name, partitions)
  }

  /** Kafka's group protocol: join, sync, heartbeat, leave. */
  get groups(): Groups {
    return this.#parts.groups
  }

  /** Lists, describes and deletes groups. */
  get groupAdmin(): GroupAdmin {
    return this.#parts.groupAdmin
  }

  /** Joins an application as the only member of its group. Throws GROUP_IN_USE while the group has another member. */
  joinGroup(options: GroupOptions): Membership {
    const { groups, sequencer } = this.#parts
    return groups.joinAlone(options, sequencer.incarnation)
  }

  /**
   * Commits offsets in a member's name, or (generation -1, no member) for a group that has no members. Waits in line
   * with the appends and resolves when written. Rejects like {@link Groups.checkCommit}, or with UNKNOWN_TOPIC,
   * UNKNOWN_PARTITION or INVALID_RECORD.
   */
  commitOffsets(
    group: string,
    generation: number,
    offsets: readonly OffsetEntry[],
    member: MemberName = nobody,
  ): Promise<void> {
    return this.#parts.sequencer.whenRoom(() => this.#commitNow({ group, generation, ...member }, offsets))
  }

  #commitNow(from: GroupMetadata, offsets: readonly OffsetEntry[]): Promise<void> {
    const { sequencer, groups, catalog, offsetLog } = this.#parts
    const { group } = from
    sequencer.checkWritable()
    checkGroupName(group)
    groups.checkCommit(from)
    for (const entry of offsets) {
      catalog.partition(entry.at)
      checkOffsetEntry(group, entry)
    }
    if (offsets.length === 0) return Promise.resolve()
    const draft = new EntryDraft(sequencer.placeContext())
    offsetLog.commit(draft, new BatchBuilder({ initialBytes: 512 }), group, offsets)
    const written = draft.outcome()
    sequencer.submit(draft)
    return written
  }

  /**
   * The committed offsets. Throws UNSTABLE_OFFSET_COMMIT if they are required to be stable and one is not. Kafka:
   * OffsetFetch with `RequireStable`.
   */
  committedOffsets(
    group: string,
    at: readonly TopicPartition[],
    { requireStable = false }: { readonly requireStable?: boolean } = {},
  ): readonly OffsetEntry[] {
    const unstable = requireStable ? at.find((place) => this.hasUnstableOffset(group, place)) : undefined
    if (unstable === undefined) return this.#parts.offsets.get(group, at)
    throw new LogError(
      'UNSTABLE_OFFSET_COMMIT',
      `${partitionName(unstable)}: an open transaction may still move the offset of group ${group}: ask again when it has ended, or abort it`,
      { group, ...unstable },
    )
  }

  lastSections(group: string, tasks?: readonly TaskId[]): readonly LastSection[] {
    return this.#parts.sections.get(group, tasks)
  }

  /** A producer id that was never given out before, for a producer without transactions. */
  newProducer(): ProducerName {
    return this.#parts.transactions.newProducer()
  }

  /** `transactionTimeoutMaxMs` of the log. */
  get transactionTimeoutMaxMs(): number {
    return this.#parts.transactions.timeoutMaxMs
  }

  /**
   * Gives the transactional id to a new producer, fences the previous one and aborts what it left open. With
   * `expected`, that same producer asks for a new epoch. Rejects with INVALID_TRANSACTION_TIMEOUT or PRODUCER_FENCED.
   */
  initProducer(transactionalId: string, timeoutMs: number, expected?: ProducerName): Promise<ProducerName> {
    return this.#parts.transactions.initProducer(transactionalId, timeoutMs, expected)
  }

  /** Kafka's AddPartitionsToTxn. Not needed before `append`, which adds its partition to the transaction by itself. */
  addPartitionsToTransaction(producer: ProducerName, at: readonly TopicPartition[]): Promise<void> {
    return this.#parts.transactions.addPartitions(producer, at)
  }

  /**
   * Sends offsets that take effect when the producer's transaction is committed. Rejects like a group's commit, or if
   * the producer is fenced.
   */
  sendOffsetsToTransaction(
    producer: ProducerName,
    offsets: readonly OffsetEntry[],
    from: GroupMetadata,
  ): Promise<void> {
    return this.#parts.transactions.sendOffsets(producer, offsets, from)
  }

  /**
   * Ends the transaction and resolves with the producer id and epoch for the next one. A repeated call gives the same
   * answer.
   */
  endTransaction(transactionalId: string, producer: ProducerName, outcome: Outcome): Promise<ProducerName> {
    return this.#parts.transactions.end(transactionalId, producer, outcome)
  }

  listTransactions(): readonly TransactionState[] {
    return this.#parts.transactions.list()
  }

  /** Throws TRANSACTIONAL_ID_NOT_FOUND if there is no such id. */
  describeTransaction(transactionalId: string): TransactionState {
    return this.#parts.transactions.describe(transactionalId)
  }

  /**
   * The producers that a partition knows: what each wrote last, and where its open transaction began, if it has one.
   */
  describeProducers(at: TopicPartition): readonly ProducerState[] {
    return this.#parts.transactions.producersOf(at)
  }

  /** Aborts the open transaction of the id and fences its producer. */
  abortTransaction(transactionalId: string): Promise<void> {
    return this.#parts.transactions.abort(transactionalId)
  }

  /** Aborts what a producer has open in a partition and no transactional id owns. */
  abortHangingTransaction(at: TopicPartition, producerId: number): Promise<void> {
    return this.#parts.transactions.abortHanging(at, producerId)
  }

  /** Kafka's last stable offset: below it every transaction is decided. */
  lastStableOffset(at: TopicPartition): Offset {
    return this.#parts.catalog.partition(at).stableEnd
  }

  /**
   * Aborted transactions that overlap the offsets from `from` up to, but not including, `end`. Kafka's fetch response
   * carries them.
   */
  abortedTransactions(at: TopicPartition, from: Offset, end: Offset): readonly AbortedTransaction[] {
    return this.#parts.catalog.partition(at).producers?.aborted.between(from, end) ?? []
  }

  /**
   * Whether an open transaction may still change the group's committed offset of the partition. Kafka:
   * UNSTABLE_OFFSET_COMMIT.
   */
  hasUnstableOffset(group: string, at: TopicPartition): boolean {
    return this.#parts.transactionalOffsets.isUnstable(group, at.topic, at.partition)
  }

  /** Resolves when everything that was acknowledged is on the device: at once under `sync: 'commit'`. */
  sync(): Promise<void> {
    return this.#parts.sequencer.sync()
  }

  close(): Promise<void> {
    this.#closing ??= this.#parts.close()
    return this.#closing
  }
}

/** For the clients, which depend on the broker and on nothing below it. */
export type { ProducerState, TransactionState }
export { topicDeleted } from './reads/reader.ts'
export { producerEpochMax } from '../transaction/producer-ids.ts'

export interface BrokerParts {
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly segments: PartitionReaders
  readonly topics: Topics
  readonly groups: Groups
  readonly groupAdmin: GroupAdmin
  readonly committers: Committers
  readonly offsets: GroupOffsets
  readonly offsetLog: OffsetLog
  readonly transactions: Transactions
  readonly transactionalOffsets: TransactionalOffsets
  readonly sections: LastSections
  readonly scrubber: Scrubber
  readonly close: () => Promise<void>
}

/** How much of the disk a partition uses. */
export interface PartitionSize {
  readonly at: TopicPartition
  /** The first offset that can be read. */
  readonly start: Offset
  /** One past the last offset. */
  readonly end: Offset
  /** The number of its segments. */
  readonly segments: number
  /** The size of its record batches; indexes are not counted. */
  readonly bytes: number
}

export interface AppendedBatch {
  readonly baseOffset: Offset
  /** Offset of the batch's last record. */
  readonly lastOffset: Offset
  readonly leaderEpoch: number
}

const nobody: MemberName = { memberId: '', groupInstanceId: null }
