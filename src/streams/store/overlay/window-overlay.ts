import { compareBytes, copyBytes, copyOf } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { WindowRow, WindowStore } from '../key-value-store.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { checkStoreTime } from '../store-time.ts'
import { KeyRows, rowKeyBytes } from './key-rows.ts'
import { isKeyOf, KeyTable } from './key-table.ts'
import { entryOverheadBytes, OverlayEntry } from './overlay-entry.ts'
import { Overlay, readInt64, readTimestamp, timestampBytes, writeInt64 } from './overlay.ts'
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
export class WindowOverlay extends Overlay implements WindowStore<unknown, unknown> {
  readonly #spaces: WindowSpaces
  readonly #cacheBytesMax: number
  readonly #windows = new Map<number, Window>()
  readonly #keys = new KeyTable<KeyRows>()
  /** Starts of the windows in memory, ascending from `#firstStart` on. */
  #starts: number[] = []
  #firstStart = 0
  /** The rows of the last key that was looked up, because a hopping window looks up the same key many times. */
  #lastRows: KeyRows | null = null
  #lastWindow: Window | null = null
  #completeFrom: number

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    super(spec, store, record)
    this.#spaces = new WindowSpaces(spec.shape.kind === 'window' ? spec.shape.retentionMs : 0)
    this.#cacheBytesMax = cacheBytesMax
    let isEmpty = true
    for (let space = 0; space < windowSpaceCount; space++) if (store.count(space) > 0) isEmpty = false
    this.#completeFrom = isEmpty ? Number.NEGATIVE_INFINITY : this.storeTime + 1
  }

  /** Rows whose start is at most this have expired. */
  get #horizon(): number {
    return this.storeTime - this.#spaces.retentionMs
  }

  /**
   * The row of a key in the window with that start, created if there is none. An expired row counts as absent, even if
   * memory or the store still contain it.
   */
  entry(key: unknown, start: number): OverlayEntry {
    this.locate(key)
    if (start <= this.#horizon) return this.#makeEntry(key, start, null, -1)
    const rows = this.#rowsOfLocated()
    if (rows !== null) {
      const entry = rows.at(start)
      if (entry !== null) return entry
    }
    return this.#lookUp(rows, key, start)
  }

  /** The row, or null. If memory contains every row of that start, looking for an absent row creates nothing. */
  existing(key: unknown, start: number): OverlayEntry | null {
    return start <= this.#horizon ? null : this.#existing(key, start)
  }

  /**
   * The row as seen by another table that is joined with it. Changes of rows are emitted at the commit, when the clock
   * has advanced, so rows that existed at the previous commit must still be visible.
   */
  partner(key: unknown, start: number): OverlayEntry | null {
    if (!this.record.isEmission) return this.existing(key, start)
    return start <= this.committedTime - this.#spaces.retentionMs ? null : this.#existing(key, start)
  }

  #existing(key: unknown, start: number): OverlayEntry | null {
    this.locate(key)
    const rows = this.#rowsOfLocated()
    const entry = rows === null ? null : rows.at(start)
    return entry !== null || start >= this.#completeFrom ? entry : this.#lookUp(rows, key, start)
  }

  /** The rows of the located key, or null. */
  #rowsOfLocated(): KeyRows | null {
    const { keyBytes, keyFrom, keyTo } = this
    const last = this.#lastRows
    if (last !== null && isKeyOf(last, keyBytes, keyFrom, keyTo)) return last
    const rows = this.#keys.get(keyBytes, keyFrom, keyTo, murmur2(keyBytes, keyFrom, keyTo))
    if (rows !== null) this.#lastRows = rows
    return rows
  }

  override update(entry: OverlayEntry, value: unknown, timestamp: number, updateTime: number): void {
    if (entry.start > this.storeTime) this.storeTime = entry.start
    super.update(entry, value, timestamp, updateTime)
  }

  put(key: unknown, value: unknown, start: number): void {
    checkStoreTime(this.spec.name, 'the start of a window', start)
    if (start > this.storeTime) this.storeTime = start
    if (start <= this.#horizon) return
    this.update(this.entry(key, start), value, this.record.timestamp, this.record.timestamp)
  }

  fetch(key: unknown, start: number): unknown {
    const row = this.existing(key, start)
    return row === null ? null : row.value
  }

  fetchRange(key: unknown, from: number, to: number): IterableIterator<readonly [number, unknown]> {
    const low = Math.max(from, this.#horizon + 1)
    this.locate(key)
    if (low < this.#completeFrom) {
      this.#readKey(low, to)
      this.locate(key)
    }
    const rows: (readonly [number, unknown])[] = []
    let entry = this.#rowsOfLocated()?.newest ?? null
    for (; entry !== null && entry.start >= low; entry = entry.older) {
      if (entry.start <= to && entry.value !== null) rows.push([entry.start, entry.value])
    }
    return rows.reverse().values()
  }

  /** Fills `found` with the rows of a key with `from <= start <= to`, the newest window first. */
  find(key: unknown, from: number, to: number, found: OverlayEntry[]): void {
    const low = Math.max(from, this.#horizon + 1)
    this.locate(key)
    if (low < this.#completeFrom) {
      this.#readKey(low, to)
      this.locate(key)
    }
    found.length = 0
    let entry = this.#rowsOfLocated()?.newest ?? null
    for (; entry !== null && entry.start >= low; entry = entry.older) {
      if (entry.start <= to && entry.value !== null) found.push(entry)
    }
  }

  fetchAll(from: number, to: number): IterableIterator<WindowRow<unknown, unknown>> {
    const rows: WindowRow<unknown, unknown>[] = []
    for (const entry of this.rowsByStart(Math.max(from, this.#horizon + 1), to)) {
      rows.push({ key: this.keyOf(entry), start: entry.start, value: entry.value })
    }
    return rows.values()
  }

  /** All rows that have not expired, with their timestamps, by start, then by the keys' bytes. */
  rows(): readonly OverlayEntry[] {
    return this.rowsByStart(this.#horizon + 1, Number.POSITIVE_INFINITY)
  }

  all(): IterableIterator<WindowRow<unknown, unknown>> {
    return this.fetchAll(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)
  }

  /** Present rows with `from <= start <= to`, expired or not, by start, then by the keys' bytes. */
  rowsByStart(from: number, to: number): OverlayEntry[] {
    if (from < this.#completeFrom) this.#readAll(from, to)
    const found: OverlayEntry[] = []
    for (let index = this.#placeOf(from); index < this.#starts.length; index++) {
      const start = this.#starts[index] as number
      if (start > to) break
      const rows: OverlayEntry[] = []
      for (const entry of this.#windows.get(start)?.rows ?? []) {
        if (entry.value === null) continue
        rows.push(entry)
      }
      if (rows.length > 1) rows.sort(compareKeys)
      for (const entry of rows) found.push(entry)
    }
    return found
  }

  /** Number of windows in memory. */
  get windowCount(): number {
    return this.#windows.size
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

  #lookUp(rows: KeyRows | null, key: unknown, start: number): OverlayEntry {
    const entry = this.#makeEntry(key, start, null, -1)
    if (start < this.#completeFrom) {
      const stored = this.store.get(this.#spaces.spaceOf(start), this.localKey(entry))
      if (stored !== undefined) this.load(entry, stored)
    }
    this.#add(rows, entry)
    return entry
  }

  /** A new entry for the located key, with its bytes in a slab; it is not part of the store yet. */
  #makeEntry(key: unknown, start: number, value: unknown, timestamp: number): OverlayEntry {
    const entry = new OverlayEntry(key, start, value, timestamp)
    const { keyFrom, keyTo, keySlabs } = this
    const length = keyTo - keyFrom
    keySlabs.reserve(length + rowKeyBytes)
    const slab = keySlabs.slab
    const at = keySlabs.start
    copyBytes(this.keyBytes, keyFrom, keyTo, slab, at)
    // The sequence that follows is 0, because slabs are filled with zeros.
    writeInt64(slab, at + length, start)
    entry.slab = slab
    entry.keyStart = at
    entry.keyEnd = at + length + rowKeyBytes
    return entry
  }

  /** Adds an entry to the rows of its key; if `found` is null, it is the first one. */
  #add(found: KeyRows | null, entry: OverlayEntry): void {
    let rows = found
    if (rows === null) {
      rows = new KeyRows(murmur2(entry.slab, entry.keyStart, entry.keyEnd - rowKeyBytes), entry)
      this.#keys.add(rows)
      this.#lastRows = rows
    } else {
      rows.insert(entry)
    }
    this.#window(entry.start).rows.push(entry)
    this.cachedBytes += entryOverheadBytes
  }

  /**
   * Loads the store's rows of the located key into memory, up to where memory is complete. Locates other keys on the
   * way.
   */
  #readKey(from: number, to: number): void {
    const prefix = copyOf(this.keyBytes, this.keyFrom, this.keyTo)
    const last = Math.min(to, this.#completeFrom - 1, this.storeTime)
    if (last < from) return
    const low = keyWithStart(prefix, Math.max(0, from))
    const high = keyWithStart(prefix, last + 1)
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
    const rows = this.#rowsOfLocated()
    if (rows !== null && rows.at(start) !== null) return
    const value = this.spec.value.read(stored, timestampBytes, stored.length)
    this.#add(rows, this.#makeEntry(undecoded, start, value, readTimestamp(stored)))
  }

  /** Kafka's sequence is not part of the store's keys. */
  protected override readonly changelogKeySuffix = 4

  protected override readonly rowKeySuffix: number = rowKeyBytes

  protected override spaceOf(entry: OverlayEntry): number {
    return this.#spaces.spaceOf(entry.start)
  }

  protected override spacesToClear(storeTime: number): readonly number[] {
    return this.#spaces.cleared(this.store.position?.storeTime ?? -1, storeTime)
  }

  protected override isExpired(entry: OverlayEntry): boolean {
    return entry.start <= this.#horizon
  }

  protected override isExpiredAt(entry: OverlayEntry, storeTime: number): boolean {
    return entry.start <= storeTime - this.#spaces.retentionMs
  }

  protected override expire(): void {
    const horizon = this.#horizon
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
      for (const entry of this.#windows.get(start)?.rows ?? []) {
        if (entry.lastUpdate >= 0 || entry.isUnflushed) return
      }
      this.#forget(start)
      this.#firstStart += 1
      this.#completeFrom = Math.max(this.#completeFrom, start + 1)
    }
  }

  #forget(start: number): void {
    const window = this.#windows.get(start)
    if (window === undefined) return
    this.#windows.delete(start)
    this.cachedBytes -= windowOverheadBytes
    this.#lastWindow = null
    this.#lastRows = null
    for (const entry of window.rows) {
      this.cachedBytes -= entryOverheadBytes + entry.valueBytes
      const rows = entry.rows as KeyRows
      rows.remove(entry)
      if (rows.newest === null) this.#keys.delete(rows)
    }
  }
}

/** The rows of one window, in the order in which they were added. */
class Window {
  readonly start: number
  readonly rows: OverlayEntry[] = []

  constructor(start: number) {
    this.start = start
  }
}

/** Compares the keys alone: followed by the start, a key would sort after a longer key that continues with zeros. */
function compareKeys(left: OverlayEntry, right: OverlayEntry): number {
  return compareBytes(
    left.slab.subarray(left.keyStart, left.keyEnd - rowKeyBytes),
    right.slab.subarray(right.keyStart, right.keyEnd - rowKeyBytes),
  )
}

function keyWithStart(prefix: Uint8Array, start: number): Uint8Array {
  const key = Buffer.alloc(prefix.length + 8)
  key.set(prefix)
  key.writeInt32BE(Math.floor(start / 0x1_0000_0000), prefix.length)
  key.writeUInt32BE(start % 0x1_0000_0000, prefix.length + 4)
  return key
}

const windowOverheadBytes = 320
