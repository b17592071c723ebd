import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'

/**
 * Writes the commits of a consumer, and with each what came of the records before its offsets: both or neither. What waits
 * for that counts towards what the listener may have, so that it is bounded like that.
 *
 * A listening consumer commits when the first has waited for {@link carryDelayMsMax}, when nothing is with the listener,
 * and whenever it commits anyway.
 */
export interface CommitCarrier {
  /** Records that are done, and of which something waits to be written with the commit that covers them. */
  readonly waitingCount: number
  /** When (monotonic) the first of these began to wait; Infinity without one. */
  readonly waitingSince: number
  /**
   * Writes these offsets and what came of the records before them, as one; resolves with the number of those records that
   * had waited. Rejects like a commit of the group; then nothing of it is written.
   */
  commit(offsets: readonly OffsetEntry[], from: GroupMetadata): Promise<number>
}

/** How long something waits for more of its kind while records are with the listener. */
export const carryDelayMsMax = 50
