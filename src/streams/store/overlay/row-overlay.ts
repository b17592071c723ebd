import type { StoreSpec } from '../../topology/node.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { grown } from '../../../base/columns.ts'
import type { FlushSet } from './flush-set.ts'
import { type ChangelogWriter, Overlay, rowsAhead } from './overlay.ts'
import type { RowKeys } from './row-keys.ts'
import {
  doublesPerRow,
  flushField,
  flushIndexField,
  integersPerRow,
  type Rows,
  slotField,
  timestampField,
  valueBytesField,
} from './rows.ts'
import type { WindowSpaces } from './window-spaces.ts'

/**
 * An overlay whose rows are numbers, which callers may keep until the next commit or flush. What a row needs for as long
 * as it is in memory is in its {@link Rows}; what it needs for one generation is in the columns here.
 */
export abstract class RowOverlay<R extends Rows> extends Overlay {
  /** Forwards the change of a row since it was last forwarded; null if nothing is forwarded at commit. */
  emit: ((row: number) => void) | null = null
  protected readonly columns: R
  protected readonly keys: RowKeys
  protected readonly spaces: WindowSpaces
  /** The number of the last flush set that the store contains. */
  protected flushedTo = 0
  /** The row that each update of the generation changed. */
  #updated: Int32Array = new Int32Array(firstUpdates)
  /*
   * By the slots of the rows that the generation has changed: the place of the last update; value and timestamp at the
   * beginning of the generation, which were forwarded last; whether the new value has been forwarded.
   */
  #lastPlaces: Int32Array = new Int32Array(firstUpdates)
  #forwarded: unknown[] = []
  #forwardedTimes: Float64Array = new Float64Array(firstUpdates)
  #isForwarded: Uint8Array = new Uint8Array(firstUpdates)
  /** The rows to look ahead at and, if they are to be packed, their indexes in the flush set. */
  readonly #ahead: Int32Array = new Int32Array(rowsAhead)
  readonly #aheadIndexes: Int32Array = new Int32Array(rowsAhead)

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, rows: R, spaces: WindowSpaces) {
    super(spec, store, record)
    this.columns = rows
    this.keys = rows.keys
    this.spaces = spaces
  }

  override get emits(): boolean {
    return this.emit !== null
  }

  /** Rows whose time is at most this have expired. */
  protected get horizon(): number {
    return this.storeTime - this.spaces.retentionMs
  }

  startOf(row: number): number {
    return this.columns.start(row)
  }

  /** The newest value, or null. */
  valueAt(row: number): unknown {
    return this.columns.value(row)
  }

  /** The timestamp of the newest value, -1 if there was none. */
  timestampOf(row: number): number {
    return this.columns.timestamp(row)
  }

  /** The value at the beginning of the generation, which is the one that was forwarded last. The row must be dirty. */
  forwardedValue(row: number): unknown {
    return this.#forwarded[this.columns.get(row, slotField)]
  }

  /** The timestamp of {@link forwardedValue}. */
  forwardedTimestamp(row: number): number {
    return this.#forwardedTimes[this.columns.get(row, slotField)] as number
  }

  /** The time of the row's last update in the generation, or -1 if there was none. */
  updateTimeOf(row: number): number {
    const slot = this.columns.get(row, slotField)
    return slot < 0 ? -1 : (this.updates.times[this.#lastPlaces[slot] as number] as number)
  }

  /** Whether the row has a value that is not forwarded yet; the commit will forward it. */
  isHeldBack(row: number): boolean {
    const slot = this.columns.get(row, slotField)
    return this.emit !== null && slot >= 0 && this.#isForwarded[slot] === 0
  }

  /** Whether the generation has changed the row, which did not exist before, and nothing of it has been forwarded. */
  protected isNew(row: number): boolean {
    const slot = this.columns.get(row, slotField)
    return slot >= 0 && this.#forwarded[slot] === null && this.#isForwarded[slot] === 0
  }

  /** Whether the store lacks the newest committed value of the row. */
  protected isUnflushed(row: number): boolean {
    return this.columns.get(row, flushField) > this.flushedTo
  }

  /** Whether the store contains the newest value of the row, which may then leave memory. */
  protected isClean(row: number): boolean {
    return this.columns.get(row, slotField) < 0 && !this.isUnflushed(row)
  }

  /** The key of a row, decoded from its bytes if it was not decoded before. */
  keyOf(row: number): unknown {
    const key = this.columns.key(row)
    const decoded = this.keys.decodedOf(key)
    if (decoded !== undecoded) return decoded
    const bytes = this.keys.bytes(key)
    return this.spec.key.read(bytes, 0, bytes.length)
  }

  /**
   * Makes the key's bytes, as in the store, available to sinks, which find them where those of the current record are.
   */
  presentKey(row: number): void {
    const { record, keys } = this
    this.present(row)
    record.bytes = keys.memory
    record.keyStart = keys.start
    record.keyEnd = keys.end - this.changelogKeySuffix
  }

  /** The number of the located key, or -1. */
  protected findLocated(): number {
    return this.keys.find(this.keyBytes, this.keyFrom, this.keyTo)
  }

  /** Gives a row a new value, or null to delete it. `updateTime` is the timestamp of the record that caused it. */
  update(row: number, value: unknown, timestamp: number, updateTime: number): void {
    const rows = this.columns
    const { doubles, integers } = rows
    const double = row * doublesPerRow
    const slotAt = row * integersPerRow + slotField
    let slot = integers[slotAt] as number
    let previous = -1
    if (slot < 0) {
      slot = this.touched
      this.touch(value)
      if (slot === this.#lastPlaces.length) this.#growSlots()
      this.#forwarded[slot] = rows.value(row)
      this.#forwardedTimes[slot] = doubles[double + timestampField] as number
      this.#isForwarded[slot] = 0
      integers[slotAt] = slot
    } else previous = this.#lastPlaces[slot] as number
    rows.setValue(row, value)
    doubles[double + timestampField] = timestamp
    const place = this.updates.add(previous, this.record, updateTime, this.emit !== null)
    this.#lastPlaces[slot] = place
    if (place === this.#updated.length) this.#updated = grown(this.#updated, new Int32Array(place * 2))
    this.#updated[place] = row
  }

  #growSlots(): void {
    const size = this.#lastPlaces.length * 2
    this.#lastPlaces = grown(this.#lastPlaces, new Int32Array(size))
    this.#forwardedTimes = grown(this.#forwardedTimes, new Float64Array(size))
    this.#isForwarded = grown(this.#isForwarded, new Uint8Array(size))
  }

  override lookAhead(places: Uint32Array, from: number, to: number): void {
    const ahead = this.#ahead
    for (let index = from; index < to; index++) ahead[index - from] = this.#updated[places[index] as number] as number
    this.columns.lookAhead(ahead, to - from)
  }

  override emitAt(place: number): void {
    const row = this.#updated[place] as number
    this.#isForwarded[this.columns.get(row, slotField)] = 1
    this.emit?.(row)
  }

  override freeze(changelog: ChangelogWriter): void {
    const { touched } = this
    super.freeze(changelog)
    this.#forwarded.fill(null, 0, touched)
  }

  /** The row that the update changed. */
  protected updatedAt(place: number): number {
    return this.#updated[place] as number
  }

  protected override freezeAt(place: number, changelog: ChangelogWriter, set: FlushSet): void {
    const rows = this.columns
    const { integers } = rows
    const row = this.#updated[place] as number
    const at = row * integersPerRow
    const before = this.#forwarded[integers[at + slotField] as number]
    integers[at + slotField] = -1
    const time = this.timeOf(row)
    if (time <= this.horizon) return
    const value = rows.value(row)
    if (value === null && before === null) return
    // An error in encoding the row or writing it to its changelog is reported with the record of its last update.
    this.updates.resume(place, this.record)
    const cause = this.updates.causes[place] as number
    const { rowKey, stored, keys } = this
    this.present(row)
    rowKey.bytes = keys.memory
    rowKey.start = keys.start
    rowKey.end = keys.end
    const index = integers[at + flushField] === set.number ? (integers[at + flushIndexField] as number) : -1
    const space = this.spaces.spaceOf(time)
    if (value === null) {
      this.logDelete(changelog, cause)
      integers[at + flushIndexField] = set.delete(index, space, rowKey, time)
    } else {
      this.log(changelog, value, rows.timestamp(row), cause)
      if (typeof value === 'number') integers[at + flushIndexField] = set.note(index, row, time)
      else {
        integers[at + flushIndexField] = set.put(index, space, rowKey, stored, time)
        this.resized(row, stored.end)
      }
    }
    integers[at + flushField] = set.number
  }

  protected override pack(set: FlushSet): void {
    const horizon = set.storeTime - this.spaces.retentionMs
    for (let index = 0; index < set.count; index += rowsAhead) this.#packPart(set, index, horizon)
  }

  /**
   * Packs the next rows that are only noted and have not expired. Such a row is still in memory, while the number of one
   * that has expired may be that of another row by now.
   */
  #packPart(set: FlushSet, from: number, horizon: number): void {
    const { rowKey, keys } = this
    const rows = this.#ahead
    const indexes = this.#aheadIndexes
    const to = Math.min(set.count, from + rowsAhead)
    let count = 0
    for (let index = from; index < to; index++) {
      const row = set.notedRow(index)
      if (row < 0 || set.time(index) <= horizon) continue
      rows[count] = row
      indexes[count] = index
      count += 1
    }
    this.columns.lookAhead(rows, count)
    for (let place = 0; place < count; place++) {
      const row = rows[place] as number
      const index = indexes[place] as number
      this.present(row)
      rowKey.bytes = keys.memory
      rowKey.start = keys.start
      rowKey.end = keys.end - this.changelogKeySuffix
      this.#encodeCommitted(row)
      const time = set.time(index)
      set.put(index, this.spaces.spaceOf(time), rowKey, this.stored, time)
    }
  }

  /** Encodes the newest committed value of a row as in the store. */
  #encodeCommitted(row: number): void {
    const rows = this.columns
    const isDirty = rows.get(row, slotField) >= 0
    if (isDirty) this.encode(this.forwardedValue(row), this.forwardedTimestamp(row))
    else this.encode(rows.value(row), rows.timestamp(row))
  }

  /** Notes the encoded size of a value. */
  protected resized(row: number, bytes: number): void {
    this.cachedBytes += bytes - this.columns.get(row, valueBytesField)
    this.columns.set(row, valueBytesField, bytes)
  }

  protected override flushed(set: FlushSet): void {
    this.flushedTo = set.number
  }

  protected override spacesToClear(storeTime: number): readonly number[] {
    return this.spaces.cleared(this.store.position?.storeTime ?? -1, storeTime)
  }

  protected override get retentionMs(): number {
    return this.spaces.retentionMs
  }

  /** The time by which a row expires. */
  protected abstract timeOf(row: number): number
  /** Shows the bytes of a row's key, as in the changelog, in `keys`. */
  protected abstract present(row: number): void
}

const firstUpdates = 256
