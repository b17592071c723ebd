import type { Disk } from '../../base/disk.ts'
import type { CheckpointState } from './checkpoint.ts'
import type { WrittenGroup } from './journal.ts'
import type { JournalStart } from './journal-writer.ts'

export interface RecoveryOptions {
  readonly disk: Disk
  /** Where the journal files are; made if absent. */
  readonly directory: string
  /** The newest checkpoint; null if the log never wrote one. */
  readonly checkpoint: Pick<CheckpointState, 'sequence' | 'incarnation'> | null
  /** 16 random bytes, used if there is no journal yet. */
  readonly newJournalId: Uint8Array
  /** 16 bytes that name this boot of the machine (or of the simulation). */
  readonly bootId: Uint8Array
  /** Where torn bytes are copied to. Default: `lost+found` in the directory. */
  readonly lostAndFound?: string
  readonly firstFileBytes?: number
  readonly fileBytesMax?: number
}

export interface RecoveredJournal {
  /** The number of this open, higher than every one before and already durable in the new file's header. */
  readonly incarnation: number
  /** The last group that there is; the next one has the sequence after it. All up to it is durable. */
  readonly lastSequence: number
  readonly cuts: readonly JournalCut[]
  /** Where {@link GroupJournal} goes on. */
  readonly start: JournalStart
  /** For `JournalOptions.totals`: bytes of journal up to and with each group to replay. */
  readonly totals: readonly number[]
  /** The groups after the checkpoint, in order, read file by file. May be walked more than once. */
  groups(): Iterable<WrittenGroup>
}

/** Bytes at the end of the journal that are no whole groups, or follow a gap: written, never acknowledged as durable. */
export interface JournalCut {
  readonly file: string
  readonly from: number
  readonly to: number
  /** Where they were copied to. */
  readonly savedAs: string
}

/** Finds the end of the journal, makes durable what is past the last proof, and starts a new file. */
export function recoverJournal(_options: RecoveryOptions): RecoveredJournal {
  throw new Error('being written')
}
