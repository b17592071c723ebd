import { dirname, join } from 'node:path'
import { assert } from '../../base/assert.ts'
import { crc32c } from '../../base/crc32c.ts'
import type { Disk, DiskFile } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import type { CheckpointState } from './checkpoint.ts'
import { headerBytes, journalFormatVersion, readFileHeader, writeFileHeader, writeGroupHeader } from './group.ts'
import type { Checked, FileHeader, GroupHeader } from './group.ts'
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
 * Opening a journal: find its end, prove or rewrite what is served, start a new file.
 *
 * - Groups are followed by sequence and checksum from the newest file that starts at or below the checkpoint. A later
 *   file's header names the last sequence that counts before it: what lies past it does not exist.
 * - Where the chain breaks, anything durable beyond the break (the `durableThrough` of any valid header from there on,
 *   or the checkpoint) makes it rot: nothing is touched, the error names the range. Else it is a torn tail.
 * - Groups past the last proof may be in the page cache only, and a failed sync may have marked them clean. They are
 *   written once more, to the new file, which is synced under another name before it counts.
 * - Nothing is cut, deleted or appended to: the new file's header alone makes older files end where they end. So a crash
 *   in here changes nothing that the next recovery could see, but for copies in lost+found.
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
      `${directory} has a checkpoint of group ${checkpoint.sequence}, but no journal: restore the journal's files; what they held is not in the segments`,
      { directory, sequence: checkpoint.sequence },
    )
  }

  const found = numbers.length === 0 ? emptyJournal(options) : followJournal(options, numbers)
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
  /** Size of the file that this open starts with, at least. Default 1 MiB. */
  readonly firstFileBytes?: number
  /** Files double up to this size. Default 64 MiB. */
  readonly fileBytesMax?: number
}

export interface RecoveredJournal {
  /** The number of this open, higher than every one before and already durable in the new file's header. */
  readonly incarnation: number
  /** The last group that there is; the next one has the sequence after it. All up to it is durable. */
  readonly lastSequence: number
  readonly cuts: readonly JournalCut[]
  /** Whether the last open closed it, with nothing behind its seal. */
  readonly closed: boolean
  /** Where the journal goes on. */
  readonly start: JournalStart
  /** For `JournalOptions.totals`: bytes of journal up to and with each group to replay. */
  readonly totals: readonly number[]
  /** The groups after the checkpoint, in order, read file by file. May be walked more than once, before recycling. */
  groups(): Iterable<WrittenGroup>
}

/** Bytes at the end of the journal that are no whole groups, or follow a gap: written, never proven durable. */
export interface JournalCut {
  readonly file: string
  readonly from: number
  readonly to: number
  /** Where they were copied to. */
  readonly savedAs: string
}

/** A whole group at its place. */
interface FoundGroup {
  readonly path: string
  readonly position: number
  readonly sequence: number
  readonly bodyBytes: number
  readonly bodyChecksum: number
  readonly checksum: number
}

interface FoundJournal {
  readonly journalId: Uint8Array
  /** The highest of any open so far. */
  readonly incarnation: number
  readonly groups: readonly FoundGroup[]
  /** The last group of the chain; the last that is proven durable, and that one's checksum. */
  readonly last: number
  readonly durable: number
  readonly durableChecksum: number
  readonly files: JournalStart['files']
  readonly cuts: readonly Omit<JournalCut, 'savedAs'>[]
  readonly closed: boolean
}

/** A file as it stands in the directory. Its header is null if it is none, or that of another number: not begun. */
interface StandingFile {
  readonly number: number
  readonly path: string
  readonly bytes: number
  readonly header: Checked<FileHeader> | null
}

function emptyJournal(options: RecoveryOptions): FoundJournal {
  return {
    journalId: options.newJournalId,
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

function followJournal(options: RecoveryOptions, numbers: readonly number[]): FoundJournal {
  const { disk, directory, checkpoint } = options
  const base = checkpoint?.sequence ?? 0
  const all = numbers.map((number) => standingFile(disk, directory, number))
  const headers = all.map((file) => file.header).filter((header) => header !== null)
  const first = startingFile(all, base)
  const journalId = first.header.journalId
  for (const { path, header } of all) {
    if (header === null || Buffer.compare(header.journalId, journalId) === 0) continue
    throw rot(path, 0, headerBytes, 'its header is that of another journal')
  }
  const files = all.slice(all.findIndex((file) => file.number === first.number))
  checkNumbers(directory, files)
  // A file ends where the header of any later one says that the files before it end.
  const limits = files.map((_file, index) =>
    Math.min(...files.slice(index + 1).map((later) => later.header?.previousSequence ?? Infinity)),
  )

  const groups: FoundGroup[] = []
  let last = first.header.previousSequence
  let checksum = first.header.previousChecksum
  let durable = Math.max(base, ...headers.map((header) => header.durableThrough))
  let cuts: Omit<JournalCut, 'savedAs'>[] = []
  let closed = false
  for (const [index, file] of files.entries()) {
    const limit = limits[index] as number
    if (last >= limit) continue
    const walk = walkFile(disk, file, { journalId, last, checksum, limit }, groups)
    last = walk.last
    checksum = walk.checksum
    closed = walk.closed
    durable = Math.max(durable, walk.durable)
    if (last === limit) continue
    // The chain breaks here, or ends.
    const beyond = walk.closed ? nothingBeyond : lookBeyond(disk, files.slice(index), walk.position, journalId, last)
    durable = Math.max(durable, beyond.durable)
    if (durable > last) {
      throw rot(
        file.path,
        walk.position,
        beyond.nextValid ?? file.bytes,
        `group ${last + 1} is not there or damaged, and was durable: group ${durable} was reported synced`,
      )
    }
    cuts = beyond.cuts
    break
  }
  const proven = groups.findLast((group) => group.sequence === durable)
  assert(proven !== undefined || durable === first.header.previousSequence, `group ${durable} is proven but not found`)
  return {
    journalId,
    incarnation: Math.max(checkpoint?.incarnation ?? 0, ...headers.map((header) => header.incarnation)),
    groups,
    last,
    durable,
    durableChecksum: proven?.checksum ?? first.header.previousChecksum,
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

/** The newest file that starts at or below the checkpoint: nothing before it is needed. */
function startingFile(
  files: readonly StandingFile[],
  base: number,
): StandingFile & { readonly header: Checked<FileHeader> } {
  for (const { header, ...file } of files.toReversed()) {
    if (header !== null && header.previousSequence <= base) return { ...file, header }
  }
  const begun = files.find((file) => file.header !== null)
  const oldest = files[0]
  assert(oldest, 'a journal without files')
  if (!begun?.header) throw rot(oldest.path, 0, headerBytes, 'no file of the journal has a readable header')
  throw new LogError(
    'JOURNAL_GAP',
    `${begun.path} starts after group ${begun.header.previousSequence}, but the segments hold the groups up to ${base} only: restore the journal files before it`,
    { path: begun.path, startsAfter: begun.header.previousSequence, checkpoint: base },
  )
}

function checkNumbers(directory: string, files: readonly StandingFile[]): void {
  for (const [index, file] of files.entries()) {
    const before = files[index - 1]
    if (before === undefined || file.number === before.number + 1) continue
    throw new LogError(
      'JOURNAL_GAP',
      `${directory} has the journal files ${before.number} and ${file.number} and none between: restore the missing ones`,
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
  // Torn before its first sync, or it goes on from groups that are not there.
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
  /** What headers past the break say was durable. */
  readonly durable: number
  /** Where the next valid group stands in the file of the break. */
  readonly nextValid: number | null
  readonly cuts: Omit<JournalCut, 'savedAs'>[]
}

const nothingBeyond: Beyond = { durable: 0, nextValid: null, cuts: [] }

/** Looks through all that follows a break in the first of `files`: for proofs of durability, and for torn bytes. */
function lookBeyond(
  disk: Disk,
  files: readonly StandingFile[],
  position: number,
  journalId: Uint8Array,
  last: number,
): Beyond {
  let durable = 0
  let nextValid: number | null = null
  const cuts: Omit<JournalCut, 'savedAs'>[] = []
  for (const [index, file] of files.entries()) {
    const reader = new JournalFileReader(disk, file.path)
    try {
      const from = index === 0 ? position : 0
      let to = file.header !== null && index > 0 ? headerBytes : from
      for (const { position: at, header } of reader.scan(from)) {
        if (!isOf(header, file.number, journalId) || header.sequence <= last) continue
        durable = Math.max(durable, header.durableThrough)
        if (index === 0 && at > position) nextValid ??= at
        to = Math.max(to, Math.min(at + headerBytes + header.bodyBytes, file.bytes))
      }
      // A file that began with zeros has nothing of its own beyond them. In a recycled one old content follows.
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

/** Copies torn bytes where a person can look at them, before the new file makes them count for nothing. */
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

/** The file of this open: the groups that nobody proved durable, a seal, zeros. Durable, under its name, when it returns. */
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
    // Crash here: a temporary file. The next recovery finds what this one found.
    file.sync()
  } finally {
    file.close()
  }
  disk.rename(temporary, path)
  // Crash here: with the name, older files end at the last proof and the rest is here, synced; without, as before.
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
      if (!whole) throw rot(group.path, group.position, group.position + headerBytes + body.length, 'it changed since')
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

function rot(path: string, from: number, to: number, what: string): LogError {
  return new LogError(
    'JOURNAL_ROT',
    `${path}, bytes ${from} to ${to}: ${what}. Nothing was changed: restore the file from a copy`,
    { path, from, to },
  )
}

const copyStepBytes = 1024 * 1024
