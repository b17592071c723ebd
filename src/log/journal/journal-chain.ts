import { join } from 'node:path'
import { assert } from '../../base/assert.ts'
import type { Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import type { CheckpointState } from './checkpoint.ts'
import { headerBytes, journalFormatVersion, readFileHeader } from './group.ts'
import type { Checked, FileHeader, GroupHeader } from './group.ts'
import { JournalFileReader } from './journal-file-reader.ts'
import { journalFileName } from './journal-files.ts'
import type { JournalStart } from './journal-writer.ts'

export interface FollowOptions {
  readonly disk: Disk
  readonly directory: string
  /** The newest checkpoint; null if the log never wrote one. */
  readonly checkpoint: Pick<CheckpointState, 'sequence' | 'incarnation' | 'journal'> | null
}

/** Bytes at the end of the journal that are not complete groups, or follow a gap: written, but never proven durable. */
export interface TornBytes {
  readonly file: string
  readonly from: number
  readonly to: number
}

/** A complete group and its position. */
export interface FoundGroup {
  readonly path: string
  readonly position: number
  readonly sequence: number
  readonly bodyBytes: number
  readonly bodyChecksum: number
  readonly checksum: number
}

export interface FoundJournal {
  readonly journalId: Uint8Array
  /** The highest incarnation of any open so far. */
  readonly incarnation: number
  readonly groups: readonly FoundGroup[]
  /** Sequence of the last group of the chain (`last`) and of the last proven durable, with the latter's checksum. */
  readonly last: number
  readonly durable: number
  readonly durableChecksum: number
  readonly files: JournalStart['files']
  readonly cuts: readonly TornBytes[]
  readonly closed: boolean
}

/**
 * A file as found in the directory. Its header is null if it is invalid or has another file's number: it was never
 * begun.
 */
interface StandingFile {
  readonly number: number
  readonly path: string
  readonly bytes: number
  readonly header: Checked<FileHeader> | null
}

/** The result for a directory without journal files. */
export function emptyJournal(journalId: Uint8Array): FoundJournal {
  return {
    journalId,
    incarnation: 0,
    groups: [],
    last: 0,
    durable: 0,
    durableChecksum: 0,
    files: [],
    cuts: [],
    closed: false,
  }
}

/**
 * Follows the groups by sequence and checksum to the end of the journal, and determines which of them are proven
 * durable. Where the chain breaks, it distinguishes rot, an error that names the range, from a torn tail, whose bytes
 * it lists. It only reads; `recoverJournal` documents the rules.
 */
export function followJournal(options: FollowOptions, numbers: readonly number[]): FoundJournal {
  const { disk, directory, checkpoint } = options
  const base = checkpoint?.sequence ?? 0
  const all = numbers.map((number) => standingFile(disk, directory, number))
  const headers = all.map((file) => file.header).filter((header) => header !== null)
  // Proof that groups were durable: what the checkpoint and all headers say.
  let proven = Math.max(checkpoint?.journal?.durable ?? base, ...headers.map((header) => header.durableThrough))
  const first = startingFile(all, base, { mayBeLost: proven < base })
  const journalId = first?.header.journalId ?? checkpoint?.journal?.id
  assert(journalId !== undefined, 'a checkpoint that says how far the journal is durable names the journal')
  for (const { path, header } of all) {
    if (header === null || Buffer.compare(header.journalId, journalId) === 0) continue
    throw rot(path, 0, headerBytes, 'its header belongs to another journal')
  }
  const files = first === null ? all : all.slice(all.findIndex((file) => file.number === first.number))
  checkNumbers(directory, files)
  // A file ends where the header of any later file says that the files before it end.
  const limits = files.map((_file, index) =>
    Math.min(...files.slice(index + 1).map((later) => later.header?.previousSequence ?? Infinity)),
  )

  const groups: FoundGroup[] = []
  let last = first?.header.previousSequence ?? base
  let checksum = first?.header.previousChecksum ?? 0
  let cuts: TornBytes[] = []
  let closed = false
  for (const [index, file] of files.entries()) {
    const limit = limits[index] as number
    if (last >= limit) continue
    const walk = walkFile(disk, file, { journalId, last, checksum, limit }, groups)
    last = walk.last
    checksum = walk.checksum
    closed = walk.closed
    proven = Math.max(proven, walk.durable)
    if (last === limit) continue
    // The chain breaks or ends here.
    const beyond = walk.closed
      ? nothingBeyond
      : lookBeyond(disk, files.slice(index), walk.position, journalId, { last, base })
    proven = Math.max(proven, beyond.durable)
    if (proven > last) {
      throw rot(
        file.path,
        walk.position,
        beyond.nextValid ?? file.bytes,
        `group ${last + 1} is missing or damaged although it was durable: group ${proven} was reported synced`,
      )
    }
    cuts = beyond.cuts
    break
  }
  const incarnation = Math.max(checkpoint?.incarnation ?? 0, ...headers.map((header) => header.incarnation))
  if (first === null || last < base) {
    // Under `sync: 'os'`, a power cut took groups that the checkpoint covers: the segments have what they contained. The
    // groups after the checkpoint cannot be followed any more, and were never durable.
    const standing = all.map(({ number, bytes }) => ({ number, bytes, lastSequence: base }))
    return {
      journalId,
      incarnation,
      groups: [],
      last: base,
      durable: base,
      durableChecksum: 0,
      files: standing,
      cuts,
      closed: false,
    }
  }
  // The segments have everything up to the checkpoint.
  const durable = Math.max(base, proven)
  const newest = groups.findLast((group) => group.sequence === durable)
  assert(newest !== undefined || durable === first.header.previousSequence, `group ${durable} is proven but not found`)
  return {
    journalId,
    incarnation,
    groups,
    last,
    durable,
    durableChecksum: newest?.checksum ?? first.header.previousChecksum,
    files: all.map(({ number, bytes }, index) => {
      const offset = index - (all.length - files.length)
      return { number, bytes, lastSequence: Math.min(durable, offset < 0 ? base : (limits[offset] as number)) }
    }),
    cuts,
    closed,
  }
}

function standingFile(disk: Disk, directory: string, number: number): StandingFile {
  const path = join(directory, journalFileName(number))
  const file = disk.open(path, 'read')
  try {
    const bytes = Buffer.alloc(headerBytes)
    file.read(bytes, 0)
    const header = readFileHeader(bytes)
    if (header !== null && header.version > journalFormatVersion) {
      throw new LogError(
        'NEWER_FORMAT',
        `${path} has format ${header.version}, this version reads up to ${journalFormatVersion}: open the log with the newer millrace`,
        { path, version: header.version },
      )
    }
    return { number, path, bytes: file.size(), header: header?.fileNumber === number ? header : null }
  } finally {
    file.close()
  }
}

/**
 * The newest file that starts at or below the checkpoint: no older file is needed. If there is none, null, provided that
 * it may have been lost because nothing says that it was durable.
 */
function startingFile(
  files: readonly StandingFile[],
  base: number,
  { mayBeLost }: { readonly mayBeLost: boolean },
): (StandingFile & { readonly header: Checked<FileHeader> }) | null {
  for (const { header, ...file } of files.toReversed()) {
    if (header !== null && header.previousSequence <= base) return { ...file, header }
  }
  if (mayBeLost) return null
  const begun = files.find((file) => file.header !== null)
  const oldest = files[0]
  assert(oldest, 'a journal without files')
  if (!begun?.header) throw rot(oldest.path, 0, headerBytes, 'no file of the journal has a readable header')
  throw new LogError(
    'JOURNAL_GAP',
    `${begun.path} starts after group ${begun.header.previousSequence}, but the segments contain only the groups up to ${base}: restore the journal files before it`,
    { path: begun.path, startsAfter: begun.header.previousSequence, checkpoint: base },
  )
}

function checkNumbers(directory: string, files: readonly StandingFile[]): void {
  for (const [index, file] of files.entries()) {
    const before = files[index - 1]
    if (before === undefined || file.number === before.number + 1) continue
    throw new LogError(
      'JOURNAL_GAP',
      `${directory} has the journal files ${before.number} and ${file.number} but none between them: restore the missing ones`,
      { directory, before: before.number, after: file.number },
    )
  }
}

/** Follows the chain through one file and collects its groups. */
function walkFile(
  disk: Disk,
  file: StandingFile,
  from: { readonly journalId: Uint8Array; readonly last: number; readonly checksum: number; readonly limit: number },
  groups: FoundGroup[],
): { last: number; checksum: number; durable: number; position: number; closed: boolean } {
  let { last, checksum } = from
  let durable = 0
  let closed = false
  const { header } = file
  // Either the file was torn before its first sync, or it continues from groups that are missing.
  if (header === null || header.previousSequence !== last || header.previousChecksum !== checksum) {
    return { last, checksum, durable, position: 0, closed }
  }
  const reader = new JournalFileReader(disk, file.path)
  let position = headerBytes
  try {
    while (last < from.limit) {
      const group = reader.groupAt(position)
      if (group === null || !isOf(group, file.number, from.journalId)) break
      if (group.previousChecksum !== checksum || group.sequence !== (group.seal ? last : last + 1)) break
      durable = Math.max(durable, group.durableThrough)
      closed = group.closed
      if (!group.seal) {
        const { sequence, bodyBytes, bodyChecksum } = group
        groups.push({ path: file.path, position, sequence, bodyBytes, bodyChecksum, checksum: group.checksum })
        last = sequence
        checksum = group.checksum
      }
      position += headerBytes + group.bodyBytes
    }
  } finally {
    reader.close()
  }
  return { last, checksum, durable, position, closed }
}

interface Beyond {
  /** The highest sequence that headers after the break say was durable. */
  readonly durable: number
  /** Position of the next valid group in the file with the break. */
  readonly nextValid: number | null
  readonly cuts: TornBytes[]
}

const nothingBeyond: Beyond = { durable: 0, nextValid: null, cuts: [] }

/**
 * Scans everything after a break in the first of `files`, behind group `last`, for proofs of durability and for torn
 * bytes. Groups up to `base` are not torn bytes: the checkpoint covers them.
 */
function lookBeyond(
  disk: Disk,
  files: readonly StandingFile[],
  position: number,
  journalId: Uint8Array,
  { last, base }: { readonly last: number; readonly base: number },
): Beyond {
  let durable = 0
  let nextValid: number | null = null
  const cuts: TornBytes[] = []
  for (const [index, file] of files.entries()) {
    const reader = new JournalFileReader(disk, file.path)
    try {
      const start = index === 0 ? position : 0
      let from = start
      let to = file.header !== null && index > 0 ? headerBytes : from
      for (const { position: at, header } of reader.scan(start)) {
        if (!isOf(header, file.number, journalId) || header.sequence <= last) continue
        durable = Math.max(durable, header.durableThrough)
        if (index === 0 && at > position) nextValid ??= at
        to = Math.max(to, Math.min(at + headerBytes + header.bodyBytes, file.bytes))
        if (header.sequence <= base) from = to
      }
      // In a file that was created with zeros, content ends where only zeros follow. A recycled file still has old
      // content.
      if (to === from && file.header !== null && !file.header.recycled) to = reader.endOfContent(from)
      if (to > from) cuts.push({ file: file.path, from, to })
    } finally {
      reader.close()
    }
  }
  return { durable, nextValid, cuts }
}

function isOf(header: GroupHeader, fileNumber: number, journalId: Uint8Array): boolean {
  return header.fileNumber === fileNumber && Buffer.compare(header.journalId, journalId) === 0
}

/** Damage that cannot be a torn tail. Nothing was changed. */
export function rot(path: string, from: number, to: number, what: string): LogError {
  return new LogError(
    'JOURNAL_ROT',
    `${path}, bytes ${from} to ${to}: ${what}. Nothing was changed: restore the file from a copy`,
    { path, from, to },
  )
}
