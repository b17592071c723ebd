import { readWhole, type Disk, type DiskFile } from '../../../base/disk.ts'
import { decodeProducerSnapshot } from '../../format/producer-snapshot.ts'
import { baseOffsetOf } from '../../format/record-batch.ts'
import type { PartitionState, ProducerState, SegmentState } from '../../journal/checkpoint.ts'
import { BatchScanner } from '../segment/batch-scanner.ts'
import { abortedIndexes, producerSnapshot } from '../segment/kafka-files.ts'
import { segmentFile } from '../segment/segment-files.ts'
import { producedBatch } from './produced-batch.ts'
import { ProducerStates } from './producer-state.ts'

/** A derived file whose content is missing or wrong. */
export interface WrongProducerFile {
  readonly path: string
  readonly message: string
  readonly anew: Uint8Array
}

/**
 * Checks the files beside the segments of a partition that Kafka's tools read. Each `.txnindex` must agree with the
 * state, and each segment that begins with known producers must have a readable `.snapshot`. The content of a readable
 * snapshot is trusted: it reflects which producers had expired, and which batches existed before compaction removed
 * them.
 *
 * A missing or unreadable snapshot is rebuilt from the one before it and the batches in between, so only partitions with
 * producers are read.
 */
export function* checkProducerFiles(
  disk: Disk,
  path: string,
  state: PartitionState,
): Generator<WrongProducerFile, void, undefined> {
  if (state.producers === undefined && state.aborted === undefined) return
  for (const [base, anew] of abortedIndexes(state)) {
    const file = `${path}/${segmentFile(base, '.txnindex')}`
    const found = wholeIfPresent(disk, file)
    if (found === null || !found.equals(anew))
      yield { path: file, message: wrong(found, 'the aborted index', 'the log’s own readers do not use it'), anew }
  }
  let states = new ProducerStates()
  let any = false
  for (const [index, segment] of state.segments.entries()) {
    const file = `${path}/${segmentFile(segment.base, '.snapshot')}`
    const found = wholeIfPresent(disk, file)
    const known = found === null ? null : decoded(found)
    // An empty snapshot is possible: all known producers had expired.
    any ||= states.count > 0 || found !== null
    if (known !== null) states = new ProducerStates(known)
    else if (any) {
      const anew = producerSnapshot(states.states())
      yield { path: file, message: wrong(found, 'the producer snapshot', 'the log itself does not use it'), anew }
    }
    if (index < state.segments.length - 1)
      noteSegment(disk, `${path}/${segmentFile(segment.base, '.log')}`, segment, states)
  }
}

function wrong(found: Uint8Array | null, what: string, why: string): string {
  return `${what} is ${found === null ? 'missing' : `torn or wrong (${found.length} bytes)`}: only Kafka’s tools read it, ${why}`
}

function wholeIfPresent(disk: Disk, path: string): Buffer | null {
  return disk.exists(path) ? readWhole(disk, path) : null
}

/** Null if the bytes cannot be decoded. */
function decoded(bytes: Uint8Array): readonly ProducerState[] | null {
  try {
    return decodeProducerSnapshot(bytes).map((entry) => ({
      producerId: entry.producerId,
      producerEpoch: entry.producerEpoch,
      coordinatorEpoch: entry.coordinatorEpoch,
      usedAt: 0,
      markedAt: entry.lastOffset < 0 ? entry.timestamp : -1,
      transactionStart: entry.currentTransactionFirstOffset,
      batches:
        entry.lastOffset < 0
          ? []
          : [
              {
                firstSequence: Math.max(0, entry.lastSequence - entry.offsetDelta),
                lastSequence: entry.lastSequence,
                lastOffset: entry.lastOffset,
                offsetDelta: entry.offsetDelta,
                timestamp: entry.timestamp,
              },
            ],
    }))
  } catch {
    return null
  }
}

/** Notes the batches of a segment as far as they can be read; damage of the log itself is reported elsewhere. */
function noteSegment(disk: Disk, path: string, segment: SegmentState, states: ProducerStates): void {
  if (!disk.exists(path)) return
  const file = disk.open(path, 'read')
  try {
    const scanner = new BatchScanner(file, { start: 0, end: segment.bytes, from: segment.base, contiguous: false })
    while (scanner.next()) note(file, scanner, states)
  } catch {
    // The following snapshots are rebuilt from what could be read.
  } finally {
    file.close()
  }
}

function note(file: DiskFile, scanner: BatchScanner, states: ProducerStates): void {
  const batch = Buffer.alloc(Math.min(scanner.bytes, markerBytesMax))
  file.read(batch, scanner.filePosition)
  const produced = producedBatch(batch, 0)
  if (produced !== null) states.note(produced, baseOffsetOf(batch, 0), 0)
}

/** Enough for the header of any batch, and for a complete marker. */
const markerBytesMax = 128
