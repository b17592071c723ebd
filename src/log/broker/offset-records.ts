import { ByteReader, type ByteWriter, utf8Slice } from '../../base/bytes.ts'
import { LogError } from '../api/errors.ts'
import type { OffsetEntry } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'

/**
 * Records of `__consumer_offsets` in Kafka's layouts, so that Kafka's tools read the directory. Group metadata records
 * are left alone: in this log a group's membership lives in memory.
 *
 * ```
 * key    i16 version 1 | string group | string topic | i32 partition
 * value  i16 version 3 | i64 offset | i32 leaderEpoch | string metadata | i64 commitTimestamp; null deletes
 * string i16 length | UTF-8
 * ```
 */
export function encodeOffsetKey(into: ByteWriter, group: string, at: TopicPartition): void {
  into.i16(keyVersion)
  shortString(into, group)
  shortString(into, at.topic)
  into.i32(at.partition)
}

export function encodeOffsetValue(into: ByteWriter, entry: OffsetEntry, committedAt: number): void {
  into.i16(valueVersion)
  into.i64(entry.offset)
  into.i32(entry.leaderEpoch)
  shortString(into, entry.metadata)
  into.i64(committedAt)
}

/** Group and partition, or null for a record that is no offset. */
export function decodeOffsetKey(bytes: Uint8Array): { readonly group: string; readonly at: TopicPartition } | null {
  const from = new ByteReader(bytes)
  const version = from.i16()
  if (version !== 0 && version !== keyVersion) return null
  return { group: readShortString(from), at: { topic: readShortString(from), partition: from.i32() } }
}

export function decodeOffsetValue(bytes: Uint8Array): Omit<OffsetEntry, 'at'> & { readonly committedAt: number } {
  const from = new ByteReader(bytes)
  const version = from.i16()
  if (version < 0 || version > valueVersion)
    throw new LogError('NEWER_FORMAT', `an offset record has version ${version}, this build reads up to 3`, { version })
  const offset = from.i64()
  const leaderEpoch = version === valueVersion ? from.i32() : -1
  return { offset, leaderEpoch, metadata: readShortString(from), committedAt: from.i64() }
}

/** Kafka's `Utils.abs(group.hashCode()) % partitions`, where abs of the smallest integer is 0. */
export function offsetsPartition(group: string, partitions: number): number {
  let hash = 0
  for (let index = 0; index < group.length; index++) hash = (Math.imul(31, hash) + group.charCodeAt(index)) | 0
  return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % partitions
}

const keyVersion = 1
const valueVersion = 3

function shortString(into: ByteWriter, text: string): void {
  const size = Buffer.byteLength(text)
  into.i16(size)
  const at = into.reserve(size)
  into.bytes.write(text, at, size, 'utf8')
}

function readShortString(from: ByteReader): string {
  const size = from.i16()
  const bytes = from.raw(size)
  return utf8Slice(bytes, 0, bytes.length)
}
