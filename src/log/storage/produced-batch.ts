import type { Offset } from '../api/record.ts'
import { decodeMarker } from '../format/control-batch.ts'
import {
  baseSequenceOf,
  isControl,
  isTransactional,
  lastOffsetDeltaOf,
  maxTimestampOf,
  producerEpochOf,
  producerIdOf,
} from '../format/record-batch.ts'

/** What a batch says of the producer that made it: records with their sequence numbers, or the end of a transaction. */
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

/** Reads it from the batch at this position; null where no producer is named, as in all that workers commit. */
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

/** The sequence number `count` further on: after 2^31 - 1 comes 0, as Kafka counts. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) % 0x8000_0000
}

/** A transaction that was aborted in a partition: readers of what is committed leave out its producer's batches here. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: Offset
  /** Of its marker. */
  readonly lastOffset: Offset
  /** Up to where everything was decided once the marker stood. */
  readonly lastStableOffset: Offset
}
