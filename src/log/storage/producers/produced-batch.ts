import type { Offset } from '../../api/record.ts'
import { decodeMarker } from '../../format/control-batch.ts'
import {
  baseSequenceOf,
  isControl,
  isTransactional,
  lastOffsetDeltaOf,
  maxTimestampOf,
  producerEpochOf,
  producerIdOf,
} from '../../format/record-batch.ts'

/** The producer part of a batch: records with their sequence numbers, or the end of a transaction. */
export type ProducedBatch = ProducedRecords | ProducedMarker

export interface ProducedRecords {
  readonly kind: 'records'
  readonly producerId: number
  readonly producerEpoch: number
  /** -1: the log itself wrote the batch for the producer (offsets in a transaction), so it has no sequence. */
  readonly firstSequence: number
  readonly lastSequence: number
  readonly lastOffsetDelta: number
  readonly maxTimestamp: number
  readonly transactional: boolean
}

export interface ProducedMarker {
  readonly kind: 'marker'
  readonly producerId: number
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly outcome: 'abort' | 'commit'
  readonly maxTimestamp: number
}

/** Decodes it from the batch at `at`; null if the batch has no producer, as in everything that workers commit. */
export function producedBatch(bytes: Uint8Array, at: number): ProducedBatch | null {
  const producerId = producerIdOf(bytes, at)
  if (producerId < 0) return null
  const producerEpoch = producerEpochOf(bytes, at)
  const maxTimestamp = maxTimestampOf(bytes, at)
  if (isControl(bytes, at)) {
    const marker = decodeMarker(bytes, at)
    if (marker === null) return null
    const { coordinatorEpoch, outcome } = marker
    return { kind: 'marker', producerId, producerEpoch, coordinatorEpoch, outcome, maxTimestamp }
  }
  const firstSequence = baseSequenceOf(bytes, at)
  const lastOffsetDelta = lastOffsetDeltaOf(bytes, at)
  return {
    kind: 'records',
    producerId,
    producerEpoch,
    firstSequence,
    lastSequence: firstSequence < 0 ? -1 : sequenceAfter(firstSequence, lastOffsetDelta),
    lastOffsetDelta,
    maxTimestamp,
    transactional: isTransactional(bytes, at),
  }
}

/** The sequence number `count` after another: 2^31 - 1 is followed by 0, as in Kafka. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) % 0x8000_0000
}

/** An aborted transaction in a partition: readers of committed records skip its producer's batches in this range. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: Offset
  /** Offset of the marker. */
  readonly lastOffset: Offset
  /** The last stable offset once the marker was written. */
  readonly lastStableOffset: Offset
}
