import type { Logger } from '../../base/logger.ts'
import type { GroupCoordinator } from '../group/group-coordinator.ts'
import type { GroupJournal } from '../journal/group-journal.ts'
import type { Applier } from '../storage/apply/applier.ts'
import type { DirectoryLock } from '../storage/directory-lock.ts'
import type { PartitionReaders } from '../storage/read/partition-readers.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { Housekeeping } from './housekeeping.ts'
import type { Scrubber } from './scrubber.ts'
import type { Sequencer } from './sequencer.ts'
import type { Transactions } from './transactions/transactions.ts'

/** The parts of a broker that have to be closed. */
export interface ClosableParts {
  readonly coordinator: GroupCoordinator
  readonly transactions: Transactions
  readonly housekeeping: Housekeeping
  readonly scrubber: Scrubber
  readonly sequencer: Sequencer
  readonly checkpoints: Checkpoints
  readonly journal: GroupJournal
  readonly applier: Applier
  readonly segments: PartitionReaders
  readonly lock: DirectoryLock
  readonly logger: Logger
}

/**
 * Closes a broker in this order: whatever starts new work, then the sequencer, then the writers with everything that they
 * were given, then the files that were read, and at last the lock. Every part is closed, even if another one fails to.
 * Rejects with the first failure, except after the log has failed: then its own failure has been reported already.
 */
export async function closeBroker(parts: ClosableParts): Promise<void> {
  const { coordinator, transactions, housekeeping, scrubber, sequencer, checkpoints, journal, applier } = parts
  coordinator.close()
  transactions.close()
  await Promise.all([housekeeping.close(), scrubber.close()])
  const failed = sequencer.failure !== null
  sequencer.stop()
  const drain = (): Promise<void> => (failed ? Promise.resolve() : sequencer.drain())
  try {
    await closeAll([drain, () => checkpoints.close(), () => journal.close(), () => applier.close()], failed)
  } finally {
    closeReadFiles(parts)
  }
}

/** Releases the lock even if the files cannot be closed: they were only read, so their contents do not depend on it. */
function closeReadFiles({ segments, lock, logger }: ClosableParts): void {
  try {
    segments.close()
  } catch (error) {
    logger.warn(`closing files that were read failed: ${String(error)}`)
  } finally {
    lock.release()
  }
}

/** Runs all of them in order, even after failures, then throws the first failure unless callers know of one already. */
async function closeAll(closings: readonly (() => Promise<void>)[], failedBefore: boolean): Promise<void> {
  let first: unknown = null
  for (const closing of closings) {
    try {
      await closing()
    } catch (error) {
      first ??= error
    }
  }
  if (first !== null && !failedBefore) throw first
}
