import type { LogError } from '../../api/errors.ts'
import type { CheckpointState } from '../../journal/checkpoint.ts'
import type { WrittenGroup } from '../../journal/journal.ts'

/**
 * Copies the journal's contents to the segment files in the background: no commit waits for it. It runs in a thread of
 * its own, or inline in simulation. Entries may be applied repeatedly: every write has a fixed file position.
 */
export interface Applier {
  /** Applies the entries of a group. Call it in the order of groups; returns at once. */
  apply(group: WrittenGroup): void
  /**
   * Syncs every segment and directory touched by groups up to `state.sequence`, then overwrites the older checkpoint copy.
   * Groups are applied meanwhile. Resolves when the copy is durable and the deletions that both copies contain are
   * carried out.
   */
  checkpoint(state: CheckpointState): Promise<void>
  /** Completes and closes what is open. */
  close(): Promise<void>
}

export interface ApplierListener {
  /** Every group up to `sequence` can be read from the segment files. They are not necessarily synced. */
  applied(sequence: number): void
  failed(error: LogError): void
}
