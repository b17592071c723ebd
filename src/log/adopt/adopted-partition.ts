import { writeSynced, type Disk, type DiskFile } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import { partitionName, type Offset } from '../api/record.ts'
import { encodeMarker } from '../format/control-batch.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  checkBatch,
  leaderEpochOf,
  maxTimestampOf,
  nextOffset,
  stampBatch,
} from '../format/record-batch.ts'
import { BatchCursor } from '../format/record-cursor.ts'
import type { PartitionState, ProducerState, SegmentState } from '../journal/checkpoint.ts'
import { leaderEpochCheckpoint, partitionMetadata } from '../storage/partition-directory.ts'
import { producedBatch } from '../storage/producers/produced-batch.ts'
import { ProducerStates } from '../storage/producers/producer-state.ts'
import { foldHeader } from '../storage/segment/batch-scanner.ts'
import { producerSnapshot, writeKafkaFiles } from '../storage/segment/kafka-files.ts'
import { leaderEpochFile, partitionMetadataFile, segmentFile } from '../storage/segment/segment-files.ts'
import { SegmentIndexes } from '../storage/segment/segment-indexes.ts'
import type { SourcePartition, SourceSegment } from './source-directory.ts'

export interface AdoptPartitionOptions {
  readonly disk: Disk
  readonly source: SourcePartition
  readonly topicId: string
  /** The directory of the partition, which is created here. */
  readonly path: string
  readonly cleanlyClosed: boolean
  readonly indexIntervalBytes: number
  readonly now: number
  /** How the coordinator decided a transaction that is still open; null if it did not. */
  readonly decided: (producerId: number) => 'commit' | 'abort' | null
  readonly onBytes: (bytes: number) => void
  /** Called with every batch that is copied, after it was checked. */
  readonly onBatch?: (batch: Buffer) => void
  readonly pause: () => Promise<void>
}

export interface AdoptedPartition {
  readonly state: PartitionState
  readonly producers: ProducerStates
  /** Messages about what was cut off and what was decided. */
  readonly notes: readonly string[]
}

/**
 * Copies one partition batch by batch, checks each of them, and returns the state for the checkpoint.
 *
 * - Bytes are not changed, except for leader epochs, which are outside the checksum: ours never decrease.
 * - A broken batch at or beyond the recovery point is the torn end of a directory that was not closed: it and
 *   everything after it is left out, as in Kafka. Anywhere else, it is CORRUPT_BATCH.
 * - An open transaction is ended: as its coordinator had decided, otherwise aborted, because no producer would return
 *   to end it.
 * - All files are synced when it returns.
 */
export async function adoptPartition(options: AdoptPartitionOptions): Promise<AdoptedPartition> {
  const { disk, source, path, topicId } = options
  disk.makeDirectory(path)
  const copy = new PartitionCopy(options)
  for (const segment of source.segments) {
    if (!(await copy.take(segment))) break
  }
  copy.checkWhole()
  const state = copy.finish()
  writeSynced(disk, `${path}/${partitionMetadataFile}`, partitionMetadata(topicId))
  writeSynced(disk, `${path}/${leaderEpochFile}`, Buffer.from(leaderEpochCheckpoint(state.epochs)))
  writeKafkaFiles(disk, path, state)
  disk.syncDirectory(path)
  return { state, producers: copy.producers, notes: copy.notes }
}

class PartitionCopy {
  readonly notes: string[] = []
  readonly producers = new ProducerStates()
  readonly #options: AdoptPartitionOptions
  readonly #name: string
  readonly #segments: SegmentState[] = []
  readonly #epochs: { epoch: number; start: Offset }[] = []
  #lastWriter: SegmentCopy | null = null
  #end: Offset

  constructor(options: AdoptPartitionOptions) {
    this.#options = options
    this.#name = partitionName(options.source.at)
    this.#end = options.source.segments[0]?.base ?? 0
  }

  /** Copies a segment. Returns false if the torn end begins in it, and later segments must be left out. */
  async take(segment: SourceSegment): Promise<boolean> {
    const { disk, path, now } = this.#options
    const known = this.producers.states()
    const from = disk.open(segment.path, 'read')
    const to = disk.open(`${path}/${segmentFile(segment.base, '.log')}`, 'create')
    const writer = new SegmentCopy(to, segment.base)
    let whole = true
    try {
      for await (const batch of this.#batches(from, segment)) {
        if (batch === null) {
          whole = false
          break
        }
        this.#note(batch, now)
        writer.append(batch)
      }
      this.#end = Math.max(this.#end, segment.base, writer.end)
      this.#close(writer)
    } finally {
      from.close()
      to.close()
    }
    // A segment without batches only marks where the next one begins.
    if (writer.bytes === 0) disk.unlink(to.path)
    else this.#snapshot(segment.base, known)
    return whole
  }

  /**
   * Writes a snapshot next to each segment, except those before the first producer, as the log does while it is
   * appended to.
   */
  #snapshot(base: Offset, known: readonly ProducerState[]): void {
    const { disk, path } = this.#options
    if (known.length > 0) writeSynced(disk, `${path}/${segmentFile(base, '.snapshot')}`, producerSnapshot(known))
  }

  #close(writer: SegmentCopy): void {
    if (writer.bytes === 0) return
    this.#lastWriter = writer
    const { now } = this.#options
    const state = writer.finish(this.#options.disk, this.#options)
    this.#segments.push({ ...state, firstAppendAt: now, lastAppendAt: now })
  }

  /** The checked batches of a segment, then null if its torn end begins. */
  async *#batches(from: DiskFile, segment: SourceSegment): AsyncGenerator<Buffer | null, void, undefined> {
    const { onBytes, onBatch, pause } = this.#options
    let sincePause = 0
    for (let at = 0; at < segment.bytes;) {
      const batch = this.#read(from, segment, at)
      if (batch === null) {
        onBytes(segment.bytes - at)
        yield null
        return
      }
      at += batch.length
      onBytes(batch.length)
      onBatch?.(batch)
      yield batch
      sincePause += batch.length
      if (sincePause < pauseBytes) continue
      sincePause = 0
      await pause()
    }
  }

  #read(from: DiskFile, segment: SourceSegment, at: number): Buffer | null {
    const header = Buffer.allocUnsafe(batchHeaderBytes)
    const left = segment.bytes - at
    try {
      if (from.read(header, at) < batchHeaderBytes) throw torn(`${left} bytes are not a batch`)
      const size = batchBytesOf(header, 0)
      if (size < batchHeaderBytes || size > left) throw torn(`it claims ${size} bytes, there are ${left}`)
      const batch = Buffer.allocUnsafeSlow(size)
      if (from.read(batch, at) < size) throw torn('the file ends inside it')
      checkBatch(batch, 0, size)
      checkRecords(batch)
      if (baseOffsetOf(batch, 0) < Math.max(this.#end, segment.base))
        throw torn(`it starts at offset ${baseOffsetOf(batch, 0)}, but the log already reaches ${this.#end}`)
      const below = Math.min(segment.below, segment.base + offsetsPerSegment)
      if (nextOffset(batch, 0) > below)
        throw torn(`it ends at offset ${nextOffset(batch, 0) - 1}, but its segment only has offsets below ${below}`)
      return batch
    } catch (error) {
      if (!(error instanceof LogError)) throw error
      const { cleanlyClosed, source } = this.#options
      if (cleanlyClosed || this.#end < source.recoveryPoint)
        throw new LogError(
          'CORRUPT_BATCH',
          `the batch at byte ${at} of ${segment.path} is damaged (${error.message}), and the broker had synced it: restore the file from a copy, or remove the partition's directory to adopt the others`,
          { path: segment.path, filePosition: at },
          { cause: error },
        )
      this.notes.push(
        `${this.#name}: torn at byte ${at} of ${segment.path}, offset ${this.#end}: ${left} bytes and later segments are left out (${error.message})`,
      )
      return null
    }
  }

  #note(batch: Buffer, now: number): void {
    const epoch = Math.max(leaderEpochOf(batch, 0), this.#epochs.at(-1)?.epoch ?? 0)
    const baseOffset = baseOffsetOf(batch, 0)
    stampBatch(batch, 0, baseOffset, epoch)
    if ((this.#epochs.at(-1)?.epoch ?? -1) < epoch) this.#epochs.push({ epoch, start: baseOffset })
    const produced = producedBatch(batch, 0)
    if (produced !== null) this.producers.note(produced, baseOffset, now)
    this.#end = nextOffset(batch, 0)
  }

  /** Throws CORRUPT_BATCH if the broker knew of records that are in no file. */
  checkWhole(): void {
    const { recoveryPoint } = this.#options.source
    if (this.#end >= recoveryPoint) return
    throw new LogError(
      'CORRUPT_BATCH',
      `${this.#name} ends at offset ${this.#end}, but the broker had synced it up to ${recoveryPoint}: restore the missing segments from a copy, or remove the partition's directory to adopt the others`,
      { path: this.#options.source.path, end: this.#end, recoveryPoint },
    )
  }

  finish(): PartitionState {
    const { source, topicId } = this.#options
    this.#endTransactions()
    const last = this.#segments.at(-1)
    // Compaction may have removed the last records. The checksum marks the segment as compacted, so that readers
    // continue after it instead of reporting missing records.
    if (
      last !== undefined &&
      last.checksum === undefined &&
      this.#lastWriter !== null &&
      this.#lastWriter.end < this.#end
    )
      this.#segments[this.#segments.length - 1] = { ...last, checksum: this.#lastWriter.sum, dirtyFrom: last.base }
    const logStart = Math.min(source.logStart, this.#end)
    this.producers.aborted.forgetBelow(logStart)
    const producers = this.producers.states()
    const aborted = [...this.producers.aborted.list]
    return {
      topicId,
      partition: source.at.partition,
      logStart,
      end: this.#end,
      segments: this.#segments,
      epochs: this.#epochs,
      ...(producers.length + aborted.length === 0 ? {} : { producers, aborted }),
    }
  }

  /** Writes markers for open transactions, in a segment of their own. */
  #endTransactions(): void {
    const open = this.producers.states().filter(({ transactionStart }) => transactionStart >= 0)
    if (open.length === 0) return
    const { disk, path, decided, now } = this.#options
    const base = this.#end
    this.#snapshot(base, this.producers.states())
    const file = disk.open(`${path}/${segmentFile(base, '.log')}`, 'create')
    const writer = new SegmentCopy(file, base)
    try {
      for (const { producerId, producerEpoch, coordinatorEpoch, transactionStart } of open) {
        const known = decided(producerId)
        const outcome = known ?? 'abort'
        const marker = Buffer.from(
          encodeMarker({
            outcome,
            producerId,
            producerEpoch: Math.min(producerEpoch + 1, 0x7fff),
            coordinatorEpoch: Math.max(coordinatorEpoch, 0),
            timestamp: now,
          }),
        )
        stampBatch(marker, 0, this.#end, this.#epochs.at(-1)?.epoch ?? 0)
        this.#note(marker, now)
        writer.append(marker)
        this.notes.push(
          `${this.#name}: the transaction of producer ${producerId} from offset ${transactionStart} on was open; it is ${outcome === 'commit' ? 'committed' : 'aborted'}, ${known === null ? 'because its coordinator had not decided' : 'as its coordinator had decided'}`,
        )
      }
      this.#close(writer)
    } finally {
      file.close()
    }
  }
}

/** Writes a segment piece by piece, and its indexes. */
class SegmentCopy {
  readonly #file: DiskFile
  readonly #base: Offset
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #maxTimestamp = -1
  #gaps = false
  sum = 0
  bytes = 0
  end: Offset

  constructor(file: DiskFile, base: Offset) {
    this.#file = file
    this.#base = base
    this.end = base
    file.truncate(0)
  }

  append(batch: Buffer): void {
    if (baseOffsetOf(batch, 0) !== this.end) this.#gaps = true
    this.end = nextOffset(batch, 0)
    this.sum = foldHeader(this.sum, batch, 0)
    this.#maxTimestamp = Math.max(this.#maxTimestamp, maxTimestampOf(batch, 0))
    this.#waiting.push(batch)
    this.#waitingBytes += batch.length
    this.bytes += batch.length
    if (this.#waitingBytes >= pauseBytes) this.#write()
  }

  finish(
    disk: Disk,
    { path, indexIntervalBytes }: { readonly path: string; readonly indexIntervalBytes: number },
  ): Omit<SegmentState, 'firstAppendAt' | 'lastAppendAt'> {
    this.#write()
    this.#file.sync()
    const base = this.#base
    const indexes = SegmentIndexes.build(this.#file, { base, bytes: this.bytes, intervalBytes: indexIntervalBytes })
    indexes.finish()
    writeSynced(disk, `${path}/${segmentFile(base, '.timeindex')}`, indexes.times.encode())
    writeSynced(disk, `${path}/${segmentFile(base, '.index')}`, indexes.offsets.encode())
    return {
      base,
      bytes: this.bytes,
      maxTimestamp: this.#maxTimestamp,
      // Where compaction left gaps, a checksum replaces the rule that offsets are contiguous. How far compaction had
      // come is not known for certain, so the whole segment counts as dirty.
      ...(this.#gaps ? { checksum: this.sum, dirtyFrom: base } : {}),
    }
  }

  #write(): void {
    if (this.#waitingBytes === 0) return
    this.#file.write(Buffer.concat(this.#waiting, this.#waitingBytes), this.bytes - this.#waitingBytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }
}

/**
 * A correct checksum says nothing about the client that built the batch, so every record and marker is decoded once.
 */
function checkRecords(batch: Buffer): void {
  producedBatch(batch, 0)
  const cursor = new BatchCursor([batch], 0)
  while (cursor.next()) if (cursor.headerCount > 0) cursor.headers()
}

function torn(what: string): LogError {
  return new LogError('CORRUPT_BATCH', what)
}

/** Indexes store offsets relative to the segment's base in 31 bits. */
const offsetsPerSegment = 2 ** 31

const pauseBytes = 1024 * 1024
