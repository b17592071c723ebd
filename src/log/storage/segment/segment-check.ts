import type { DiskFile } from '../../../base/disk.ts'
import type { Offset } from '../../api/record.ts'
import { checkBatch, codecOf, isControl, leaderEpochOf, recordCountOf } from '../../format/record-batch.ts'
import { BatchCursor } from '../../format/record-cursor.ts'
import type { PartitionState, SegmentState } from '../../journal/checkpoint.ts'
import { checkSum, corrupt } from './batch-frame.ts'
import { BatchScanner } from './batch-scanner.ts'

export interface SegmentCheck {
  readonly file: DiskFile
  readonly segment: SegmentState
  /** The base of the next segment, or the end of the log: all offsets are below it. */
  readonly below: Offset
  readonly epochs: PartitionState['epochs']
  /** Whether batches must follow each other without gaps in segments that compaction never touched. */
  readonly contiguous: boolean
  /** Whether records are decompressed and decoded too. */
  readonly deep: boolean
}

/** A batch that was read and found intact. */
export interface CheckedBatch {
  readonly filePosition: number
  readonly nextOffset: Offset
  readonly maxTimestamp: number
  readonly bytes: number
  readonly records: number
}

/**
 * Reads a segment from its first byte to its last and checks everything stored about it: headers, checksums, increasing
 * offsets, leader epochs, the checksum of a compacted segment; `deep` decodes the records. Yields each intact batch, so
 * that the caller may stop, pause or count. Throws CORRUPT_BATCH with file and position at the first damaged one.
 */
export function* checkSegment(check: SegmentCheck): Generator<CheckedBatch, void, undefined> {
  const { file, segment, below, epochs, deep } = check
  if (file.size() < segment.bytes) {
    const place = { path: file.path, filePosition: file.size() }
    throw corrupt(place, `the file lacks ${segment.bytes - file.size()} of ${segment.bytes} bytes`)
  }
  const contiguous = check.contiguous && segment.checksum === undefined
  const scanner = new BatchScanner(file, { start: 0, end: segment.bytes, from: segment.base, contiguous })
  let sum = 0
  let epoch = 0
  while (scanner.next()) {
    const place = { path: file.path, filePosition: scanner.filePosition }
    if (scanner.nextOffset > below)
      throw corrupt(place, `its offsets go up to ${scanner.nextOffset - 1}, but the segment ends before ${below}`)
    const batch = Buffer.allocUnsafeSlow(scanner.bytes)
    if (file.read(batch, scanner.filePosition) < batch.length) throw corrupt(place, 'the file ends inside it')
    checkSum(batch, 0, place)
    while ((epochs[epoch + 1]?.start ?? Infinity) <= scanner.baseOffset) epoch += 1
    const expected = epochs[epoch]?.epoch
    if (expected !== undefined && leaderEpochOf(batch, 0) !== expected)
      throw corrupt(place, `its leader epoch is ${leaderEpochOf(batch, 0)}, but at that offset it was ${expected}`)
    const records = deep ? decoded(batch, place) : recordCountOf(batch, 0)
    sum = scanner.foldInto(sum)
    const { filePosition, nextOffset, maxTimestamp, bytes } = scanner
    yield { filePosition, nextOffset, maxTimestamp, bytes, records }
  }
  if (segment.checksum !== undefined && segment.checksum !== sum)
    throw corrupt(
      { path: file.path, filePosition: 0 },
      `the segment's checksum is ${sum}, but ${segment.checksum} was recorded when it was written`,
    )
}

/** Decodes all records of the batch and returns their number. */
function decoded(batch: Buffer, place: { readonly path: string; readonly filePosition: number }): number {
  try {
    checkBatch(batch, 0, batch.length)
    if (isControl(batch, 0)) return recordCountOf(batch, 0)
    const cursor = new BatchCursor([batch], 0)
    let records = 0
    while (cursor.next()) records += 1
    return records
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    throw corrupt(place, `its records (codec ${codecOf(batch, 0)}) cannot be read: ${what}`)
  }
}
