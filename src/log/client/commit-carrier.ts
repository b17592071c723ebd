import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'

/**
 * Writes the commits of a consumer atomically with what resulted from the records before the committed offsets. Waiting
 * results count towards the records that the listener may hold, so they are bounded in the same way.
 *
 * A listening consumer commits when the first result has waited for {@link carryDelayMsMax}, when no record is with the
 * listener, and whenever it commits for another reason.
 */
export interface CommitCarrier {
  /** Number of records that are done and whose results wait to be written with the commit that covers them. */
  readonly waitingCount: number
  /** When (monotonic) the first of these began to wait; Infinity if there is none. */
  readonly waitingSince: number
  /**
   * Writes these offsets and the results of the records before them atomically; resolves with the number of records
   * whose results were waiting. Rejects like a commit of the group, and then nothing is written.
   */
  commit(offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<number>
}

/** How long a result waits for further results while records are with the listener. */
export const carryDelayMsMax = 50
