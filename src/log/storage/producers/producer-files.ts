import type { Offset } from '../../api/record.ts'
import { abortedIndexEntryBytes, encodeAbortedIndexEntry } from '../../format/aborted-index-entry.ts'
import { baseOffsetOf } from '../../format/record-batch.ts'
import type { ProducerState } from '../../journal/checkpoint.ts'
import type { FileCache } from '../segment/file-cache.ts'
import { producerSnapshot } from '../segment/kafka-files.ts'
import { segmentFile } from '../segment/segment-files.ts'
import { producedBatch, type AbortedTransaction } from './produced-batch.ts'
import { ProducerStates } from './producer-state.ts'

/**
 * Maintains the files of a partition's producers beside its segments while batches are applied, as Kafka does:
 * `N.snapshot` when segment N begins, and an entry in `N.txnindex` for each abort marker that is written to segment N.
 *
 * - It starts from the state in a checkpoint and is given every later batch, in order. So at each batch it has the same
 *   state as the sequencer, without communication between the two threads. The next checkpoint starts a new instance.
 * - For batches without a producer it only reads one field. A partition that never had a producer has no such files; in
 *   Kafka it has empty snapshots.
 * - Writing twice changes nothing: a snapshot is written as a whole, and an index entry at the end of the entries
 *   before it.
 * - Files are synced by the next checkpoint. Crash here, before that: the journal replays the same batches and produces
 *   the same files. After it, they are durable.
 */
export class ProducerFiles {
  readonly #files: FileCache
  readonly #path: string
  readonly #states: ProducerStates
  /** The segment whose `.txnindex` was written last, and the end of its entries. */
  #indexBase: Offset = -1
  #indexBytes = 0

  constructor(files: FileCache, path: string, before: readonly ProducerState[]) {
    this.#files = files
    this.#path = path
    this.#states = new ProducerStates(before)
  }

  /** Tells that the next batch is the first of a segment. */
  segmentBegins(base: Offset): void {
    const path = `${this.#path}/${segmentFile(base, '.snapshot')}`
    const file = this.#files.open(path)
    const bytes = producerSnapshot(this.#states.states())
    file.write(bytes, 0)
    if (file.size() > bytes.length) file.truncate(bytes.length)
    this.#files.written(path)
  }

  /** Notes a batch in a segment (null: a deleted one); returns true if a file was created for it. */
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
    // Entries after it belong to markers that will be replayed, or that a power cut removed.
    if (file.size() > this.#indexBytes) file.truncate(this.#indexBytes)
    this.#files.written(path)
    return isNew
  }
}

/** The position in the index where the entry of a marker at this offset belongs: entries ascend by marker. */
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
