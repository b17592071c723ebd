import { LogError } from '../api/errors.ts'
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

/** Decodes a whole index. Throws CORRUPT_BATCH on an incomplete entry, NEWER_FORMAT on another version. */
export function decodeAbortedIndex(bytes: Uint8Array): readonly AbortedIndexEntry[] {
  if (bytes.length % abortedIndexEntryBytes !== 0) {
    throw new LogError('CORRUPT_BATCH', `an aborted index has ${bytes.length} bytes, which is not a multiple of 34`, {})
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entries: AbortedIndexEntry[] = []
  for (let at = 0; at < bytes.length; at += abortedIndexEntryBytes) {
    const version = view.getInt16(at)
    if (version !== 0)
      throw new LogError('NEWER_FORMAT', `an aborted index has version ${version}, only 0 is known`, { version })
    entries.push({
      producerId: Number(view.getBigInt64(at + 2)),
      firstOffset: Number(view.getBigInt64(at + 10)),
      lastOffset: Number(view.getBigInt64(at + 18)),
      lastStableOffset: Number(view.getBigInt64(at + 26)),
    })
  }
  return entries
}
