import { copyBytes } from '../../base/bytes.ts'
import { murmur2 } from '../../base/murmur2.ts'
import type { Unmatched } from '../../codec/unmatched-codec.ts'
import type { StoreSpec } from '../topology/node.ts'
import { KeyTable } from './key-table.ts'
import type { OrderedStore } from './ordered-store.ts'
import { entryOverheadBytes, OverlayEntry } from './overlay-entry.ts'
import { Overlay, readInt64, writeInt64 } from './overlay.ts'
import type { RecordContext } from './record-context.ts'
import { TimeQueue } from './time-queue.ts'

/**
 * The records of a left or outer join that have found no partner yet, in order of time: a queue in memory above one in
 * the store. What finds a partner leaves it silently; what has become the oldest of its side and whose window has closed
 * is taken.
 *
 * - Records of one side, time and key are one row, so a partner takes all of them out.
 * - Its clock is the join's: the highest time that either side has seen, dropped records included.
 * - Each side has its own queue and its own space in the store: a side whose windows close late does not stand in the way
 *   of the other. Per side, every row before `completeTo` stands in memory; what is younger may stand in the store only.
 *   When memory gets scarce the youngest leave, and they come back a stretch at a time when it is their turn.
 *
 * Layout, of the changelog as of the store: `i64 time | u8 side (0: right, 1: left) | key`, as Kafka has it.
 */
export class UnmatchedOverlay extends Overlay {
  readonly #cacheBytesMax: number
  readonly #table = new KeyTable<OverlayEntry>()
  readonly #right: Side
  readonly #left: Side
  /** Rows without a value, in the order in which they lost it; they go when the store knows. */
  readonly #gone = new Set<OverlayEntry>()
  #bytes = 0
  /**
   * Where the last look for closed windows ended: Kafka's `minTime`, which says when the next one is worth it. Saved with
   * the commit by whoever looks.
   */
  lookedTo: number = Number.MAX_SAFE_INTEGER
  /** The key of the row that is looked for. */
  #wanted: Uint8Array = new Uint8Array(64)
  #wantedLength = 0

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    super(spec, store, record)
    this.#cacheBytesMax = cacheBytesMax
    this.#right = new Side(0, store)
    this.#left = new Side(1, store)
  }

  /** Notes the time of a record; its time is the newest so far if the clock then stands there. */
  advance(time: number): void {
    if (time > this.storeTime) this.storeTime = time
  }

  add(key: unknown, value: unknown, time: number, isLeft: boolean): void {
    const side = isLeft ? this.#left : this.#right
    const found = this.#find(key, time, side)
    if (found !== null && found.value !== null) {
      if (time < this.lookedTo) this.lookedTo = time
      // In place: a copy for each of many records of one key and time would take the square of their number.
      const waiting = found.value as Unmatched
      waiting.values.push(value)
      this.update(found, waiting, time, time)
      return
    }
    if (time < this.lookedTo) this.lookedTo = time
    const row = found ?? this.#make(key, time)
    // First: it refuses keys that no store could hold.
    this.update(row, { isLeft, values: [value] } satisfies Unmatched, time, time)
    if (found === null) this.#enter(row)
    else this.#gone.delete(row)
    side.queue.add(row)
  }

  /** Takes out what waits of that key, time and side: it has found a partner. */
  remove(key: unknown, time: number, isLeft: boolean): void {
    const side = isLeft ? this.#left : this.#right
    if (this.#table.size === 0 && time < side.completeTo) return
    const entry = this.#find(key, time, side)
    if (entry !== null && entry.value !== null) this.#leave(entry, side)
  }

  /**
   * Takes the oldest row whose window has closed, left ones before `leftBefore` and right ones before `rightBefore`; null:
   * there is none. In order of time, then right before left, then by the keys' bytes.
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
   * Ends a look for closed windows, whose last taken row was of that time (-1: none was). Kafka goes on until it has seen
   * an open window of either side and one row more, or the last row of all; by the time of that it decides when to look
   * again, so results leave in stretches.
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
    // Records of one key and time are one row here, but each is one of its own in Kafka, so the next is in the same row.
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

  /** How many rows stand in memory. */
  get cachedCount(): number {
    return this.#table.size
  }

  /** A row of a side's queue as it would be if all of it stood in memory. */
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
    this.#bytes += entryOverheadBytes
  }

  /** The row of a key, time and side; one that lost its value may still be there. */
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

  /** A row for what is wanted; it belongs to nothing yet. */
  #make(key: unknown, time: number): OverlayEntry {
    const entry = new OverlayEntry(key, time, null, -1)
    const { keySlabs } = this
    keySlabs.add(this.#wanted, 0, this.#wantedLength)
    entry.slab = keySlabs.slab
    entry.keyStart = keySlabs.start
    entry.keyEnd = keySlabs.start + this.#wantedLength
    return entry
  }

  /** The next stretch of a side's rows from the store. It ends between two times: the rows of one come together. */
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
      this.#wanted = key.slice()
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

  protected override spacesToClear(): readonly number[] {
    return []
  }

  protected override isExpired(): boolean {
    return false
  }

  protected override isExpiredAt(): boolean {
    return false
  }

  protected override resized(entry: OverlayEntry, valueBytes: number): void {
    this.#bytes += valueBytes - entry.valueBytes
    entry.valueBytes = valueBytes
  }

  protected override expire(): void {
    this.#forgetGone()
  }

  protected override evict(): void {
    this.#forgetGone()
    if (this.#bytes <= this.#cacheBytesMax) return
    for (const side of [this.#right, this.#left]) this.#evictYoungest(side, this.#cacheBytesMax / 4)
  }

  /** Rows that the store does not hold any more, or never did. */
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
    this.#bytes -= entryOverheadBytes + row.valueBytes
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

/** Two: one per side. */
export const unmatchedSpaceCount = 2

/** The side of a row by its key in the changelog, which is its space in the store. */
export function unmatchedSpace(bytes: Uint8Array, keyStart: number): number {
  return bytes[keyStart + sideAt] as number
}

function timeKey(time: number): Uint8Array {
  const key = new Uint8Array(8)
  writeInt64(key, 0, time)
  return key
}

const noBytes = new Uint8Array(0)
/** Where the side stands, behind the time. */
const sideAt = 8
const prefixBytes = 9
/** Rows that come back from the store at once. */
const loadedRowsMax = 1024
