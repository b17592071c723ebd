import { utf8Slice } from '../../base/bytes.ts'
import { decodeCommitRecord } from '../api/commit-records.ts'
import { commitsTopic, offsetsTopic, transactionsTopic } from '../api/internal-topics.ts'
import type { TopicInfo } from '../api/topic.ts'
import { decodeMarker } from '../format/control-batch.ts'
import { baseOffsetOf, isControl, isTransactional, producerIdOf } from '../format/record-batch.ts'
import { BatchCursor } from '../format/record-cursor.ts'
import { decodeGroupKey } from '../group/group-record.ts'
import { readEntries, type EntryPart } from '../journal/entry.ts'
import type { WrittenGroup } from '../journal/journal.ts'
import { decodeTransactionKey, decodeTransactionValue } from '../transaction/transaction-topic.ts'
import type { LastSections } from './commits/last-sections.ts'
import type { GroupOffsets } from './groups/group-offsets.ts'
import type { GroupRecords } from './groups/group-records.ts'
import { decodeOffsetKey, decodeOffsetValue } from './groups/offset-records.ts'
import type { Catalog } from './topics/catalog.ts'
import { isKeptForRewind, type RewindTrails } from './topics/rewind-trail.ts'
import type { TransactionLog } from './transactions/transaction-log.ts'
import type { TransactionalOffsets } from './transactions/transactional-offsets.ts'

/**
 * Brings the state of groups and tasks from the checkpoint up to the end of the journal, using the records in its
 * entries.
 */
export function replayInternalTopics(
  groups: Iterable<WrittenGroup>,
  into: {
    readonly catalog: Catalog
    /** The topics as they were before the first group. */
    readonly topicsBefore: readonly TopicInfo[]
    readonly offsets: GroupOffsets
    readonly groups: GroupRecords
    readonly transactions: TransactionLog
    readonly transactionalOffsets: TransactionalOffsets
    readonly sections: LastSections
    readonly rewinds: RewindTrails
  },
): void {
  const offsetsId = into.catalog.topic(offsetsTopic)?.id
  const transactionsId = into.catalog.topic(transactionsTopic)?.id
  const commitsId = into.catalog.topic(commitsTopic)?.id
  // The topics that existed when an entry was written are tracked here, because the catalog already shows the end of
  // the journal.
  const names = new Map(into.topicsBefore.map(({ id, name }) => [id, name]))
  const isTopic = (name: string): boolean => names.values().some((live) => live === name)
  for (const { memory } of groups) {
    for (const parts of readEntries(memory)) {
      for (const part of parts) {
        if (part.kind === 'topicCreated') names.set(part.topicId, part.name)
        if (part.kind === 'topicDeleted') names.delete(part.topicId)
        if (part.kind !== 'batch') continue
        if (part.topicId === offsetsId) replayOffsets(part.bytes, { ...into, isTopic })
        else if (part.topicId === transactionsId) replayTransactions(part.bytes, into.transactions)
        else if (part.topicId === commitsId) replayCommits(part, keptBytes(parts, into.catalog), into)
      }
    }
  }
}

function replayOffsets(
  batch: Uint8Array,
  {
    isTopic,
    offsets,
    groups,
    transactionalOffsets,
  }: {
    readonly isTopic: (name: string) => boolean
    readonly offsets: GroupOffsets
    readonly groups: GroupRecords
    readonly transactionalOffsets: TransactionalOffsets
  },
): void {
  if (isControl(batch, 0)) {
    const marker = decodeMarker(batch, 0)
    if (marker !== null) transactionalOffsets.end(marker.producerId, marker.outcome, isTopic)
    return
  }
  const transactional = isTransactional(batch, 0)
  const cursor = new BatchCursor([batch], 0)
  while (cursor.next()) {
    const keyBytes = cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd)
    const key = decodeOffsetKey(keyBytes)
    if (key === null) {
      const group = decodeGroupKey(keyBytes)
      if (group === null) continue
      if (cursor.valueStart < 0) groups.delete(group)
      else groups.set(group, Uint8Array.from(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd)))
      continue
    }
    if (cursor.valueStart < 0) {
      offsets.delete(key.group, key.at)
      transactionalOffsets.forget(key.group, key.at)
      continue
    }
    const value = decodeOffsetValue(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd))
    const entry = { ...value, at: key.at }
    const { committedAt } = value
    const recordOffset = baseOffsetOf(batch, 0)
    if (transactional)
      transactionalOffsets.add({
        producerId: producerIdOf(batch, 0),
        group: key.group,
        entries: [entry],
        committedAt,
        recordOffset,
      })
    else offsets.set(key.group, entry, committedAt, recordOffset)
  }
}

function replayTransactions(batch: Uint8Array, transactions: TransactionLog): void {
  const cursor = new BatchCursor([batch], 0)
  while (cursor.next()) {
    const transactionalId = decodeTransactionKey(cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd))
    if (transactionalId === null) continue
    if (cursor.valueStart < 0) transactions.delete(transactionalId)
    else
      transactions.set(
        decodeTransactionValue(transactionalId, cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd)),
      )
  }
}

function replayCommits(
  { bytes, partition }: { readonly bytes: Uint8Array; readonly partition: number },
  kept: number,
  into: { readonly sections: LastSections; readonly rewinds: RewindTrails },
): void {
  const cursor = new BatchCursor([bytes], 0)
  while (cursor.next()) {
    const group = utf8Slice(cursor.bytes, cursor.keyStart, cursor.keyEnd)
    const record = decodeCommitRecord(cursor.bytes.subarray(cursor.valueStart, cursor.valueEnd))
    into.sections.set(group, record.sections)
    into.rewinds.committed(record, { partition, offset: cursor.offset, bytes: kept })
  }
}

/** The bytes of a commit's entry that are kept for rewinding. */
function keptBytes(parts: readonly EntryPart[], catalog: Catalog): number {
  let bytes = 0
  for (const part of parts) {
    if (part.kind !== 'batch') continue
    const topic = catalog.byId(part.topicId)
    if (topic !== undefined && isKeptForRewind(topic)) bytes += part.bytes.length
  }
  return bytes
}
