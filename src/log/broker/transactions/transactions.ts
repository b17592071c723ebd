import type { Clock, Timer } from '../../../base/clock.ts'
import type { Logger } from '../../../base/logger.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import { offsetsTopic } from '../../api/internal-topics.ts'
import type { OffsetEntry } from '../../api/log.ts'
import type { TopicPartition } from '../../api/record.ts'
import type { LogConfig } from '../../config.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import { encodeMarker } from '../../format/control-batch.ts'
import { checkGroupName } from '../../group/group-coordinator.ts'
import type { ProducerState } from '../../journal/checkpoint.ts'
import { producedBatch } from '../../storage/producers/produced-batch.ts'
import { ProducerIds } from '../../transaction/producer-ids.ts'
import {
  TransactionCoordinator,
  type EndedTransaction,
  type Outcome,
  type ProducerName,
} from '../../transaction/transaction-coordinator.ts'
import type { TransactionState } from '../../transaction/transaction-topic.ts'
import { checkOffsetEntry } from '../groups/group-offsets.ts'
import type { Groups } from '../groups/groups.ts'
import type { OffsetLog } from '../groups/offset-log.ts'
import { EntryDraft, type Sequencer } from '../sequencer.ts'
import type { Catalog } from '../topics/catalog.ts'
import type { Partition } from '../topics/partition.ts'
import type { TransactionLog } from './transaction-log.ts'
import type { TransactionalOffsets } from './transactional-offsets.ts'

/**
 * Transactions for producers that write in several steps. The coordinator decides, and this class turns its decisions
 * into entries:
 *
 * - The first batch of a transaction in a partition, and the record that adds the partition to the transaction, are one
 *   entry.
 * - The end of a transaction is one entry: a marker in every partition, the offsets that it carried, and its new state.
 *   Crash here, before the entry is durable: the transaction is open when the log is opened again; its producer may
 *   still end it, or its timeout does. After that, it has ended everywhere.
 * - A timer aborts transactions that exceed their timeout.
 * - Every request waits in line with the appends and is decided only when it gets its turn, so that nothing is written
 *   between a decision and its entry.
 */
export class Transactions {
  readonly #parts: TransactionsParts
  readonly #coordinator: TransactionCoordinator
  readonly #ids: ProducerIds
  #timer: Timer | null = null
  #closed = false

  constructor(parts: TransactionsParts, incarnation: number) {
    this.#parts = parts
    this.#ids = new ProducerIds(incarnation)
    this.#coordinator = new TransactionCoordinator({
      ids: this.#ids,
      now: () => parts.clock.now(),
      monotonic: () => parts.clock.monotonic(),
      timeoutMaxMs: parts.config.transactionTimeoutMaxMs,
      write: (state, ended) => this.#write(state, ended),
      forget: (transactionalId) => this.#forget(transactionalId),
    })
    for (const state of parts.log.states()) this.#coordinator.restore(state)
    if (this.#coordinator.anyOpen) this.#watch()
  }

  /**
   * Ends the transactions that a Kafka broker had begun to end. To be called once, as soon as entries can be written.
   */
  finishPrepared(): Promise<void> {
    return this.#coordinator.finishPrepared()
  }

  get timeoutMaxMs(): number {
    return this.#parts.config.transactionTimeoutMaxMs
  }

  /** The name of a producer without transactions. Its id is never given out twice. */
  newProducer(): ProducerName {
    return { producerId: this.#ids.next(), producerEpoch: 0 }
  }

  initProducer(transactionalId: string, timeoutMs: number, expected?: ProducerName): Promise<ProducerName> {
    return this.#inTurn(() => this.#coordinator.init(transactionalId, timeoutMs, expected ?? null))
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const { sequencer } = this.#parts
    return sequencer.whenRoom(() => {
      sequencer.checkWritable()
      return act()
    })
  }

  /** Adds the partitions to the transaction before anything is written to them, which older clients ask for. */
  addPartitions(producer: ProducerName, at: readonly TopicPartition[]): Promise<void> {
    return this.#inTurn(() => this.#addNow(producer, at))
  }

  async #addNow(producer: ProducerName, at: readonly TopicPartition[]): Promise<void> {
    const { catalog, log, sequencer } = this.#parts
    for (const place of at) catalog.partition(place)
    const joining = this.#coordinator.joining(producer, at)
    if (joining === null) return
    const draft = new EntryDraft(sequencer.placeContext())
    log.write(draft, joining.state)
    const written = draft.outcome()
    sequencer.submit(draft)
    joining.taken(written)
    this.#watch()
    await written
  }

  /**
   * Prepares the draft for a batch of this producer's transaction: adds the record that makes the partition part of the
   * transaction, unless it already is. Throws if the producer may not write. The returned function must be called when
   * the draft has been submitted.
   */
  join(draft: EntryDraft, producer: ProducerName, at: TopicPartition): () => void {
    const joining = this.#coordinator.joining(producer, [at])
    if (joining === null) return nothing
    this.#parts.log.write(draft, joining.state)
    const written = draft.outcome()
    return () => {
      joining.taken(written)
      this.#watch()
    }
  }

  /** Throws if the producer may not write to the partition in its transaction, like {@link join}, but adds nothing. */
  checkJoin(producer: ProducerName, at: TopicPartition): void {
    this.#coordinator.joining(producer, [at])
  }

  /** Sends offsets that are committed together with the transaction. */
  sendOffsets(producer: ProducerName, offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    return this.#inTurn(() => this.#sendOffsetsNow(producer, offsets, from))
  }

  async #sendOffsetsNow(producer: ProducerName, offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<void> {
    const { catalog, groups, offsetLog, sequencer } = this.#parts
    checkGroupName(from.group)
    groups.checkTransactionalCommit(from)
    for (const entry of offsets) {
      catalog.partition(entry.at)
      checkOffsetEntry(from.group, entry)
    }
    if (offsets.length === 0) return
    const at = offsetLog.placeOf(from.group)
    this.checkJoin(producer, at)
    const draft = new EntryDraft(sequencer.placeContext())
    const builder = new BatchBuilder({ initialBytes: 512 })
    offsetLog.transactional(draft, builder, { ...producer, group: from.group }, offsets)
    const joined = this.join(draft, producer, at)
    const written = draft.outcome()
    sequencer.submit(draft)
    joined()
    await written
  }

  end(transactionalId: string, producer: ProducerName, outcome: Outcome): Promise<ProducerName> {
    return this.#inTurn(() => this.#coordinator.end(transactionalId, producer, outcome))
  }

  list(): readonly TransactionState[] {
    return this.#coordinator.list()
  }

  describe(transactionalId: string): TransactionState {
    return this.#coordinator.describe(transactionalId)
  }

  /** The producers that write, or have written, to the partition. */
  producersOf(at: TopicPartition): readonly ProducerState[] {
    return this.#parts.catalog.partition(at).producers?.states() ?? []
  }

  /** Aborts the open transaction of the id and fences its producer. */
  abort(transactionalId: string): Promise<void> {
    return this.#inTurn(() => this.#coordinator.abort(transactionalId))
  }

  /**
   * Aborts what a producer has open in one partition without any coordinator knowing about it (in an adopted
   * directory). It would block readers of committed records for ever.
   */
  abortHanging(at: TopicPartition, producerId: number): Promise<void> {
    return this.#inTurn(() => this.#abortHangingNow(at, producerId))
  }

  async #abortHangingNow(at: TopicPartition, producerId: number): Promise<void> {
    const { catalog, sequencer } = this.#parts
    const partition = catalog.partition(at)
    const state = partition.pendingProducers?.states().find((producer) => producer.producerId === producerId)
    if (state === undefined || state.transactionStart < 0 || this.#coordinator.hasOpen(producerId, at))
      throw new LogError(
        'INVALID_TXN_STATE',
        `producer ${producerId} has no hanging transaction in ${partition.name}: abort one that has a transactional id by that id`,
        { at, producerId },
      )
    const draft = new EntryDraft(sequencer.placeContext())
    const producerEpoch = state.producerEpoch + 1
    this.#mark(draft, { producerId, producerEpoch, outcome: 'abort', partitions: [at] })
    const written = draft.outcome()
    sequencer.submit(draft)
    await written
  }

  expireIds(): Promise<void> {
    const { clock, config } = this.#parts
    return this.#coordinator.expireIds(clock.now() - config.transactionalIdExpirationMs)
  }

  #write(state: TransactionState, ended: EndedTransaction | null): Promise<void> {
    const { log, sequencer } = this.#parts
    sequencer.checkWritable()
    const draft = new EntryDraft(sequencer.placeContext())
    if (ended !== null) this.#mark(draft, ended)
    log.write(draft, state)
    const written = draft.outcome()
    sequencer.submit(draft)
    return written
  }

  #mark(draft: EntryDraft, ended: EndedTransaction): void {
    const { catalog, pendingOffsets } = this.#parts
    const { producerId } = ended
    const marker = { ...ended, coordinatorEpoch: draft.context.leaderEpoch, timestamp: draft.context.now }
    const isTopic = (name: string): boolean => catalog.topic(name) !== undefined
    const marked = ended.partitions.flatMap((at) => {
      const partition = livePartition(catalog, at)
      if (partition === null) return []
      const bytes = encodeMarker(marker)
      const produced = producedBatch(bytes, 0)
      // The coordinator's epoch is never below that of a batch it admitted, but an adopted directory may contradict it.
      // All partitions are checked before the first marker gets its place.
      if (produced?.kind === 'marker') partition.pendingProducers?.checkMarker(produced, partition.name)
      return [{ partition, bytes }]
    })
    for (const { partition, bytes } of marked) {
      draft.batch(partition, bytes)
      if (partition.at.topic === offsetsTopic) draft.also(() => pendingOffsets.end(producerId, ended.outcome, isTopic))
    }
  }

  async #forget(transactionalId: string): Promise<void> {
    const { log, sequencer } = this.#parts
    sequencer.checkWritable()
    const draft = new EntryDraft(sequencer.placeContext())
    log.forget(draft, transactionalId)
    const written = draft.outcome()
    sequencer.submit(draft)
    await written
  }

  /** There is one timer while any transaction is open: an idle log needs none. */
  #watch(): void {
    if (this.#timer !== null || this.#closed) return
    const { clock, config, logger, sequencer } = this.#parts
    this.#timer = clock.setTimer(config.transactionCheckIntervalMs, () => {
      this.#abortExpired()
        .catch((error: unknown) => {
          if (!this.#closed) logger.error('aborting transactions that exceeded their timeout failed', error)
        })
        .finally(() => {
          this.#timer = null
          if (this.#coordinator.anyOpen && sequencer.failure === null) this.#watch()
        })
    })
  }

  /** Aborts them one after the other; each may have ended by itself before its turn. */
  async #abortExpired(): Promise<void> {
    for (const transactionalId of this.#coordinator.expired()) {
      if (this.#closed || this.#parts.sequencer.failure !== null) return
      if (await this.#inTurn(() => this.#coordinator.abortExpired(transactionalId)))
        this.#parts.logger.warn(`the transaction of ${transactionalId} took longer than its timeout and was aborted`)
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}

export interface TransactionsParts {
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly clock: Clock
  readonly logger: Logger
  readonly config: Pick<
    LogConfig,
    'transactionTimeoutMaxMs' | 'transactionCheckIntervalMs' | 'transactionalIdExpirationMs'
  >
  readonly groups: Groups
  readonly log: TransactionLog
  readonly offsetLog: OffsetLog
  readonly pendingOffsets: TransactionalOffsets
}

function nothing(): void {}

/** Null if the topic has been deleted in the meantime: no marker is needed then. */
function livePartition(catalog: Catalog, at: TopicPartition): Partition | null {
  const topic = catalog.topic(at.topic)
  return topic?.phase === 'live' ? (topic.partitions[at.partition] ?? null) : null
}
