import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import type { Disk } from '../../base/disk.ts'
import type { Logger } from '../../base/logger.ts'
import { LogError } from '../api/errors.ts'
import type { LogConfig } from '../config.ts'
import { BatchBuilder } from '../format/batch-builder.ts'
import { GroupCoordinator } from '../group/group-coordinator.ts'
import { CheckpointFile } from '../journal/checkpoint-file.ts'
import type { CheckpointState } from '../journal/checkpoint.ts'
import { GroupJournal } from '../journal/group-journal.ts'
import { recoverJournal, type RecoveredJournal } from '../journal/journal-recovery.ts'
import type { Applier, ApplierListener } from '../storage/apply/applier.ts'
import { InlineApplier } from '../storage/apply/inline-applier.ts'
import { ThreadedApplier } from '../storage/apply/threaded-applier.ts'
import { checkClaimable, claimDirectory, makeDataDirectory } from '../storage/data-directory.ts'
import type { DirectoryLock } from '../storage/directory-lock.ts'
import { checkJournalThere } from '../storage/journal-presence.ts'
import { PartitionReaders } from '../storage/read/partition-readers.ts'
import { recoverStorage, type RecoveredStorage } from '../storage/storage-recovery.ts'
import { Broker } from './broker.ts'
import { Checkpoints } from './checkpoints.ts'
import { closeBroker } from './close-broker.ts'
import { Committers } from './commits/committer.ts'
import { GroupAdmin } from './groups/group-admin.ts'
import { Groups } from './groups/groups.ts'
import { OffsetLog } from './groups/offset-log.ts'
import { Housekeeping } from './housekeeping.ts'
import { openFailure } from './open-failure.ts'
import { FetchWaiters } from './reads/fetch-waiters.ts'
import { TailRing } from './reads/tail-ring.ts'
import { Scrubber } from './scrubber.ts'
import { EntryDraft, Sequencer } from './sequencer.ts'
import { restoreState } from './served-state.ts'
import { Topics } from './topics/topics.ts'
import { Transactions } from './transactions/transactions.ts'

/**
 * Opens a data directory. Each step relies on the one before, so the order is: lock → format → newest checkpoint → end
 * of the journal, with its unproven tail rewritten → segment files → contents of the internal topics → serve. Nothing
 * is served that is not durable. If anything was replayed, a checkpoint follows in the background.
 *
 * Crash here, anywhere: opening is idempotent. Whatever it writes before that checkpoint either has a temporary name or
 * repeats what the journal says anyway.
 */
export async function openBroker(options: OpenBrokerOptions): Promise<Broker> {
  const { config, disk } = options
  let lock: DirectoryLock | null = null
  try {
    makeDataDirectory(disk, config.dataDir)
    // This comes before the lock, because the lock creates a file and a directory of another program must stay
    // untouched. A path that is not a directory is also found here, and gets its own error; the lock could only say
    // that it cannot be opened.
    checkClaimable(disk, config.dataDir)
    lock = options.lock(config.dataDir)
    const recovered = recover(options)
    return await serve(options, recovered, lock)
  } catch (error) {
    lock?.release()
    throw openFailure(error, config.dataDir)
  }
}

export interface OpenBrokerOptions {
  readonly config: LogConfig
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  /** Locks the directory, or throws DIRECTORY_IN_USE. */
  readonly lock: (directory: string) => DirectoryLock
  /** Random bytes for the ids of topics and of the journal. */
  readonly randomBytes: (count: number) => Uint8Array
  /** For tests: how many offsets to skip before the next batch. */
  readonly nextGap?: () => number
}

interface Recovered {
  readonly journalDirectory: string
  readonly checkpoint: CheckpointState | null
  readonly journal: RecoveredJournal
  readonly storage: RecoveredStorage
}

function recover(options: OpenBrokerOptions): Recovered {
  const { config, disk, clock, logger } = options
  const { dataDir } = config
  claimDirectory(disk, dataDir)
  const journalDirectory = join(dataDir, 'journal')
  const checkpoint = CheckpointFile.open(disk, journalDirectory).newest
  if (checkpoint === null) checkJournalThere(disk, dataDir, journalDirectory)
  const journal = recoverJournal({
    disk,
    directory: journalDirectory,
    checkpoint,
    newJournalId: options.randomBytes(16),
    bootId: bootId(options),
    lostAndFound: join(dataDir, 'lost+found'),
    firstFileBytes: config.journalFileBytesMin,
    fileBytesMax: config.journalFileBytesMax,
  })
  for (const cut of journal.cuts)
    logger.warn(
      `the journal ended with a torn write: bytes ${cut.from} to ${cut.to} of ${cut.file} were kept as ${cut.savedAs}`,
    )
  if (checkpoint !== null && journal.lastSequence < checkpoint.sequence)
    throw new LogError(
      'JOURNAL_MISSING',
      `the journal ends at group ${journal.lastSequence}, the checkpoint holds group ${checkpoint.sequence}: restore the journal's files`,
      { last: journal.lastSequence, checkpoint: checkpoint.sequence },
    )
  const storage = recoverStorage({
    disk,
    directory: dataDir,
    checkpoint,
    groups: { [Symbol.iterator]: () => journal.groups()[Symbol.iterator]() },
    clean: journal.closed,
    now: clock.now(),
  })
  for (const path of storage.moved)
    logger.warn(`neither the checkpoint nor the journal knows this file, so it was moved: ${path}`)
  return { journalDirectory, checkpoint, journal, storage }
}

async function serve(options: OpenBrokerOptions, recovered: Recovered, lock: DirectoryLock): Promise<Broker> {
  const { config, disk, clock, logger } = options
  const { transactionLog, ...state } = restoreState(config, recovered)
  const { catalog, offsets, groupRecords, sections, rewinds, transactionalOffsets } = state

  const waiters = new FetchWaiters(clock)
  const nextGap = options.nextGap ?? ((): number => 0)
  const sequencer = new Sequencer({ catalog, clock, waiters, ring: new TailRing(config), nextGap })
  const segments = new PartitionReaders({ disk, directory: config.dataDir, contiguous: options.nextGap === undefined })
  const { journal, applier } = startWriters(options, recovered, sequencer)
  sequencer.start(journal, applier, {
    incarnation: recovered.journal.incarnation,
    sequence: recovered.journal.lastSequence,
  })

  const offsetLog = new OffsetLog(catalog, offsets, groupRecords, transactionalOffsets)
  const coordinator = openCoordinator(options, sequencer, offsetLog)
  for (const { group, record } of groupRecords.states()) coordinator.restore(group, record)
  const groups = new Groups(catalog, coordinator)
  const { offsetsRetentionMs } = config
  const groupAdmin = new GroupAdmin({
    sequencer,
    catalog,
    groups,
    offsets,
    offsetLog,
    sections,
    transactionalOffsets,
    offsetsRetentionMs,
  })
  const newTopicId = (): string => topicId(options.randomBytes)
  const topics = new Topics({ sequencer, catalog, segments, offsetLog, defaults: config, newTopicId })
  const committers = new Committers({ ...config, sequencer, catalog, groups, offsets: offsetLog, sections, rewinds })
  const parts = { ...state, config, clock, logger, sequencer, transactions: transactionLog, journal, applier }
  const transactions = new Transactions(
    { ...parts, groups, log: transactionLog, offsetLog, pendingOffsets: transactionalOffsets },
    recovered.journal.incarnation,
  )
  const checkpoints = new Checkpoints(parts, recovered.checkpoint?.sequence ?? 0)
  const contiguous = options.nextGap === undefined
  const scrubber = new Scrubber({ config, clock, logger, disk, catalog, sequencer, contiguous })
  const housekeeping = new Housekeeping({
    ...parts,
    disk,
    topics,
    segments,
    checkpoints,
    expireOffsets: () => groupAdmin.expire(),
    expireTransactionalIds: () => transactions.expireIds(),
  })
  sequencer.onPromoted = () => checkpoints.promoted()

  const close = (): Promise<void> =>
    closeBroker({
      coordinator,
      transactions,
      housekeeping,
      scrubber,
      sequencer,
      checkpoints,
      journal,
      applier,
      segments,
      lock,
      logger,
    })
  try {
    await topics.createInternal()
    await transactions.finishPrepared()
    // The replayed groups are in the segment files but not yet synced; the checkpoint syncs them in the background.
    // Crash here: they are replayed once more.
    if (!recovered.journal.closed && recovered.journal.lastSequence > 0) checkpoints.takeSoon()
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
  return new Broker({
    sequencer,
    catalog,
    segments,
    topics,
    groups,
    groupAdmin,
    transactions,
    transactionalOffsets,
    committers,
    offsets,
    offsetLog,
    sections,
    scrubber,
    close,
  })
}

function openCoordinator(options: OpenBrokerOptions, sequencer: Sequencer, offsetLog: OffsetLog): GroupCoordinator {
  const { config, clock, randomBytes } = options
  return new GroupCoordinator({
    clock,
    newId: () => uuid(randomBytes(16)),
    write: async (group, record) => {
      const draft = new EntryDraft(sequencer.placeContext())
      offsetLog.group(draft, new BatchBuilder(), group, record)
      const written = draft.outcome()
      sequencer.submit(draft)
      await written
    },
    initialRebalanceDelayMs: config.groupInitialRebalanceDelayMs,
    membersMax: config.groupMembersMax,
    sessionTimeoutMsMin: config.groupSessionTimeoutMsMin,
    sessionTimeoutMsMax: config.groupSessionTimeoutMsMax,
  })
}

function startWriters(
  options: OpenBrokerOptions,
  recovered: Recovered,
  sequencer: Sequencer,
): { readonly journal: GroupJournal; readonly applier: Applier } {
  const { config, disk, clock } = options
  const journal = new GroupJournal({
    disk,
    clock,
    start: recovered.journal.start,
    sync: config.sync,
    thread: config.threads,
    listener: sequencer,
    totals: recovered.journal.totals,
  })
  const listener: ApplierListener = {
    applied: (sequence) => sequencer.applied(sequence),
    failed: (error) => sequencer.filesFailed(error),
  }
  const applierOptions = {
    directory: config.dataDir,
    checkpointDirectory: recovered.journalDirectory,
    topics: recovered.storage.topics,
    durable: recovered.checkpoint?.partitions ?? [],
    producers: recovered.storage.partitions.filter(({ producers }) => producers !== undefined),
    unsynced: recovered.storage.unsynced,
  }
  const applier = config.threads
    ? new ThreadedApplier(applierOptions, listener)
    : new InlineApplier({ ...applierOptions, disk }, listener)
  return { journal, applier }
}

/** Like Kafka's `Uuid.randomUuid`: never an id that would look like an option on a command line. */
function topicId(randomBytes: (count: number) => Uint8Array): string {
  for (;;) {
    const id = Buffer.from(randomBytes(16)).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

/** The form that Kafka uses in member ids. */
function uuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Linux names each boot. Where there is no such name, every opening counts as a boot of its own. */
function bootId(options: OpenBrokerOptions): Uint8Array {
  const path = '/proc/sys/kernel/random/boot_id'
  try {
    if (!options.disk.exists(path)) return options.randomBytes(16)
    const file = options.disk.open(path, 'read')
    try {
      const text = new Uint8Array(36)
      const id = Buffer.from(
        Buffer.from(text.subarray(0, file.read(text, 0)))
          .toString()
          .replaceAll('-', ''),
        'hex',
      )
      if (id.length === 16) return id
    } finally {
      file.close()
    }
  } catch {
    // Another operating system, or a disk in memory.
  }
  return options.randomBytes(16)
}
