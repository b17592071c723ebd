import type { LogConfig } from '../config.ts'
import type { CheckpointState } from '../journal/checkpoint.ts'
import type { RecoveredJournal } from '../journal/journal-recovery.ts'
import type { RecoveredStorage } from '../storage/storage-recovery.ts'
import { LastSections } from './commits/last-sections.ts'
import { GroupOffsets } from './groups/group-offsets.ts'
import { GroupRecords } from './groups/group-records.ts'
import { replayInternalTopics } from './replay.ts'
import { Catalog } from './topics/catalog.ts'
import { RewindTrails } from './topics/rewind-trail.ts'
import { TransactionLog } from './transactions/transaction-log.ts'
import { TransactionalOffsets } from './transactions/transactional-offsets.ts'

/** Everything in memory that a log serves from: what the newest checkpoint holds, and what the journal adds to it. */
export interface ServedState {
  readonly catalog: Catalog
  readonly offsets: GroupOffsets
  readonly groupRecords: GroupRecords
  readonly sections: LastSections
  readonly rewinds: RewindTrails
  readonly transactionLog: TransactionLog
  readonly transactionalOffsets: TransactionalOffsets
}

/** Builds the state after recovery. It is complete, and as durable as the journal that it was read from. */
export function restoreState(
  config: LogConfig,
  recovered: {
    /** Null if the log has none yet. */
    readonly checkpoint: CheckpointState | null
    readonly journal: RecoveredJournal
    readonly storage: RecoveredStorage
  },
): ServedState {
  const { checkpoint, journal, storage } = recovered
  const catalog = new Catalog()
  for (const topic of storage.topics) catalog.promoteCreated(topic)
  for (const state of storage.partitions) catalog.byId(state.topicId)?.partitions[state.partition]?.restore(state)
  catalog.deletions.push(...storage.deletions)
  const offsets = new GroupOffsets()
  const groupRecords = new GroupRecords()
  const sections = new LastSections()
  for (const state of checkpoint?.offsets ?? [])
    offsets.set(state.group, state, state.committedAt, state.recordOffset ?? -1)
  for (const { group, record } of checkpoint?.groups ?? []) groupRecords.set(group, record)
  for (const state of checkpoint?.sections ?? []) sections.set(state.group, [state.section])
  const rewinds = new RewindTrails(catalog, config)
  rewinds.restore(checkpoint?.rewinds ?? [])
  const transactionLog = new TransactionLog(catalog, checkpoint?.transactions ?? [])
  const transactionalOffsets = new TransactionalOffsets(offsets, checkpoint?.transactionalOffsets ?? [])
  replayInternalTopics(journal.groups(), {
    catalog,
    offsets,
    groups: groupRecords,
    sections,
    rewinds,
    topicsBefore: checkpoint?.topics ?? [],
    transactions: transactionLog,
    transactionalOffsets,
  })
  return { catalog, offsets, groupRecords, sections, rewinds, transactionLog, transactionalOffsets }
}
