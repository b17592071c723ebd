import { InvariantError } from '../../../base/assert.ts'
import type { DiskFile } from '../../../base/disk.ts'
import { LogError } from '../../api/errors.ts'
import type { Offset } from '../../api/record.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  leaderEpochOf,
  nextOffset as nextOffsetOf,
} from '../../format/record-batch.ts'
import type { PartitionState, SegmentState } from '../../journal/checkpoint.ts'
import { checkHeader, checkSum, corrupt } from '../segment/batch-frame.ts'
import { BatchScanner } from '../segment/batch-scanner.ts'
import type { OffsetIndex } from '../segment/offset-index.ts'
import { leadsToItsBatch } from '../segment/segment-indexes.ts'
import { segmentStretches, type SegmentStretch } from '../segment/segment-stretch.ts'
import type { TimeIndex } from '../segment/time-index.ts'
import type { OpenedSegments } from './opened-segments.ts'
import { firstRecordSince } from './record-search.ts'

/**
 * Reads one partition's segment files.
 *
 * - Every byte that is returned was checked: checksum, length, magic, continuing offsets, leader epochs. A violation is
 *   CORRUPT_BATCH with file and position, never an empty result that looks like the end of the log. As in Kafka, the
 *   batches before a damaged one are returned first: only a read that begins with it throws.
 * - An index entry is used only if the batch it leads to confirms it.
 * - A reader that continues where it stopped needs no lookup.
 */
export class PartitionReader {
  readonly #path: string
  readonly #opened: OpenedSegments
  readonly #contiguous: boolean
  /** The position of the batch that follows each of these offsets. Insertion order is age. */
  readonly #hints = new Map<Offset, { readonly base: Offset; readonly filePosition: number }>()

  /**
   * `path` is the partition's directory. With `contiguous`, batches of a segment that compaction never touched must
   * follow each other without gaps: a gap is damage.
   */
  constructor(path: string, opened: OpenedSegments, options: { readonly contiguous: boolean }) {
    this.#path = path
    this.#opened = opened
    this.#contiguous = options.contiguous
  }

  /** Reads up to `bytesMax` bytes of whole batches, but at least one batch, however large. */
  read(request: ReadRequest): SegmentRead {
    this.#opened.inPlace = request.inPlace ?? false
    try {
      return this.#read(request)
    } catch (error) {
      throw readFailure(this.#path, error)
    }
  }

  /** The first record at or after `from` with at least `timestamp`, or null if there is none below `end`. */
  offsetForTime(request: TimeRequest): FoundRecord | null {
    this.#opened.inPlace = request.inPlace ?? false
    try {
      for (const stretch of segmentStretches(request)) {
        if (stretch.segment.maxTimestamp < request.timestamp) continue
        const found = this.#searchTime(stretch, request.timestamp)
        if (found !== null) return found
      }
      return null
    } catch (error) {
      throw readFailure(this.#path, error)
    }
  }

  #read(request: ReadRequest): SegmentRead {
    if (request.from >= request.end) return { bytes: noBatches, nextOffset: request.from }
    let last: SegmentStretch | undefined
    for (const stretch of segmentStretches(request)) {
      last = stretch
      const located = this.#locate(stretch, stretch.from)
      const read = located === null ? null : this.#readBatches(stretch, located, request)
      if (read !== null) return read
    }
    // Compaction may have removed the rest. In a contiguous segment, the sequencer knows of batches that the file
    // lacks.
    if (last !== undefined && this.#isContiguous(last.segment)) {
      const place = { path: this.#opened.pathOf(last.segment.base), filePosition: last.segment.bytes }
      throw corrupt(place, `offsets ${request.from} to ${request.end - 1} are missing`)
    }
    return { bytes: noBatches, nextOffset: request.end }
  }

  #searchTime(stretch: SegmentStretch, timestamp: number): FoundRecord | null {
    const { segment } = stretch
    const { times } = this.#opened.indexesOf(segment)
    const entry = times.floor(timestamp)
    const offset = entry < 0 ? segment.base : times.offsetAt(entry)
    let located = this.#locate(stretch, Math.max(stretch.from, offset))
    if (offset > stretch.from && (located === null || !this.#confirms(segment, located, times, entry))) {
      // The index is wrong. Search the log itself.
      this.#opened.indexAnew(segment)
      located = this.#locate(stretch, stretch.from)
    }
    if (located === null) return null

    const file = this.#opened.open(segment)
    const scanner = this.#scannerAt(file, segment, located)
    while (this.#advance(scanner, stretch)) {
      if (scanner.maxTimestamp < timestamp) continue
      const batch = Buffer.allocUnsafeSlow(scanner.bytes)
      const place = { path: file.path, filePosition: scanner.filePosition }
      if (file.read(batch, scanner.filePosition) < batch.length) throw corrupt(place, 'the file ends inside it')
      checkSum(batch, 0, place)
      const found = firstRecordSince(batch, timestamp, stretch.from)
      if (found !== null) return found
    }
    return null
  }

  #readBatches(stretch: SegmentStretch, located: Located, request: ReadRequest): SegmentRead | null {
    const { segment, end } = stretch
    const file = this.#opened.open(segment)
    const left = segment.bytes - located.filePosition
    let buffer = memoryFor(request, Math.min(left, Math.max(request.bytesMax, batchHeaderBytes)))
    let length = file.read(buffer, located.filePosition)
    let nextOffset = located.baseOffset
    let exactly = located.exactly
    let at = 0
    while (nextOffset < end && at < left) {
      const filePosition = located.filePosition + at
      const place = {
        path: file.path,
        filePosition,
        bytesLeft: left - at,
        baseOffset: nextOffset,
        exactly,
        below: stretch.below,
      }
      if (at + batchHeaderBytes > length) {
        if (at > 0) break
        throw corrupt(place, `the file ends ${length} bytes after it starts`)
      }
      try {
        checkHeader(buffer, at, place)
        if (baseOffsetOf(buffer, at) >= end) break
        const size = batchBytesOf(buffer, at)
        if (at + size > length) {
          if (at > 0) break
          // The first batch is larger than `bytesMax`: read it alone, because otherwise no reader would ever get past it.
          request.memory?.give(buffer.buffer)
          buffer = memoryFor(request, size)
          length = file.read(buffer, located.filePosition)
          if (length < size) throw corrupt(place, `the file ends after ${length} of its ${size} bytes`)
        }
        checkSum(buffer, at, place)
        checkEpoch(buffer, at, place, request.epochs)
        nextOffset = nextOffsetOf(buffer, at)
        exactly = this.#isContiguous(segment)
        at += size
      } catch (error) {
        // The batches before a damaged one are intact. The next read begins with it, and throws.
        if (at > 0 && error instanceof LogError && error.code === 'CORRUPT_BATCH') break
        throw error
      }
    }
    if (at === 0) return null
    this.#remember(nextOffset, segment.base, located.filePosition + at)
    return { bytes: at === buffer.length ? buffer : buffer.subarray(0, at), nextOffset }
  }

  /** Where the first batch that ends at or after `from` starts, or null if the segment has none in the stretch. */
  #locate(stretch: SegmentStretch, from: Offset): Located | null {
    const { segment } = stretch
    const exactly = this.#isContiguous(segment)
    const hint = this.#hints.get(from)
    if (hint !== undefined && hint.base === segment.base) {
      return hint.filePosition >= segment.bytes ? null : { filePosition: hint.filePosition, baseOffset: from, exactly }
    }
    if (from <= segment.base) return { filePosition: 0, baseOffset: segment.base, exactly }

    const file = this.#opened.open(segment)
    let { offsets } = this.#opened.indexesOf(segment)
    let entry = offsets.floor(from)
    if (entry >= 0 && !leadsToItsBatch(file, offsets, entry)) {
      // The index is wrong. Search the log itself, and rebuild the index on the way.
      offsets = this.#opened.indexAnew(segment).offsets
      entry = -1
    }
    const start = entry < 0 ? { filePosition: 0, baseOffset: segment.base, exactly } : afterEntry(offsets, entry)
    const scanner = this.#scannerAt(file, segment, start)
    let expected = start
    while (this.#advance(scanner, stretch)) {
      if (scanner.nextOffset > from) return { ...expected, filePosition: scanner.filePosition }
      expected = { filePosition: 0, baseOffset: scanner.nextOffset, exactly }
    }
    return null
  }

  #scannerAt(file: DiskFile, segment: SegmentState, at: Located): BatchScanner {
    return new BatchScanner(file, {
      start: at.filePosition,
      end: segment.bytes,
      from: at.baseOffset,
      contiguous: this.#isContiguous(segment),
    })
  }

  /** Moves to the next batch of the stretch. Batches not yet counted by the index in memory are counted on the way. */
  #advance(scanner: BatchScanner, stretch: SegmentStretch): boolean {
    if (scanner.nextOffset >= stretch.end || !scanner.next() || scanner.baseOffset >= stretch.end) return false
    const indexes = this.#opened.indexesOf(stretch.segment)
    if (scanner.filePosition === indexes.countedBytes) {
      indexes.count(scanner.nextOffset, scanner.maxTimestamp, scanner.bytes)
    }
    return true
  }

  /** Whether a time entry led to the batch that it describes. */
  #confirms(segment: SegmentState, located: Located, times: TimeIndex, entry: number): boolean {
    const scanner = this.#scannerAt(this.#opened.open(segment), segment, located)
    return (
      scanner.next() &&
      scanner.nextOffset - 1 === times.offsetAt(entry) &&
      scanner.maxTimestamp === times.timestampAt(entry)
    )
  }

  #isContiguous(segment: SegmentState): boolean {
    return this.#contiguous && segment.checksum === undefined
  }

  #remember(nextOffset: Offset, base: Offset, filePosition: number): void {
    this.#hints.delete(nextOffset)
    this.#hints.set(nextOffset, { base, filePosition })
    for (const oldest of this.#hints.keys()) {
      if (this.#hints.size <= hintsMax) break
      this.#hints.delete(oldest)
    }
  }
}

export interface ReadRequest {
  readonly from: Offset
  /**
   * The offset at which reading stops: the end of a batch that is in the files, as are all before it. Bytes beyond it
   * are still being written and are not read.
   */
  readonly end: Offset
  readonly bytesMax: number
  /** The segments as the sequencer knows them; the last may count bytes that are not applied yet. */
  readonly segments: readonly SegmentState[]
  /**
   * Whether to ignore a `.swap` file of a segment, because it is a successor that must not be read yet. Default false.
   */
  readonly inPlace?: boolean
  /** If given, every batch must have the leader epoch of its offset. */
  readonly epochs?: PartitionState['epochs']
  /** Provides the memory for the bytes. Default: new memory for every read. */
  readonly memory?: { take(bytes: number): Buffer<ArrayBuffer>; give(memory: ArrayBuffer): void }
}

export interface SegmentRead {
  /**
   * Whole batches of one segment, starting with the one that contains `from` or the next one. Empty only if there is
   * none.
   */
  readonly bytes: Buffer<ArrayBuffer>
  /** Where to continue reading: after the last batch, or at `end` if nothing was left below it. */
  readonly nextOffset: Offset
}

export interface TimeRequest {
  readonly timestamp: number
  /** The log start. */
  readonly from: Offset
  readonly end: Offset
  readonly segments: readonly SegmentState[]
  /** See {@link ReadRequest}. */
  readonly inPlace?: boolean
}

/** The record found by a lookup by time. */
export interface FoundRecord {
  readonly offset: Offset
  readonly timestamp: number
}

interface Located {
  readonly filePosition: number
  /** The base offset there must be at least this. */
  readonly baseOffset: Offset
  /** Whether it must be exactly that offset. */
  readonly exactly: boolean
}

/** How many positions a partition remembers for readers that continue where they stopped. */
const hintsMax = 32

const noBatches: Buffer<ArrayBuffer> = Buffer.alloc(0)

function memoryFor({ memory }: ReadRequest, bytes: number): Buffer<ArrayBuffer> {
  return memory === undefined ? Buffer.allocUnsafeSlow(bytes) : memory.take(bytes)
}

/** The position of the batch an entry leads to. Its base offset is unknown, except that it follows the entry before. */
function afterEntry(offsets: OffsetIndex, entry: number): Located {
  const baseOffset = entry === 0 ? offsets.base : offsets.offsetAt(entry - 1) + 1
  return { filePosition: offsets.filePositionAt(entry), baseOffset, exactly: false }
}

function checkEpoch(
  bytes: Buffer,
  at: number,
  place: { readonly path: string; readonly filePosition: number },
  epochs: PartitionState['epochs'] | undefined,
): void {
  if (epochs === undefined) return
  const base = baseOffsetOf(bytes, at)
  let index = epochs.length - 1
  while (index > 0 && (epochs[index]?.start ?? 0) > base) index--
  const expected = epochs[index]?.epoch
  const epoch = leaderEpochOf(bytes, at)
  if (expected !== undefined && epoch !== expected) {
    throw corrupt(place, `its leader epoch is ${epoch}, but at offset ${base} it was ${expected}`)
  }
}

/** Translates disk errors; our own errors and broken invariants are returned unchanged. */
function readFailure(path: string, error: unknown): unknown {
  if (error instanceof LogError || error instanceof InvariantError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error'
  return new LogError(
    'READ_FAILED',
    `reading from ${path} failed with ${code}; check the disk`,
    { path },
    { cause: error },
  )
}
