import assert from 'node:assert/strict'
import type { SeededRandom } from '../../src/base/seeded-random.ts'
import type { TaskSection } from '../../src/log/api/commit-section.ts'
import type { Committer } from '../../src/log/api/log.ts'
import { partitionName, type OutgoingRecord, type TopicPartition } from '../../src/log/api/record.ts'
import { defaultTopicConfig, type TopicConfig } from '../../src/log/api/topic.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'
import { BatchBuilder, type SealOptions } from '../../src/log/format/batch-builder.ts'
import { lastOffsetDeltaOf } from '../../src/log/format/record-batch.ts'
import {
  emptyPartition,
  emptyState,
  group,
  sectionText,
  tasks,
  transactionalGroup,
  type KeptRecord,
  type LogState,
  type PartitionState,
  type ProducerState,
  type TopicKind,
  type TopicState,
  type TransactionState,
} from './log-model.ts'
import { recordOf } from '../harness/log-harness.ts'

/** The topics that a life may have. Segments are small, so that a few dozen batches roll, expire and are compacted. */
export const topicKinds: ReadonlyMap<string, { kind: TopicKind; partitions: number; config: Partial<TopicConfig> }> =
  new Map([
    ['orders', { kind: 'plain', partitions: 2, config: { segmentBytes: 2048, indexIntervalBytes: 256 } }],
    [
      'short',
      { kind: 'short', partitions: 1, config: { segmentBytes: 1024, retentionBytes: 2048, retentionMs: 8000 } },
    ],
    [
      'table',
      {
        kind: 'table',
        partitions: 1,
        config: { cleanupPolicy: 'compact', segmentBytes: 1024, minCleanableDirtyRatio: 0.01, deleteRetentionMs: 0 },
      },
    ],
    ['extra', { kind: 'plain', partitions: 2, config: { segmentBytes: 4096 } }],
  ])

const partitionsMax = 4

export function kindOf(topic: string): TopicKind {
  return topicKinds.get(topic)?.kind ?? 'plain'
}

/** Every state that a log went through; the entries up to `acknowledged` must not be lost. */
export class LogHistory {
  readonly states: LogState[]
  /** The number of entries that were acknowledged to their callers. */
  acknowledged = 0
  /** The entries in flight, each with whether a durable reader already sees it. */
  readonly onTheirWay: { readonly index: number; readonly visible: () => boolean }[] = []
  /** The failures that callers got. */
  readonly failures: unknown[] = []

  constructor(first: LogState = emptyState) {
    this.states = [first]
  }

  /** The history of a log that is about to be reopened, and must be in the state `acknowledged` or a later one. */
  static of(states: readonly LogState[], acknowledged: number): LogHistory {
    const history = new LogHistory()
    history.states.splice(0, 1, ...states)
    history.acknowledged = acknowledged
    return history
  }

  get last(): LogState {
    return this.states[this.states.length - 1] as LogState
  }

  get sent(): number {
    return this.states.length - 1
  }

  /** The number of entries that a reader may have seen as durable. */
  get promoted(): number {
    let promoted = this.acknowledged
    for (const { index, visible } of this.onTheirWay) if (index > promoted && visible()) promoted = index
    return promoted
  }

  push(state: LogState, outcome: Promise<unknown>, visible: () => boolean): void {
    const index = this.states.push(state) - 1
    const entry = { index, visible }
    this.onTheirWay.push(entry)
    const leave = (): void => void this.onTheirWay.splice(this.onTheirWay.indexOf(entry), 1)
    outcome.then(
      () => {
        leave()
        this.acknowledged = Math.max(this.acknowledged, index)
      },
      (error: unknown) => {
        leave()
        this.failures.push(error)
      },
    )
  }

  /** The log continued from this state: later states are dropped. */
  cutTo(index: number): void {
    this.states.length = index + 1
    this.acknowledged = index
    this.onTheirWay.length = 0
  }
}

/** Uses a log at random and records in a history the expected state after each entry. Deterministic by its seed. */
export class LogUser {
  readonly log: EmbeddedLog
  readonly history: LogHistory
  readonly #random: SeededRandom
  readonly #ids: { next: number }
  #committer: Committer | null = null
  #inCommitter = 0
  #epoch: number | null = null
  /** The id of the idempotent producer without transactions. */
  #producerId: number | null = null
  readonly #topics: readonly string[]

  constructor(
    log: EmbeddedLog,
    history: LogHistory,
    random: SeededRandom,
    ids: { next: number },
    topics: readonly string[] = [...topicKinds.keys()],
  ) {
    this.#topics = topics
    this.log = log
    this.history = history
    this.#random = random
    this.#ids = ids
  }

  get epoch(): number {
    assert(this.#epoch !== null, 'open first')
    return this.#epoch
  }

  async open(): Promise<void> {
    // A partition without batches shows the epoch that its first one will have.
    const internal = Array.from({ length: 50 }, (_, partition) => ({ topic: '__consumer_offsets', partition }))
    this.#epoch = Math.max(...this.log.broker.bounds(internal, 'durable').map(({ leaderEpoch }) => leaderEpoch))
    this.#committer = await this.log.openCommitter({ id: group })
  }

  createTopic(name: string): void {
    const spec = topicKinds.get(name)
    assert(spec)
    const { history, log } = this
    const partitions = Array.from({ length: spec.partitions }, () => emptyPartition)
    const { indexIntervalBytes = defaultTopicConfig.indexIntervalBytes } = spec.config
    const topics = new Map(history.last.topics).set(name, { kind: spec.kind, indexIntervalBytes, partitions })
    history.push(
      { ...history.last, topics },
      log.broker.createTopics([{ name, partitions: spec.partitions, config: spec.config }]),
      () => log.broker.topic(name) !== undefined,
    )
  }

  /** Also of a topic whose partitions before now may have lost everything to a power cut. */
  addPartitions(name: string): void {
    const { history, log } = this
    const topic = history.last.topics.get(name)
    assert(topic)
    const partitions = [...topic.partitions, emptyPartition]
    const topics = new Map(history.last.topics).set(name, { ...topic, partitions })
    history.push(
      { ...history.last, topics },
      log.broker.addPartitions(name, partitions.length),
      () => log.broker.topic(name)?.partitions === partitions.length,
    )
  }

  /** New settings take effect with the next append. */
  alterConfig(name: string): void {
    const { history, log } = this
    const topic = history.last.topics.get(name)
    assert(topic)
    const indexIntervalBytes = this.#ids.next++
    const topics = new Map(history.last.topics).set(name, { ...topic, indexIntervalBytes })
    const segmentBytes = this.#random.pick([1024, 2048, 4096])
    history.push(
      { ...history.last, topics },
      log.broker.alterTopicConfig(name, { indexIntervalBytes, segmentBytes }),
      () => log.broker.topic(name)?.config.indexIntervalBytes === indexIntervalBytes,
    )
  }

  deleteTopic(name: string): void {
    const { history, log } = this
    const topics = new Map(history.last.topics)
    topics.delete(name)
    const offsets = new Map([...history.last.offsets].filter(([key]) => !key.startsWith(`${group}/${name}-`)))
    const transactionalOffsets = new Map(
      [...history.last.transactionalOffsets].filter(([, { at }]) => at.topic !== name),
    )
    // Offsets in an open transaction do not apply to a recreated topic of the same name, either.
    const transactions = new Map(
      [...history.last.transactions].map(([id, open]) => [
        id,
        { ...open, offsets: new Map([...open.offsets].filter(([, { at }]) => at.topic !== name)) },
      ]),
    )
    const state = { ...history.last, topics, offsets, transactionalOffsets, transactions }
    history.push(state, log.broker.deleteTopic(name), () => false)
  }

  append(at: TopicPartition, count: number): void {
    const { history, log } = this
    const start = this.#partition(at).end
    const records = this.#records(at, count)
    const builder = new BatchBuilder()
    for (const record of records) builder.append(outgoing(record))
    const end = start + count
    const written = log.broker.append(at, builder.finish()).then((appended) => {
      assert.equal(appended.baseOffset, start, `where a batch for ${partitionName(at)} went`)
    })
    history.push(this.#appended(history.last, at, records), written, () => this.#reached(at, end))
  }

  /** A worker's commit: outputs to several partitions, offsets, sections. */
  commit(outputs: ReadonlyMap<TopicPartition, number>, offsets: ReadonlyMap<TopicPartition, number>): void {
    const { history } = this
    assert(this.#committer, 'open first')
    if (this.#inCommitter >= 2) return
    this.#inCommitter++
    const staged = this.#committer.begin()
    const marker = `c${this.#ids.next++}`
    const task = this.#random.pick(tasks)
    let state = history.last
    const ranges: { at: TopicPartition; start: number; end: number }[] = []
    for (const [at, count] of outputs) {
      const records = this.#records(at, count)
      const start = this.#partition(at, state).end
      const target = staged.to(at)
      for (const record of records) target.append(outgoing(record), 0, 'output')
      ranges.push({ at, start, end: start + count })
      state = this.#appended(state, at, records)
    }
    const section = { ...emptySection, task, outputDigest: marker }
    const text = sectionText({ ...section, outputs: ranges })
    const committed = new Map(state.offsets)
    for (const [at, offset] of offsets) committed.set(`${group}/${partitionName(at)}`, `${offset}:${marker}`)
    state = {
      ...state,
      offsets: committed,
      sections: new Map(state.sections).set(task, marker),
      commits: [...state.commits, text],
    }
    const entries = [...offsets].map(([at, offset]) => ({ at, offset, leaderEpoch: 0, metadata: marker }))
    const sequenced = staged.commit({
      group,
      generation: -1,
      offsets: entries,
      sections: [section],
      build: null,
      configuration: '',
    })
    this.#inCommitter--
    const first = ranges[0]
    history.push(state, sequenced.durable, () => first !== undefined && this.#reached(first.at, first.end))
  }

  commitOffsets(offsets: ReadonlyMap<TopicPartition, number>): void {
    const { history, log } = this
    const marker = `o${this.#ids.next++}`
    const committed = new Map(history.last.offsets)
    for (const [at, offset] of offsets) committed.set(`${group}/${partitionName(at)}`, `${offset}:${marker}`)
    const entries = [...offsets].map(([at, offset]) => ({ at, offset, leaderEpoch: 0, metadata: marker }))
    history.push({ ...history.last, offsets: committed }, log.broker.commitOffsets(group, -1, entries), () => false)
  }

  purge(at: TopicPartition, offset: number): void {
    const { history, log } = this
    const partition = this.#partition(at)
    if (offset <= partition.start) return
    history.push(
      withPartition(history.last, at, { ...partition, start: offset }),
      log.purgeBefore([{ at, offset }]),
      () => {
        if (log.broker.topic(at.topic) === undefined) return false
        const [bounds] = log.broker.bounds([at], 'durable')
        return bounds !== undefined && bounds.start >= offset
      },
    )
  }

  /** One more numbered batch of a producer without transactions; sometimes it is sent twice at once. */
  appendNumbered(at: TopicPartition, count: number): void {
    const { history, log } = this
    this.#producerId ??= log.broker.newProducer().producerId
    const partition = this.#partition(at)
    const transactional = new Set([...history.last.transactions.values()].map(({ producerId }) => producerId))
    const producerId = this.#random.pick([
      this.#producerId,
      ...[...partition.producers.keys()].filter((known) => !transactional.has(known)),
    ])
    const known = partition.producers.get(producerId)
    const records = this.#records(at, count)
    const baseSequence = (known?.lastSequence ?? -1) + 1
    const bytes = batchOf(records, { producerId, producerEpoch: 0, baseSequence })
    const start = partition.end
    const copies = this.#random.chance(0.3) ? 2 : 1
    const answers = Array.from({ length: copies }, () => log.broker.append(at, Uint8Array.from(bytes)))
    const written = Promise.all(answers).then((appended) => {
      for (const { baseOffset } of appended)
        assert.equal(baseOffset, start, `where a batch for ${partitionName(at)} is`)
    })
    const producer: ProducerState = {
      producerEpoch: 0,
      lastSequence: baseSequence + count - 1,
      lastOffset: start + count - 1,
      transactionStart: -1,
      lastBatch: bytes,
    }
    const state = this.#appended(history.last, at, records, new Map(partition.producers).set(producerId, producer))
    history.push(state, written, () => this.#reached(at, start + count))
  }

  /** Sends remembered batches again: the answer is the old one, and nothing is written. */
  repeatOld(at: TopicPartition): void {
    const { history, log } = this
    for (const { lastBatch, lastOffset } of this.#partition(at).producers.values()) {
      if (lastBatch === null) continue
      const baseOffset = lastOffset - lastOffsetDeltaOf(lastBatch, 0)
      log.broker
        .append(at, Uint8Array.from(lastBatch))
        .then((appended) => assert.equal(appended.baseOffset, baseOffset, `a batch of ${partitionName(at)} once more`))
        .catch((error: unknown) => history.failures.push(error))
    }
  }

  repeatAll(): void {
    for (const [topic, { partitions }] of this.history.last.topics)
      for (const partition of partitions.keys()) this.repeatOld({ topic, partition })
  }

  /** The next step of one of two transactional producers. */
  transact(names: readonly string[]): void {
    const random = this.#random
    const id = random.pick(['tx-a', 'tx-b'])
    const transaction = this.history.last.transactions.get(id)
    if (transaction === undefined || random.chance(0.1)) return this.#initTransactions(id)
    if (transaction.phase === 'ongoing' && random.chance(0.35))
      return this.#endTransaction(id, random.chance(0.65) ? 'commit' : 'abort')
    if (random.chance(0.25)) return this.#sendOffsets(id, transaction, this.#offsetsAt(this.#places(names, 2)))
    this.#appendInTransaction(id, transaction, this.#place(names))
  }

  #initTransactions(id: string): void {
    const { history, log } = this
    const before = history.last.transactions.get(id)
    const ended = before?.phase === 'ongoing' ? this.#ended(history.last, before, 'abort') : history.last
    const written = log.broker.initProducer(id, 900_000)
    // A failed log initializes no producer: the call rejects, and nothing changes.
    const taken = log.broker.listTransactions().find(({ transactionalId }) => transactionalId === id)
    if (taken === undefined) return history.push(history.last, written, () => false)
    const { producerId, producerEpoch } = taken
    const next = {
      ...nothingOpen,
      producerId,
      producerEpoch,
      phase: 'empty' as const,
      name: `${id}#${this.#ids.next++}`,
    }
    history.push({ ...ended, transactions: new Map(ended.transactions).set(id, next) }, written, () => false)
  }

  #endTransaction(id: string, outcome: 'commit' | 'abort'): void {
    const { history, log } = this
    const before = history.last.transactions.get(id)
    assert(before)
    const ended = this.#ended(history.last, before, outcome)
    const written = log.broker.endTransaction(id, before, outcome).then(({ producerEpoch }) => {
      assert.equal(producerEpoch, before.producerEpoch + 1, `the next epoch of ${id}`)
    })
    const phase = outcome === 'commit' ? ('completeCommit' as const) : ('completeAbort' as const)
    const { producerId, producerEpoch } = before
    const name = `${id}#${this.#ids.next++}`
    const next = { ...nothingOpen, producerId, producerEpoch: producerEpoch + 1, phase, name }
    history.push({ ...ended, transactions: new Map(ended.transactions).set(id, next) }, written, () => false)
  }

  /** The state after a transaction ends: its markers take one offset each, and its offsets apply if it is committed. */
  #ended(
    state: LogState,
    { producerId, producerEpoch, ...open }: TransactionState,
    outcome: 'commit' | 'abort',
  ): LogState {
    for (const at of open.partitions) {
      // A topic that is still being created or deleted gets no marker, nor does a partition that a topic of the same
      // name does not have.
      const known = state.topics.get(at.topic)?.partitions[at.partition]
      if (known === undefined || this.log.broker.topic(at.topic) === undefined) continue
      const partition = this.#partition(at, state)
      const marked: ProducerState = {
        producerEpoch: producerEpoch + 1,
        lastSequence: -1,
        lastOffset: -1,
        transactionStart: -1,
        lastBatch: null,
      }
      state = this.#extended(state, at, [], {
        end: partition.end + 1,
        producers: new Map(partition.producers).set(producerId, marked),
      })
    }
    const offsets = new Map(state.transactionalOffsets)
    if (outcome === 'commit')
      for (const [place, entry] of open.offsets)
        if (state.topics.has(entry.at.topic) && entry.serial > (offsets.get(place)?.serial ?? -1))
          offsets.set(place, entry)
    return { ...state, transactionalOffsets: offsets, outcomes: new Map(state.outcomes).set(open.name, outcome) }
  }

  #sendOffsets(id: string, transaction: TransactionState, offsets: ReadonlyMap<TopicPartition, number>): void {
    const { history, log } = this
    const serial = this.#ids.next++
    const collected = new Map(transaction.phase === 'ongoing' ? transaction.offsets : [])
    for (const [at, offset] of offsets) collected.set(partitionName(at), { at, offset, serial })
    const entries = [...offsets].map(([at, offset]) => ({ at, offset, leaderEpoch: 0, metadata: '' }))
    const from = { group: transactionalGroup, generation: -1, memberId: '', groupInstanceId: null }
    const next = { ...transaction, phase: 'ongoing' as const, offsets: collected }
    const sentOffsets = new Map(history.last.sentOffsets)
    for (const [at, offset] of offsets) sentOffsets.set(partitionName(at), offset)
    history.push(
      { ...history.last, transactions: new Map(history.last.transactions).set(id, next), sentOffsets },
      log.broker.sendOffsetsToTransaction(transaction, entries, from),
      () => false,
    )
  }

  #appendInTransaction(id: string, transaction: TransactionState, at: TopicPartition): void {
    const { history, log } = this
    const { producerId, producerEpoch, name } = transaction
    const partition = this.#partition(at)
    const before = partition.producers.get(producerId)
    const known = before?.producerEpoch === producerEpoch ? before : undefined
    const records = this.#records(at, this.#random.between(1, 3)).map((record) => ({ ...record, transaction: name }))
    const baseSequence = (known?.lastSequence ?? -1) + 1
    const bytes = batchOf(records, { producerId, producerEpoch, baseSequence, transactional: true })
    const start = partition.end
    const written = log.broker.append(at, Uint8Array.from(bytes)).then(({ baseOffset }) => {
      assert.equal(baseOffset, start, `where a batch of ${name} for ${partitionName(at)} went`)
    })
    const producer: ProducerState = {
      producerEpoch,
      lastSequence: baseSequence + records.length - 1,
      lastOffset: start + records.length - 1,
      transactionStart: known !== undefined && known.transactionStart >= 0 ? known.transactionStart : start,
      lastBatch: bytes,
    }
    const state = this.#appended(history.last, at, records, new Map(partition.producers).set(producerId, producer))
    const inIt = transaction.partitions.some((place) => partitionName(place) === partitionName(at))
    const partitions = inIt ? transaction.partitions : [...transaction.partitions, at]
    const next = { ...transaction, phase: 'ongoing' as const, partitions }
    history.push({ ...state, transactions: new Map(state.transactions).set(id, next) }, written, () =>
      this.#reached(at, start + records.length),
    )
  }

  /** One random action. */
  act(): void {
    const random = this.#random
    const { topics } = this.history.last
    // A topic that is still being created cannot be used yet, and one that is being deleted cannot be created.
    const names = [...topics.keys()].filter((name) => this.log.broker.topic(name) !== undefined)
    const settled = this.history.onTheirWay.length === 0
    const missing = settled ? this.#topics.filter((name) => !topics.has(name)) : []
    const choice = random.below(100)
    if (missing.length > 0 && (names.length === 0 || choice < 12)) return this.createTopic(random.pick(missing))
    // An append that has to wait for room would be written after entries that do not wait.
    if (names.length === 0 || !this.log.broker.canAppend) return
    if (choice < 14 && names.includes('extra')) return this.deleteTopic('extra')
    if (choice < 15 && names.length > 2) return this.deleteTopic(random.pick(names))
    if (choice < 17 && random.chance(0.5)) return this.alterConfig(random.pick(names))
    const narrow = names.filter((name) => (topics.get(name)?.partitions.length ?? partitionsMax) < partitionsMax)
    if (choice < 18 && settled && narrow.length > 0) return this.addPartitions(random.pick(narrow))
    if (choice < 30) return this.append(this.#place(names), random.between(1, 5))
    if (choice < 42) return this.appendNumbered(this.#place(names), random.between(1, 5))
    if (choice < 45) return this.repeatOld(this.#place(names))
    if (choice < 58) return this.transact(names)
    if (choice < 82) {
      const outputs = new Map<TopicPartition, number>()
      for (const at of this.#places(names, 3)) outputs.set(at, random.between(1, 4))
      return this.commit(outputs, this.#offsetsAt(this.#places(names, 2)))
    }
    if (choice < 92) return this.commitOffsets(this.#offsetsAt(this.#places(names, 2)))
    const plain = names.filter((name) => kindOf(name) === 'plain')
    if (plain.length === 0) return
    const at = this.#place(plain)
    // Only durable and decided records may be purged.
    const [bounds] = this.log.broker.bounds([at], 'committed')
    if (bounds !== undefined && bounds.end >= bounds.start) this.purge(at, random.between(bounds.start, bounds.end))
  }

  #offsetsAt(places: readonly TopicPartition[]): Map<TopicPartition, number> {
    return new Map(places.map((at) => [at, this.#random.below(this.#partition(at).end + 1)]))
  }

  #places(names: readonly string[], max: number): TopicPartition[] {
    const places = new Map<string, TopicPartition>()
    for (let count = this.#random.between(1, max); count > 0; count--) {
      const at = this.#place(names)
      places.set(partitionName(at), at)
    }
    return [...places.values()]
  }

  #place(names: readonly string[]): TopicPartition {
    const topic = this.#random.pick(names)
    // Partitions that are still being added cannot be used yet.
    const partitions = this.log.broker.topic(topic)?.partitions ?? 1
    return { topic, partition: this.#random.below(partitions) }
  }

  #records(at: TopicPartition, count: number): KeptRecord[] {
    const random = this.#random
    const table = kindOf(at.topic) === 'table'
    return Array.from({ length: count }, () => {
      const id = this.#ids.next++
      const large = random.chance(0.02) ? random.between(3000, 20_000) : random.below(120)
      return {
        offset: -1,
        key: table || random.chance(0.5) ? `k${random.below(8)}` : null,
        value: table && random.chance(0.15) ? null : `${id}:${'x'.repeat(large)}`,
        timestamp: random.below(1_000_000),
        header: random.chance(0.2) ? `h${id}` : null,
      }
    })
  }

  #partition(at: TopicPartition, state = this.history.last): PartitionState {
    const partition = state.topics.get(at.topic)?.partitions[at.partition]
    assert(partition, `${partitionName(at)} is in the model`)
    return partition
  }

  #appended(
    state: LogState,
    at: TopicPartition,
    records: readonly KeptRecord[],
    producers: PartitionState['producers'] = this.#partition(at, state).producers,
  ): LogState {
    return this.#extended(state, at, records, { end: this.#partition(at, state).end + records.length, producers })
  }

  #extended(
    state: LogState,
    at: TopicPartition,
    records: readonly KeptRecord[],
    { end, producers }: Pick<PartitionState, 'end' | 'producers'>,
  ): LogState {
    const partition = this.#partition(at, state)
    const kept = records.map((record, index) => ({ ...record, offset: partition.end + index }))
    const known = partition.epochs.at(-1)?.epoch === this.epoch
    const epochs = known ? partition.epochs : [...partition.epochs, { epoch: this.epoch, start: partition.end }]
    return withPartition(state, at, {
      start: partition.start,
      end,
      records: [...partition.records, ...kept],
      epochs,
      producers,
    })
  }

  #reached(at: TopicPartition, end: number): boolean {
    if (this.log.broker.topic(at.topic) === undefined) return false
    const [bounds] = this.log.broker.bounds([at], 'durable')
    return bounds !== undefined && bounds.end >= end
  }
}

function withPartition(state: LogState, at: TopicPartition, partition: PartitionState): LogState {
  const topic = state.topics.get(at.topic) as TopicState
  const partitions = topic.partitions.map((other, index) => (index === at.partition ? partition : other))
  return { ...state, topics: new Map(state.topics).set(at.topic, { ...topic, partitions }) }
}

const nothingOpen: Pick<TransactionState, 'partitions' | 'offsets'> = { partitions: [], offsets: new Map() }

function batchOf(records: readonly KeptRecord[], numbers: SealOptions): Uint8Array {
  const builder = new BatchBuilder()
  for (const record of records) builder.append(outgoing(record))
  return builder.finish(numbers)
}

function outgoing({ key, value, timestamp, header }: KeptRecord): OutgoingRecord {
  const record = recordOf([key, value, timestamp])
  if (header !== null) record.headers = [{ key: 'id', value: Buffer.from(header) }]
  return record
}

const emptySection: TaskSection = {
  task: '0_0',
  inputs: [],
  inputCount: 0,
  changelogDigest: '',
  outputDigest: '',
  causes: [],
  operators: {},
  partitionTimes: [],
  streamTime: -1,
  clock: [],
  punctuations: [],
  globals: [],
}
