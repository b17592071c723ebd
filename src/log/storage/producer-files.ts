import type { Offset } from '../api/record.ts'
import { abortedIndexEntryBytes, encodeAbortedIndexEntry } from '../format/aborted-index-entry.ts'
import { baseOffsetOf } from '../format/record-batch.ts'
import type { ProducerState } from '../journal/checkpoint.ts'
import type { FileCache } from './file-cache.ts'
import { producerSnapshot } from './kafka-files.ts'
import { producedBatch, type AbortedTransaction } from './produced-batch.ts'
import { ProducerStates } from './producer-state.ts'
import { segmentFile } from './segment-files.ts'

/**
 * Keeps the files of a partition's producers beside its segments while batches are carried into them, as Kafka does:
 * `N.snapshot` when segment N begins, an entry of `N.txnindex` for each abort marker that comes into segment N.
 *
 * - It starts from what a checkpoint knew and is told every batch from there on, in order. So it knows at each batch what
 *   the sequencer knew, without a word between the two threads. The next checkpoint makes a new one.
 * - Batches that name no producer cost a look at one field. A partition that never knew a producer has no such files; in
 *   Kafka it has empty snapshots.
 * - Writing twice changes nothing: a snapshot is written whole, an entry of the index where the entries before it end.
 * - Files are synced by the next checkpoint. Crash here, before it: the journal brings the same batches again, and with them
 *   the same files. Behind it: they are durable.
 */
export class ProducerFiles {
  readonly #files: FileCache
  readonly #path: string
  readonly #states: ProducerStates
  /** The segment whose `.txnindex` was written last, and up to where. */
  #indexBase: Offset = -1
  #indexBytes = 0

  constructor(files: FileCache, path: string, before: readonly ProducerState[]) {
    this.#files = files
    this.#path = path
    this.#states = new ProducerStates(before)
  }

  /** The batch that comes next is the first of a segment. */
  segmentBegins(base: Offset): void {
    const path = `${this.#path}/${segmentFile(base, '.snapshot')}`
    const file = this.#files.open(path)
    const bytes = producerSnapshot(this.#states.states())
    file.write(bytes, 0)
    if (file.size() > bytes.length) file.truncate(bytes.length)
    this.#files.written(path)
  }

  /** A batch of a producer comes to this segment (null: to one that is gone); true if a file was made for it. */
  note(batch: Uint8Array, segmentBase: Offset | null): boolean {
    const produced = producedBatch(batch, 0)
    if (produced === null) return false
    const aborted = this.#states.note(produced, baseOffsetOf(batch, 0), 0)
    return aborted !== null && segmentBase !== null && this.#index(aborted, segmentBase)
  }

  #index(aborted: AbortedTransaction, segmentBase: Offset): boolean {
    const path = `${this.#path}/${segmentFile(segmentBase, '.txnindex')}`
    const file = this.#files.open(path)
    if (this.#indexBase !== segmentBase) {
      this.#indexBase = segmentBase
      this.#indexBytes = bytesBefore(aborted.lastOffset, file)
    }
    file.write(encodeAbortedIndexEntry(aborted), this.#indexBytes)
    const isNew = this.#indexBytes === 0
    this.#indexBytes += abortedIndexEntryBytes
    // What follows is of markers that come again, or that a power cut took back.
    if (file.size() > this.#indexBytes) file.truncate(this.#indexBytes)
    this.#files.written(path)
    return isNew
  }
}

/** Where in the index the entry of a marker at this offset belongs: its entries ascend by marker. */
function bytesBefore(
  marker: Offset,
  file: { size(): number; read(into: Uint8Array, filePosition: number): number },
): number {
  const bytes = Buffer.alloc(file.size())
  file.read(bytes, 0)
  let at = 0
  while (at + abortedIndexEntryBytes <= bytes.length && Number(bytes.readBigInt64BE(at + 18)) < marker)
    at += abortedIndexEntryBytes
  return at
}
