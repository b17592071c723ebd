import { InvariantError } from '../../base/assert.ts'
import type { DiskFile } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import type { Offset } from '../api/record.ts'
import type { PartitionState, SegmentState } from '../journal/checkpoint.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  leaderEpochOf,
  nextOffset as nextOffsetOf,
} from '../format/record-batch.ts'
import { checkHeader, checkSum, corrupt } from './batch-frame.ts'
import { BatchScanner } from './batch-scanner.ts'
import type { OffsetIndex } from './offset-index.ts'
import type { OpenedSegments } from './opened-segments.ts'
import { firstRecordSince } from './record-search.ts'
import { leadsToItsBatch } from './segment-indexes.ts'
import { segmentStretches, type SegmentStretch } from './segment-stretch.ts'
import type { TimeIndex } from './time-index.ts'

/**
 * Reads one partition's segment files.
 *
 * - Every byte that is returned was checked: checksum, length, magic, offsets that continue, leader epochs. What does not
 *   hold is CORRUPT_BATCH with file and position, never an empty answer that looks like the end of the log.
 * - An index is believed as far as the batch it leads to confirms it.
 * - A reader that goes on where it stopped needs no lookup.
 */
export class PartitionReader {
  readonly #path: string
  readonly #opened: OpenedSegments
  readonly #contiguous: boolean
  /** By next offset: where that batch starts. Insertion order is age. */
  readonly #hints = new Map<Offset, { readonly base: Offset; readonly filePosition: number }>()

  /**
   * `path`: the partition's directory. `contiguous`: whether batches of a segment that compaction never touched follow each
   * other without gaps, so that a gap is damage.
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
    // Compaction may have emptied the rest. Where it never was, the sequencer knows of batches that the file lacks.
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
      // The index lies. The log itself is the truth.
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
    let buffer = Buffer.allocUnsafeSlow(Math.min(left, Math.max(request.bytesMax, batchHeaderBytes)))
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
      checkHeader(buffer, at, place)
      if (baseOffsetOf(buffer, at) >= end) break
      const size = batchBytesOf(buffer, at)
      if (at + size > length) {
        if (at > 0) break
        // The first batch is larger than asked for: read it alone, or nobody would ever get past it.
        buffer = Buffer.allocUnsafeSlow(size)
        length = file.read(buffer, located.filePosition)
        if (length < size) throw corrupt(place, `the file ends after ${length} of its ${size} bytes`)
      }
      checkSum(buffer, at, place)
      checkEpoch(buffer, at, place, request.epochs)
      nextOffset = nextOffsetOf(buffer, at)
      exactly = this.#isContiguous(segment)
      at += size
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
      // The index lies. The log itself is the truth: it is indexed anew on the way.
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

  /** The next batch of the stretch. Batches that the index in memory has not counted yet are counted on the way. */
  #advance(scanner: BatchScanner, stretch: SegmentStretch): boolean {
    if (scanner.nextOffset >= stretch.end || !scanner.next() || scanner.baseOffset >= stretch.end) return false
    const indexes = this.#opened.indexesOf(stretch.segment)
    if (scanner.filePosition === indexes.countedBytes) {
      indexes.count(scanner.nextOffset, scanner.maxTimestamp, scanner.bytes)
    }
    return true
  }

  /** Whether the batch that a time entry led to is the one that it speaks of. */
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
   * The offset after a batch that is in the files, as are all before it: reading stops there. Bytes beyond are still
   * being written and are not looked at.
   */
  readonly end: Offset
  readonly bytesMax: number
  /** As the sequencer knows them; the last may count bytes that are not applied yet. */
  readonly segments: readonly SegmentState[]
  /** Whether a `.swap` file beside one of them is not it, but its successor, which is not to be read yet. Default false. */
  readonly inPlace?: boolean
  /** If given, every batch must carry the leader epoch of its offset. */
  readonly epochs?: PartitionState['epochs']
}

export interface SegmentRead {
  /** Whole batches of one segment, the first the one that contains `from` or the next after it. At least one if there is. */
  readonly bytes: Buffer
  /** Where to read on: after the last batch; `end` if nothing was left below it. */
  readonly nextOffset: Offset
}

export interface TimeRequest {
  readonly timestamp: number
  /** The log start. */
  readonly from: Offset
  readonly end: Offset
  readonly segments: readonly SegmentState[]
  /** As of {@link ReadRequest}. */
  readonly inPlace?: boolean
}

/** The first record that a lookup by time asked for. */
export interface FoundRecord {
  readonly offset: Offset
  readonly timestamp: number
}

interface Located {
  readonly filePosition: number
  /** What the base offset there must be at least. */
  readonly baseOffset: Offset
  /** Whether it must be exactly that. */
  readonly exactly: boolean
}

/** Positions that a partition remembers for readers going on where they stopped. */
const hintsMax = 32

const noBatches: Buffer = Buffer.alloc(0)

/** The batch an entry leads to. Its base offset is not known, only that it follows the entry before. */
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
    throw corrupt(place, `its leader epoch is ${epoch}, at offset ${base} it was ${expected}`)
  }
}

/** Errors of the disk in our words; ours and defects as they are. */
function readFailure(path: string, error: unknown): unknown {
  if (error instanceof LogError || error instanceof InvariantError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error'
  return new LogError(
    'READ_FAILED',
    `reading in ${path} failed with ${code}; check the disk`,
    { path },
    { cause: error },
  )
}
