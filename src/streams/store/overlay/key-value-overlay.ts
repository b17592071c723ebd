import { compareBytes } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { KeyValueStore } from '../key-value-store.ts'
import type { OrderedStore, StoreItem } from '../ordered-store.ts'
import type { RecordContext } from '../record-context.ts'
import { KeyTable } from './key-table.ts'
import { EntryOverlay } from './entry-overlay.ts'
import { entryOverheadBytes, OverlayEntry, unresolved } from './overlay-entry.ts'
import { readTimestamp, timestampBytes } from './overlay.ts'

/**
 * A key-value store in memory on top of one on disk.
 *
 * The table of keys has two halves, hot and cold. A key that is found in the cold half moves to the hot one. When the
 * hot half reaches its bound, it becomes the cold one, and the rows of the old cold half are removed unless they are
 * dirty or unflushed. So hot keys stay in memory without a list that must be kept in order. As long as nothing was ever
 * evicted from a store that was empty at first, memory contains every row and the store is not read at all.
 */
export class KeyValueOverlay extends EntryOverlay implements KeyValueStore<unknown, unknown> {
  readonly #cacheBytesMax: number
  #hot = new KeyTable<OverlayEntry>()
  #cold = new KeyTable<OverlayEntry>()
  #complete: boolean

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    super(spec, store, record)
    this.#cacheBytesMax = cacheBytesMax / 2
    this.#complete = store.count(0) === 0
  }

  /** The row of a key, created if there is none. Its value is the one written last, or null. */
  entry(key: unknown): OverlayEntry {
    const hash = this.#locate(key)
    return this.#hot.get(this.keyBytes, this.keyFrom, this.keyTo, hash) ?? this.#lookUp(key, hash)
  }

  /** The row of a key, or null. If memory contains every row, looking for an absent key creates nothing. */
  existing(key: unknown): OverlayEntry | null {
    const hash = this.#locate(key)
    const known = this.#hot.get(this.keyBytes, this.keyFrom, this.keyTo, hash) ?? this.#fromCold(hash)
    return known !== null || this.#complete ? known : this.#readRow(key, hash)
  }

  /**
   * The row of a key that will be overwritten. The store is not read, because the caller does not need the old value.
   */
  entryToOverwrite(key: unknown): OverlayEntry {
    const hash = this.#locate(key)
    const hot = this.#hot.get(this.keyBytes, this.keyFrom, this.keyTo, hash)
    return hot ?? this.#fromCold(hash) ?? this.#unread(key, hash)
  }

  /** Converts a key to bytes and returns their hash. */
  #locate(key: unknown): number {
    this.locate(key)
    return murmur2(this.keyBytes, this.keyFrom, this.keyTo)
  }

  get(key: unknown): unknown {
    const row = this.existing(key)
    return row === null ? null : row.value
  }

  put(key: unknown, value: unknown): void {
    const entry = this.entryToOverwrite(key)
    this.update(entry, value, this.#now(), this.#now())
  }

  putIfAbsent(key: unknown, value: unknown): unknown {
    const entry = this.entry(key)
    const before = entry.value
    if (before === null) this.update(entry, value, this.#now(), this.#now())
    return before
  }

  delete(key: unknown): unknown {
    const row = this.existing(key)
    if (row === null) return null
    const before = row.value
    if (before !== null) this.update(row, null, this.#now(), this.#now())
    return before
  }

  range(from: unknown, to: unknown): IterableIterator<readonly [unknown, unknown]> {
    return pairs(this.#merged(this.#bytesOf(from), this.#bytesOf(to)))
  }

  all(): IterableIterator<readonly [unknown, unknown]> {
    return pairs(this.rows())
  }

  /** All rows with their timestamps, in the order of the keys' bytes. A snapshot of now. */
  rows(): IterableIterator<TimedRow> {
    return this.#merged(new Uint8Array(0), null)
  }

  approximateCount(): number {
    if (!this.#complete) return Math.max(this.store.count(0), this.#hot.size + this.#cold.size)
    let count = 0
    for (const entry of this.#hot.values()) if (entry.value !== null) count += 1
    for (const entry of this.#cold.values()) if (entry.value !== null) count += 1
    return count
  }

  /** Number of rows in memory. */
  get cachedCount(): number {
    return this.#hot.size + this.#cold.size
  }

  #now(): number {
    return this.record.timestamp
  }

  #lookUp(key: unknown, hash: number): OverlayEntry {
    return this.#fromCold(hash) ?? this.#readRow(key, hash)
  }

  /** Reads a row that is not in memory from the store. A row that is absent there too is kept in memory as absent. */
  #readRow(key: unknown, hash: number): OverlayEntry {
    const entry = this.#makeEntry(key, hash, null)
    if (!this.#complete) {
      const stored = this.store.get(0, this.localKey(entry))
      if (stored !== undefined) this.load(entry, stored)
    }
    this.#add(entry)
    return entry
  }

  /** A put does not need the old value, so its entry starts unresolved; the store is read only if a delete follows. */
  #unread(key: unknown, hash: number): OverlayEntry {
    const entry = this.#makeEntry(key, hash, this.#complete ? null : unresolved)
    // Checked first, so that no unresolved row is left without a put.
    this.checkKey(entry.keyEnd - entry.keyStart)
    this.#add(entry)
    return entry
  }

  /** A new entry for the located key, with its bytes in a slab. */
  #makeEntry(key: unknown, hash: number, value: unknown): OverlayEntry {
    const entry = new OverlayEntry(key, -1, value, -1)
    const { keySlabs } = this
    keySlabs.add(this.keyBytes, this.keyFrom, this.keyTo)
    entry.slab = keySlabs.slab
    entry.keyStart = keySlabs.start
    entry.keyEnd = keySlabs.start + this.keyTo - this.keyFrom
    entry.keyHash = hash
    return entry
  }

  #fromCold(hash: number): OverlayEntry | null {
    if (this.#cold.size === 0) return null
    const entry = this.#cold.get(this.keyBytes, this.keyFrom, this.keyTo, hash)
    if (entry === null) return null
    this.#cold.delete(entry)
    this.#add(entry)
    return entry
  }

  #add(entry: OverlayEntry): void {
    this.#hot.add(entry)
    this.cachedBytes += entryOverheadBytes + entry.valueBytes
  }

  /** Rows of memory and store, merged by key; rows in memory replace those of the store. A snapshot of now. */
  #merged(from: Uint8Array, to: Uint8Array | null): IterableIterator<TimedRow> {
    const rows: MemoryRow[] = []
    for (const half of [this.#hot, this.#cold]) {
      for (const entry of half.values()) {
        const key = this.localKey(entry)
        if (compareBytes(key, from) < 0 || (to !== null && compareBytes(key, to) > 0)) continue
        rows.push({ bytes: key, key: this.keyOf(entry), value: entry.value, timestamp: entry.timestamp })
      }
    }
    rows.sort((left, right) => compareBytes(left.bytes, right.bytes))
    const stored = this.#complete
      ? null
      : this.store.range(0, { from, to: to === null ? null : successor(to), reverse: false })
    return this.#merge(rows, stored)
  }

  *#merge(rows: readonly MemoryRow[], stored: IterableIterator<StoreItem> | null): IterableIterator<TimedRow> {
    let next = stored?.next()
    let index = 0
    try {
      for (;;) {
        const row = rows[index]
        const item = next === undefined || next.done === true ? undefined : next.value
        if (row === undefined && item === undefined) return
        const order = row === undefined ? 1 : item === undefined ? -1 : compareBytes(row.bytes, item.key)
        if (order > 0 && item !== undefined) {
          const decoded = this.#decode(item)
          next = stored?.next()
          yield decoded
          continue
        }
        if (order === 0) next = stored?.next()
        index += 1
        if (row !== undefined && row.value !== null) yield row
      }
    } finally {
      stored?.return?.()
    }
  }

  #decode(item: StoreItem): TimedRow {
    return {
      key: this.spec.key.read(item.key, 0, item.key.length),
      value: this.spec.value.read(item.value, timestampBytes, item.value.length),
      timestamp: readTimestamp(item.value),
    }
  }

  #bytesOf(key: unknown): Uint8Array {
    this.scratch.clear()
    this.writeKey(key, this.scratch)
    return this.scratch.toBytes()
  }

  /** Keys of key-value stores have no suffix in the changelog. */
  protected override readonly changelogKeySuffix = 0

  protected override readonly rowKeySuffix = 0

  protected override spaceOf(): number {
    return 0
  }

  protected override expire(): void {
    if (this.cachedBytes > this.#cacheBytesMax) this.#turn()
  }

  protected override evict(): void {
    if (this.cachedBytes > this.#cacheBytesMax) this.#turn()
  }

  #turn(): void {
    const going = this.#cold
    this.#cold = this.#hot
    this.#hot = new KeyTable()
    this.cachedBytes = 0
    for (const entry of going.values()) {
      if (entry.lastUpdate >= 0 || entry.isUnflushed) this.#add(entry)
      else this.#complete = false
    }
  }
}

/** A row as returned to queries. */
export interface TimedRow {
  readonly key: unknown
  readonly value: unknown
  readonly timestamp: number
}

interface MemoryRow extends TimedRow {
  readonly bytes: Uint8Array
}

function* pairs(rows: IterableIterator<TimedRow>): IterableIterator<readonly [unknown, unknown]> {
  for (const { key, value } of rows) yield [key, value]
}

/** The smallest key that is greater than `key`. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}
