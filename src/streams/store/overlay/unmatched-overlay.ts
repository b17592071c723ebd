import { copyBytes, copyOf } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import { readInt64, writeInt64 } from '../../../base/int64.ts'
import type { Unmatched } from '../../../codec/unmatched-codec.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { OrderedStore } from '../ordered-store.ts'
import type { RecordContext } from '../record-context.ts'
import { KeyTable } from './key-table.ts'
import { EntryOverlay } from './entry-overlay.ts'
import { entryOverheadBytes, OverlayEntry } from './overlay-entry.ts'
import { TimeQueue } from './time-queue.ts'

/**
 * The records of a left or outer join that have not found a partner yet, in order of time: a queue in memory on top of
 * one in the store. A record that finds a partner is removed without output. A record is taken when it is the oldest of
 * its side and its window has closed.
 *
 * - Records of the same side, time and key are one row, so a partner removes all of them.
 * - The clock of the store is that of the join: the highest time that either side has seen, dropped records included.
 * - Each side has its own queue and its own space in the store, so a side whose windows close late does not hold up the
 *   other one. For each side, every row before `completeTo` is in memory; later rows may be only in the store. When
 *   memory is short the youngest rows are evicted, and they are loaded again, a stretch at a time, when they are due.
 *
 * Layout, in changelog and store: `i64 time | u8 side (0: right, 1: left) | key`, as in Kafka.
 */
export class UnmatchedOverlay extends EntryOverlay {
  readonly #cacheBytesMax: number
  readonly #table = new KeyTable<OverlayEntry>()
  readonly #right: Side
  readonly #left: Side
  /** Rows without a value, in the order in which they lost it. They leave memory once the store has deleted them. */
  readonly #gone = new Set<OverlayEntry>()
  /**
   * The time up to which the last search for closed windows got: Kafka's `minTime`, which decides when the next search
   * is worthwhile. The operator that searches saves it with the commit.
   */
  lookedTo: number = Number.MAX_SAFE_INTEGER
  /** The key bytes of the row that is being looked for. */
  #wanted: Uint8Array = new Uint8Array(64)
  #wantedLength = 0

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    super(spec, store, record)
    this.#cacheBytesMax = cacheBytesMax
    this.#right = new Side(0, store)
    this.#left = new Side(1, store)
  }

  /**
   * Advances the clock to the time of a record. The record is the newest so far if the clock equals its time
   * afterwards.
   */
  advance(time: number): void {
    if (time > this.storeTime) this.storeTime = time
  }

  add(key: unknown, value: unknown, time: number, isLeft: boolean): void {
    const side = isLeft ? this.#left : this.#right
    const found = this.#find(key, time, side)
    if (found !== null && found.value !== null) {
      if (time < this.lookedTo) this.lookedTo = time
      // Changed in place: a copy for each of many records of the same key and time would cost the square of their
      // number.
      const waiting = found.value as Unmatched
      waiting.values.push(value)
      this.update(found, waiting, time, time)
      return
    }
    if (time < this.lookedTo) this.lookedTo = time
    const row = found ?? this.#make(key, time)
    // This comes first, because it throws for keys that are too long for a store.
    this.update(row, { isLeft, values: [value] } satisfies Unmatched, time, time)
    if (found === null) this.#enter(row)
    else this.#gone.delete(row)
    side.queue.add(row)
  }

  /** Removes the waiting records of that key, time and side, because they have found a partner. */
  remove(key: unknown, time: number, isLeft: boolean): void {
    const side = isLeft ? this.#left : this.#right
    if (this.#table.size === 0 && time < side.completeTo) return
    const entry = this.#find(key, time, side)
    if (entry !== null && entry.value !== null) this.#leave(entry, side)
  }

  /**
   * Takes the oldest row whose window has closed: left rows before `leftBefore`, right rows before `rightBefore`; null
   * if there is none. Rows come in order of time, then right before left, then by the keys' bytes.
   */
  takeClosed(
    leftBefore: number,
    rightBefore: number,
  ): { readonly row: OverlayEntry; readonly waiting: Unmatched } | null {
    const left = this.#oldest(this.#left, leftBefore)
    const right = this.#oldest(this.#right, rightBefore)
    const isLeft = right === null || (left !== null && left.start < right.start)
    const row = isLeft ? left : right
    if (row === null) return null
    const waiting = row.value as Unmatched
    this.#leave(row, isLeft ? this.#left : this.#right)
    return { row, waiting }
  }

  /**
   * Ends a search for closed windows; `lastTaken` is the time of the last row that was taken, or -1. Kafka's search
   * continues until it has seen an open window of each side and one row more, or the last row of all. The time of that
   * row decides when it searches again, so results are emitted in groups.
   */
  endLook(lastTaken: number): void {
    const left = this.#first(this.#left, (queue) => queue.oldest)
    const right = this.#first(this.#right, (queue) => queue.oldest)
    if (left === null || right === null) {
      const last = Math.max(lastTaken, this.#youngestTime(left === null ? this.#right : this.#left))
      this.lookedTo = last < 0 ? Number.MAX_SAFE_INTEGER : last
      return
    }
    const later = right.start <= left.start ? this.#left : this.#right
    const end = Math.max(left.start, right.start)
    // Records of the same key and time are one row here but separate rows in Kafka, so Kafka's next row is in this same
    // one.
    if (((later === this.#left ? left : right).value as Unmatched).values.length > 1) {
      this.lookedTo = end
      return
    }
    const second = this.#first(later, (queue) => queue.second)
    const other = later === this.#left ? this.#right : this.#left
    const beyond = this.#first(other, (queue) => queue.atOrAfter(later === this.#left ? end + 1 : end))
    const next = Math.min(second?.start ?? Number.POSITIVE_INFINITY, beyond?.start ?? Number.POSITIVE_INFINITY)
    this.lookedTo = next === Number.POSITIVE_INFINITY ? end : next
  }

  /** Number of rows in memory. */
  get cachedCount(): number {
    return this.#table.size
  }

  /** A row of a side's queue, found as if all rows of the side were in memory. */
  #first(side: Side, find: (queue: TimeQueue) => OverlayEntry | null): OverlayEntry | null {
    for (;;) {
      const found = find(side.queue)
      if (side.completeTo === Number.POSITIVE_INFINITY || (found !== null && found.start < side.completeTo))
        return found
      this.#load(side)
    }
  }

  /** The time of the last row of a side, -1 if it has none. */
  #youngestTime({ queue, space, completeTo }: Side): number {
    const inMemory = queue.youngest?.start ?? -1
    if (completeTo === Number.POSITIVE_INFINITY) return inMemory
    for (const { key } of this.store.range(space, { from: timeKey(completeTo), to: null, reverse: true })) {
      const row = this.#table.get(key, 0, key.length, murmur2(key, 0, key.length))
      if (row === null || row.value !== null) return Math.max(inMemory, readInt64(key, 0))
    }
    return inMemory
  }

  #oldest(side: Side, before: number): OverlayEntry | null {
    for (;;) {
      const { oldest } = side.queue
      if (oldest !== null && oldest.start < side.completeTo) return oldest.start < before ? oldest : null
      if (side.completeTo >= before) return null
      this.#load(side)
    }
  }

  #leave(row: OverlayEntry, side: Side): void {
    this.update(row, null, row.timestamp, this.record.timestamp)
    this.#gone.add(row)
    side.queue.remove(row)
  }

  #enter(row: OverlayEntry): void {
    row.keyHash = murmur2(row.slab, row.keyStart, row.keyEnd)
    this.#table.add(row)
    this.cachedBytes += entryOverheadBytes
  }

  /** The row of a key, time and side; it may have lost its value. */
  #find(key: unknown, time: number, side: Side): OverlayEntry | null {
    if (side.completeTo === Number.NEGATIVE_INFINITY) this.#load(side)
    this.#want(key, time, side.space)
    const wanted = this.#wanted
    const hash = murmur2(wanted, 0, this.#wantedLength)
    const entry = this.#table.get(wanted, 0, this.#wantedLength, hash)
    if (entry !== null || time < side.completeTo) return entry
    const stored = this.store.get(side.space, wanted.subarray(0, this.#wantedLength))
    if (stored === undefined) return null
    const found = this.#make(key, time)
    this.#take(found, stored, side)
    return found
  }

  #want(key: unknown, time: number, space: number): void {
    this.locate(key)
    const { keyFrom, keyTo } = this
    const length = prefixBytes + keyTo - keyFrom
    if (length > this.#wanted.length) this.#wanted = new Uint8Array(length * 2)
    const wanted = this.#wanted
    writeInt64(wanted, 0, time)
    wanted[8] = space
    copyBytes(this.keyBytes, keyFrom, keyTo, wanted, prefixBytes)
    this.#wantedLength = length
  }

  /** A new entry for the wanted row; it is not part of the store yet. */
  #make(key: unknown, time: number): OverlayEntry {
    const entry = new OverlayEntry(key, time, null, -1)
    const { keySlabs } = this
    keySlabs.add(this.#wanted, 0, this.#wantedLength)
    entry.slab = keySlabs.slab
    entry.keyStart = keySlabs.start
    entry.keyEnd = keySlabs.start + this.#wantedLength
    return entry
  }

  /**
   * Loads the next stretch of a side's rows from the store. It ends between two times, so that rows of the same time
   * are loaded together.
   */
  #load(side: Side): void {
    const from = side.completeTo === Number.NEGATIVE_INFINITY ? noBytes : timeKey(side.completeTo)
    side.completeTo = Number.POSITIVE_INFINITY
    let count = 0
    let last = -1
    for (const { key, value } of this.store.range(side.space, { from, to: null, reverse: false })) {
      const time = readInt64(key, 0)
      if (count >= loadedRowsMax && time !== last) {
        side.completeTo = time
        return
      }
      count += 1
      last = time
      if (this.#table.get(key, 0, key.length, murmur2(key, 0, key.length)) !== null) continue
      this.#wanted = copyOf(key, 0, key.length)
      this.#wantedLength = key.length
      this.#take(this.#make(this.spec.key.read(key, prefixBytes, key.length), time), value, side)
    }
  }

  #take(row: OverlayEntry, stored: Uint8Array, side: Side): void {
    this.load(row, stored)
    this.#enter(row)
    this.resized(row, stored.length)
    side.queue.add(row)
  }

  protected override readonly changelogKeySuffix = 0

  protected override readonly rowKeySuffix = 0

  protected override spaceOf(entry: OverlayEntry): number {
    return unmatchedSpace(entry.slab, entry.keyStart)
  }

  protected override expire(): void {
    this.#forgetGone()
  }

  protected override evict(): void {
    this.#forgetGone()
    if (this.cachedBytes <= this.#cacheBytesMax) return
    for (const side of [this.#right, this.#left]) this.#evictYoungest(side, this.#cacheBytesMax / 4)
  }

  /** Removes rows from memory that the store no longer contains, or never did. */
  #forgetGone(): void {
    for (const row of this.#gone) {
      if (row.lastUpdate >= 0 || row.isUnflushed) return
      this.#gone.delete(row)
      this.#forget(row)
    }
  }

  #evictYoungest(side: Side, bytesMax: number): void {
    let bytes = 0
    for (const row of side.queue.rows()) {
      bytes += entryOverheadBytes + row.valueBytes
      if (bytes <= bytesMax || row.lastUpdate >= 0 || row.isUnflushed) continue
      side.completeTo = Math.min(side.completeTo, row.start)
      side.queue.remove(row)
      this.#forget(row)
    }
  }

  #forget(row: OverlayEntry): void {
    this.#table.delete(row)
    this.cachedBytes -= entryOverheadBytes + row.valueBytes
  }
}

/** One side's rows: a queue in memory and a space in the store. */
class Side {
  readonly space: number
  readonly queue = new TimeQueue()
  completeTo: number

  constructor(space: number, store: OrderedStore) {
    this.space = space
    this.completeTo = store.count(space) === 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
  }
}

/** One space per side. */
export const unmatchedSpaceCount = 2

/** The side of a row, from its key in the changelog; it is also its space in the store. */
export function unmatchedSpace(bytes: Uint8Array, keyStart: number): number {
  return bytes[keyStart + sideAt] as number
}

function timeKey(time: number): Uint8Array {
  const key = new Uint8Array(8)
  writeInt64(key, 0, time)
  return key
}

const noBytes = new Uint8Array(0)
/** Position of the side, after the time. */
const sideAt = 8
const prefixBytes = 9
/** Number of rows that are loaded from the store at once. */
const loadedRowsMax = 1024
