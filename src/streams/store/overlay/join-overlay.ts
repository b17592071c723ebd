import { compareBytes, copyBytes, copyOf } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import { readInt64, writeInt64 } from '../../../base/int64.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { OrderedStore } from '../ordered-store.ts'
import type { RecordContext } from '../record-context.ts'
import { KeyFilter } from './key-filter.ts'
import { isKeyOf, KeyTable, type KeyedItem } from './key-table.ts'
import { EntryOverlay } from './entry-overlay.ts'
import { entryOverheadBytes, OverlayEntry } from './overlay-entry.ts'
import { WindowSpaces, windowSpaceCount } from './window-spaces.ts'

/**
 * The rows of one side of a stream-stream join: every record, under its key, its time and a sequence number, so that
 * several records with the same key and time can coexist. Rows are put, are looked up by key and time, and expire; none
 * is ever changed or deleted. Memory contains one table of keys, each with its rows in order of time and sequence, and
 * for each stretch of time a list of its rows.
 *
 * - The clock of the store is the highest time of a row that was put. Lookups see only rows with `time > clock -
 *   retention`. Older rows are removed from memory at the next commit, one stretch at a time, and from the store by the
 *   flush that reuses their space. Rows that are put and expire between two commits leave no trace: sparse times cost
 *   no more than dense ones.
 * - `#completeFrom`: every row of at least that time is in memory. For earlier times the store is read, but only for
 *   keys that its filters may contain, so a key without partners costs no lookup in the store.
 * - The sequence continues after a restart, because starting over would overwrite rows with the same key and time. The
 *   operator that puts rows saves it with the commit.
 *
 * Layout, in changelog and store: `key | i64 time | u32 sequence`, as in Kafka.
 */
export class JoinOverlay extends EntryOverlay {
  /** Sequence number of the row that was put last. */
  sequence = 0
  readonly #spaces: WindowSpaces
  readonly #cacheBytesMax: number
  readonly #stretchMs: number
  readonly #keys = new KeyTable<KeyRows>()
  /** Rows in memory, by the number of their stretch of time. */
  readonly #stretches = new Map<number, OverlayEntry[]>()
  #lastStretch: OverlayEntry[] = []
  #lastStretchNumber = -1
  /** Keys of rows that are in the store and not in memory, by space. */
  readonly #filters: readonly KeyFilter[]
  /** Whether the store contained rows when it was opened whose keys have not been read into the filters yet. */
  #hasUnreadKeys: boolean
  #completeFrom: number

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    super(spec, store, record)
    const retentionMs = spec.shape.kind === 'join' ? spec.shape.retentionMs : 0
    this.#spaces = new WindowSpaces(retentionMs)
    this.#stretchMs = Math.max(1, Math.ceil(retentionMs / stretchesPerRetention))
    this.#cacheBytesMax = cacheBytesMax
    this.#filters = Array.from({ length: windowSpaceCount }, () => new KeyFilter())
    this.#hasUnreadKeys = false
    for (let space = 0; space < windowSpaceCount; space++) if (store.count(space) > 0) this.#hasUnreadKeys = true
    this.#completeFrom = this.#hasUnreadKeys ? this.storeTime + 1 : Number.NEGATIVE_INFINITY
  }

  /** Rows of at most this time have expired. */
  get #horizon(): number {
    return this.storeTime - this.#spaces.retentionMs
  }

  /** Adds a row. A row that has already expired is not kept. */
  put(key: unknown, value: unknown, time: number): void {
    if (time > this.storeTime) this.storeTime = time
    if (time <= this.#horizon) return
    this.sequence = (this.sequence + 1) & sequenceMax
    this.locate(key)
    const entry = this.#makeEntry(key, time, this.sequence)
    // This comes first, because it throws for keys that are too long for a store.
    this.update(entry, value, time, time)
    const { keyBytes, keyFrom, keyTo } = this
    const hash = murmur2(keyBytes, keyFrom, keyTo)
    const rows = this.#keys.get(keyBytes, keyFrom, keyTo, hash)
    if (rows === null) this.#keys.add(new KeyRows(hash, entry))
    else rows.insert(entry)
    this.#stretch(time).push(entry)
    this.cachedBytes += entryOverheadBytes
  }

  /**
   * The rows of a key with `from <= time <= to`, in order of time; rows of the same time in the order in which they
   * were put.
   */
  lookUp(key: unknown, from: number, to: number): readonly OverlayEntry[] {
    const low = Math.max(from, this.#horizon + 1)
    if (low > to) return none
    this.locate(key)
    const { keyBytes, keyFrom, keyTo } = this
    const hash = murmur2(keyBytes, keyFrom, keyTo)
    const rows = this.#keys.get(keyBytes, keyFrom, keyTo, hash)
    if (low < this.#completeFrom && this.#mayBeStored(hash)) return this.#withStored(rows, hash, low, to)
    return rows === null ? none : rows.between(low, to)
  }

  /** Number of rows in memory. */
  get cachedCount(): number {
    let count = 0
    for (const rows of this.#stretches.values()) count += rows.length
    return count
  }

  #mayBeStored(hash: number): boolean {
    if (this.#hasUnreadKeys) this.#readKeys()
    for (const filter of this.#filters) if (filter.mayHave(hash)) return true
    return false
  }

  /** Runs at most once after a restart. One pass over the keys costs less than restoring the store. */
  #readKeys(): void {
    this.#hasUnreadKeys = false
    for (const [space, filter] of this.#filters.entries()) {
      if (this.store.count(space) === 0) continue
      for (const { key } of this.store.range(space, { from: new Uint8Array(0), to: null, reverse: false })) {
        if (readInt64(key, key.length - rowKeyBytes) > this.#horizon) {
          filter.add(murmur2(key, 0, key.length - rowKeyBytes))
        }
      }
    }
  }

  /** Like {@link lookUp} for the located key, including rows that only the store has. */
  #withStored(rows: KeyRows | null, hash: number, from: number, to: number): readonly OverlayEntry[] {
    const found = rows === null ? [] : rows.between(from, to).slice()
    const inMemory = found.length
    const prefix = copyOf(this.keyBytes, this.keyFrom, this.keyTo)
    const low = keyWithTime(prefix, Math.max(0, from))
    const high = keyWithTime(prefix, Math.min(to, this.#completeFrom - 1) + 1)
    for (const [space, filter] of this.#filters.entries()) {
      if (!filter.mayHave(hash)) continue
      for (const { key, value } of this.store.range(space, { from: low, to: high, reverse: false })) {
        const keyEnd = key.length - rowKeyBytes
        // The row of a longer key may sort between two times of this one.
        if (keyEnd !== prefix.length || compareBytes(key.subarray(0, keyEnd), prefix) !== 0) continue
        const entry = new OverlayEntry(null, readInt64(key, keyEnd), null, -1)
        entry.slab = copyOf(key, 0, key.length)
        entry.keyEnd = key.length
        if (has(found, inMemory, entry)) continue
        this.load(entry, value)
        found.push(entry)
      }
    }
    return found.length === inMemory ? found : found.sort(byTimeAndSequence)
  }

  #makeEntry(key: unknown, time: number, sequence: number): OverlayEntry {
    const entry = new OverlayEntry(key, time, null, -1)
    const { keyFrom, keyTo, keySlabs } = this
    const length = keyTo - keyFrom
    keySlabs.reserve(length + rowKeyBytes)
    const { slab, start: at } = keySlabs
    copyBytes(this.keyBytes, keyFrom, keyTo, slab, at)
    writeInt64(slab, at + length, time)
    const sequenceAt = at + length + 8
    slab[sequenceAt] = sequence >>> 24
    slab[sequenceAt + 1] = sequence >>> 16
    slab[sequenceAt + 2] = sequence >>> 8
    slab[sequenceAt + 3] = sequence
    entry.slab = slab
    entry.keyStart = at
    entry.keyEnd = sequenceAt + 4
    return entry
  }

  /** The rows of the stretch that contains a time. */
  #stretch(time: number): OverlayEntry[] {
    const number = Math.floor(time / this.#stretchMs)
    if (number === this.#lastStretchNumber) return this.#lastStretch
    let rows = this.#stretches.get(number)
    if (rows === undefined) {
      rows = []
      this.#stretches.set(number, rows)
    }
    this.#lastStretch = rows
    this.#lastStretchNumber = number
    return rows
  }

  protected override readonly changelogKeySuffix = 0

  protected override readonly rowKeySuffix: number = rowKeyBytes

  protected override spaceOf(entry: OverlayEntry): number {
    return this.#spaces.spaceOf(entry.start)
  }

  /** The filters of cleared spaces describe only rows that have expired. */
  protected override spacesToClear(storeTime: number): readonly number[] {
    const cleared = this.#spaces.cleared(this.store.position?.storeTime ?? -1, storeTime)
    for (const space of cleared) this.#filters[space]?.clear()
    return cleared
  }

  protected override get retentionMs(): number {
    return this.#spaces.retentionMs
  }

  protected override timeOf(entry: OverlayEntry): number {
    return entry.start
  }

  protected override expire(): void {
    const horizon = this.#horizon
    for (const [number, rows] of this.#stretches) {
      if ((number + 1) * this.#stretchMs - 1 <= horizon) this.#forget(number, rows)
    }
  }

  /**
   * Evicts the oldest stretches first. Dirty and unflushed rows stay, but only they: otherwise a few late rows would
   * keep whole stretches in memory.
   */
  protected override evict(): void {
    if (this.cachedBytes <= this.#cacheBytesMax) return
    for (const number of [...this.#stretches.keys()].sort((left, right) => left - right)) {
      this.#evictStretch(number, this.#stretches.get(number) ?? [])
      if (this.cachedBytes <= this.#cacheBytesMax) return
    }
  }

  #evictStretch(number: number, rows: readonly OverlayEntry[]): void {
    const kept: OverlayEntry[] = []
    const going: OverlayEntry[] = []
    for (const row of rows) (row.lastUpdate >= 0 || row.isUnflushed ? kept : going).push(row)
    for (const row of going) {
      this.#filters[this.#spaces.spaceOf(row.start)]?.add(murmur2(row.slab, row.keyStart, row.keyEnd - rowKeyBytes))
    }
    this.#forget(number, going)
    if (kept.length > 0) this.#stretches.set(number, kept)
    if (going.length > 0) this.#completeFrom = Math.max(this.#completeFrom, (number + 1) * this.#stretchMs)
  }

  #forget(number: number, rows: readonly OverlayEntry[]): void {
    this.#stretches.delete(number)
    this.#lastStretchNumber = -1
    for (const row of rows) {
      this.cachedBytes -= entryOverheadBytes + row.valueBytes
      const ofKey = row.rows as KeyRows
      ofKey.remove(row)
      if (ofKey.isEmpty) this.#keys.delete(ofKey)
    }
  }
}

/** The rows of one key in memory, ordered by time and sequence. */
class KeyRows implements KeyedItem {
  readonly keyHash: number
  /**
   * Key bytes of the newest row. Those of an older row would keep its slab in memory after that row has been removed.
   */
  slab: Uint8Array
  keyStart: number
  keyEnd: number
  #rows: OverlayEntry[]
  /** Rows before this index have been removed. */
  #first = 0

  constructor(keyHash: number, row: OverlayEntry) {
    this.keyHash = keyHash
    this.slab = row.slab
    this.keyStart = row.keyStart
    this.keyEnd = row.keyEnd - rowKeyBytes
    this.#rows = [row]
    row.rows = this
  }

  get isEmpty(): boolean {
    return this.#first === this.#rows.length
  }

  between(from: number, to: number): readonly OverlayEntry[] {
    const rows = this.#rows
    const start = this.#placeOf(from)
    if (start === rows.length) return none
    const end = (rows[rows.length - 1] as OverlayEntry).start <= to ? rows.length : this.#placeOf(to + 1)
    return start === end ? none : rows.slice(start, end)
  }

  /** Inserts a row after all rows of its time, because the newest row has the highest sequence. */
  insert(row: OverlayEntry): void {
    row.rows = this
    const rows = this.#rows
    const last = rows[rows.length - 1] as OverlayEntry
    if (row.start >= last.start) {
      rows.push(row)
      this.slab = row.slab
      this.keyStart = row.keyStart
      this.keyEnd = row.keyEnd - rowKeyBytes
      return
    }
    rows.splice(this.#placeOf(row.start + 1), 0, row)
  }

  remove(row: OverlayEntry): void {
    row.rows = null
    const rows = this.#rows
    let place = this.#first
    if (rows[place] !== row) {
      place = this.#placeOf(row.start)
      while (rows[place] !== row) place += 1
      rows.splice(place, 1)
      return
    }
    this.#first += 1
    if (this.#first < removedMin || this.#first * 2 < rows.length) return
    this.#rows = rows.slice(this.#first)
    this.#first = 0
  }

  /** Index of the first row whose time is at least `time`. */
  #placeOf(time: number): number {
    const rows = this.#rows
    let low = this.#first
    let high = rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((rows[middle] as OverlayEntry).start < time) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Whether one of the first `count` rows, those from memory, is the same as a row of the store. */
function has(rows: readonly OverlayEntry[], count: number, row: OverlayEntry): boolean {
  for (let index = 0; index < count; index++) {
    const other = rows[index] as OverlayEntry
    if (other.start === row.start && isKeyOf(other, row.slab, row.keyStart, row.keyEnd)) return true
  }
  return false
}

function byTimeAndSequence(left: OverlayEntry, right: OverlayEntry): number {
  return left.start - right.start || sequenceOf(left) - sequenceOf(right)
}

function sequenceOf({ slab, keyEnd }: OverlayEntry): number {
  return (
    (((slab[keyEnd - 4] as number) << 24) |
      ((slab[keyEnd - 3] as number) << 16) |
      ((slab[keyEnd - 2] as number) << 8) |
      (slab[keyEnd - 1] as number)) >>>
    0
  )
}

function keyWithTime(prefix: Uint8Array, time: number): Uint8Array {
  const key = new Uint8Array(prefix.length + 8)
  key.set(prefix)
  writeInt64(key, prefix.length, time)
  return key
}

const none: readonly OverlayEntry[] = []
/** Bytes after the key: time and sequence. */
const rowKeyBytes = 12
/** Kafka's maximum. */
const sequenceMax = 0x7fff_ffff
/** Rows leave memory in stretches of this part of the retention. */
const stretchesPerRetention = 8
const removedMin = 16
