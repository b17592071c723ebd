import type { Offset } from '../../api/record.ts'
import { BatchCursor } from '../../format/record-cursor.ts'
import type { PartitionReaders } from '../../storage/read/partition-readers.ts'
import type { Partition, TailBatch } from './partition.ts'

/**
 * The offset of the first promoted record with at least `timestamp`, or the end of the partition if there is none. The
 * caller limits the result to what its reader may see.
 */
export function offsetForTime(
  partition: Partition,
  timestamp: number,
  from: { readonly segments: PartitionReaders; readonly applied: number },
): Offset {
  const { at, logStart, tailStart, end } = partition
  if (logStart < tailStart) {
    const toRead = partition.segmentsToRead(from.applied, () => from.segments.forget(at))
    const found = from.segments.of(at).offsetForTime({ timestamp, from: logStart, end: tailStart, ...toRead })
    if (found !== null) return found.offset
  }
  for (let index = partition.tailIndex(logStart); index < partition.tail.length; index++) {
    const batch = partition.tail[index] as TailBatch
    if (batch.nextOffset > end) break
    if (batch.maxTimestamp < timestamp) continue
    const bytes = batch.memory.subarray(batch.start, batch.start + batch.bytes)
    const cursor = new BatchCursor([bytes], logStart)
    while (cursor.next()) if (cursor.timestamp >= timestamp) return cursor.offset
  }
  return end
}
