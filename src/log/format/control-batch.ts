import type { Offset } from '../api/record.ts'
import {
  baseOffsetOf,
  batchAttributes,
  batchEnd,
  batchHeaderBytes,
  corrupt,
  isControl,
  maxTimestampOf,
  producerEpochOf,
  producerIdOf,
  recordCountOf,
  writeBatchHeader,
} from './record-batch.ts'

/**
 * The marker that ends a transaction in a partition: a batch of one record, 78 bytes, which takes one offset and is not
 * shown to readers.
 *
 * ```
 * key:   i16 version 0 | i16 type: 0 abort, 1 commit
 * value: i16 version 0 | i32 coordinatorEpoch
 * ```
 * Other types belong to Kafka's own quorum and are ignored.
 */
export interface Marker {
  readonly outcome: 'abort' | 'commit'
  readonly producerId: number
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly timestamp: number
}

/** Encodes a marker with base offset 0 and leader epoch -1, like every batch that has no place in the log yet. */
export function encodeMarker(marker: Marker): Uint8Array {
  const bytes = new Uint8Array(markerBytes)
  // length 16, attributes, timestamp delta, offset delta, key of 4, value of 6, no headers
  bytes.set([32, 0, 0, 0, 8, 0, 0, 0, marker.outcome === 'commit' ? 1 : 0, 12, 0, 0], batchHeaderBytes)
  new DataView(bytes.buffer).setInt32(batchHeaderBytes + 12, marker.coordinatorEpoch)
  writeBatchHeader(bytes, 0, markerBytes, {
    baseOffset: 0,
    leaderEpoch: -1,
    attributes: batchAttributes.control | batchAttributes.transactional,
    lastOffsetDelta: 0,
    baseTimestamp: marker.timestamp,
    maxTimestamp: marker.timestamp,
    producerId: marker.producerId,
    producerEpoch: marker.producerEpoch,
    baseSequence: -1,
    recordCount: 1,
  })
  return bytes
}

/** The marker in the batch at this position, or null if the batch is not a transaction marker. */
export function decodeMarker(bytes: Uint8Array, at: number): (Marker & { readonly offset: Offset }) | null {
  const end = batchEnd(bytes, at, bytes.length)
  if (!isControl(bytes, at) || recordCountOf(bytes, at) !== 1) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const record = at + batchHeaderBytes
  // The deltas of a marker's only record are 0, unless compaction has changed its base timestamp.
  let field = record + 2
  while (field < end && view.getUint8(field) >= 0x80) field += 1
  field += 2
  if (end - field < 12 || view.getUint8(field) < 8) throw corrupt(`a marker of ${end - at} bytes`, at)
  const type = view.getInt16(field + 3)
  if (type !== 0 && type !== 1) return null
  return {
    outcome: type === 1 ? 'commit' : 'abort',
    producerId: producerIdOf(bytes, at),
    producerEpoch: producerEpochOf(bytes, at),
    coordinatorEpoch: view.getInt32(field + 8),
    timestamp: maxTimestampOf(bytes, at),
    offset: baseOffsetOf(bytes, at),
  }
}

const markerBytes = 78
