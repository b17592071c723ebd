import { ByteReader, type ByteWriter } from '../../../base/bytes.ts'
import { LogError } from '../../api/errors.ts'
import type { OffsetEntry } from '../../api/log.ts'
import type { TopicPartition } from '../../api/record.ts'
import { readString, writeString } from '../../format/kafka-string.ts'

/**
 * Committed offsets as records of `__consumer_offsets`, in Kafka's layouts, so that Kafka's tools can read the
 * directory. The records of the groups themselves, in the same topic, are in `group/group-record.ts`.
 *
 * ```
 * key    i16 version 1 | string group | string topic | i32 partition
 * value  i16 version 3 | i64 offset | i32 leaderEpoch | string metadata | i64 commitTimestamp; null deletes
 * string i16 length | UTF-8
 * ```
 */
export function encodeOffsetKey(into: ByteWriter, group: string, at: TopicPartition): void {
  into.i16(keyVersion)
  writeString(into, group)
  writeString(into, at.topic)
  into.i32(at.partition)
}

export function encodeOffsetValue(into: ByteWriter, entry: OffsetEntry, committedAt: number): void {
  into.i16(valueVersion)
  into.i64(entry.offset)
  into.i32(entry.leaderEpoch)
  writeString(into, entry.metadata)
  into.i64(committedAt)
}

/** The group and partition, or null for a record that is not an offset. */
export function decodeOffsetKey(bytes: Uint8Array): { readonly group: string; readonly at: TopicPartition } | null {
  const from = new ByteReader(bytes)
  const version = from.i16()
  if (version !== 0 && version !== keyVersion) return null
  return { group: readString(from), at: { topic: readString(from), partition: from.i32() } }
}

export function decodeOffsetValue(bytes: Uint8Array): Omit<OffsetEntry, 'at'> & { readonly committedAt: number } {
  const from = new ByteReader(bytes)
  const version = from.i16()
  if (version < 0 || version > valueVersion)
    throw new LogError('NEWER_FORMAT', `an offset record has version ${version}, this build reads up to 3`, { version })
  const offset = from.i64()
  const leaderEpoch = version === valueVersion ? from.i32() : -1
  return { offset, leaderEpoch, metadata: readString(from), committedAt: from.i64() }
}

/** Kafka's `Utils.abs(group.hashCode()) % partitions`, where abs of the smallest integer is 0. */
export function offsetsPartition(group: string, partitions: number): number {
  let hash = 0
  for (let index = 0; index < group.length; index++) hash = (Math.imul(31, hash) + group.charCodeAt(index)) | 0
  return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % partitions
}

const keyVersion = 1
const valueVersion = 3
