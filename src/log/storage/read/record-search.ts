import type { Offset } from '../../api/record.ts'
import { isControl, maxTimestampOf } from '../../format/record-batch.ts'
import { BatchCursor } from '../../format/record-cursor.ts'

/** The first record of a whole batch at or after `from` with at least `timestamp`, or null. Ignores markers. */
export function firstRecordSince(
  batch: Uint8Array,
  timestamp: number,
  from: Offset,
): { readonly offset: Offset; readonly timestamp: number } | null {
  if (isControl(batch, 0) || maxTimestampOf(batch, 0) < timestamp) return null
  const cursor = new BatchCursor([batch], from)
  while (cursor.next()) {
    if (cursor.timestamp >= timestamp) return { offset: cursor.offset, timestamp: cursor.timestamp }
  }
  return null
}
