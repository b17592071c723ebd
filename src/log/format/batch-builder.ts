import { copyBytes } from '../../base/bytes.ts'
import { assert } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
import type { Header, OutgoingRecord } from '../api/record.ts'
import { batchAttributes, batchHeaderBytes, writeBatchHeader } from './record-batch.ts'
import { compress, compressionCodes, type Compression } from './compression.ts'

/**
 * Builds one batch of records directly from slices of bytes, without creating an object, view or string per record.
 *
 * ```
 * record: varint length | u8 0 | varint timestampDelta | varint offsetDelta
 *       | varint keyLength (-1 null) key | varint valueLength (-1 null) value
 *       | varint headerCount, each: varint keyLength key | varint valueLength (-1 null) value
 * ```
 * All varints are zig-zag. Times are deltas to the first record's timestamp; later records may be older.
 *
 * The memory is reused for the next batch. The caller bounds the size of a batch: it asks `wouldExceed` first, then
 * calls `seal` and `reset`.
 */
export class BatchBuilder {
  #bytes: Uint8Array
  #length = batchHeaderBytes
  #count = 0
  #lastOffsetDelta = -1
  #baseTimestamp = -1
  #maxTimestamp = -1

  constructor(options: { readonly initialBytes?: number } = {}) {
    this.#bytes = new Uint8Array(Math.max(batchHeaderBytes, options.initialBytes ?? 16 * 1024))
  }

  /** Number of records so far. */
  get count(): number {
    return this.#count
  }

  /** Bytes of the batch so far, header included, before compression. */
  get bytes(): number {
    return this.#length
  }

  /** Size of the allocated memory, in bytes. */
  get capacity(): number {
    return this.#bytes.length
  }

  get maxTimestamp(): number {
    return this.#maxTimestamp
  }

  /** Whether the batch with this record could exceed `bytesMax`. It may answer true up to 50 bytes early. */
  wouldExceed(record: OutgoingRecord, bytesMax: number): boolean {
    const room = bytesMax - this.#length
    return roughBytesBound(record) > room && recordBytesBound(record) > room
  }

  /** Copies the record to the end of the batch. Throws INVALID_TIMESTAMP, or MESSAGE_TOO_LARGE past 1 GiB. */
  append(record: OutgoingRecord): void {
    this.appendAt(this.#lastOffsetDelta + 1, record)
  }

  /** Appends at a given distance from the base offset, because compaction keeps offsets and leaves gaps. */
  appendAt(offsetDelta: number, record: OutgoingRecord): void {
    const timestamp = record.timestamp
    if (!(timestamp >= 0) || !Number.isSafeInteger(timestamp)) throw invalidTimestamp(timestamp)
    if (offsetDelta <= this.#lastOffsetDelta) {
      assert(false, `offset delta ${offsetDelta} after ${this.#lastOffsetDelta}`)
    }
    const { key, keyStart, value, valueStart, headers } = record
    const keyBytes = keyStart < 0 ? 0 : record.keyEnd - keyStart
    const valueBytes = valueStart < 0 ? 0 : record.valueEnd - valueStart
    const timestampDelta = this.#count === 0 ? 0 : timestamp - this.#baseTimestamp
    const headersBytes = headers.length === 0 ? 1 : headersSize(headers)
    // Numbers below 64 take one byte. That is true of most lengths and deltas, and a function call would cost more than
    // these checks.
    const size =
      1 +
      (timestampDelta >= 0 && timestampDelta < 64 ? 1 : varintSize(timestampDelta)) +
      (offsetDelta < 64 ? 1 : varintSize(offsetDelta)) +
      (keyBytes < 64 ? 1 : varintSize(keyBytes)) +
      keyBytes +
      (valueBytes < 64 ? 1 : varintSize(valueBytes)) +
      valueBytes +
      headersBytes
    const end = this.#length + (size < 64 ? 1 : varintSize(size)) + size
    if (end > this.#bytes.length) this.#grow(end)

    const bytes = this.#bytes
    let at = this.#length
    if (size < 64) bytes[at++] = size << 1
    else at = writeVarint(bytes, at, size)
    bytes[at++] = 0
    if (timestampDelta >= 0 && timestampDelta < 64) bytes[at++] = timestampDelta << 1
    else at = writeVarint(bytes, at, timestampDelta)
    if (offsetDelta < 64) bytes[at++] = offsetDelta << 1
    else at = writeVarint(bytes, at, offsetDelta)
    if (keyStart < 0) bytes[at++] = nullLength
    else {
      if (keyBytes < 64) bytes[at++] = keyBytes << 1
      else at = writeVarint(bytes, at, keyBytes)
      copyBytes(key, keyStart, keyStart + keyBytes, bytes, at)
      at += keyBytes
    }
    if (valueStart < 0) bytes[at++] = nullLength
    else {
      if (valueBytes < 64) bytes[at++] = valueBytes << 1
      else at = writeVarint(bytes, at, valueBytes)
      copyBytes(value, valueStart, valueStart + valueBytes, bytes, at)
      at += valueBytes
    }
    if (headers.length === 0) bytes[at++] = 0
    else at = writeHeaders(bytes, at, headers)
    if (at !== end) assert(false, `a record of ${end - this.#length} bytes took ${at - this.#length}`)

    this.#length = end
    this.#lastOffsetDelta = offsetDelta
    if (this.#count === 0) this.#baseTimestamp = timestamp
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
    this.#count += 1
  }

  /**
   * Writes the header and returns the batch, with base offset 0, leader epoch -1 and its checksum, if that is not left to
   * the log. Without compression it is a view of the builder's own memory, which the next `append` or `reset` overwrites;
   * call `finish` for bytes to keep.
   */
  seal(options: SealOptions = {}): Uint8Array {
    const { compression = 'none', compressedBytesMax = Infinity } = options
    const plain = this.#bytes.subarray(0, this.#length)
    const compressed = compression === 'none' ? plain : this.#compressed(compression)
    const fits = compressed.length <= compressedBytesMax
    const batch = fits ? compressed : plain
    this.#writeHeader(batch, fits ? options : { ...options, compression: 'none' })
    return batch
  }

  /** Like `seal`, but in memory of its own. */
  finish(options: SealOptions = {}): Uint8Array {
    const batch = this.seal(options)
    return batch.buffer === this.#bytes.buffer ? batch.slice() : batch
  }

  /** Discards the records, keeps the memory. */
  reset(): void {
    this.#length = batchHeaderBytes
    this.#count = 0
    this.#lastOffsetDelta = -1
    this.#baseTimestamp = -1
    this.#maxTimestamp = -1
  }

  #writeHeader(batch: Uint8Array, options: SealOptions): void {
    const lastOffsetDelta = options.lastOffsetDelta ?? this.#lastOffsetDelta
    assert(
      lastOffsetDelta >= Math.max(0, this.#lastOffsetDelta),
      `a batch of ${this.#count} records to ${lastOffsetDelta}`,
    )
    const header = {
      baseOffset: 0,
      leaderEpoch: -1,
      attributes:
        compressionCodes[options.compression ?? 'none'] | (options.transactional ? batchAttributes.transactional : 0),
      lastOffsetDelta,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: this.#maxTimestamp,
      producerId: options.producerId ?? -1,
      producerEpoch: options.producerEpoch ?? -1,
      baseSequence: options.baseSequence ?? -1,
      recordCount: this.#count,
    }
    writeBatchHeader(batch, 0, batch.length, header, options.checksum)
  }

  #compressed(codec: Compression): Uint8Array {
    const records = compress(codec, this.#bytes.subarray(batchHeaderBytes, this.#length))
    const batch = new Uint8Array(batchHeaderBytes + records.length)
    batch.set(records, batchHeaderBytes)
    return batch
  }

  #grow(atLeast: number): void {
    if (atLeast > builderBytesMax) {
      throw new LogError(
        'MESSAGE_TOO_LARGE',
        `the batch would have ${atLeast} bytes, at most ${builderBytesMax} can be built: send in smaller pieces`,
        { bytes: atLeast, bytesMax: builderBytesMax },
      )
    }
    const bigger = new Uint8Array(Math.min(builderBytesMax, Math.max(atLeast, this.#bytes.length * 2)))
    bigger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = bigger
  }
}

export interface SealOptions {
  /** Default none. */
  readonly compression?: Compression
  /** A batch that compression would make larger than this is not compressed. Default: no bound. */
  readonly compressedBytesMax?: number
  readonly transactional?: boolean
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  /** Compaction keeps it when it removes the last records. Default: the delta of the last record. */
  readonly lastOffsetDelta?: number
  /** `later`: 0, for a batch that goes to the log of this process, which computes it. Default `now`. */
  readonly checksum?: 'now' | 'later'
}

/** Far above every `maxMessageBytes`, so that a builder cannot allocate memory without limit. */
const builderBytesMax = 1024 * 1024 * 1024

/** -1 as a zig-zag varint. */
const nullLength = 1

/** An upper bound for the bytes that a record takes in a batch. */
export function recordBytesBound(record: OutgoingRecord): number {
  return bareBytesBound(record) + (record.headers.length === 0 ? 1 : headersSize(record.headers))
}

/** A larger bound that is cheaper to compute, because it does not look at the characters of the headers. */
function roughBytesBound(record: OutgoingRecord): number {
  let bound = bareBytesBound(record) + 5
  if (record.headers.length === 0) return bound
  for (const { key, value } of record.headers) bound += 10 + key.length * 3 + (value === null ? 0 : value.length)
  return bound
}

function bareBytesBound({ keyStart, keyEnd, valueStart, valueEnd }: OutgoingRecord): number {
  // length 5, attributes 1, timestamp 8, offset 5, key length 5, value length 5
  return 29 + (keyStart < 0 ? 0 : keyEnd - keyStart) + (valueStart < 0 ? 0 : valueEnd - valueStart)
}

function invalidTimestamp(timestamp: number): LogError {
  return new LogError(
    'INVALID_TIMESTAMP',
    `timestamp ${timestamp}: give milliseconds since the epoch, an integer of 0 or more`,
    { timestamp },
  )
}

function varintSize(value: number): number {
  if (value >= -0x4000_0000 && value < 0x4000_0000) {
    const zigzag = (value << 1) ^ (value >> 31)
    if (zigzag >>> 7 === 0) return 1
    if (zigzag >>> 14 === 0) return 2
    if (zigzag >>> 21 === 0) return 3
    if (zigzag >>> 28 === 0) return 4
    return 5
  }
  let rest = Math.floor(magnitude(value) / 64)
  let size = 1
  for (; rest > 0; rest = Math.floor(rest / 128)) size += 1
  return size
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  if (value >= -0x4000_0000 && value < 0x4000_0000) {
    let zigzag = ((value << 1) ^ (value >> 31)) >>> 0
    while (zigzag > 0x7f) {
      bytes[at++] = zigzag | 0x80
      zigzag >>>= 7
    }
    bytes[at++] = zigzag
    return at
  }
  // The zig-zag value of a safe integer needs 54 bits, one more than a number has: sign and magnitude are kept apart.
  const size = magnitude(value)
  let rest = Math.floor(size / 64)
  bytes[at++] = ((size % 64) << 1) | (value < 0 ? 1 : 0) | (rest > 0 ? 0x80 : 0)
  while (rest > 0) {
    const next = Math.floor(rest / 128)
    bytes[at++] = (rest % 128) | (next > 0 ? 0x80 : 0)
    rest = next
  }
  return at
}

/** The part that zig-zag doubles: for -1 it is 0 (with the sign bit), for -2 it is 1. */
function magnitude(value: number): number {
  return value >= 0 ? value : -value - 1
}

/** The length in UTF-8. Most header keys are short and ASCII and need no call into C++. */
function utf8Bytes(key: string): number {
  if (key.length > asciiKeyMax) return Buffer.byteLength(key)
  for (let index = 0; index < key.length; index++) if (key.charCodeAt(index) >= 0x80) return Buffer.byteLength(key)
  return key.length
}

function headersSize(headers: readonly Header[]): number {
  let size = varintSize(headers.length)
  for (const { key, value } of headers) {
    const keyBytes = utf8Bytes(key)
    size += varintSize(keyBytes) + keyBytes + (value === null ? 1 : varintSize(value.length) + value.length)
  }
  return size
}

function writeHeaders(bytes: Uint8Array, at: number, headers: readonly Header[]): number {
  at = writeVarint(bytes, at, headers.length)
  for (const { key, value } of headers) {
    const keyBytes = utf8Bytes(key)
    at = writeVarint(bytes, at, keyBytes)
    // As many bytes as characters means ASCII, for which a few stores cost less than a call into C++.
    if (keyBytes === key.length && keyBytes <= asciiKeyMax) {
      for (let index = 0; index < keyBytes; index++) bytes[at + index] = key.charCodeAt(index)
    } else Buffer.prototype.utf8Write.call(bytes, key, at, keyBytes)
    at += keyBytes
    if (value === null) bytes[at++] = nullLength
    else {
      at = writeVarint(bytes, at, value.length)
      copyBytes(value, 0, value.length, bytes, at)
      at += value.length
    }
  }
  return at
}

const asciiKeyMax = 16
