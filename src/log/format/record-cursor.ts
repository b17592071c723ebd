import { copyBytes, utf8Slice } from '../../base/bytes.ts'
import { noBytes, noHeaders, type Header, type Offset, type RecordCursor } from '../api/record.ts'
import { decompress, inflatedBytesMax } from './compression.ts'
import {
  baseOffsetOf,
  baseTimestampOf,
  batchEnd,
  batchHeaderBytes,
  codecOf,
  corrupt,
  isControl,
  isLogAppendTime,
  isTransactional,
  lastOffsetDeltaOf,
  maxTimestampOf,
  producerIdOf,
  recordCountOf,
} from './record-batch.ts'

/**
 * Iterates over the records of whole batches, decoding them in place. A compressed batch is decompressed once;
 * otherwise nothing is allocated per record.
 *
 * - Every length is checked against the end of its record, and the record's end against the end of its batch, before a
 *   byte is read.
 * - Offsets ascend and stay within their batch; a batch contains exactly the bytes of the records that it counts.
 * - A violation is CORRUPT_BATCH, and final: the cursor does not continue after it.
 *
 * It does not check checksums: `checkBatch` did when the bytes came from a file or a client. Compaction recomputes
 * timestamp deltas when it stores a delete horizon in the base timestamp, so base timestamp plus delta is right with
 * and without that bit.
 */
export class BatchCursor implements RecordCursor {
  offset: Offset = -1
  timestamp = -1
  bytes: Uint8Array = noBytes
  keyStart = -1
  keyEnd = -1
  valueStart = -1
  valueEnd = -1
  headerCount = 0
  headersStart = 0

  readonly #buffers: readonly Uint8Array[]
  readonly #start: Offset
  readonly #isAborted: ((producerId: number, baseOffset: Offset) => boolean) | undefined
  readonly #inflatedBytesMax: number

  /** The current buffer of batches, and the position of its next batch. */
  #source: Uint8Array = noBytes
  #sourceIndex = -1
  #sourceAt = 0

  /** The current batch. `bytes` is the buffer that holds its records. */
  #batchAt = 0
  #at = 0
  #end = 0
  #remaining = 0
  #baseOffset = 0
  #offsetDelta = -1
  #lastOffsetDelta = 0
  #baseTimestamp = 0
  /** -1: each record has its own timestamp; otherwise the time at which the log appended the batch. */
  #appendTime = -1
  #recordEnd = 0
  #lastHeaderKey = ''

  /** Iterates over `buffers`, each of one or more whole batches, from the first record at or after `start`. */
  constructor(buffers: readonly Uint8Array[], start: Offset, options: BatchCursorOptions = {}) {
    this.#buffers = buffers
    this.#start = start
    this.#isAborted = options.isAborted
    this.#inflatedBytesMax = options.inflatedBytesMax ?? inflatedBytesMax
  }

  next(): boolean {
    do {
      while (this.#remaining > 0) {
        this.#decode()
        if (this.offset >= this.#start) return true
      }
    } while (this.#nextBatch())
    return false
  }

  headers(): readonly Header[] {
    if (this.headerCount === 0) return noHeaders
    const headers: Header[] = []
    const end = this.#recordEnd
    this.#at = this.headersStart
    for (let index = 0; index < this.headerCount; index++) {
      const keyBytes = this.#varint()
      if (keyBytes < 0 || keyBytes > end - this.#at) throw this.#broken(`header key of ${keyBytes} bytes`)
      const key = this.#headerKey(this.#at, this.#at + keyBytes)
      this.#at += keyBytes
      const valueBytes = this.#varint()
      if (valueBytes < -1 || valueBytes > end - this.#at) throw this.#broken(`header value of ${valueBytes} bytes`)
      headers.push({ key, value: valueBytes < 0 ? null : this.#copyOf(this.#at, this.#at + valueBytes) })
      this.#at += Math.max(0, valueBytes)
    }
    if (this.#at !== end) throw this.#broken(`${end - this.#at} bytes between headers and the end of the record`)
    return headers
  }

  valuesAhead(ranges: Int32Array, bytesMax: number): number {
    const bytes = this.bytes
    const end = this.#end
    let at = this.#at
    let count = 0
    let sum = 0
    while (at < end && count * 2 < ranges.length) {
      const size = shortVarint(bytes, at)
      const recordEnd = afterVarint(bytes, at) + size
      if (size < 6 || !(recordEnd <= end)) break
      const key = afterVarint(bytes, afterVarint(bytes, afterVarint(bytes, at) + 1))
      const value = afterVarint(bytes, key) + Math.max(0, shortVarint(bytes, key))
      const length = shortVarint(bytes, value)
      at = recordEnd
      if (length < 0) continue
      const start = afterVarint(bytes, value)
      sum += length
      if (start + length > recordEnd || sum > bytesMax) break
      ranges[count * 2] = start
      ranges[count * 2 + 1] = start + length
      count += 1
    }
    return count
  }

  /**
   * The header key in these bytes. Records of a topic mostly have the same headers, so the last key is not decoded
   * again.
   */
  #headerKey(start: number, end: number): string {
    const last = this.#lastHeaderKey
    let isLast = last.length === end - start
    for (let index = 0; isLast && index < last.length; index++)
      isLast = last.charCodeAt(index) === this.bytes[start + index] && last.charCodeAt(index) < 0x80
    return isLast ? last : (this.#lastHeaderKey = utf8Slice(this.bytes, start, end))
  }

  #copyOf(start: number, end: number): Uint8Array {
    const copy = new Uint8Array(end - start)
    copyBytes(this.bytes, start, end, copy, 0)
    return copy
  }

  #decode(): void {
    const bytes = this.bytes
    // A varint of one byte is read here, and one of two bytes where they are usual: a call takes longer. #varint reads
    // longer ones, and fails at the end, where a byte is undefined and not below 0x80.
    let byte = bytes[this.#at] as number
    let next: number
    let size: number
    if (byte < 0x80) {
      this.#at += 1
      size = (byte >>> 1) ^ -(byte & 1)
    } else if ((next = bytes[this.#at + 1] as number) < 0x80) {
      this.#at += 2
      size = twoByteVarint(byte, next)
    } else size = this.#varint()
    const recordEnd = this.#at + size
    if (size < 6 || recordEnd > this.#end)
      throw this.#broken(`record of ${size} bytes, ${this.#end - this.#at} are left`)
    this.#at += 1

    byte = bytes[this.#at] as number
    let timestampDelta: number
    if (byte < 0x80) {
      this.#at += 1
      timestampDelta = (byte >>> 1) ^ -(byte & 1)
    } else if ((next = bytes[this.#at + 1] as number) < 0x80) {
      this.#at += 2
      timestampDelta = twoByteVarint(byte, next)
    } else timestampDelta = this.#varint()

    byte = bytes[this.#at] as number
    let offsetDelta: number
    if (byte < 0x80) {
      this.#at += 1
      offsetDelta = (byte >>> 1) ^ -(byte & 1)
    } else if ((next = bytes[this.#at + 1] as number) < 0x80) {
      this.#at += 2
      offsetDelta = twoByteVarint(byte, next)
    } else offsetDelta = this.#varint()
    if (offsetDelta <= this.#offsetDelta || offsetDelta > this.#lastOffsetDelta) {
      throw this.#broken(`offset delta ${offsetDelta} after ${this.#offsetDelta}, the last is ${this.#lastOffsetDelta}`)
    }
    this.#offsetDelta = offsetDelta

    byte = bytes[this.#at] as number
    let keyBytes: number
    if (byte < 0x80) {
      this.#at += 1
      keyBytes = (byte >>> 1) ^ -(byte & 1)
    } else keyBytes = this.#varint()
    if (keyBytes < -1 || keyBytes > recordEnd - this.#at) throw this.#broken(`key of ${keyBytes} bytes`)
    if (keyBytes < 0) this.keyStart = this.keyEnd = -1
    else {
      this.keyStart = this.#at
      this.keyEnd = this.#at += keyBytes
    }

    byte = bytes[this.#at] as number
    let valueBytes: number
    if (byte < 0x80) {
      this.#at += 1
      valueBytes = (byte >>> 1) ^ -(byte & 1)
    } else if ((next = bytes[this.#at + 1] as number) < 0x80) {
      this.#at += 2
      valueBytes = twoByteVarint(byte, next)
    } else valueBytes = this.#varint()
    if (valueBytes < -1 || valueBytes > recordEnd - this.#at) throw this.#broken(`value of ${valueBytes} bytes`)
    if (valueBytes < 0) this.valueStart = this.valueEnd = -1
    else {
      this.valueStart = this.#at
      this.valueEnd = this.#at += valueBytes
    }

    byte = bytes[this.#at] as number
    let headerCount: number
    if (byte < 0x80) {
      this.#at += 1
      headerCount = (byte >>> 1) ^ -(byte & 1)
    } else headerCount = this.#varint()
    // A header takes at least two bytes; without headers the record ends here.
    const rest = recordEnd - this.#at
    if (headerCount < 0 || headerCount * 2 > rest || (headerCount === 0 && rest !== 0)) {
      throw this.#broken(`${headerCount} headers in ${rest} bytes`)
    }
    this.headerCount = headerCount
    this.headersStart = this.#at
    this.#recordEnd = recordEnd

    this.offset = this.#baseOffset + offsetDelta
    this.timestamp = this.#appendTime >= 0 ? this.#appendTime : this.#baseTimestamp + timestampDelta
    this.#at = recordEnd
    this.#remaining -= 1
    if (this.#remaining === 0 && recordEnd !== this.#end) {
      throw this.#broken(`${this.#end - recordEnd} bytes after the last record`)
    }
  }

  /** Moves to the next batch that may contain records to return. */
  #nextBatch(): boolean {
    for (;;) {
      while (this.#sourceAt >= this.#source.length) {
        const source = this.#buffers[this.#sourceIndex + 1]
        if (source === undefined) return false
        this.#sourceIndex += 1
        this.#source = source
        this.#sourceAt = 0
      }
      const source = this.#source
      const at = this.#sourceAt
      const end = batchEnd(source, at, source.length)
      this.#sourceAt = end
      this.#batchAt = at
      this.#baseOffset = baseOffsetOf(source, at)
      this.#lastOffsetDelta = lastOffsetDeltaOf(source, at)
      if (isControl(source, at) || this.#baseOffset + this.#lastOffsetDelta < this.#start) continue
      const count = recordCountOf(source, at)
      if (count < 0) throw this.#broken(`${count} records`)
      if (this.#isAborted !== undefined && isTransactional(source, at)) {
        if (this.#isAborted(producerIdOf(source, at), this.#baseOffset)) continue
      }
      if (count === 0) continue
      this.#open(source, at, end, count)
      return true
    }
  }

  #open(source: Uint8Array, at: number, end: number, count: number): void {
    const codec = codecOf(source, at)
    if (codec === 0) {
      this.bytes = source
      this.#at = at + batchHeaderBytes
      this.#end = end
    } else {
      this.bytes = decompress(codec, source.subarray(at + batchHeaderBytes, end), this.#inflatedBytesMax)
      this.#at = 0
      this.#end = this.bytes.length
    }
    this.#remaining = count
    this.#offsetDelta = -1
    this.#baseTimestamp = baseTimestampOf(source, at)
    this.#appendTime = isLogAppendTime(source, at) ? maxTimestampOf(source, at) : -1
  }

  /** Reads a zig-zag varint at `#at`, of up to 10 bytes and within the safe integers. */
  #varint(): number {
    const bytes = this.bytes
    let at = this.#at
    if (at >= this.#end) throw this.#broken('record cut off')
    let byte = bytes[at++] as number
    const sign = byte & 1
    // Sign and magnitude are kept apart: the zig-zag value of a safe integer has 54 bits, one more than a number.
    let size = (byte & 0x7f) >>> 1
    let scale = 64
    for (let count = 1; byte >= 0x80; count++) {
      if (count === 10) throw this.#broken('varint of more than 10 bytes')
      if (at >= this.#end) throw this.#broken('record cut off')
      byte = bytes[at++] as number
      size += (byte & 0x7f) * scale
      scale *= 128
    }
    if (size > Number.MAX_SAFE_INTEGER) throw this.#broken(`varint of ${size}`)
    this.#at = at
    return sign === 0 ? size : -size - 1
  }

  #broken(what: string): Error {
    this.#remaining = 0
    this.#sourceIndex = this.#buffers.length
    this.#sourceAt = this.#source.length
    return corrupt(`offset ${this.#baseOffset}: ${what}`, this.#batchAt)
  }
}

/** The zig-zag varint of these two bytes. */
function twoByteVarint(first: number, second: number): number {
  return (((first & 0x7f) | (second << 7)) >>> 1) ^ -(first & 1)
}

/** The zig-zag varint at `at` if it has one or two bytes; a longer one is too large for a value that is read ahead. */
function shortVarint(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] as number
  if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
  const next = bytes[at + 1] as number
  return next < 0x80 ? twoByteVarint(byte, next) : Number.MAX_SAFE_INTEGER
}

function afterVarint(bytes: Uint8Array, at: number): number {
  let end = at
  while ((bytes[end] as number) >= 0x80) end += 1
  return end + 1
}

export interface BatchCursorOptions {
  /** Whether the transaction of a transactional batch was aborted. If absent, all records are returned. */
  readonly isAborted?: (producerId: number, baseOffset: Offset) => boolean
  /** Maximum size of a decompressed batch. Default 128 MiB. */
  readonly inflatedBytesMax?: number
}
