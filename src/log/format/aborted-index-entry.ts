import type { Offset } from '../api/record.ts'

/**
 * An entry of `N.txnindex`: one aborted transaction, in order of `lastOffset`.
 *
 * ```
 * i16 version 0 | i64 producerId | i64 firstOffset | i64 lastOffset (its marker) | i64 lastStableOffset
 * ```
 */
export interface AbortedIndexEntry {
  readonly producerId: number
  readonly firstOffset: Offset
  readonly lastOffset: Offset
  readonly lastStableOffset: Offset
}

export const abortedIndexEntryBytes = 34

export function encodeAbortedIndexEntry(entry: AbortedIndexEntry): Uint8Array {
  const view = new DataView(new ArrayBuffer(abortedIndexEntryBytes))
  view.setBigInt64(2, BigInt(entry.producerId))
  view.setBigInt64(10, BigInt(entry.firstOffset))
  view.setBigInt64(18, BigInt(entry.lastOffset))
  view.setBigInt64(26, BigInt(entry.lastStableOffset))
  return new Uint8Array(view.buffer)
}
