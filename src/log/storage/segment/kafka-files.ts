import { equalBytes } from '../../../base/bytes.ts'
import type { Disk } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import { encodeAbortedIndexEntry } from '../../format/aborted-index-entry.ts'
import { encodeProducerSnapshot, type ProducerSnapshotEntry } from '../../format/producer-snapshot.ts'
import type { PartitionState, ProducerState } from '../../journal/checkpoint.ts'
import { segmentFile } from './segment-files.ts'

/**
 * The files beside the segments that only Kafka's tools read: `N.txnindex`, the aborted transactions whose markers are
 * in segment N, and `N.snapshot`, the state of each producer before offset N. There is a snapshot for every segment
 * except those that begin before the first producer was known, and one for the end of a closed log.
 *
 * Both derive from batches and checkpoints, which is what millrace itself reads. `ProducerFiles` writes them while the
 * log is appended to. The functions here bring them in line with the state of a partition:
 *
 * - Recovery rewrites every `.txnindex` that differs from the state, and removes each `.snapshot` without a segment.
 *   Snapshots of segments that are replayed are written again with them; older ones were synced by the checkpoint that
 *   recovery started from.
 * - Compaction writes the `.txnindex` of a segment anew when it swaps the segment in.
 * - A clean close adds the `.snapshot` of the end without a sync. A power cut may leave it incomplete; the next close
 *   rewrites it.
 * - `verifyDirectory` reports files that are missing or torn nevertheless, and repairs them on request.
 */
export function writeKafkaFiles(disk: Disk, path: string, state: PartitionState): void {
  settleAbortedIndexes(disk, path, state)
  if (state.producers === undefined) return
  replaceIfOther(disk, `${path}/${segmentFile(state.end, '.snapshot')}`, producerSnapshot(state.producers))
  const bases = new Set([...state.segments.map(({ base }) => base), state.end])
  for (const name of disk.list(path))
    if (/^\d{20}\.snapshot$/.test(name) && !bases.has(Number(name.slice(0, 20)))) disk.unlink(`${path}/${name}`)
}

/** Brings every `.txnindex` of the partition in line with its state; returns the paths of those that it wrote. */
export function settleAbortedIndexes(
  disk: Disk,
  path: string,
  state: Pick<PartitionState, 'aborted' | 'segments'>,
): readonly string[] {
  const written: string[] = []
  for (const [base, bytes] of abortedIndexes(state)) {
    const file = `${path}/${segmentFile(base, '.txnindex')}`
    if (replaceIfOther(disk, file, bytes)) written.push(file)
  }
  return written
}

/**
 * The contents of the `.txnindex` of each segment, by base offset; segments without an aborted transaction have none.
 */
export function abortedIndexes({
  aborted = [],
  segments,
}: Pick<PartitionState, 'aborted' | 'segments'>): ReadonlyMap<Offset, Uint8Array> {
  const entries = new Map<Offset, Uint8Array[]>()
  let segment = 0
  for (const each of aborted) {
    // Both lists ascend.
    while ((segments[segment + 1]?.base ?? Infinity) <= each.lastOffset) segment += 1
    const base = segments[segment]?.base
    if (base === undefined || base > each.lastOffset) continue
    const known = entries.get(base)
    if (known === undefined) entries.set(base, [encodeAbortedIndexEntry(each)])
    else known.push(encodeAbortedIndexEntry(each))
  }
  return new Map([...entries].map(([base, each]) => [base, Buffer.concat(each)]))
}

/** A `.snapshot` with the state of these producers. */
export function producerSnapshot(states: readonly ProducerState[]): Uint8Array {
  return encodeProducerSnapshot(states.map(snapshotEntry))
}

function snapshotEntry(state: ProducerState): ProducerSnapshotEntry {
  const last = state.batches.at(-1)
  return {
    producerId: state.producerId,
    producerEpoch: state.producerEpoch,
    lastSequence: last?.lastSequence ?? -1,
    lastOffset: last?.lastOffset ?? -1,
    offsetDelta: last?.offsetDelta ?? 0,
    timestamp: Math.max(last?.timestamp ?? -1, state.markedAt),
    coordinatorEpoch: state.coordinatorEpoch,
    currentTransactionFirstOffset: state.transactionStart,
  }
}

function replaceIfOther(disk: Disk, path: string, bytes: Uint8Array): boolean {
  const file = disk.open(path, 'create')
  try {
    const present = Buffer.alloc(file.size())
    file.read(present, 0)
    if (equalBytes(present, bytes)) return false
    file.write(bytes, 0)
    if (present.length > bytes.length) file.truncate(bytes.length)
    return true
  } finally {
    file.close()
  }
}
