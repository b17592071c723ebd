import { compareBytes, copyBytes, copyOf } from '../../../base/bytes.ts'
import { readInt64, writeInt64 } from '../../../base/int64.ts'
import { empty } from '../../../base/lists.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { WindowRow, WindowStore } from '../key-value-store.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { storeKeyBytesMax } from '../store-error.ts'
import { checkStoreTime } from '../store-time.ts'
import { readTimestamp, timestampBytes } from './overlay.ts'
import { RowKeys, windowSuffixBytes } from './row-keys.ts'
import { RowOverlay } from './row-overlay.ts'
import { rowOverheadBytes, valueBytesField } from './rows.ts'
import { nextField, WindowRows } from './window-rows.ts'
import { WindowSpaces, windowSpaceCount } from './window-spaces.ts'

/**
 * A window store in memory on top of one on disk: one table of keys, each with its rows from the newest window to the
 * oldest, and for each window the list of its rows.
 *
 * - A record of a hopping window affects many windows of one key, and successive records mostly the newest ones. This
 *   takes one lookup by key and a few steps along its rows, while a map per window would take one lookup each.
 * - The clock of the store is the highest start of a row that was put. Lookups see only rows with `start > clock -
 *   retention`. Older rows are removed from memory at the next commit, after they were emitted, and their space is
 *   cleared by the flush that reuses it.
 * - `#completeFrom`: every row with a start of at least this is in memory, so the store is not read. It begins at the
 *   end of the store when that is opened, and rises only when rows are evicted to keep the bound on memory.
 *
 * Layouts: `changelog  key | i64 start | i32 0 (Kafka's sequence)`, `store  key | i64 start`.
 */
export class WindowOverlay extends RowOverlay<WindowRows> implements WindowStore<unknown, unknown> {
  readonly #cacheBytesMax: number
  readonly #windows = new Map<number, Window>()
  /** Starts of the windows in memory, ascending from `#firstStart` on. */
  #starts: number[] = []
  #firstStart = 0
  #lastWindow: Window | null = null
  #completeFrom: number
  /** Rows of records that came after their window had expired. They are not part of the store and live until the commit. */
  readonly #strays: number[] = []

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    const spaces = new WindowSpaces(spec.shape.kind === 'window' ? spec.shape.retentionMs : 0)
    super(spec, store, record, new WindowRows(new RowKeys(windowSuffixBytes)), spaces)
    this.#cacheBytesMax = cacheBytesMax
    let isEmpty = true
    for (let space = 0; space < windowSpaceCount; space++) if (store.count(space) > 0) isEmpty = false
    this.#completeFrom = isEmpty ? Number.NEGATIVE_INFINITY : this.storeTime + 1
  }

  /**
   * The row of a key in the window with that start, created if there is none. An expired row counts as absent, even if
   * memory or the store still contain it.
   */
  entry(key: unknown, start: number): number {
    this.locate(key)
    if (start <= this.horizon) return this.#stray(key, start)
    const found = this.findLocated()
    const row = found < 0 ? -1 : this.columns.at(found, start)
    return row >= 0 ? row : this.#lookUp(found, key, start)
  }

  /**
   * Fills `found[0, count)` with the rows of a key in `count` windows, of which the first starts at `first` and each other
   * one `advance` later. The rows are those of {@link entry}, but the key is looked up once and its rows are passed once.
   */
  entries(key: unknown, first: number, advance: number, count: number, found: Int32Array): void {
    this.locate(key)
    const { horizon } = this
    const rows = this.columns
    let of = this.findLocated()
    let row = of < 0 ? -1 : this.keys.newestOf(of)
    for (let index = count - 1; index >= 0; index--) {
      const start = first + index * advance
      while (row >= 0 && rows.start(row) > start) row = rows.older(row)
      found[index] = row >= 0 && rows.start(row) === start ? row : -1
    }
    for (let index = 0; index < count; index++) {
      const start = first + index * advance
      if (start <= horizon) found[index] = this.#stray(key, start)
      else if ((found[index] as number) < 0) found[index] = this.#lookUp(of, key, start)
      if (of < 0) of = rows.key(found[index] as number)
    }
  }

  /** The row, or -1. If memory contains every row of that start, looking for an absent row creates nothing. */
  existing(key: unknown, start: number): number {
    return start <= this.horizon ? -1 : this.#existing(key, start)
  }

  /**
   * The row as seen by another table that is joined with it, or -1. Changes of rows are emitted at the commit, when the
   * clock has advanced, so rows that existed at the previous commit must still be visible.
   */
  partner(key: unknown, start: number): number {
    if (!this.record.isEmission) return this.existing(key, start)
    return start <= this.committedTime - this.spaces.retentionMs ? -1 : this.#existing(key, start)
  }

  #existing(key: unknown, start: number): number {
    this.locate(key)
    const found = this.findLocated()
    const row = found < 0 ? -1 : this.columns.at(found, start)
    if (row >= 0 || start >= this.#completeFrom) return row
    // No row has a key that no store takes.
    return this.keyTo - this.keyFrom + startBytes > storeKeyBytesMax ? -1 : this.#lookUp(found, key, start)
  }

  override update(row: number, value: unknown, timestamp: number, updateTime: number): void {
    const start = this.columns.start(row)
    if (start > this.storeTime) this.storeTime = start
    super.update(row, value, timestamp, updateTime)
  }

  put(key: unknown, value: unknown, start: number): void {
    checkStoreTime(this.spec.name, 'the start of a window', start)
    if (start > this.storeTime) this.storeTime = start
    if (start <= this.horizon) return
    this.update(this.entry(key, start), value, this.record.timestamp, this.record.timestamp)
  }

  fetch(key: unknown, start: number): unknown {
    const row = this.existing(key, start)
    return row < 0 ? null : this.columns.value(row)
  }

  fetchRange(key: unknown, from: number, to: number): IterableIterator<readonly [number, unknown]> {
    const low = Math.max(from, this.horizon + 1)
    this.locate(key)
    if (low < this.#completeFrom) {
      this.#readKey(low, to)
      this.locate(key)
    }
    const found: (readonly [number, unknown])[] = []
    const rows = this.columns
    for (let row = this.#newestLocated(); row >= 0 && rows.start(row) >= low; row = rows.older(row)) {
      const start = rows.start(row)
      if (start <= to && rows.value(row) !== null) found.push([start, rows.value(row)])
    }
    return found.reverse().values()
  }

  /** Fills `found` with the rows of a key with `from <= start <= to`, the newest window first. */
  find(key: unknown, from: number, to: number, found: number[]): void {
    const low = Math.max(from, this.horizon + 1)
    this.locate(key)
    if (low < this.#completeFrom) {
      this.#readKey(low, to)
      this.locate(key)
    }
    empty(found)
    const rows = this.columns
    for (let row = this.#newestLocated(); row >= 0 && rows.start(row) >= low; row = rows.older(row)) {
      if (rows.start(row) <= to && rows.value(row) !== null) found.push(row)
    }
  }

  /** The newest row of the located key, or -1. */
  #newestLocated(): number {
    const key = this.findLocated()
    return key < 0 ? -1 : this.keys.newestOf(key)
  }

  fetchAll(from: number, to: number): IterableIterator<WindowRow<unknown, unknown>> {
    const found: WindowRow<unknown, unknown>[] = []
    for (const row of this.rowsByStart(Math.max(from, this.horizon + 1), to)) {
      found.push({ key: this.keyOf(row), start: this.columns.start(row), value: this.columns.value(row) })
    }
    return found.values()
  }

  /** All rows that have not expired, by start, then by the keys' bytes. */
  rows(): readonly number[] {
    return this.rowsByStart(this.horizon + 1, Number.POSITIVE_INFINITY)
  }

  all(): IterableIterator<WindowRow<unknown, unknown>> {
    return this.fetchAll(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)
  }

  /** Present rows with `from <= start <= to`, expired or not, by start, then by the keys' bytes. */
  rowsByStart(from: number, to: number): number[] {
    if (from < this.#completeFrom) this.#readAll(from, to)
    const found: number[] = []
    const rows = this.columns
    for (let index = this.#placeOf(from); index < this.#starts.length; index++) {
      const start = this.#starts[index] as number
      if (start > to) break
      const ofWindow: number[] = []
      for (let row = this.#windows.get(start)?.first ?? -1; row >= 0; row = rows.get(row, nextField)) {
        if (rows.value(row) !== null) ofWindow.push(row)
      }
      if (ofWindow.length > 1) this.#sortByKey(ofWindow)
      for (const row of ofWindow) found.push(row)
    }
    return found
  }

  /** Sorts by the keys alone: followed by the start, a key would sort after a longer key that continues with zeros. */
  #sortByKey(rows: number[]): void {
    const bytesOf = (row: number): Uint8Array => this.keys.bytes(this.columns.key(row))
    rows.sort((left, right) => compareBytes(bytesOf(left), bytesOf(right)))
  }

  /** Number of windows in memory. */
  get windowCount(): number {
    return this.#windows.size
  }

  /** Number of rows in memory. */
  get rowCount(): number {
    return this.columns.count
  }

  #window(start: number): Window {
    const last = this.#lastWindow
    if (last !== null && last.start === start) return last
    const found = this.#windows.get(start)
    if (found !== undefined) return (this.#lastWindow = found)
    const window = new Window(start)
    this.#windows.set(start, window)
    const starts = this.#starts
    if (starts.length === 0 || start > (starts[starts.length - 1] as number)) starts.push(start)
    else starts.splice(this.#placeOf(start), 0, start)
    this.cachedBytes += windowOverheadBytes
    this.#lastWindow = window
    return window
  }

  /** Index of the first start in memory that is at least `start`. */
  #placeOf(start: number): number {
    const starts = this.#starts
    let low = this.#firstStart
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((starts[middle] as number) < start) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Adds the row of the located key, which may be in the table or not (-1), with its value in the store. */
  #lookUp(found: number, key: unknown, start: number): number {
    const stored = start < this.#completeFrom ? this.#read(start) : undefined
    return stored === undefined ? this.#add(found, key, start) : this.#addStored(found, key, start, stored)
  }

  /** The located key's row in the store. */
  #read(start: number): Uint8Array | undefined {
    const { keyBytes, keyFrom, keyTo } = this
    this.checkKey(keyTo - keyFrom + startBytes)
    return this.store.get(this.spaces.spaceOf(start), keyWithStart(keyBytes, keyFrom, keyTo, start))
  }

  /** Adds a row of the located key with its value in the store. If that cannot be decoded, nothing is added. */
  #addStored(found: number, key: unknown, start: number, stored: Uint8Array): number {
    const value = this.spec.value.read(stored, timestampBytes, stored.length)
    const timestamp = readTimestamp(stored)
    const row = this.#add(found, key, start)
    this.columns.setValue(row, value)
    this.columns.setTimes(row, start, timestamp)
    return row
  }

  /** The number of the located key, which is added if it is not in the table (-1). */
  #keyFor(found: number, key: unknown): number {
    if (found >= 0) return found
    this.checkKey(this.keyTo - this.keyFrom + startBytes)
    const added = this.keys.add(this.keyBytes, this.keyFrom, this.keyTo, key)
    this.cachedBytes += this.keys.bytesOf(added)
    return added
  }

  /** Adds a row of the located key without a value. */
  #add(found: number, key: unknown, start: number): number {
    const rows = this.columns
    const row = rows.add(this.#keyFor(found, key), start, -1)
    rows.link(row)
    const window = this.#window(start)
    rows.set(row, nextField, window.first)
    window.first = row
    this.cachedBytes += rowOverheadBytes
    return row
  }

  /** A row of the located key that is not part of the store. */
  #stray(key: unknown, start: number): number {
    const row = this.columns.add(this.#keyFor(this.findLocated(), key), start, -1)
    this.#strays.push(row)
    this.cachedBytes += rowOverheadBytes
    return row
  }

  /**
   * Loads the store's rows of the located key into memory, up to where memory is complete. Locates other keys on the
   * way.
   */
  #readKey(from: number, to: number): void {
    const prefix = copyOf(this.keyBytes, this.keyFrom, this.keyTo)
    const last = Math.min(to, this.#completeFrom - 1, this.storeTime)
    if (last < from) return
    const low = keyWithStart(prefix, 0, prefix.length, Math.max(0, from))
    const high = keyWithStart(prefix, 0, prefix.length, last + 1)
    for (let space = 0; space < windowSpaceCount; space++) {
      for (const item of this.store.range(space, { from: low, to: high, reverse: false })) {
        // The row of a longer key may sort between two starts of this one.
        if (item.key.length !== low.length || compareBytes(item.key.subarray(0, prefix.length), prefix) !== 0) continue
        this.#take(item.key, item.value)
      }
    }
  }

  #readAll(from: number, to: number): void {
    for (let space = 0; space < windowSpaceCount; space++) {
      for (const item of this.store.range(space, { from: new Uint8Array(0), to: null, reverse: false })) {
        const start = readInt64(item.key, item.key.length - 8)
        if (start >= from && start <= to && start < this.#completeFrom) this.#take(item.key, item.value)
      }
    }
  }

  #take(localKey: Uint8Array, stored: Uint8Array): void {
    const start = readInt64(localKey, localKey.length - 8)
    this.keyBytes = localKey
    this.keyFrom = 0
    this.keyTo = localKey.length - 8
    const found = this.findLocated()
    if (found >= 0 && this.columns.at(found, start) >= 0) return
    this.#addStored(found, undecoded, start, stored)
  }

  /** Kafka's sequence is not part of the store's keys. */
  protected override readonly changelogKeySuffix = 4

  protected override timeOf(row: number): number {
    return this.columns.start(row)
  }

  protected override present(row: number): void {
    this.keys.presentWindow(this.columns.key(row), this.columns.start(row))
  }

  protected override expire(): void {
    for (const row of this.#strays) this.#remove(row)
    this.#strays.length = 0
    const horizon = this.horizon
    while (this.#firstStart < this.#starts.length && (this.#starts[this.#firstStart] as number) <= horizon) {
      this.#forget(this.#starts[this.#firstStart] as number)
      this.#firstStart += 1
    }
    if (this.#firstStart > 64 && this.#firstStart * 2 > this.#starts.length) {
      this.#starts = this.#starts.slice(this.#firstStart)
      this.#firstStart = 0
    }
  }

  protected override evict(): void {
    while (this.cachedBytes > this.#cacheBytesMax && this.#firstStart < this.#starts.length) {
      const start = this.#starts[this.#firstStart] as number
      if (!this.#isCleanWindow(start)) return
      this.#forget(start)
      this.#firstStart += 1
      this.#completeFrom = Math.max(this.#completeFrom, start + 1)
    }
  }

  /** Whether the store contains the newest values of all rows of a window. */
  #isCleanWindow(start: number): boolean {
    const rows = this.columns
    for (let row = this.#windows.get(start)?.first ?? -1; row >= 0; row = rows.get(row, nextField)) {
      if (!this.isClean(row)) return false
    }
    return true
  }

  #forget(start: number): void {
    const window = this.#windows.get(start)
    if (window === undefined) return
    this.#windows.delete(start)
    this.cachedBytes -= windowOverheadBytes
    this.#lastWindow = null
    const rows = this.columns
    for (let row = window.first; row >= 0;) {
      const next = rows.get(row, nextField)
      rows.unlink(row)
      this.#remove(row)
      row = next
    }
  }

  /** Removes a row that is not linked, and its key if it was the last one. */
  #remove(row: number): void {
    const rows = this.columns
    const key = rows.key(row)
    const keyBytes = this.keys.bytesOf(key)
    const keys = this.keys.size
    this.cachedBytes -= rowOverheadBytes + rows.get(row, valueBytesField)
    rows.remove(row)
    if (this.keys.size < keys) this.cachedBytes -= keyBytes
  }
}

/** A window in memory, with the last row that was added to it; each row has the number of the next one. */
class Window {
  readonly start: number
  first = -1

  constructor(start: number) {
    this.start = start
  }
}

/** The key `bytes[from, to)` of a row as in the store. */
function keyWithStart(bytes: Uint8Array, from: number, to: number, start: number): Uint8Array {
  const length = to - from
  const key = Buffer.allocUnsafe(length + startBytes)
  copyBytes(bytes, from, to, key, 0)
  writeInt64(key, length, start)
  return key
}

const startBytes = 8
const windowOverheadBytes = 320
