import { dirname, join } from 'node:path'
import { crc32c } from '../../base/crc32c.ts'
import type { Disk, DiskFile } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import { headerBytes, journalFormatVersion, writeFileHeader, writeGroupHeader } from './group.ts'
import {
  emptyJournal,
  followJournal,
  type FollowOptions,
  type FoundGroup,
  type FoundJournal,
  rot,
  type TornBytes,
} from './journal-chain.ts'
import { JournalFileReader } from './journal-file-reader.ts'
import {
  fileBytesMaxDefault,
  firstFileBytesDefault,
  isSpareName,
  journalFileName,
  journalFileNumber,
} from './journal-files.ts'
import type { JournalStart } from './journal-writer.ts'
import type { WrittenGroup } from './journal.ts'

/**
 * Opens a journal: finds its end, makes sure that what it returns is durable, and starts a new file.
 *
 * - Groups are followed by sequence and checksum, from the newest file that starts at or below the checkpoint. The
 *   header of a later file names the last sequence that counts before it; groups after that in older files do not
 *   exist.
 * - Where the chain breaks, recovery looks for proof that something beyond the break was durable: the checkpoint, or
 *   the `durableThrough` of any valid header from there on. If there is proof, the break is rot: nothing is changed,
 *   and the error names the range. If there is none, it is a torn tail.
 * - Groups after the last one that is proven durable may be in the page cache only, and a failed sync may have marked
 *   their pages clean. They are written again, to the new file, which is synced under a temporary name before it
 *   counts.
 * - Nothing is cut, deleted or appended to. Only the new file's header decides where older files end. So a crash during
 *   recovery changes nothing that the next recovery sees, except for copies in lost+found.
 *
 * It does not apply entries and knows nothing of segments.
 */
export function recoverJournal(options: RecoveryOptions): RecoveredJournal {
  const { disk, directory, checkpoint } = options
  makeDurableDirectory(disk, directory)
  const names = disk.list(directory)
  for (const name of names) if (name.endsWith('.tmp')) disk.unlink(join(directory, name))
  const numbers = names.map(journalFileNumber).filter((number) => number !== null)
  if (numbers.length === 0 && checkpoint !== null) {
    throw new LogError(
      'JOURNAL_MISSING',
      `${directory} has a checkpoint of group ${checkpoint.sequence}, but no journal: restore the journal's files, because the segments lack what they contained`,
      { directory, sequence: checkpoint.sequence },
    )
  }

  const found = numbers.length === 0 ? emptyJournal(options.newJournalId) : followJournal(options, numbers)
  const cuts = saveCuts(options, found.cuts)
  const number = (numbers.at(-1) ?? 0) + 1
  const incarnation = found.incarnation + 1
  const rewritten = writeNewFile(options, found, number, incarnation)

  const base = checkpoint?.sequence ?? 0
  const proven = found.groups.filter((group) => group.sequence > base && group.sequence <= found.durable)
  const groups = [...proven, ...rewritten.groups]
  let total = 0
  return {
    incarnation,
    lastSequence: found.last,
    cuts,
    closed: found.closed,
    totals: groups.map((group) => (total += headerBytes + group.bodyBytes)),
    groups: () => readGroups(disk, groups),
    start: {
      directory,
      journalId: found.journalId,
      bootId: options.bootId,
      incarnation,
      fileBytesMax: options.fileBytesMax ?? fileBytesMaxDefault,
      files: found.files,
      spares: names.filter(isSpareName),
      current: { number, bytes: rewritten.bytes, lastSequence: found.last },
      position: rewritten.position,
      lastSequence: found.last,
      lastChecksum: rewritten.lastChecksum,
      sealed: true,
    },
  }
}

/** `directory` is where the journal files are; it is created if absent. */
export interface RecoveryOptions extends FollowOptions {
  /** 16 random bytes, used if there is no journal yet. */
  readonly newJournalId: Uint8Array
  /** 16 bytes that name this boot of the machine (or of the simulation). */
  readonly bootId: Uint8Array
  /** Directory that torn bytes are copied to. Default: `lost+found` in the journal's directory. */
  readonly lostAndFound?: string
  /** Minimum size of the file that this open starts with. Default 1 MiB. */
  readonly firstFileBytes?: number
  /** Each next file is twice as large, up to this size. Default 32 MiB. */
  readonly fileBytesMax?: number
}

export interface RecoveredJournal {
  /** The number of this open: higher than every earlier one, and already durable in the new file's header. */
  readonly incarnation: number
  /** Sequence of the last group; the next group gets the sequence after it. All groups up to it are durable. */
  readonly lastSequence: number
  readonly cuts: readonly JournalCut[]
  /** Whether the last open closed the journal cleanly: nothing follows its seal. */
  readonly closed: boolean
  /** Where the writer continues. */
  readonly start: JournalStart
  /** For `JournalOptions.totals`: for each group to replay, the bytes of journal up to and including it. */
  readonly totals: readonly number[]
  /**
   * The groups after the checkpoint, in order, read file by file. May be iterated more than once, until files are
   * recycled.
   */
  groups(): Iterable<WrittenGroup>
}

/** Torn bytes, copied for a person to inspect. */
export interface JournalCut extends TornBytes {
  /** Where they were copied to. */
  readonly savedAs: string
}

/** Copies torn bytes to where a person can inspect them, before the new file's header invalidates them. */
function saveCuts(options: RecoveryOptions, cuts: FoundJournal['cuts']): JournalCut[] {
  if (cuts.length === 0) return []
  const { disk } = options
  const directory = options.lostAndFound ?? join(options.directory, 'lost+found')
  makeDurableDirectory(disk, directory)
  const saved = cuts.map((cut) => {
    const savedAs = join(directory, `${cut.file.slice(-journalFileName(0).length)}.${cut.from}`)
    const reader = new JournalFileReader(disk, cut.file)
    const copy = disk.open(savedAs, 'create')
    try {
      copy.truncate(0)
      for (let at = cut.from; at < cut.to; at += copyStepBytes) {
        copy.write(reader.bytesAt(at, Math.min(copyStepBytes, cut.to - at)), at - cut.from)
      }
      copy.sync()
    } finally {
      copy.close()
      reader.close()
    }
    return { ...cut, savedAs }
  })
  disk.syncDirectory(directory)
  return saved
}

/**
 * Writes this open's file: the groups not proven durable, a seal, zeros. It is durable under its final name on return.
 */
function writeNewFile(
  options: RecoveryOptions,
  found: FoundJournal,
  number: number,
  incarnation: number,
): { groups: FoundGroup[]; position: number; bytes: number; lastChecksum: number } {
  const { disk, directory } = options
  const path = join(directory, journalFileName(number))
  const temporary = join(directory, 'recover.tmp')
  const ids = { journalId: found.journalId, bootId: options.bootId, fileNumber: number }
  const header = Buffer.alloc(headerBytes)
  const groups: FoundGroup[] = []
  let lastChecksum = found.durableChecksum
  let position = headerBytes
  let bytes = 0
  const file = disk.open(temporary, 'create')
  try {
    writeFileHeader(
      {
        ...ids,
        version: journalFormatVersion,
        recycled: false,
        previousSequence: found.durable,
        previousChecksum: lastChecksum,
        durableThrough: found.durable,
        incarnation,
      },
      header,
    )
    file.write(header, 0)
    for (const { body, group } of readBodies(
      disk,
      found.groups.filter(({ sequence }) => sequence > found.durable),
    )) {
      const { sequence, bodyBytes, bodyChecksum } = group
      const link = { bodyBytes, bodyChecksum, sequence, durableThrough: found.durable, previousChecksum: lastChecksum }
      lastChecksum = writeGroupHeader({ ...ids, ...link, seal: false, closed: false }, header)
      file.write(header, position)
      file.write(body, position + headerBytes)
      groups.push({ path, position, sequence, bodyBytes, bodyChecksum, checksum: lastChecksum })
      position += headerBytes + bodyBytes
    }
    const seal = { bodyBytes: 0, bodyChecksum: 0, sequence: found.last, durableThrough: found.last }
    writeGroupHeader({ ...ids, ...seal, seal: true, closed: false, previousChecksum: lastChecksum }, header)
    file.write(header, position)
    position += headerBytes
    bytes = Math.max(options.firstFileBytes ?? firstFileBytesDefault, position)
    fillWithZeros(file, position, bytes)
    // Crash here: only a temporary file exists. The next recovery finds what this one found.
    file.sync()
  } finally {
    file.close()
  }
  disk.rename(temporary, path)
  // Crash here: if the new name is durable, older files end at the last proven group and the other groups are in the
  // new file, synced. If it is not, everything is as before.
  disk.syncDirectory(directory)
  return { groups, position, bytes, lastChecksum }
}

function fillWithZeros(file: DiskFile, from: number, to: number): void {
  const zeros = Buffer.alloc(Math.min(copyStepBytes, to - from))
  for (let at = from; at < to; at += zeros.length) file.write(zeros.subarray(0, Math.min(zeros.length, to - at)), at)
}

function* readGroups(disk: Disk, groups: readonly FoundGroup[]): Generator<WrittenGroup, void, undefined> {
  for (const { body, group } of readBodies(disk, groups))
    yield { sequence: group.sequence, memory: new Uint8Array(body.buffer) }
}

function* readBodies(
  disk: Disk,
  groups: readonly FoundGroup[],
): Generator<{ readonly body: Buffer; readonly group: FoundGroup }, void, undefined> {
  let reader: JournalFileReader | null = null
  try {
    for (const group of groups) {
      if (reader?.path !== group.path) {
        reader?.close()
        reader = new JournalFileReader(disk, group.path)
      }
      const body = reader.body(group.position, group.bodyBytes)
      const whole = crc32c(body) === group.bodyChecksum
      if (!whole)
        throw rot(
          group.path,
          group.position,
          group.position + headerBytes + body.length,
          'it has changed since it was first read',
        )
      yield { body, group }
    }
  } finally {
    reader?.close()
  }
}

function makeDurableDirectory(disk: Disk, directory: string): void {
  if (disk.exists(directory)) return
  disk.makeDirectory(directory)
  disk.syncDirectory(dirname(directory))
}

const copyStepBytes = 1024 * 1024
