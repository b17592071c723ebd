import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { crc32c } from '../../base/crc32c.ts'
import { LogError } from '../api/errors.ts'
import type { Offset } from '../api/record.ts'

/**
 * `N.snapshot`: the state of each producer before offset N. It keeps only the last batch of each producer.
 *
 * ```
 * i16 version 1 | u32 crc32c of all that follows | i32 count | entries of 46 bytes:
 * i64 producerId | i16 producerEpoch | i32 lastSequence | i64 lastOffset | i32 offsetDelta | i64 timestamp
 *   | i32 coordinatorEpoch | i64 currentTransactionFirstOffset (-1 none)
 * ```
 */
export interface ProducerSnapshotEntry {
  readonly producerId: number
  readonly producerEpoch: number
  readonly lastSequence: number
  /** Below 0: no batch of records is remembered. */
  readonly lastOffset: Offset
  readonly offsetDelta: number
  readonly timestamp: number
  readonly coordinatorEpoch: number
  readonly currentTransactionFirstOffset: Offset
}

const version = 1
const headerBytes = 10
const entryBytes = 46

export function encodeProducerSnapshot(entries: readonly ProducerSnapshotEntry[]): Uint8Array {
  const into = new ByteWriter(headerBytes + entries.length * entryBytes)
  into.i16(version)
  into.u32(0)
  into.i32(entries.length)
  for (const entry of entries) {
    into.i64(entry.producerId)
    into.i16(entry.producerEpoch)
    into.i32(entry.lastSequence)
    into.i64(entry.lastOffset)
    into.i32(entry.offsetDelta)
    into.i64(entry.timestamp)
    into.i32(entry.coordinatorEpoch)
    into.i64(entry.currentTransactionFirstOffset)
  }
  const bytes = into.toBytes()
  bytes.writeUInt32BE(crc32c(bytes, 6), 2)
  return bytes
}

/** Throws CORRUPT_BATCH if checksum or size is wrong: the caller then uses the previous snapshot. */
export function decodeProducerSnapshot(bytes: Uint8Array): readonly ProducerSnapshotEntry[] {
  if (bytes.length < headerBytes) throw broken(`${bytes.length} bytes are too short for a header`)
  const from = new ByteReader(bytes)
  const found = from.i16()
  if (found !== version)
    throw new LogError('NEWER_FORMAT', `a producer snapshot has version ${found}, only 1 is known`, { found })
  if (from.u32() !== crc32c(bytes, 6)) throw broken('the checksum is wrong')
  const count = from.i32()
  if (from.remaining !== count * entryBytes) throw broken(`${count} entries in ${from.remaining} bytes`)
  const entries: ProducerSnapshotEntry[] = []
  for (let index = 0; index < count; index++) {
    entries.push({
      producerId: from.i64(),
      producerEpoch: from.i16(),
      lastSequence: from.i32(),
      lastOffset: from.i64(),
      offsetDelta: from.i32(),
      timestamp: from.i64(),
      coordinatorEpoch: from.i32(),
      currentTransactionFirstOffset: from.i64(),
    })
  }
  return entries
}

function broken(what: string): LogError {
  return new LogError('CORRUPT_BATCH', `producer snapshot: ${what}`)
}
