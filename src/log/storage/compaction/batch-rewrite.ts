import { ByteReader, ByteWriter } from '../../../base/bytes.ts'
import { compress, compressionCodes, type Compression } from '../../format/compression.ts'
import {
  baseTimestampOf,
  batchAttributes,
  batchHeaderBytes,
  codecOf,
  isLogAppendTime,
  readBatchHeader,
  recordCountOf,
  writeBatchHeader,
} from '../../format/record-batch.ts'
import { BatchCursor } from '../../format/record-cursor.ts'

const codecNames = Object.keys(compressionCodes) as Compression[]

/** Compaction's decisions about a batch of records. */
export interface RewriteRule {
  /** Whether the record at the cursor stays. */
  readonly keeps: (cursor: BatchCursor) => boolean
  /** The delete horizon for a batch that keeps a tombstone and has no horizon yet. Null: it gets none. */
  readonly horizon: number | null
  /** Whether a batch that lost all records is kept as a header, because it is the last known one of its producer. */
  readonly keepsEmpty: boolean
}

/**
 * The batch with the records that stay: the batch itself if nothing changes, null if nothing is left. Base offset, last
 * offset, producer, epoch and sequence never change. Records are copied unchanged, because their deltas are relative to
 * a base offset and a base timestamp that do not change either. The exception is a batch that gets a delete horizon: it
 * is stored in place of the base timestamp (Kafka's bit 6), so the timestamp deltas are rewritten.
 */
export function rewriteBatch(batch: Buffer, rule: RewriteRule): Buffer | null {
  if (recordCountOf(batch, 0) === 0) return rule.keepsEmpty ? batch : null
  const cursor = new BatchCursor([batch], -1)
  const kept: Uint8Array[] = []
  let maxTimestamp = -1
  let tombstones = false
  let start = codecOf(batch, 0) === 0 ? batchHeaderBytes : 0
  while (cursor.next()) {
    const end = recordEnd(cursor.bytes, start)
    if (rule.keeps(cursor)) {
      kept.push(cursor.bytes.subarray(start, end))
      maxTimestamp = Math.max(maxTimestamp, cursor.timestamp)
      if (cursor.valueStart < 0) tombstones = true
    }
    start = end
  }
  if (kept.length === 0) return rule.keepsEmpty ? emptied(batch) : null
  const horizon = tombstones && deleteHorizonOf(batch) === null ? rule.horizon : null
  if (kept.length === recordCountOf(batch, 0) && horizon === null) return batch

  const header = readBatchHeader(batch, 0)
  const codec = codecNames.find((name) => compressionCodes[name] === codecOf(batch, 0)) ?? 'none'
  const shift = horizon === null ? 0 : header.baseTimestamp - horizon
  const records = compress(codec, joined(shift === 0 ? kept : kept.map((record) => shifted(record, shift))))
  return withRecords(records, {
    ...header,
    attributes: horizon === null ? header.attributes : header.attributes | batchAttributes.deleteHorizon,
    baseTimestamp: horizon ?? header.baseTimestamp,
    recordCount: kept.length,
    // Under LogAppendTime it is the timestamp of every record.
    maxTimestamp: isLogAppendTime(batch, 0) ? header.maxTimestamp : maxTimestamp,
  })
}

/** The batch with a delete horizon, for a marker whose transaction has no records left. */
export function withDeleteHorizon(batch: Buffer, horizon: number): Buffer {
  const header = readBatchHeader(batch, 0)
  const record = shifted(batch.subarray(batchHeaderBytes), header.baseTimestamp - horizon)
  const attributes = header.attributes | batchAttributes.deleteHorizon
  return withRecords(record, { ...header, attributes, baseTimestamp: horizon })
}

/** Only the header of a batch: no records, no codec, no base timestamp. The producer's fields stay. */
export function emptied(batch: Buffer): Buffer {
  const header = readBatchHeader(batch, 0)
  const { codecMask, deleteHorizon } = batchAttributes
  const attributes = header.attributes & ~(codecMask | deleteHorizon)
  return withRecords(new Uint8Array(0), { ...header, attributes, baseTimestamp: -1, recordCount: 0 })
}

/** The time from which the batch's tombstones, or its marker, may be removed; null before compaction has met them. */
export function deleteHorizonOf(batch: Uint8Array): number | null {
  return ((batch[22] as number) & batchAttributes.deleteHorizon) === 0 ? null : baseTimestampOf(batch, 0)
}

function withRecords(records: Uint8Array, header: Parameters<typeof writeBatchHeader>[3]): Buffer {
  const rewritten = Buffer.allocUnsafeSlow(batchHeaderBytes + records.length)
  rewritten.set(records, batchHeaderBytes)
  writeBatchHeader(rewritten, 0, rewritten.length, header)
  return rewritten
}

/** The record with `shift` added to its timestamp delta: the same time, relative to another base timestamp. */
function shifted(record: Uint8Array, shift: number): Uint8Array {
  const from = new ByteReader(record)
  from.varint()
  const attributes = record.subarray(from.position, from.position + 1)
  from.position += 1
  const delta = from.varint() + shift
  const rest = record.subarray(from.position)
  const time = new ByteWriter(16)
  time.varint(delta)
  const out = new ByteWriter(record.length + 16)
  out.varint(1 + time.length + rest.length)
  for (const part of [attributes, time.toBytes(), rest]) out.raw(part)
  return out.toBytes()
}

/** The end of the record that starts at `at`. The cursor has already checked it against the batch's bounds. */
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
  // The zig-zag encoding of a non-negative number is twice that number.
  return position + size / 2
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
}
