import assert from 'node:assert/strict'
import { utf8Slice } from '../../src/base/bytes.ts'
import { decodeCommitRecord } from '../../src/log/api/commit-records.ts'
import { commitsTopic, isInternalTopic, offsetsTopic } from '../../src/log/api/internal-topics.ts'
import type { Position } from '../../src/log/api/log.ts'
import { partitionName, type TopicPartition } from '../../src/log/api/record.ts'
import { decodeOffsetKey, decodeOffsetValue } from '../../src/log/broker/groups/offset-records.ts'
import type { EmbeddedLog } from '../../src/log/embedded-log.ts'

/**
 * The expected state of a log after each of its entries, as immutable plain values: a life keeps one state per entry,
 * and a recovered log must match exactly one of them.
 */
export interface LogState {
  readonly topics: ReadonlyMap<string, TopicState>
  /** `group/topic-0` to `offset:metadata`. */
  readonly offsets: ReadonlyMap<string, string>
  /** The digest in the latest section of each task, which no other section has. */
  readonly sections: ReadonlyMap<string, string>
  /** Every recorded commit, as text, in order. */
  readonly commits: readonly string[]
  /** By transactional id. */
  readonly transactions: ReadonlyMap<string, TransactionState>
  /** The outcome of every ended transaction, by the name that its records carry. */
  readonly outcomes: ReadonlyMap<string, 'commit' | 'abort'>
  /** The latest committed offset of the transactions' group for each `topic-0`. */
  readonly transactionalOffsets: ReadonlyMap<string, TransactionalOffset>
  /** The offset that was sent last for each `topic-0`, whatever became of its transaction. */
  readonly sentOffsets: ReadonlyMap<string, number>
}

export interface TransactionState {
  readonly producerId: number
  readonly producerEpoch: number
  readonly phase: 'empty' | 'ongoing' | 'completeCommit' | 'completeAbort'
  /** The name of the open transaction, or of the next one. */
  readonly name: string
  /** Partitions of user topics, in the order in which they were added. */
  readonly partitions: readonly TopicPartition[]
  readonly offsets: ReadonlyMap<string, TransactionalOffset>
}

export interface TransactionalOffset {
  readonly at: TopicPartition
  readonly offset: number
  /** The later record wins, whenever its transaction ends. */
  readonly serial: number
}

export interface ProducerState {
  readonly producerEpoch: number
  readonly lastSequence: number
  readonly lastOffset: number
  readonly transactionStart: number
  /** Its last batch, for sending it once more. */
  readonly lastBatch: Uint8Array | null
}

export interface TopicState {
  readonly kind: TopicKind
  /** The setting that changes at run time. */
  readonly indexIntervalBytes: number
  readonly partitions: readonly PartitionState[]
}

/** `table` is compacted, `short` loses old segments to retention, `plain` keeps everything. */
export type TopicKind = 'plain' | 'table' | 'short'

export interface PartitionState {
  readonly start: number
  readonly end: number
  readonly records: readonly KeptRecord[]
  readonly epochs: readonly { readonly epoch: number; readonly start: number }[]
  readonly producers: ReadonlyMap<number, ProducerState>
}

export interface KeptRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly header: string | null
  /** The name of the record's transaction. */
  readonly transaction?: string | null
}

export const emptyState: LogState = {
  topics: new Map(),
  offsets: new Map(),
  sections: new Map(),
  commits: [],
  transactions: new Map(),
  outcomes: new Map(),
  transactionalOffsets: new Map(),
  sentOffsets: new Map(),
}
export const emptyPartition: PartitionState = { start: 0, end: 0, records: [], epochs: [], producers: new Map() }

export const group = 'app'
/** The group whose offsets are committed in transactions. */
export const transactionalGroup = 'tx'
export const tasks: readonly string[] = ['0_0', '0_1', '1_0']

/** Identifies the state among those of a life: everything but records and log starts that retention moves. */
export function fingerprint(state: LogState): string {
  const ongoing = [...state.transactions.values()].filter(({ phase }) => phase === 'ongoing')
  return nameOf(state, new Set(ongoing.flatMap(({ offsets }) => [...offsets.keys()])))
}

/** `unstable`: partitions for which an open transaction may still change the offset of the transactions' group. */
function nameOf(state: LogState, unstable: ReadonlySet<string>): string {
  const topics = [...state.topics].map(([name, { kind, indexIntervalBytes, partitions }]) => {
    const starts = kind === 'short' ? '' : partitions.map(({ start }) => start).join()
    return `${name} with ${indexIntervalBytes} from ${starts} to ${partitions.map(({ end }) => end).join()}`
  })
  const transactions = [...state.transactions].map(([id, { producerId, producerEpoch, phase, partitions }]) => {
    const places = phase === 'ongoing' ? partitions.map(partitionName).sort().join() : ''
    return `${id} is ${phase} with ${producerId} at ${producerEpoch} on ${places}`
  })
  const offsets = [...state.transactionalOffsets].map(([place, { offset }]) => `${place} at ${offset}`)
  return [
    ...topics.sort(),
    pairs(state.offsets),
    pairs(state.sections),
    transactions.sort().join(),
    offsets.sort().join(),
    [...unstable]
      .map((place) => `${place} may become ${state.sentOffsets.get(place)}`)
      .sort()
      .join(),
  ].join('; ')
}

function pairs(map: ReadonlyMap<string, string>): string {
  return [...map]
    .map(([key, value]) => `${key} is ${value}`)
    .sort()
    .join()
}

/** The fingerprint of an open log. `kinds` tells of which topics retention moves the log start. */
export async function fingerprintOf(log: EmbeddedLog, kinds: (topic: string) => TopicKind): Promise<string> {
  const topics = new Map<string, TopicState>()
  const places: TopicPartition[] = []
  for (const { name, partitions, config } of log.broker.listTopics()) {
    if (isInternalTopic(name)) continue
    const at = Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition }))
    const bounds = log.broker.bounds(at, 'durable')
    topics.set(name, {
      kind: kinds(name),
      indexIntervalBytes: config.indexIntervalBytes,
      partitions: bounds.map(({ start, end }) => ({ ...emptyPartition, start, end })),
    })
    places.push(...at)
  }
  const committed = await log.committedOffsets(group, places)
  const offsets = committed.map(({ at, offset, metadata }) => [
    `${group}/${partitionName(at)}`,
    `${offset}:${metadata}`,
  ])
  const sections = (await log.lastSections(group, tasks)).map(({ task, outputDigest }) => [task, outputDigest])
  const unstable = places.filter((at) => log.broker.hasUnstableOffset(transactionalGroup, at)).map(partitionName)
  const state: LogState = {
    topics,
    offsets: new Map(offsets as [string, string][]),
    sections: new Map(sections as [string, string][]),
    commits: [],
    outcomes: new Map(),
    transactions: new Map(
      log.broker.listTransactions().map((found) => [
        found.transactionalId,
        {
          ...found,
          phase: found.phase as TransactionState['phase'],
          name: '',
          partitions: found.partitions.filter(({ topic }) => !isInternalTopic(topic)),
          offsets: new Map(),
        },
      ]),
    ),
    transactionalOffsets: new Map(
      (await log.committedOffsets(transactionalGroup, places)).map(({ at, offset }) => [
        partitionName(at),
        { at, offset, serial: 0 },
      ]),
    ),
    sentOffsets: unstable.length === 0 ? new Map() : await sentOffsetsOf(log),
  }
  return nameOf(state, new Set(unstable))
}

/** Compaction stops at an open transaction, so what was sent last for a partition that one can change is still there. */
async function sentOffsetsOf(log: EmbeddedLog): Promise<ReadonlyMap<string, number>> {
  const { partitions = 0 } = log.broker.topic(offsetsTopic) ?? {}
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic: offsetsTopic, partition }))
  const sent = new Map<string, number>()
  for (const records of (await readAll(log, places)).values()) {
    for (const { key, value } of records) {
      const at = decodeOffsetKey(Buffer.from(key ?? '', 'latin1'))
      if (at?.group !== transactionalGroup || value === null) continue
      sent.set(partitionName(at.at), decodeOffsetValue(Buffer.from(value, 'latin1')).offset)
    }
  }
  return sent
}

/** The parts of a section that a life determines: which one it is, and where its outputs went. */
export function sectionText(section: {
  readonly task: string
  readonly outputDigest: string
  readonly outputs: readonly { readonly at: TopicPartition; readonly start: number; readonly end: number }[]
}): string {
  const outputs = section.outputs.map(({ at, start, end }) => `${partitionName(at)}[${start},${end})`)
  return `${section.task} ${section.outputDigest} ${outputs.sort().join('+')}`
}

/** Compares every record, offset, epoch and commit of an open log with a state; throws an AssertionError. */
export async function checkContents(log: EmbeddedLog, state: LogState): Promise<void> {
  const places = [...state.topics].flatMap(([topic, { partitions }]) =>
    partitions.map((_, partition) => ({ topic, partition })),
  )
  const internal = log.broker
    .listTopics()
    .filter(({ name }) => name === commitsTopic || name === offsetsTopic)
    .flatMap(({ name, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition })),
    )
  const contents = await readAll(log, [...places, ...internal])
  for (const at of places) {
    const topic = state.topics.get(at.topic)
    const partition = topic?.partitions[at.partition]
    assert(topic && partition)
    const [bounds] = log.broker.bounds([at], 'durable')
    assert(bounds)
    checkRecords(partitionName(at), contents.get(partitionName(at)) ?? [], { ...partition, start: bounds.start }, topic)
    await checkEpochs(log, at, { ...partition, start: bounds.start })
    checkProducers(log, at, partition)
    if (topic.kind !== 'table') await checkTimes(log, at, { ...partition, start: bounds.start })
  }
  await checkCommitted(log, state, places)
  checkCommits(contents, state)
  checkOffsets(contents, state)
}

/** Readers of committed records see whole transactions: nothing of open or aborted ones, everything of the others. */
async function checkCommitted(log: EmbeddedLog, state: LogState, places: readonly TopicPartition[]): Promise<void> {
  const contents = await readAll(log, places, 'committed')
  for (const at of places) {
    const topic = state.topics.get(at.topic)
    const partition = topic?.partitions[at.partition]
    assert(topic && partition)
    const [bounds] = log.broker.bounds([at], 'committed')
    const stable = stableEnd(partition)
    assert.equal(bounds?.end, stable, `the last stable offset of ${partitionName(at)}`)
    const visible = partition.records.filter(
      ({ offset, transaction }) =>
        offset >= (bounds?.start ?? 0) &&
        offset < stable &&
        (transaction === undefined || transaction === null || state.outcomes.get(transaction) === 'commit'),
    )
    const found = contents.get(partitionName(at)) ?? []
    if (topic.kind === 'table') {
      // Compaction may remove aborted records and those that a later committed one of their key replaced, nothing else.
      const offsets = new Set(visible.map(({ offset }) => offset))
      for (const { offset } of found)
        assert(offsets.has(offset), `offset ${offset} of ${partitionName(at)} is committed`)
      assert.deepEqual(table(found), table(visible), `the table that ${partitionName(at)} folds to`)
      continue
    }
    assert.deepEqual(
      found.map(({ offset }) => offset),
      visible.map(({ offset }) => offset),
      `the committed records of ${partitionName(at)}`,
    )
  }
}

/** A log with a wrong sequence would append a batch twice, or refuse the next one. */
function checkProducers(log: EmbeddedLog, at: TopicPartition, { producers }: PartitionState): void {
  const found = log.broker.describeProducers(at).map((producer) => {
    const { producerId, producerEpoch, transactionStart, batches } = producer
    const last = batches.at(-1)
    return [
      producerId,
      { producerEpoch, transactionStart, lastSequence: last?.lastSequence ?? -1, lastOffset: last?.lastOffset ?? -1 },
    ] as const
  })
  const expected = [...producers].map(
    ([producerId, { producerEpoch, transactionStart, lastSequence, lastOffset }]) =>
      [producerId, { producerEpoch, transactionStart, lastSequence, lastOffset }] as const,
  )
  const byId = (left: readonly [number, unknown], right: readonly [number, unknown]): number => left[0] - right[0]
  assert.deepEqual(found.sort(byId), expected.sort(byId), `the producers of ${partitionName(at)}`)
}

function checkRecords(name: string, found: readonly KeptRecord[], expected: PartitionState, topic: TopicState): void {
  const kept = expected.records.filter(({ offset }) => offset >= expected.start)
  if (topic.kind !== 'table') {
    assert.equal(found.length, kept.length, `${name} has ${found.length} records from ${expected.start} on`)
    for (const [index, record] of found.entries()) assertSame(name, record, kept[index])
    return
  }
  const byOffset = new Map(kept.map((record) => [record.offset, record]))
  for (const record of found) assertSame(name, record, byOffset.get(record.offset))
  // Compaction does not touch undecided records; the rest is checked as readers of committed records see it.
  const stable = stableEnd(expected)
  const open = (records: readonly KeptRecord[]): number[] =>
    records.map(({ offset }) => offset).filter((offset) => offset >= stable)
  assert.deepEqual(open(found), open(kept), `the undecided records of ${name}`)
}

/** The last stable offset: every transaction below it is decided. */
function stableEnd({ end, producers }: PartitionState): number {
  const open = [...producers.values()].map(({ transactionStart }) => transactionStart)
  return Math.min(end, ...open.filter((offset) => offset >= 0))
}

function assertSame(name: string, found: KeptRecord, sent: KeptRecord | undefined): void {
  if (
    sent !== undefined &&
    found.offset === sent.offset &&
    found.key === sent.key &&
    found.value === sent.value &&
    found.timestamp === sent.timestamp &&
    found.header === sent.header
  )
    return
  assert.deepEqual(found, sent, `a record of ${name}`)
}

function table(records: readonly KeptRecord[]): Map<string, string> {
  const rows = new Map<string, string>()
  for (const { key, value, offset } of records) {
    if (value === null) rows.delete(key ?? '')
    else rows.set(key ?? '', `${offset} ${value}`)
  }
  return new Map([...rows].sort(([left], [right]) => (left < right ? -1 : 1)))
}

/** As in Kafka, the reported end of an epoch that ended below the log start may be anywhere up to the log start. */
async function checkEpochs(
  log: EmbeddedLog,
  at: TopicPartition,
  { epochs, start, end }: PartitionState,
): Promise<void> {
  const ends = await log.epochEnds(epochs.map(({ epoch }) => ({ at, leaderEpoch: epoch })))
  for (const [index, { offset }] of ends.entries()) {
    const { epoch } = epochs[index] as { epoch: number }
    const ended = epochs[index + 1]?.start ?? end
    assert(
      offset === ended || (ended < start && offset > ended && offset <= start),
      `epoch ${epoch} ends at ${offset} in ${partitionName(at)}, it ended at ${ended}, the log starts at ${start}`,
    )
  }
}

async function checkTimes(
  log: EmbeddedLog,
  at: TopicPartition,
  { records, start, end }: PartitionState,
): Promise<void> {
  const middle = records[records.length >> 1]
  if (middle === undefined) return
  const [found] = await log.offsetsForTime([{ at, timestamp: middle.timestamp }])
  const first = records.find(({ offset, timestamp }) => offset >= start && timestamp >= middle.timestamp)
  assert.equal(
    found?.offset,
    first?.offset ?? end,
    `the first record of ${partitionName(at)} from ${middle.timestamp} on`,
  )
}

function checkCommits(contents: Contents, state: LogState): void {
  const commits: string[] = []
  for (const [name, records] of contents) {
    if (!name.startsWith(`${commitsTopic}-`)) continue
    for (const { value } of records) {
      const { sections } = decodeCommitRecord(Buffer.from(value ?? '', 'latin1'))
      commits.push(sections.map(sectionText).join(' and '))
    }
  }
  assert.deepEqual(commits, state.commits, 'the recorded commits')
}

/** The records of the offsets topic must fold to the offsets. */
function checkOffsets(contents: Contents, state: LogState): void {
  const offsets = new Map<string, string>()
  for (const [name, records] of contents) {
    if (!name.startsWith(`${offsetsTopic}-`)) continue
    for (const { key, value } of records) {
      const at = decodeOffsetKey(Buffer.from(key ?? '', 'latin1'))
      assert(at)
      if (at.group !== group) continue
      const place = `${at.group}/${partitionName(at.at)}`
      if (value === null) offsets.delete(place)
      else {
        const { offset, metadata } = decodeOffsetValue(Buffer.from(value, 'latin1'))
        offsets.set(place, `${offset}:${metadata}`)
      }
    }
  }
  assert.equal(pairs(offsets), pairs(state.offsets), `what ${offsetsTopic} folds to`)
}

type Contents = ReadonlyMap<string, readonly KeptRecord[]>

/** All records of the partitions, from their starts to the ends that the isolation shows, bytes as latin1. */
export async function readAll(
  log: EmbeddedLog,
  places: readonly TopicPartition[],
  isolation: 'durable' | 'committed' = 'durable',
): Promise<Contents> {
  const contents = new Map<string, KeptRecord[]>()
  const ends = new Map<string, number>()
  const from: Position[] = []
  for (const { at, start, end } of log.broker.bounds(places, isolation)) {
    if (start === end) continue
    from.push({ at, offset: start })
    ends.set(partitionName(at), end)
    contents.set(partitionName(at), [])
  }
  const reader = await log.openReader({ isolation })
  if (from.length > 0) reader.assign(from)
  while (ends.size > 0) {
    const chunks = await reader.poll({ bytesMax: 1_000_000, waitMs: 0 })
    if (chunks.length === 0) break
    for (const chunk of chunks) {
      const name = partitionName(chunk.at)
      const records = contents.get(name) ?? []
      const cursor = chunk.cursor()
      while (cursor.next()) {
        const { bytes, offset, timestamp, keyStart, keyEnd, valueStart, valueEnd } = cursor
        const header = cursor.headerCount === 0 ? null : (cursor.headers()[0]?.value ?? null)
        records.push({
          offset,
          timestamp,
          key: keyStart < 0 ? null : latin1(bytes, keyStart, keyEnd),
          value: valueStart < 0 ? null : latin1(bytes, valueStart, valueEnd),
          header: header === null ? null : utf8Slice(header, 0, header.length),
        })
      }
      if (chunk.nextOffset >= (ends.get(name) ?? 0)) ends.delete(name)
    }
  }
  // If compaction removed the last records of a partition's sealed part, nothing is left to poll: not an error here.
  await reader.close()
  return contents
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}
