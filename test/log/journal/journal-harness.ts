import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { crc32c } from '../../../src/base/crc32c.ts'
import type { Clock } from '../../../src/base/clock.ts'
import type { Disk } from '../../../src/base/disk.ts'
import type { LogError } from '../../../src/log/api/errors.ts'
import { CheckpointFile } from '../../../src/log/journal/checkpoint-file.ts'
import type { CheckpointState } from '../../../src/log/journal/checkpoint.ts'
import { readEntries, type EntryPart } from '../../../src/log/journal/entry.ts'
import type { AppendedEntry } from '../../../src/log/journal/journal.ts'
import { GroupJournal } from '../../../src/log/journal/group-journal.ts'
import { recoverJournal, type RecoveredJournal } from '../../../src/log/journal/journal-recovery.ts'
import type { JournalSync } from '../../../src/log/journal/journal-writer.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'

/** A journal for tests: entries are numbers with a length, and everything the journal reports is kept. */
export class JournalHarness {
  readonly clock: ManualClock | Clock
  readonly recovered: RecoveredJournal
  readonly journal: GroupJournal
  /** Each group that was reported as written: its sequence and its entries. */
  readonly written: { readonly sequence: number; readonly entries: readonly number[] }[] = []
  /** The memory of each group that was reported as written, which this harness never releases. */
  readonly memories: Uint8Array[] = []
  failure: LogError | null = null
  onWritten: ((sequence: number) => void) | null = null

  constructor(disk: Disk, options: HarnessOptions = {}) {
    this.clock = options.clock ?? new ManualClock()
    this.recovered = recover(disk, options)
    this.journal = new GroupJournal({
      disk,
      clock: this.clock,
      start: this.recovered.start,
      totals: this.recovered.totals,
      sync: options.sync ?? 'commit',
      thread: options.thread ?? false,
      listener: {
        written: (group) => {
          this.memories.push(group.memory)
          this.written.push({ sequence: group.sequence, entries: entriesOf(group.memory) })
          this.onWritten?.(group.sequence)
        },
        failed: (error) => {
          assert.equal(this.failure, null, 'failed is called once')
          this.failure = error
        },
      },
    })
  }

  /** Appends the entry `id` and returns its sequence. */
  append(id: number, bytes = 100): number {
    return this.journal.append([entryPart(id, bytes)]).sequence
  }

  /** Appends the entry `id` and lets the journal write it as a group of its own. */
  async appendAlone(id: number, bytes = 100): Promise<number> {
    const sequence = this.append(id, bytes)
    await this.clock.nextTurn()
    return sequence
  }
}

export interface HarnessOptions {
  readonly clock?: ManualClock | Clock
  readonly sync?: JournalSync
  readonly thread?: boolean
  readonly directory?: string
  readonly firstFileBytes?: number
  readonly fileBytesMax?: number
}

export const journalDirectory = '/log/journal'

export function recover(disk: Disk, options: HarnessOptions = {}): RecoveredJournal {
  const directory = options.directory ?? journalDirectory
  const home = dirname(directory)
  if (!disk.exists(home)) {
    disk.makeDirectory(home)
    disk.syncDirectory(dirname(home))
  }
  return recoverJournal({
    disk,
    directory,
    checkpoint: readCheckpoint(disk, directory).newest,
    newJournalId: Buffer.alloc(16, 'journal'),
    bootId: Buffer.alloc(16, 'boot'),
    firstFileBytes: options.firstFileBytes ?? 4096,
    fileBytesMax: options.fileBytesMax ?? 16 * 1024,
  })
}

/** Checkpoint files are kept beside the journal's directory. */
export function readCheckpoint(disk: Disk, directory: string = journalDirectory): CheckpointFile {
  return CheckpointFile.open(disk, dirname(directory))
}

/** The state of a log without topics. `journal` is left out by default, as if the journal were durable as far. */
export function checkpointState(
  sequence: number,
  incarnation = 1,
  journal?: CheckpointState['journal'],
): CheckpointState {
  const state = { sequence, incarnation, topics: [], partitions: [], offsets: [], sections: [], deletions: [] }
  return journal === undefined ? state : { ...state, journal }
}

/** The bytes of the batches of an appended entry, in the journal's memory. */
export function viewsOf({ memory, starts }: AppendedEntry, parts: readonly EntryPart[]): Uint8Array[] {
  const batches = parts.filter((part) => part.kind === 'batch')
  assert.equal(starts.length, batches.length)
  return batches.map(({ bytes }, index) => {
    const start = starts[index] as number
    return memory.subarray(start, start + bytes.length)
  })
}

export function entryPart(id: number, bytes: number): EntryPart {
  const content = Buffer.alloc(bytes, id & 0xff)
  if (bytes >= 4) content.writeUInt32BE(id)
  return {
    kind: 'batch',
    topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
    partition: id,
    leaderEpoch: bytes,
    segmentBase: 0,
    filePosition: id,
    bytes: content,
  }
}

/** The numbers of the entries in a group's memory, each checked byte for byte. */
export function entriesOf(memory: Uint8Array): number[] {
  return [...readEntries(memory)].map((parts) => {
    const part = parts[0]
    assert(part?.kind === 'batch')
    const expected = entryPart(part.partition, part.leaderEpoch)
    assert(expected.kind === 'batch')
    if (isSummed(part.bytes)) expected.bytes.set(part.bytes.subarray(17, 21), 17)
    assert(Buffer.compare(part.bytes, expected.bytes) === 0, `entry ${part.partition} has other bytes`)
    return part.partition
  })
}

/** Whether the batch has its checksum, where Kafka's batches have it. */
export function isSummed(batch: Uint8Array): boolean {
  return batch.length >= 21 && Buffer.from(batch).readUInt32BE(17) === crc32c(batch, 21)
}

/** The batches in a group's memory. */
export function batchesOf(memory: Uint8Array): Uint8Array[] {
  return [...readEntries(memory)].flat().flatMap((part) => (part.kind === 'batch' ? [part.bytes] : []))
}

/** The groups that recovery returns for replay: sequence and entries of each. */
export function replayOf(recovered: RecoveredJournal): { sequence: number; entries: number[] }[] {
  return [...recovered.groups()].map(({ sequence, memory }) => ({ sequence, entries: entriesOf(memory) }))
}

export function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
  return 'none'
}
