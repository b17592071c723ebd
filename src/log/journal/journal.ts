import type { LogError } from '../api/errors.ts'
import type { EntryPart } from './entry.ts'

/**
 * The journal as the sequencer sees it: entries go in, groups come out durable, in order.
 *
 * `append` is synchronous: it copies the entry into the open group's memory and returns at once. The group closes when
 * the writer is free (or at its bound), is written with one write and, under `sync: 'commit'`, one sync.
 */
export interface Journal {
  /**
   * Copies an entry into the open group. The memory in which its batches are stays unchanged until `release`.
   */
  append(parts: readonly EntryPart[]): AppendedEntry
  /** Bytes appended and not yet written. */
  readonly unwrittenBytes: number
  /**
   * Sequences of the last group that is written and of the last that is synced. Equal under `sync: 'commit'`.
   */
  readonly writtenSequence: number
  readonly durableSequence: number
  /** 16 bytes, the same for the life of the journal. */
  readonly id: Uint8Array
  /**
   * Says that the memory of groups below `sequence` is no longer read. The memory of those that are written is reused.
   */
  release(sequence: number): void
  /** Resolves when every group up to `sequence` is synced, syncing if need be (`sync: 'os'`). */
  syncTo(sequence: number): Promise<void>
  /**
   * Allows reuse of the files whose groups all have sequences below `sequence`, the lower of the two durable
   * checkpoints.
   */
  recycleBelow(sequence: number): void
  /** Bytes of journal written since that sequence; they decide when the next checkpoint is due. */
  bytesSince(sequence: number): number
  /** Writes and syncs what was appended, writes a seal and closes the file. */
  close(): Promise<void>
}

export interface AppendedEntry {
  /** Sequence of the group that will carry the entry. Groups count from 1, without gaps, for the life of the journal. */
  readonly sequence: number
  /** Contains the bytes of the batches. Shared by many entries, because a view for each batch would be a large object. */
  readonly memory: Uint8Array
  /** For each batch part, in order, where in `memory` its bytes start. */
  readonly starts: readonly number[]
}

export interface JournalListener {
  /**
   * The group is written, and synced under `sync: 'commit'`: the listener promotes what it carries. Called in order of
   * sequence, exactly once per group, never from inside `append`.
   */
  written(group: WrittenGroup): void
  /** Writing or syncing failed: this group and all after it do not exist. Nothing more will be written. */
  failed(error: LogError): void
}

/**
 * The entries of a group (`readEntries`), in memory that does not change until the group is released. Shared memory can
 * be passed to another thread by reference; other memory is copied when it is passed on.
 */
export interface WrittenGroup {
  readonly sequence: number
  readonly memory: Uint8Array
}
