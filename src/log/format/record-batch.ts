import { crc32c } from '../../base/crc32c.ts'
import { LogError } from '../api/errors.ts'
import type { Offset } from '../api/record.ts'

/**
 * Kafka's record batch, version 2: the unit that is written, stored, sent and checked. These functions read and change
 * a batch in place, at a position of a buffer that may hold many batches; none of them allocates.
 *
 * ```
 * at  size
 *   0  8  baseOffset            assigned by the log: outside the checksum
 *  8  4  batchLength           bytes after this field, at least 49
 *  12  4  partitionLeaderEpoch  assigned by the log: outside the checksum
 * 16  1  magic                 2
 * 17  4  crc                   CRC-32C of everything from 21 on
 * 21  2  attributes            0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
 *  23  4  lastOffsetDelta       unchanged when compaction removes records
 *  27  8  baseTimestamp         of the first record; the delete horizon if bit 6 is set
 * 35  8  maxTimestamp
 * 43  8  producerId            -1: none
 * 51  2  producerEpoch         -1: none
 * 53  4  baseSequence          -1: none
 * 57  4  recordsCount          0 in a batch that compaction has emptied
 * 61  .. records               one compressed blob if there is a codec
 * ```
 *
 * The first 17 bytes are outside the checksum. `checkBatch` verifies magic and length (a wrong length changes the range
 * of the checksum); base offset and leader epoch are compared with what the log knows where a batch is read from a file.
 * The checksum covers all other bits.
 *
 * Batches of magic 0 and 1 are not supported: no client of today's protocol writes them.
 */
export const batchHeaderBytes = 61

/** Bytes before those that `batchLength` counts. */
const lengthOverheadBytes = 12
const crcStart = 21
export const batchMagic = 2

const codecMask = 0x07
const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20
const deleteHorizonBit = 0x40

/** Bits of `attributes`, for code that writes batches. */
export const batchAttributes: {
  readonly codecMask: number
  readonly logAppendTime: number
  readonly transactional: number
  readonly control: number
  readonly deleteHorizon: number
} = {
  codecMask,
  logAppendTime: logAppendTimeBit,
  transactional: transactionalBit,
  control: controlBit,
  deleteHorizon: deleteHorizonBit,
}

export function baseOffsetOf(bytes: Uint8Array, at: number): Offset {
  return i64(bytes, at)
}

/** Size of the whole batch, header included. Only meaningful if at least 12 bytes are present. */
export function batchBytesOf(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 8) + lengthOverheadBytes
}

export function leaderEpochOf(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 12)
}

export function magicOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 16] as number) << 24) >> 24
}

export function crcOf(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 17) >>> 0
}

export function attributesOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 21] as number) << 8) | (bytes[at + 22] as number)
}

/** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
export function codecOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + 22] as number) & codecMask
}

export function isLogAppendTime(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 22] as number) & logAppendTimeBit) !== 0
}

export function isTransactional(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 22] as number) & transactionalBit) !== 0
}

export function isControl(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at + 22] as number) & controlBit) !== 0
}

export function lastOffsetDeltaOf(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 23)
}

/** The offset after the batch's last one, where the next batch may start. */
export function nextOffset(bytes: Uint8Array, at: number): Offset {
  return i64(bytes, at) + i32(bytes, at + 23) + 1
}

export function baseTimestampOf(bytes: Uint8Array, at: number): number {
  return i64(bytes, at + 27)
}

export function maxTimestampOf(bytes: Uint8Array, at: number): number {
  return i64(bytes, at + 35)
}

export function producerIdOf(bytes: Uint8Array, at: number): number {
  return i64(bytes, at + 43)
}

export function producerEpochOf(bytes: Uint8Array, at: number): number {
  return (((bytes[at + 51] as number) << 24) >> 16) | (bytes[at + 52] as number)
}

export function baseSequenceOf(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 53)
}

export function recordCountOf(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 57)
}

/** Sets the batch's place in the log. The checksum does not cover these two fields, so it does not change. */
export function stampBatch(bytes: Uint8Array, at: number, baseOffset: Offset, leaderEpoch: number): void {
  writeI64(bytes, at, baseOffset)
  writeI32(bytes, at + 12, leaderEpoch)
}

/** Sets the producer's fields, which the checksum covers. */
export function stampProducer(
  bytes: Uint8Array,
  at: number,
  producer: {
    readonly producerId: number
    readonly producerEpoch: number
    readonly baseSequence: number
    readonly transactional: boolean
  },
): void {
  const attributes = attributesOf(bytes, at) & ~transactionalBit
  writeI16(bytes, at + 21, producer.transactional ? attributes | transactionalBit : attributes)
  writeI64(bytes, at + 43, producer.producerId)
  writeI16(bytes, at + 51, producer.producerEpoch)
  writeI32(bytes, at + 53, producer.baseSequence)
  stampChecksum(bytes, at)
}

/**
 * The checksum of a batch that was checked or sealed, and the start of the range that it covers to the batch's end. Null
 * if the batch was sealed without one: a stored 0 may also be a checksum, which is then computed once more.
 */
export function summedBytesOf(bytes: Uint8Array): { readonly from: number; readonly checksum: number | null } {
  const checksum = crcOf(bytes, 0)
  return { from: crcStart, checksum: checksum === 0 ? null : checksum }
}

/** Recomputes the checksum, after a change of bytes that it covers. */
export function stampChecksum(bytes: Uint8Array, at: number): void {
  writeI32(bytes, at + 17, crc32c(bytes, at + crcStart, at + batchBytesOf(bytes, at)))
}

export interface BatchHeader {
  readonly baseOffset: Offset
  readonly leaderEpoch: number
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
}

/**
 * Writes the 61 bytes before the records in `bytes[at + 61, end)`, with the checksum of both, or with 0 in its place if it
 * is computed later.
 */
export function writeBatchHeader(
  bytes: Uint8Array,
  at: number,
  end: number,
  header: BatchHeader,
  checksum: 'now' | 'later' = 'now',
): void {
  stampBatch(bytes, at, header.baseOffset, header.leaderEpoch)
  writeI32(bytes, at + 8, end - at - lengthOverheadBytes)
  bytes[at + 16] = batchMagic
  writeI16(bytes, at + 21, header.attributes)
  writeI32(bytes, at + 23, header.lastOffsetDelta)
  writeI64(bytes, at + 27, header.baseTimestamp)
  writeI64(bytes, at + 35, header.maxTimestamp)
  writeI64(bytes, at + 43, header.producerId)
  writeI16(bytes, at + 51, header.producerEpoch)
  writeI32(bytes, at + 53, header.baseSequence)
  writeI32(bytes, at + 57, header.recordCount)
  if (checksum === 'later') writeI32(bytes, at + 17, 0)
  else stampChecksum(bytes, at)
}

/** The whole header as an object: for tools, tests and rare operations, not for hot paths. */
export function readBatchHeader(bytes: Uint8Array, at: number): BatchHeader {
  return {
    baseOffset: baseOffsetOf(bytes, at),
    leaderEpoch: leaderEpochOf(bytes, at),
    attributes: attributesOf(bytes, at),
    lastOffsetDelta: lastOffsetDeltaOf(bytes, at),
    baseTimestamp: baseTimestampOf(bytes, at),
    maxTimestamp: maxTimestampOf(bytes, at),
    producerId: producerIdOf(bytes, at),
    producerEpoch: producerEpochOf(bytes, at),
    baseSequence: baseSequenceOf(bytes, at),
    recordCount: recordCountOf(bytes, at),
  }
}

/**
 * Checks that `bytes[at, end)` starts with a whole batch, by size and magic only, and returns its end. Code that
 * iterates over batches that were checked earlier calls this to stay within bounds.
 */
export function batchEnd(bytes: Uint8Array, at: number, end: number): number {
  if (end > bytes.length || end - at < batchHeaderBytes) {
    throw corrupt(`${Math.max(0, Math.min(end, bytes.length) - at)} bytes are too short for a batch header of 61`, at)
  }
  const size = batchBytesOf(bytes, at)
  if (size < batchHeaderBytes || size > end - at) {
    throw corrupt(`the batch claims ${size} bytes, but there are ${end - at}`, at)
  }
  if (bytes[at + 16] !== batchMagic) throw corrupt(`magic ${magicOf(bytes, at)}, only 2 can be read`, at)
  return at + size
}

/**
 * Checks that `bytes[at, end)` starts with a whole, undamaged batch, and returns its end. Throws CORRUPT_BATCH with
 * what is wrong and where.
 */
export function checkBatch(bytes: Uint8Array, at: number, end: number): number {
  const batchEndsAt = batchEnd(bytes, at, end)
  const sum = crc32c(bytes, at + crcStart, batchEndsAt)
  if (sum !== crcOf(bytes, at))
    throw corrupt(`its checksum is ${hex(sum)}, but the header says ${hex(crcOf(bytes, at))}`, at)
  return checkBatchFields(bytes, at, end)
}

/** Like {@link checkBatch}, but does not look at the checksum: for a batch that was just built in this process. */
export function checkBatchFields(bytes: Uint8Array, at: number, end: number): number {
  const batchEndsAt = batchEnd(bytes, at, end)
  const base = baseOffsetOf(bytes, at)
  const delta = lastOffsetDeltaOf(bytes, at)
  const count = recordCountOf(bytes, at)
  if (base < 0 || !Number.isSafeInteger(base + delta)) throw corrupt(`base offset ${base}`, at)
  if (leaderEpochOf(bytes, at) < -1) throw corrupt(`leader epoch ${leaderEpochOf(bytes, at)}`, at)
  // Each record has its own offset, and takes at least 7 bytes if it is not compressed.
  if (delta < 0 || count < 0 || count > delta + 1) {
    throw corrupt(`${count} records in offsets ${base} to ${base + delta}`, at)
  }
  const recordsBytes = batchEndsAt - at - batchHeaderBytes
  if (codecOf(bytes, at) === 0 && count * recordBytesMin > recordsBytes) {
    throw corrupt(`${count} records in ${recordsBytes} bytes`, at)
  }
  if (count === 0 && recordsBytes > 0) throw corrupt(`${recordsBytes} bytes of records in an empty batch`, at)
  if (isControl(bytes, at) && count > 1) throw corrupt(`a control batch with ${count} records`, at)
  return batchEndsAt
}

/** One byte each for length, attributes, timestamp delta, offset delta, key length, value length and header count. */
const recordBytesMin = 7

/** A CORRUPT_BATCH at a position of a buffer. A caller that knows the file adds its name. */
export function corrupt(what: string, at: number, options?: ErrorOptions): LogError {
  return new LogError('CORRUPT_BATCH', `batch at position ${at}: ${what}`, { position: at }, options)
}

function hex(sum: number): string {
  return `0x${sum.toString(16).padStart(8, '0')}`
}

function i32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

/** Exact for safe integers; offsets and timestamps beyond them do not occur. */
function i64(bytes: Uint8Array, at: number): number {
  return i32(bytes, at) * 0x1_0000_0000 + (i32(bytes, at + 4) >>> 0)
}

function writeI16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value
}

function writeI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24
  bytes[at + 1] = value >> 16
  bytes[at + 2] = value >> 8
  bytes[at + 3] = value
}

function writeI64(bytes: Uint8Array, at: number, value: number): void {
  writeI32(bytes, at, Math.floor(value / 0x1_0000_0000))
  writeI32(bytes, at + 4, value >>> 0)
}
