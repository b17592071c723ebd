import type { LogError } from '../api/errors.ts'
import type { WrittenGroup } from '../journal/journal.ts'
import type { CheckpointState } from '../journal/checkpoint.ts'

/**
 * Carries what the journal holds over into the segment files, behind everybody's back: no commit waits for it. Runs in a
 * thread of its own, or inline in simulation. Applying may repeat: every write names its file position.
 */
export interface Applier {
  /** Applies the entries of a group. In order; returns at once. */
  apply(group: WrittenGroup): void
  /**
   * Syncs every segment and directory touched by groups up to `state.sequence`, then writes the checkpoint over the
   * older copy. Resolves when it is durable: then the deletions it carries that the other copy also has are done.
   */
  checkpoint(state: CheckpointState): Promise<void>
  /** Applies and closes what is open. */
  close(): Promise<void>
}

export interface ApplierListener {
  /** Every group up to `sequence` can be read from segment files (not necessarily synced). */
  applied(sequence: number): void
  failed(error: LogError): void
}
