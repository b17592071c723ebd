import { dirname } from 'node:path'
import { unreachable } from '../../../base/assert.ts'
import { latin1Slice } from '../../../base/bytes.ts'
import type { Disk, DiskFile } from '../../../base/disk.ts'
import { LogError } from '../../api/errors.ts'
import type { Offset } from '../../api/record.ts'
import {
  baseOffsetOf,
  isControl,
  isTransactional,
  nextOffset,
  producerIdOf,
  recordCountOf,
} from '../../format/record-batch.ts'
import { BatchCursor } from '../../format/record-cursor.ts'
import type { SegmentState } from '../../journal/checkpoint.ts'
import type { SegmentReplacement } from '../partition-segments.ts'
import { checkSum, corrupt } from '../segment/batch-frame.ts'
import { BatchScanner } from '../segment/batch-scanner.ts'
import { segmentFile } from '../segment/segment-files.ts'
import { deleteHorizonOf, emptied, rewriteBatch, withDeleteHorizon } from './batch-rewrite.ts'
import { cleanedPath, CleanedFile } from './cleaned-file.ts'
import { CleanedTransactions, noProducers, type PartitionProducers } from './cleaned-transactions.ts'
import { NewestOffsets } from './newest-offsets.ts'

/** Memory that the keys of one pass may take, including the map. Keys that do not fit are left to the next pass. */
const compactionKeyBytesMaxDefault = 64 * 1024 * 1024
const bytesPerPause = 1024 * 1024
/** The largest distance of an offset from its segment's base, as indexes store it in 32 bits. */
const offsetSpanMax = 0x7fff_ffff

export interface CompactionOptions {
  readonly disk: Disk
  /** The partition's directory. */
  readonly path: string
  /** All segments, by base. The last one, the active segment, is never touched. */
  readonly segments: readonly SegmentState[]
  /**
   * Below this offset earlier passes have removed each key's older records: the last pass's `cleanedUpTo`. 0 at first.
   */
  readonly dirtyFrom: Offset
  /** Records at or above this offset stay, and do not cause the removal of older records. */
  readonly cleanUpTo: Offset
  /** Wall-clock time of the pass. */
  readonly now: number
  /** How long tombstones and markers are kept after the first pass that met them. */
  readonly deleteRetentionMs: number
  /** Default: no producer with an id has written here. Every transaction below `cleanUpTo` must be completed. */
  readonly producers?: PartitionProducers
  /** Adjacent segments are merged as long as the sum of their sizes does not exceed this. */
  readonly segmentBytesMax: number
  /** Default 64 MiB. */
  readonly keyBytesMax?: number
  /** Awaited between batches, about once per MiB, so that other work gets the thread. */
  readonly pause?: () => Promise<void>
}

export interface CompactionResult {
  /** Each of these is to be journaled as a `segmentsReplaced` entry. Empty if there was nothing to remove. */
  readonly replacements: readonly SegmentReplacement[]
  /** The `dirtyFrom` of the next pass. */
  readonly cleanedUpTo: Offset
  /** Every batch below this offset was read. */
  readonly readUpTo: Offset
  /**
   * Offsets of the markers below `readUpTo` whose aborted transactions still have batches; the others can be forgotten.
   */
  readonly abortsLeft: ReadonlySet<Offset>
}

/**
 * Keeps the newest record of each key below a horizon, as Kafka's cleaner does.
 *
 * - A record is removed only if a newer one of its key is below `cleanUpTo`. So reading the result builds the same
 *   table as reading everything.
 * - The first pass that keeps a batch with a tombstone gives the batch a delete horizon, which is stored in the batch
 *   itself. After that time the tombstone may be removed. A consumer that began before that pass has had that long to
 *   reach it.
 * - Records of aborted transactions are removed; `CleanedTransactions` describes the other rules for transactions.
 * - Offsets, timestamps, base offset and last offset of a batch never change. A batch that loses all records is
 *   removed, unless it is the last of its producer.
 * - Records without a key stay, because nothing supersedes them. (Kafka drops them. In practice there are none: appends
 *   refuse them.)
 * - The output is `<first base>.log.cleaned`, synced with its name and the name of its directory. Nothing else is
 *   touched: until a journal entry says otherwise, the old segments are the partition.
 * - A damaged batch ends the pass with CORRUPT_BATCH, and the pass removes its own output.
 */
export async function compactPartition(options: CompactionOptions): Promise<CompactionResult> {
  const sealed = options.segments.slice(0, -1)
  const pace = new Pace(options.pause)
  const newest = new NewestOffsets(options.keyBytesMax ?? compactionKeyBytesMaxDefault)
  const horizon = Math.min(options.cleanUpTo, options.segments.at(-1)?.base ?? 0)
  const mappedTo = await mapKeys(options, { sealed, horizon, newest, pace })
  const replacements: SegmentReplacement[] = []
  const transactions = new CleanedTransactions(options.producers ?? noProducers)
  const keep = { ...options, newest, mappedTo, pace, transactions }
  try {
    for (const group of segmentGroups(options.segments, mappedTo, options.segmentBytesMax)) {
      const replacement = await rewriteSegments(group, keep)
      if (replacement === null) continue
      const last = group.at(-1)
      const end = options.segments.find(({ base }) => last !== undefined && base > last.base)?.base ?? Infinity
      // The next pass continues there, even in the next opening of the log.
      replacements.push(end <= mappedTo ? replacement : withDirtyFrom(replacement, mappedTo))
    }
    // Crash here: outputs exist that no journal entry mentions; the next recovery removes them.
    if (replacements.length > 0) syncNames(options)
  } catch (error) {
    discardOutputs(options, replacements)
    throw error
  }
  const { abortsLeft } = transactions
  const readUpTo = options.segments.find(({ base }) => base >= mappedTo)?.base ?? 0
  return { replacements, cleanedUpTo: Math.max(options.dirtyFrom, mappedTo), readUpTo, abortsLeft }
}

/**
 * Makes the names of the outputs durable. If that fails, it throws WRITE_FAILED, and the log must not accept anything more:
 * the failed sync also covered the names of segments that no checkpoint contains yet, and the next sync of the same
 * directory may succeed without them.
 */
function syncNames({ disk, path }: CompactionOptions): void {
  try {
    disk.syncDirectory(path)
    // The partition may be younger than the last checkpoint, so that even its directory is not durable yet.
    disk.syncDirectory(dirname(path))
  } catch (error) {
    // Anything else, such as too many open files, happened before the sync and may be retried.
    if (!(error instanceof Error && 'syscall' in error && error.syscall === 'fsync')) throw error
    throw new LogError(
      'WRITE_FAILED',
      `the names in ${path} could not be synced (${error.message}): check the disk, then open the log again; the journal has everything`,
      { path },
      { cause: error },
    )
  }
}

/** Removes outputs of a pass that will not be used. Crash here: the next recovery removes the rest. */
export function discardOutputs(
  { disk, path }: Pick<CompactionOptions, 'disk' | 'path'>,
  replacements: readonly SegmentReplacement[],
): void {
  for (const { segment } of replacements) unlinkIfPresent(disk, cleanedPath(path, segment.base))
}

function withDirtyFrom({ oldBases, segment }: SegmentReplacement, dirtyFrom: Offset): SegmentReplacement {
  return { oldBases, segment: { ...segment, dirtyFrom } }
}

/** The share of the compactable bytes that no pass has examined yet: Kafka's dirty ratio. */
export function dirtyRatio(segments: readonly SegmentState[], dirtyFrom: Offset, cleanUpTo: Offset): number {
  let clean = 0
  let dirty = 0
  for (const [index, segment] of segments.entries()) {
    const next = segments[index + 1]
    if (next === undefined) break
    if (next.base <= dirtyFrom) clean += segment.bytes
    else if (segment.base < cleanUpTo) dirty += segment.bytes
  }
  return clean + dirty === 0 ? 0 : dirty / (clean + dirty)
}

/** Groups adjacent segments that fit into one, without the active one, which only says where the one before it ends. */
function segmentGroups(
  segments: readonly SegmentState[],
  below: Offset,
  segmentBytesMax: number,
): readonly (readonly SegmentState[])[] {
  const groups: SegmentState[][] = []
  let group: SegmentState[] = []
  let bytes = 0
  for (const [index, segment] of segments.entries()) {
    const end = segments[index + 1]?.base
    if (end === undefined || segment.base >= below) break
    const first = group[0]
    if (first !== undefined && (bytes + segment.bytes > segmentBytesMax || end - first.base > offsetSpanMax)) {
      groups.push(group)
      group = []
      bytes = 0
    }
    group.push(segment)
    bytes += segment.bytes
  }
  if (group.length > 0) groups.push(group)
  return groups
}

/** Fills `newest` from the dirty records below the horizon; returns the offset up to which all of them are in it. */
async function mapKeys(
  { disk, path, dirtyFrom, producers: { isAborted } = noProducers }: CompactionOptions,
  pass: {
    readonly sealed: readonly SegmentState[]
    readonly horizon: Offset
    readonly newest: NewestOffsets
    readonly pace: Pace
  },
): Promise<Offset> {
  for (const [index, segment] of pass.sealed.entries()) {
    const next = pass.sealed[index + 1]?.base ?? Infinity
    if (next <= dirtyFrom) continue
    if (segment.base >= pass.horizon) break
    const file = disk.open(sourcePath(disk, path, segment.base), 'read')
    try {
      for (const batch of batchesOf(file, segment)) {
        await pass.pace.after(batch.length)
        if (baseOffsetOf(batch, 0) >= pass.horizon) return pass.horizon
        if (isControl(batch, 0)) continue
        if (isTransactional(batch, 0) && isAborted(producerIdOf(batch, 0), baseOffsetOf(batch, 0))) continue
        const cursor = new BatchCursor([batch], dirtyFrom)
        while (cursor.next()) {
          if (cursor.offset >= pass.horizon) return pass.horizon
          if (cursor.keyStart < 0) continue
          const key = latin1Slice(cursor.bytes, cursor.keyStart, cursor.keyEnd)
          if (!pass.newest.note(key, cursor.offset)) return cursor.offset
        }
      }
    } finally {
      file.close()
    }
  }
  return pass.horizon
}

interface KeepRule extends CompactionOptions {
  readonly newest: NewestOffsets
  readonly mappedTo: Offset
  readonly transactions: CleanedTransactions
  readonly pace: Pace
}

/** What is to be written for the batch: the batch itself, a changed one, or null for nothing. */
function rewrite(batch: Buffer, rule: KeepRule): Buffer | null {
  const { transactions, now, deleteRetentionMs } = rule
  // Every batch has to be noted, even if it stays as it is: its transaction's marker depends on it.
  const what = transactions.met(batch)
  if (baseOffsetOf(batch, 0) >= rule.mappedTo) return batch
  const keepsEmpty = (): boolean => transactions.isLastOfProducer(batch)
  switch (what) {
    case 'marker':
      return batch
    case 'aborted records':
      return recordCountOf(batch, 0) === 0 && keepsEmpty() ? batch : keepsEmpty() ? emptied(batch) : null
    case 'marker of nothing': {
      const horizon = deleteHorizonOf(batch)
      if (recordCountOf(batch, 0) === 0) return keepsEmpty() ? batch : null
      if (horizon === null) return withDeleteHorizon(batch, now + deleteRetentionMs)
      if (horizon > now) return batch
      return keepsEmpty() ? emptied(batch) : null
    }
    case 'records': {
      // A batch that is not wholly below may hold tombstones whose older records stay: their retention does not start
      // yet.
      const wholly = nextOffset(batch, 0) <= rule.mappedTo
      const horizon = deleteHorizonOf(batch)
      const tombstonesGo = wholly && horizon !== null && horizon <= now
      return rewriteBatch(batch, {
        keeps: (cursor) => keeps(cursor, rule, tombstonesGo),
        horizon: wholly ? now + deleteRetentionMs : null,
        keepsEmpty: keepsEmpty(),
      })
    }
    default:
      return unreachable(what)
  }
}

function keeps(cursor: BatchCursor, rule: KeepRule, tombstonesGo: boolean): boolean {
  const { offset } = cursor
  if (offset >= rule.mappedTo || cursor.keyStart < 0) return true
  const newest = rule.newest.of(latin1Slice(cursor.bytes, cursor.keyStart, cursor.keyEnd))
  if (newest !== undefined && newest > offset) return false
  return cursor.valueStart >= 0 || !tombstonesGo
}

/** Writes the remaining records of a group; returns null and leaves no file if a single segment loses nothing. */
async function rewriteSegments(group: readonly SegmentState[], rule: KeepRule): Promise<SegmentReplacement | null> {
  const { disk, path } = rule
  const first = group[0] as SegmentState
  const target = cleanedPath(path, first.base)
  const output = new CleanedFile(disk.open(target, 'create'))
  let removed = false
  try {
    for (const segment of group) {
      const file = disk.open(sourcePath(disk, path, segment.base), 'read')
      try {
        for (const batch of batchesOf(file, segment)) {
          await rule.pace.after(batch.length)
          const rewritten = rewrite(batch, rule)
          if (rewritten !== batch) removed = true
          if (rewritten !== null) output.append(rewritten)
        }
      } finally {
        file.close()
      }
    }
    if (removed || group.length > 1) {
      output.finish()
      return {
        oldBases: group.map(({ base }) => base),
        segment: {
          base: first.base,
          bytes: output.bytes,
          firstAppendAt: first.firstAppendAt,
          lastAppendAt: Math.max(...group.map(({ lastAppendAt }) => lastAppendAt)),
          maxTimestamp: output.maxTimestamp,
          checksum: output.checksum,
        },
      }
    }
  } catch (error) {
    output.close()
    unlinkIfPresent(disk, target)
    throw error
  }
  output.close()
  disk.unlink(target)
  return null
}

/** The batches of a segment, each read and checked. A batch is valid until the next one is requested. */
function* batchesOf(file: DiskFile, segment: SegmentState): Generator<Buffer, void, undefined> {
  const scanner = new BatchScanner(file, { start: 0, end: segment.bytes, from: segment.base, contiguous: false })
  while (scanner.next()) {
    const batch = Buffer.allocUnsafeSlow(scanner.bytes)
    const place = { path: file.path, filePosition: scanner.filePosition }
    if (file.read(batch, scanner.filePosition) < batch.length) throw corrupt(place, 'the file ends inside it')
    checkSum(batch, 0, place)
    yield batch
  }
}

class Pace {
  readonly #pause: (() => Promise<void>) | undefined
  #bytes = 0

  constructor(pause: (() => Promise<void>) | undefined) {
    this.#pause = pause
  }

  async after(bytes: number): Promise<void> {
    this.#bytes += bytes
    if (this.#bytes < bytesPerPause) return
    this.#bytes = 0
    await this.#pause?.()
  }
}

/** A segment that an earlier compaction wrote may still have its `.swap` name. */
function sourcePath(disk: Disk, path: string, base: Offset): string {
  const swap = `${path}/${segmentFile(base, '.log.swap')}`
  return disk.exists(swap) ? swap : `${path}/${segmentFile(base, '.log')}`
}

function unlinkIfPresent(disk: Disk, path: string): void {
  if (disk.exists(path)) disk.unlink(path)
}
