import type { Disk } from '../../base/disk.ts'
import type { Offset } from '../api/record.ts'
import { encodeAbortedIndexEntry } from '../format/aborted-index-entry.ts'
import { encodeProducerSnapshot, type ProducerSnapshotEntry } from '../format/producer-snapshot.ts'
import type { PartitionState, ProducerState } from '../journal/checkpoint.ts'
import { segmentFile } from './segment-files.ts'

/**
 * What lies beside the segments for Kafka's tools alone: `N.txnindex`, the aborted transactions whose markers a segment
 * holds, and `N.snapshot`, what was known of each producer at the end of the log.
 *
 * Both follow from the checkpoint, which is what we read. So they are written when a directory is closed, and not synced:
 * a crash leaves them old or half, and the next closing writes them anew.
 */
export function writeKafkaFiles(disk: Disk, path: string, state: PartitionState): void {
  for (const [base, bytes] of abortedIndexes(state)) {
    replaceIfOther(disk, `${path}/${segmentFile(base, '.txnindex')}`, bytes)
  }
  if (state.producers === undefined || state.producers.length === 0) return
  const name = segmentFile(state.end, '.snapshot')
  if (disk.exists(`${path}/${name}`)) return
  for (const other of disk.list(path)) if (/^\d{20}\.snapshot$/.test(other)) disk.unlink(`${path}/${other}`)
  replaceIfOther(disk, `${path}/${name}`, encodeProducerSnapshot(state.producers.map(snapshotEntry)))
}

function abortedIndexes({ aborted = [], segments }: PartitionState): ReadonlyMap<Offset, Uint8Array> {
  const entries = new Map<Offset, Uint8Array[]>()
  for (const each of aborted) {
    const segment = segments.findLast(({ base }) => base <= each.lastOffset)
    if (segment === undefined) continue
    const known = entries.get(segment.base)
    if (known === undefined) entries.set(segment.base, [encodeAbortedIndexEntry(each)])
    else known.push(encodeAbortedIndexEntry(each))
  }
  return new Map([...entries].map(([base, each]) => [base, Buffer.concat(each)]))
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

function replaceIfOther(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, 'create')
  try {
    const present = Buffer.alloc(file.size())
    file.read(present, 0)
    if (present.equals(bytes)) return
    file.write(bytes, 0)
    if (present.length > bytes.length) file.truncate(bytes.length)
  } finally {
    file.close()
  }
}
