import { assert } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
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
import type { RecordedSection, TaskId } from '../api/commit-section.ts'
import { BatchBuilder } from '../format/batch-builder.ts'
import { checkGroupName } from '../group/group-coordinator.ts'
import type { MemberName } from '../group/group-requests.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { ProducerState, RememberedBatch } from '../journal/checkpoint.ts'
import type { Outcome, ProducerName } from '../transaction/transaction-coordinator.ts'
import type { TransactionState } from '../transaction/transaction-topic.ts'
import type { TransactionalOffsets } from './transactional-offsets.ts'
import type { Transactions } from './transactions.ts'
import { producedBatch, type AbortedTransaction } from '../storage/produced-batch.ts'
import type { PartitionReaders } from '../storage/partition-readers.ts'
import { checkAppended, checkOwn, checkProduced, type BatchOrigin } from './append-check.ts'
import type { Catalog } from './catalog.ts'
import type { Partition } from './partition.ts'
import type { Committers } from './committer.ts'
import { checkOffsetEntry, type GroupOffsets } from './group-offsets.ts'
import type { GroupAdmin } from './group-admin.ts'
import type { Groups } from './groups.ts'
import type { LastSections } from './last-sections.ts'
import { LeasedNames } from './leased-names.ts'
import type { OffsetLog } from './offset-log.ts'
import { PartitionsReader } from './reader.ts'
import type { Damage, Scrubber } from './scrubber.ts'
import { EntryDraft, type Sequencer } from './sequencer.ts'
import type { Topics } from './topics.ts'
import { offsetForTime } from './time-lookup.ts'

/**
 * What a broker does with bytes: the embedded clients call it, and so will the wire server. One append path, one read
 * path, one commit path.
 */
export class Broker {
  /** Names that the clients of this log share out among them. */
  readonly leasedNames: LeasedNames = new LeasedNames()
  readonly #parts: BrokerParts
  #closing: Promise<void> | null = null

  constructor(parts: BrokerParts) {
    this.#parts = parts
  }

  /**
   * Appends one finished record batch (v2, any base offset and leader epoch: both are stamped into `batch`, they lie
   * outside its checksum). The bytes are copied before `append` returns when {@link Broker.canAppend} is true; else the
   * append waits in line and the caller leaves them alone until the promise settles. Resolves when the batch is written
   * (synced under `sync: 'commit'`). Rejects with UNKNOWN_TOPIC, UNKNOWN_PARTITION, MESSAGE_TOO_LARGE, INVALID_RECORD,
   * CORRUPT_BATCH, WRITE_FAILED, DISK_FULL or CLOSED; a producer's numbered batch also with OUT_OF_ORDER_SEQUENCE or
   * INVALID_PRODUCER_EPOCH, one of a transaction with INVALID_PRODUCER_ID_MAPPING or INVALID_TXN_STATE. One that came
   * before is not written again: the answer is that of the first. Every record of a batch from outside is decoded first.
   */
  append(at: TopicPartition, batch: Uint8Array, origin: BatchOrigin = 'outside'): Promise<AppendedBatch> {
    return this.#parts.sequencer.whenRoom(() => this.appendNow(at, batch, origin))
  }

  /**
   * As {@link Broker.append}, for whoever knows that {@link Broker.canAppend} is true: a batch that is refused is refused
   * by a throw, while its bytes are still the caller's; what is returned can only fail with the log.
   */
  appendNow(at: TopicPartition, batch: Uint8Array, origin: BatchOrigin = 'outside'): Promise<AppendedBatch> {
    const { sequencer, catalog } = this.#parts
    sequencer.checkWritable()
    const partition = catalog.partition(at)
    checkAppended(partition, batch, origin, sequencer.clock.now())
    const produced = producedBatch(batch, 0)
    if (produced?.kind === 'records') {
      const duplicate = checkProduced(partition, produced)
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

  /** The batch came before: the answer is the same, and not earlier than that of the first. */
  async #appendedBefore(partition: Partition, { lastOffset, offsetDelta }: RememberedBatch): Promise<AppendedBatch> {
    const baseOffset = lastOffset - offsetDelta
    if (baseOffset >= partition.end) {
      const first = partition.tail[partition.tailIndex(baseOffset)]
      assert(first?.baseOffset === baseOffset, `the batch at ${baseOffset} of ${partition.name} is on its way`)
      await this.#parts.sequencer.follow(first.sequence)
    }
    return { baseOffset, lastOffset, leaderEpoch: partition.epochAt(baseOffset) }
  }

  /** Whether the bound on what is not yet in the segment files leaves room. */
  get canAppend(): boolean {
    return this.#parts.sequencer.hasRoom
  }

  /** Resolves when {@link Broker.canAppend} holds. */
  ready(): Promise<void> {
    return this.#parts.sequencer.ready()
  }

  /** The one way to read: long poll over any number of partitions, fair between them. */
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
   * Per query the first record with at least that timestamp; a partition without one gives its end offset. As in Kafka it is
   * never beyond what a reader of this isolation is shown; of aborted records the offset may be given.
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

  /** Deletes records below the offsets (-1: all there are) and resolves with the log starts. */
  async deleteRecords(at: readonly Position[]): Promise<readonly Position[]> {
    for (const { at: place } of at) checkOwn(place)
    return await this.#parts.topics.deleteRecords(at)
  }

  /** Stored records that reading closed segments again found damaged. */
  get damage(): readonly Damage[] {
    return this.#parts.scrubber.damage
  }

  /** The topic, or undefined. Cheap: ask per send if you like. */
  topic(name: string): TopicInfo | undefined {
    const topic = this.#parts.catalog.topic(name)
    return topic?.phase === 'live' ? topic.info : undefined
  }

  /** The log's wall clock. */
  now(): number {
    return this.#parts.sequencer.clock.now()
  }

  /** Grows whenever a topic comes, goes or gets more partitions. */
  get catalogRevision(): number {
    return this.#parts.catalog.revision
  }

  /** All topics, internal ones too, by name. */
  listTopics(): readonly TopicInfo[] {
    const live = [...this.#parts.catalog.topics].filter(({ phase }) => phase === 'live')
    return live.map(({ info }) => info).sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  /** What every partition takes on the disk, by topic and partition. */
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

  /** TOPIC_EXISTS, INVALID_TOPIC or INVALID_CONFIG; all of them or none. */
  createTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    return this.#parts.topics.create(specs)
  }

  /** Creates what is missing; TOPIC_MISMATCH names both where partitions or codecs differ. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
    return this.#parts.topics.ensure(specs)
  }

  /** Its name is free at once; its files go when both checkpoints know. Groups forget their offsets in it. */
  deleteTopic(name: string): Promise<void> {
    return this.#parts.topics.delete(name)
  }

  alterTopicConfig(name: string, changes: Partial<TopicConfig>): Promise<TopicInfo> {
    return this.#parts.topics.alterConfig(name, changes)
  }

  /** More partitions for a topic; INVALID_CONFIG unless they are more than it has. */
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

  /** An application joins as the one member of its group: GROUP_IN_USE while another member is in. */
  joinGroup(options: GroupOptions): Membership {
    const { groups, sequencer } = this.#parts
    return groups.joinAlone(options, sequencer.incarnation)
  }

  /**
   * Commits offsets in a member's name, or (generation -1, no member) for a group that has none. Waits in line with the
   * appends; resolves when written. Rejects as {@link Groups.checkCommit} does, or with UNKNOWN_TOPIC, UNKNOWN_PARTITION,
   * INVALID_RECORD.
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

  /** Throws UNSTABLE_OFFSET_COMMIT if one must be stable and is not. Kafka: OffsetFetch with `RequireStable`. */
  committedOffsets(
    group: string,
    at: readonly TopicPartition[],
    { requireStable = false }: { readonly requireStable?: boolean } = {},
  ): readonly OffsetEntry[] {
    const unstable = requireStable ? at.find((place) => this.hasUnstableOffset(group, place)) : undefined
    if (unstable === undefined) return this.#parts.offsets.get(group, at)
    throw new LogError(
      'UNSTABLE_OFFSET_COMMIT',
      `${partitionName(unstable)}: a transaction that is not over may move the offset of group ${group}: ask again when it has ended, or abort it`,
      { group, ...unstable },
    )
  }

  lastSections(group: string, tasks?: readonly TaskId[]): readonly RecordedSection[] {
    return this.#parts.sections.get(group, tasks)
  }

  /** A producer id that nobody has had, for a producer without transactions. */
  newProducer(): ProducerName {
    return this.#parts.transactions.newProducer()
  }

  /** `transactionTimeoutMaxMs` of the log. */
  get transactionTimeoutMaxMs(): number {
    return this.#parts.transactions.timeoutMaxMs
  }

  /**
   * Gives the transactional id to a new producer: fences the one before and aborts what it left open. With `expected` that
   * very producer asks for a new epoch. Rejects with INVALID_TRANSACTION_TIMEOUT or PRODUCER_FENCED.
   */
  initProducer(transactionalId: string, timeoutMs: number, expected?: ProducerName): Promise<ProducerName> {
    return this.#parts.transactions.initProducer(transactionalId, timeoutMs, expected)
  }

  /** Kafka's AddPartitionsToTxn. Not needed before `append`, which takes its partition in by itself. */
  addPartitionsToTransaction(producer: ProducerName, at: readonly TopicPartition[]): Promise<void> {
    return this.#parts.transactions.addPartitions(producer, at)
  }

  /** Offsets that count when the producer's transaction is committed. Rejects as a group's commit, or if fenced. */
  sendOffsetsToTransaction(
    producer: ProducerName,
    offsets: readonly OffsetEntry[],
    from: GroupMetadata,
  ): Promise<void> {
    return this.#parts.transactions.sendOffsets(producer, offsets, from)
  }

  /** Ends the transaction; resolves with who writes the next one. Asked again it gives the same answer. */
  endTransaction(transactionalId: string, producer: ProducerName, outcome: Outcome): Promise<ProducerName> {
    return this.#parts.transactions.end(transactionalId, producer, outcome)
  }

  listTransactions(): readonly TransactionState[] {
    return this.#parts.transactions.list()
  }

  /** TRANSACTIONAL_ID_NOT_FOUND if there is none. */
  describeTransaction(transactionalId: string): TransactionState {
    return this.#parts.transactions.describe(transactionalId)
  }

  /** The producers that a partition knows: what each wrote last, and since where it has a transaction open. */
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

  /** Aborted transactions that touch the offsets from `from` to below `end`: what Kafka's fetch answer carries. */
  abortedTransactions(at: TopicPartition, from: Offset, end: Offset): readonly AbortedTransaction[] {
    return this.#parts.catalog.partition(at).producers?.aborted.between(from, end) ?? []
  }

  /** Whether an open transaction may yet change what the group has committed there: Kafka's UNSTABLE_OFFSET_COMMIT. */
  hasUnstableOffset(group: string, at: TopicPartition): boolean {
    return this.#parts.transactionalOffsets.isUnstable(group, at.topic, at.partition)
  }

  /** Resolves when all that was acknowledged is on the device; at once under `sync: 'commit'`. */
  sync(): Promise<void> {
    return this.#parts.sequencer.sync()
  }

  close(): Promise<void> {
    this.#closing ??= this.#parts.close()
    return this.#closing
  }
}

/** For the clients, which know the broker and nothing below it. */
export type { ProducerState, TransactionState }
export { topicDeleted } from './reader.ts'
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

/** What a partition takes on the disk. */
export interface PartitionSize {
  readonly at: TopicPartition
  readonly start: Offset
  readonly end: Offset
  /** How many segments it has. */
  readonly segments: number
  /** Of its record batches; the indexes are not counted. */
  readonly bytes: number
}

export interface AppendedBatch {
  readonly baseOffset: Offset
  /** Offset of the batch's last record. */
  readonly lastOffset: Offset
  readonly leaderEpoch: number
}

const nobody: MemberName = { memberId: '', groupInstanceId: null }
