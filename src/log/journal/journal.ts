import type { LogError } from '../api/errors.ts'
import type { EntryPart } from './entry.ts'

/**
 * The journal as the sequencer sees it: entries go in, groups come out durable, in order.
 *
 * `append` is synchronous: it copies the entry into the open group's memory and returns at once. The group closes when
 * the writer is free (or at its bound), is written with one write and, under `sync: 'commit'`, one sync.
 */
export interface Journal {
  /** Copies an entry into the open group. The views are of the group's memory, which does not change until `release`. */
  append(parts: readonly EntryPart[]): AppendedEntry
  /** Bytes appended and not yet written: what back-pressure looks at. */
  readonly unwrittenBytes: number
  /** Sequence of the last group that was written / that is synced. Equal under `sync: 'commit'`. */
  readonly writtenSequence: number
  readonly durableSequence: number
  /** Nobody looks at the memory of groups below `sequence` any more: those that are written make room for others. */
  release(sequence: number): void
  /** Resolves when every group up to `sequence` is synced, syncing if need be (`sync: 'os'`). */
  syncTo(sequence: number): Promise<void>
  /** Files whose groups all lie below `sequence`, the lower of both durable checkpoints, may be used again. */
  recycleBelow(sequence: number): void
  /** Bytes of journal written since that sequence: a checkpoint falls due by them. */
  bytesSince(sequence: number): number
  /** Writes and syncs what is there, seals, closes the file. */
  close(): Promise<void>
}

export interface AppendedEntry {
  /** Sequence of the group that will carry the entry. Groups count from 1, without gaps, for the life of the journal. */
  readonly sequence: number
  /** For each batch part, in order, its bytes in the group's memory. */
  readonly batches: readonly Uint8Array[]
}

export interface JournalListener {
  /**
   * The group is written, and synced under `sync: 'commit'`: promote what it carries. Called in order of sequence, each
   * exactly once, never from inside `append`.
   */
  written(group: WrittenGroup): void
  /** Writing or syncing failed: this group and all after it do not exist. Nothing more will be written. */
  failed(error: LogError): void
}

/**
 * A group's entries (`readEntries`): memory that does not change until the group is released. Shared memory is what another
 * thread may have; other memory is copied where it goes to one.
 */
export interface WrittenGroup {
  readonly sequence: number
  readonly memory: Uint8Array
}
