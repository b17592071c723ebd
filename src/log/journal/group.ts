import { assert } from '../../base/assert.ts'
import { crc32c, joinCrc32c } from '../../base/crc32c.ts'

/**
 * The group: the unit that has a checksum, is written with one write, and is kept or cut as a whole. Groups and file
 * headers start at multiples of 64 bytes, so that a scan can continue after a damaged length.
 *
 * Layout of a group's header, big-endian. The body with the entries follows it, padded with zeros to 64 bytes:
 *
 *   +0    8   "MRGROUP1"
 *   +8    u32 crc32c of the header from +12 on
 *   +12   u32 flags: 1 seal, 2 nothing follows the seal (clean close)
 *   +16   u32 length of the body, a multiple of 64; 0 in a seal
 *   +20   u32 crc32c of the body
 *   +24   16  journal id
 *   +40   i64 number of the file
 *   +48   i64 sequence; a seal has that of the group before it
 *   +56   i64 durableThrough: groups up to this one were synced when this header was written
 *   +64   u32 checksum (+8) of the group before, also in an earlier file; seals are no links of this chain
 *   +68   u32 0
 *   +72   16  boot id of the machine
 *   +88   40  0
 *
 * Layout of a file's header:
 *
 *   +0    8   "MRJOURNL"
 *   +8    u32 crc32c of the header from +12 on
 *   +12   u32 format version, 1
 *   +16   u32 flags: 1 the file's former content is not zero (recycled)
 *   +20   u32 checksum of that last group
 *   +24   16  journal id
 *   +40   i64 number of the file
 *   +48   i64 last sequence that counts in the files before: later groups there do not exist
 *   +56   i64 durableThrough
 *   +64   i64 incarnation of the open that wrote it
 *   +72   16  boot id
 *   +88   40  0
 *
 * It deliberately does not check whether a header belongs where it was found: journal-chain.ts follows the chain of
 * sequences and checksums.
 */
export const headerBytes = 128
export const groupAlignment = 64
export const journalFormatVersion = 1

const groupMagic = Buffer.from('MRGROUP1')
const fileMagic = Buffer.from('MRJOURNL')

export interface GroupHeader {
  readonly seal: boolean
  /** Of a seal: the journal was closed after it. */
  readonly closed: boolean
  readonly bodyBytes: number
  readonly bodyChecksum: number
  readonly journalId: Uint8Array
  readonly fileNumber: number
  readonly sequence: number
  readonly durableThrough: number
  readonly previousChecksum: number
  readonly bootId: Uint8Array
}

export interface FileHeader {
  readonly version: number
  readonly recycled: boolean
  readonly journalId: Uint8Array
  readonly fileNumber: number
  readonly previousSequence: number
  readonly previousChecksum: number
  readonly durableThrough: number
  readonly incarnation: number
  readonly bootId: Uint8Array
}

/** A header as read, with its own checksum, which the next header names to form the chain. */
export type Checked<Header> = Header & { readonly checksum: number }

/** Writes the header into the first {@link headerBytes} of `target` and returns its checksum. */
export function writeGroupHeader(header: GroupHeader, target: Buffer): number {
  target.fill(0, 0, headerBytes)
  target.set(groupMagic)
  target.writeUInt32BE((header.seal ? 1 : 0) | (header.closed ? 2 : 0), 12)
  target.writeUInt32BE(header.bodyBytes, 16)
  target.writeUInt32BE(header.bodyChecksum, 20)
  writeId(header.journalId, target, 24)
  target.writeBigInt64BE(BigInt(header.fileNumber), 40)
  target.writeBigInt64BE(BigInt(header.sequence), 48)
  target.writeBigInt64BE(BigInt(header.durableThrough), 56)
  target.writeUInt32BE(header.previousChecksum, 64)
  writeId(header.bootId, target, 72)
  return writeChecksum(target)
}

/** The header at `at`, or null if there is none with a correct checksum. Does not check the body. */
export function readGroupHeader(bytes: Buffer, at: number): Checked<GroupHeader> | null {
  if (!startsWith(bytes, at, groupMagic)) return null
  const checksum = bytes.readUInt32BE(at + 8)
  if (checksum !== crc32c(bytes, at + 12, at + headerBytes)) return null
  const flags = bytes.readUInt32BE(at + 12)
  return {
    checksum,
    seal: (flags & 1) !== 0,
    closed: (flags & 2) !== 0,
    bodyBytes: bytes.readUInt32BE(at + 16),
    bodyChecksum: bytes.readUInt32BE(at + 20),
    journalId: bytes.subarray(at + 24, at + 40),
    fileNumber: Number(bytes.readBigInt64BE(at + 40)),
    sequence: Number(bytes.readBigInt64BE(at + 48)),
    durableThrough: Number(bytes.readBigInt64BE(at + 56)),
    previousChecksum: bytes.readUInt32BE(at + 64),
    bootId: bytes.subarray(at + 72, at + 88),
  }
}

/** Writes the header of a journal file into `target` and returns its checksum. */
export function writeFileHeader(header: FileHeader, target: Buffer): number {
  target.fill(0, 0, headerBytes)
  target.set(fileMagic)
  target.writeUInt32BE(header.version, 12)
  target.writeUInt32BE(header.recycled ? 1 : 0, 16)
  target.writeUInt32BE(header.previousChecksum, 20)
  writeId(header.journalId, target, 24)
  target.writeBigInt64BE(BigInt(header.fileNumber), 40)
  target.writeBigInt64BE(BigInt(header.previousSequence), 48)
  target.writeBigInt64BE(BigInt(header.durableThrough), 56)
  target.writeBigInt64BE(BigInt(header.incarnation), 64)
  writeId(header.bootId, target, 72)
  return writeChecksum(target)
}

/** The header of a journal file, or null if there is none with a correct checksum. */
export function readFileHeader(bytes: Buffer): Checked<FileHeader> | null {
  if (!startsWith(bytes, 0, fileMagic)) return null
  const checksum = bytes.readUInt32BE(8)
  if (checksum !== crc32c(bytes, 12, headerBytes)) return null
  return {
    checksum,
    version: bytes.readUInt32BE(12),
    recycled: (bytes.readUInt32BE(16) & 1) !== 0,
    previousChecksum: bytes.readUInt32BE(20),
    journalId: bytes.subarray(24, 40),
    fileNumber: Number(bytes.readBigInt64BE(40)),
    previousSequence: Number(bytes.readBigInt64BE(48)),
    durableThrough: Number(bytes.readBigInt64BE(56)),
    incarnation: Number(bytes.readBigInt64BE(64)),
    bootId: bytes.subarray(72, 88),
  }
}

/**
 * A range `[start, end)` of a group, counted from its header, that has a checksum of its own: the part of a record batch
 * that follows its checksum.
 */
export interface SummedRange {
  readonly start: number
  readonly end: number
  /** Null if it was not computed yet: it then has to be stored in the four bytes before the range, too. */
  readonly checksum: number | null
}

/**
 * Computes and stores the checksums that are missing. `group` need not begin with its header: ranges count from it.
 * Returns the ranges, all with their checksums.
 */
export function completeSums(group: Uint8Array, ranges: readonly SummedRange[]): CompleteRange[] {
  return ranges.map(({ start, end, checksum }) => ({ start, end, checksum: checksum ?? storeSum(group, start, end) }))
}

/** A range with its checksum. */
export interface CompleteRange extends SummedRange {
  readonly checksum: number
}

function storeSum(group: Uint8Array, start: number, end: number): number {
  const checksum = crc32c(group, start, end)
  group[start - 4] = checksum >>> 24
  group[start - 3] = checksum >>> 16
  group[start - 2] = checksum >>> 8
  group[start - 1] = checksum
  return checksum
}

/**
 * The checksum of a group's body. It computes only the parts not covered by `known`, which is in order. If bytes
 * changed after their checksum was computed, recovery rejects the group, just as if they had changed on the device.
 */
export function bodyChecksum(group: Uint8Array, known: readonly CompleteRange[]): number {
  let sum = 0
  let at = headerBytes
  for (const { start, end, checksum } of known) {
    sum = joinCrc32c(crc32c(group, at, start, sum), checksum, end - start)
    at = end
  }
  return crc32c(group, at, group.length, sum)
}

/** `length` rounded up to the alignment of groups. */
export function alignGroup(length: number): number {
  return Math.ceil(length / groupAlignment) * groupAlignment
}

function writeId(id: Uint8Array, target: Buffer, at: number): void {
  assert(id.length === 16, `an id of ${id.length} bytes instead of 16`)
  target.set(id, at)
}

function writeChecksum(target: Buffer): number {
  const checksum = crc32c(target, 12, headerBytes)
  target.writeUInt32BE(checksum, 8)
  return checksum
}

function startsWith(bytes: Buffer, at: number, magic: Buffer): boolean {
  if (at + headerBytes > bytes.length) return false
  for (let index = 0; index < magic.length; index++) if (bytes[at + index] !== magic[index]) return false
  return true
}
