import { compress, compressionCodes, type Compression } from '../format/compression.ts'
import {
  batchHeaderBytes,
  codecOf,
  isLogAppendTime,
  readBatchHeader,
  recordCountOf,
  writeBatchHeader,
} from '../format/record-batch.ts'
import { BatchCursor } from '../format/record-cursor.ts'

const codecNames = Object.keys(compressionCodes) as Compression[]

/**
 * The batch with the records that `keeps` lets stay: the batch itself if all do, null if none does. Records are copied as
 * they stand, for their deltas count from a base offset and a base timestamp that never change; the last offset delta
 * stays too, only the number of records, the highest timestamp and the checksum are new.
 */
export function rewriteBatch(batch: Buffer, keeps: (cursor: BatchCursor) => boolean): Buffer | null {
  const cursor = new BatchCursor([batch], -1)
  const kept: Uint8Array[] = []
  let count = 0
  let maxTimestamp = -1
  let start = codecOf(batch, 0) === 0 ? batchHeaderBytes : 0
  while (cursor.next()) {
    const end = recordEnd(cursor.bytes, start)
    if (keeps(cursor)) {
      kept.push(cursor.bytes.subarray(start, end))
      count++
      maxTimestamp = Math.max(maxTimestamp, cursor.timestamp)
    }
    start = end
  }
  if (count === recordCountOf(batch, 0)) return batch
  if (count === 0) return null

  const header = readBatchHeader(batch, 0)
  const records = compress(
    codecNames.find((name) => compressionCodes[name] === codecOf(batch, 0)) ?? 'none',
    joined(kept),
  )
  const rewritten = Buffer.allocUnsafeSlow(batchHeaderBytes + records.length)
  rewritten.set(records, batchHeaderBytes)
  writeBatchHeader(rewritten, 0, rewritten.length, {
    ...header,
    recordCount: count,
    // Under LogAppendTime it is every record's timestamp.
    maxTimestamp: isLogAppendTime(batch, 0) ? header.maxTimestamp : maxTimestamp,
  })
  return rewritten
}

/** Where the record that starts at `at` ends. The cursor has held it against its batch already. */
function recordEnd(bytes: Uint8Array, at: number): number {
  let size = 0
  let scale = 1
  let position = at
  let byte: number
  do {
    byte = bytes[position++] as number
    size += (byte & 0x7f) * scale
    scale *= 128
  } while (byte >= 0x80)
  // A zig-zag number that is not negative is even.
  return position + size / 2
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
}
