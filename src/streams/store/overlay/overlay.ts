import { assert } from '../../../base/assert.ts'
import { ByteWriter } from '../../../base/bytes.ts'
import type { Clock } from '../../../base/clock.ts'
import { reasonFor } from '../../../base/coded-error.ts'
import { CodecError } from '../../../codec/codec-error.ts'
import { StreamsError } from '../../errors.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { OrderedStore, StorePosition } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { storeKeyBytesMax } from '../store-error.ts'
import type { Slice } from '../write-batch.ts'
import { ByteSlabs } from './byte-slabs.ts'
import { FlushSet } from './flush-set.ts'
import { unresolved, type OverlayEntry } from './overlay-entry.ts'
import { UpdateLog } from './update-log.ts'

/**
 * The layer in memory on top of a store: all rows that the store does not contain yet, and clean rows that are worth
 * keeping.
 *
 * A row has one entry with its newest value. It is *active* from its first update to the next commit; then *committed*,
 * with its bytes in the open {@link FlushSet} and in the staged changelog; then *flushing*, when that set is sealed and
 * its last commit is durable; then clean. An entry can be in several of these states at once (a new update while an
 * older value is being flushed). The sets have copies of the bytes, so these do not interfere.
 *
 * Invariants
 * - The store never contains anything that is not durable in its changelog: `flush` is called only after the durable
 *   receipt.
 * - An entry that is dirty or unflushed never leaves memory.
 * - A row is written to the changelog once per commit, however often it was updated: its newest value, in order of last
 *   update.
 * - A row that was absent before a generation and is absent after it leaves no trace.
 *
 * Deliberately absent: undoing a generation. When a commit is aborted, the whole overlay is discarded and the store is
 * restored from its changelog. That is the only way back, and every restart tests it.
 */
export abstract class Overlay {
  readonly spec: StoreSpec
  readonly store: OrderedStore
  readonly record: RecordContext
  /** Forwards the change of an entry since it was last forwarded; null if nothing is forwarded at commit. */
  emit: ((entry: OverlayEntry) => void) | null = null
  /** Number of emitting stores between the sources and this one; stores emit in this order. */
  level = 0
  /**
   * Whether no node that receives emitted records reads their keys. The operator may then use {@link presentKey} and
   * forward `undecoded`. Set when the task is wired.
   */
  emitsKeyBytes = false
  /** Highest time of a row that was given to the store, -1 at first. Windows expire by it. */
  storeTime: number
  /** The value of `storeTime` at the last commit. */
  protected committedTime: number
  /** The end of the changelog after the newest commit whose placement is known. */
  position: StorePosition | null
  readonly #updates = new UpdateLog()
  #touched = 0
  /** Estimated bytes of a value; it rises at once and falls slowly. */
  #sampledBytes = 0
  #open: FlushSet = new FlushSet()
  #sealed: FlushSet | null = null
  /** Estimated bytes of the rows in memory; in a key-value store, of their hot half. */
  protected cachedBytes = 0
  /** The bytes of the key that {@link locate} was called with last. */
  protected keyBytes: Uint8Array = noValue
  protected keyFrom = 0
  protected keyTo = 0
  /** The buffer into which `locate` encodes keys. */
  readonly #located = new ByteWriter(64)
  /** Id of the keys' codec if its bytes, as they arrive, identify keys; else an id that no source has. */
  readonly #keyCodec: string
  protected readonly keySlabs: ByteSlabs = new ByteSlabs()
  /** Reused for each packed row. */
  readonly #key: Slice = { bytes: noValue, start: 0, end: 0 }
  protected readonly scratch: ByteWriter = new ByteWriter(256)

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext) {
    this.spec = spec
    this.store = store
    this.record = record
    this.#keyCodec = spec.key.check === undefined ? noCodec : spec.key.id
    this.position = store.position
    this.storeTime = store.position?.storeTime ?? -1
    this.committedTime = this.storeTime
    // A flush before the first commit must not set the store's clock back.
    this.#open.storeTime = this.storeTime
  }

  /** Gives an entry a new value, or null to delete it. `updateTime` is the timestamp of the record that caused it. */
  update(entry: OverlayEntry, value: unknown, timestamp: number, updateTime: number): void {
    if (entry.lastUpdate < 0) {
      // Checked here and not at the flush. Once a key that is too long for a store is committed, every restart would
      // fail on it.
      this.checkKey(entry)
      if (this.#touched % touchedPerSample === 0) this.#sample(value)
      entry.forwarded = entry.value
      entry.forwardedTimestamp = entry.timestamp
      entry.isForwarded = false
      this.#touched += 1
    }
    entry.value = value
    entry.timestamp = timestamp
    entry.lastUpdate = this.#updates.add(entry, this.record, updateTime, this.emit !== null)
  }

  /** Whether the entry has a value that is not forwarded yet; the commit will forward it. */
  isHeldBack(entry: OverlayEntry): boolean {
    return this.emit !== null && entry.lastUpdate >= 0 && !entry.isForwarded
  }

  /**
   * The value that was forwarded last; its timestamp is in the entry. If a put did not look up the old value, it is
   * read from the store now, which has it because rows that the store lacks never leave memory.
   */
  forwardedValue(entry: OverlayEntry): unknown {
    if (entry.forwarded !== unresolved) return entry.forwarded
    const stored = this.store.get(this.spaceOf(entry), this.localKey(entry))
    entry.forwarded = stored === undefined ? null : this.spec.value.read(stored, timestampBytes, stored.length)
    entry.forwardedTimestamp = stored === undefined ? -1 : readTimestamp(stored)
    return entry.forwarded
  }

  /**
   * Makes the key's bytes, as in the store, available to sinks, which find them where those of the current record are.
   */
  presentKey(entry: OverlayEntry): void {
    const record = this.record
    record.bytes = entry.slab
    record.keyStart = entry.keyStart
    record.keyEnd = entry.keyEnd - this.changelogKeySuffix
  }

  /**
   * Continues with the clock that the last commit recorded: rows that expired before they were written moved it too.
   */
  resumeAt(storeTime: number): void {
    if (storeTime > this.storeTime) this.storeTime = storeTime
    this.committedTime = this.storeTime
  }

  get isDirty(): boolean {
    return this.#updates.count > 0
  }

  /** Estimated bytes that wait for the next commit. */
  get dirtyBytes(): number {
    // A row that is emitted with the commit is written twice, to the changelog and downstream.
    const copies = this.emit === null ? 1 : 2
    return this.#updates.count * updateBytes + this.#touched * (dirtyEntryBytes + copies * this.#sampledBytes)
  }

  /** Measures a value now and then, because large values must not accumulate beyond what one commit can contain. */
  #sample(value: unknown): void {
    this.scratch.clear()
    if (value !== null) this.spec.value.write(value, this.scratch)
    const bytes = this.scratch.length
    this.#sampledBytes = Math.max(bytes, (this.#sampledBytes + bytes) / 2)
  }

  /** The last update of each changed row, as ascending places in {@link updates}. */
  lastUpdates(): Uint32Array {
    return this.#updates.lastPlaces(this.#touched)
  }

  /** The updates of the current generation. */
  get updates(): UpdateLog {
    return this.#updates
  }

  /** Ends the generation: its rows are written to the changelog and into the open flush set. */
  freeze(changelog: ChangelogWriter): void {
    const updates = this.#updates
    const codec = this.spec.value
    const scratch = this.scratch
    const set = this.#open
    const record = this.record
    const row = { value: noValue, start: timestampBytes, end: 0 }
    const value = { bytes: noValue, start: 0, end: 0 }
    for (let place = 0; place < updates.count; place++) {
      const entry = updates.entries[place] as OverlayEntry
      if (entry.lastUpdate !== place) continue
      entry.lastUpdate = -1
      const before = entry.forwarded
      entry.forwarded = null
      if (this.isExpired(entry)) continue
      // An error in encoding the row or writing it to its changelog is reported with the record of its last update.
      updates.resume(place, record)
      const cause = updates.causes[place] as number
      if (entry.value === null) {
        if (before === null || (before === unresolved && !this.#isStored(entry))) continue
        // A delete has the timestamp of the record that caused it.
        changelog.append(entry, { value: noValue, start: -1, end: -1 }, record.timestamp, cause)
        set.delete(entry, this.spaceOf(entry), this.#keySlice(entry))
        continue
      }
      scratch.clear()
      scratch.i64(entry.timestamp)
      codec.write(entry.value, scratch)
      row.value = scratch.bytes
      row.end = scratch.length
      changelog.append(entry, row, entry.timestamp, cause)
      value.bytes = scratch.bytes
      value.end = scratch.length
      set.put(entry, this.spaceOf(entry), this.#keySlice(entry), value)
      this.resized(entry, scratch.length)
    }
    record.leave()
    set.storeTime = this.storeTime
    this.committedTime = this.storeTime
    updates.clear()
    this.#touched = 0
    this.expire()
  }

  /**
   * Whether the store contains a row that was put and deleted without being read. The changelog must depend only on the
   * rows and not on which of them were in memory, or a replay would write a different one.
   */
  #isStored(entry: OverlayEntry): boolean {
    return this.store.get(this.spaceOf(entry), this.localKey(entry)) !== undefined
  }

  /** The key as in the store. */
  protected localKey(entry: OverlayEntry): Uint8Array {
    return entry.slab.subarray(entry.keyStart, entry.keyEnd - this.changelogKeySuffix)
  }

  /** Bytes that wait for a flush. */
  get unflushedBytes(): number {
    return this.#open.bytes + this.#open.entries.length * dirtyEntryBytes
  }

  get hasUnflushed(): boolean {
    return this.#open.entries.length > 0
  }

  /**
   * Seals the open set, so that new commits go to the next one. The caller flushes it when the last commit in it is
   * durable.
   */
  seal(): FlushSet {
    assert(this.#sealed === null, `store ${this.spec.name} is being flushed already`)
    const set = this.#open
    this.#sealed = set
    this.#open = new FlushSet()
    // Not the clock of now: records that no commit contains yet have moved it.
    this.#open.storeTime = this.committedTime
    return set
  }

  /**
   * Brings the store to the position of the sealed set.
   *
   * Crash here: the store's transaction contains rows and position, or neither. If it is lost, the next start replays
   * the changelog from the older position; the rows are durable there.
   */
  async flush(set: FlushSet, clock: Clock): Promise<void> {
    assert(set === this.#sealed && set.position !== null, `store ${this.spec.name} flushes a set that is not due`)
    // Expired rows are left out: they can no longer be read, and this very flush may clear their space.
    for (let index = 0; index < set.entries.length; index++) {
      if (this.isExpiredAt(set.entries[index] as OverlayEntry, set.storeTime)) set.drop(index)
      if (index % entriesPerTurn === entriesPerTurn - 1) await clock.nextTurn()
    }
    await this.store.flush({
      clear: this.spacesToClear(set.storeTime),
      operations: set.take(),
      position: { ...set.position, storeTime: set.storeTime },
    })
    this.flushed(set)
    set.finish()
    this.#sealed = null
    this.evict()
  }

  /** Called when the store contains the set, before the set is finished. */
  protected flushed(_set: FlushSet): void {}

  /** The key as in the store; valid until the next call. */
  #keySlice(entry: OverlayEntry): Slice {
    const key = this.#key
    key.bytes = entry.slab
    key.start = entry.keyStart
    key.end = entry.keyEnd - this.changelogKeySuffix
    return key
  }

  /** Writes the bytes of a key. Throws CodecError, naming the store, if its codec does not take the key. */
  protected writeKey(key: unknown, to: ByteWriter): void {
    try {
      this.spec.key.write(key, to)
    } catch (error) {
      if (!(error instanceof CodecError)) throw error
      const reason = reasonFor(error.code, error)
      throw new CodecError(error.code, `the key for store ${this.spec.name}: ${reason}`, error.values, { cause: error })
    }
  }

  /**
   * Brings a key to `keyBytes[keyFrom, keyTo)`. The bytes of the current record are used as they are if the source has
   * the store's codec.
   */
  protected locate(key: unknown): void {
    const record = this.record
    const { source } = record
    if (
      key === undecoded ||
      (source !== null && key === record.key && source.keyCodec === this.#keyCodec && record.keyStart >= 0)
    ) {
      this.keyBytes = record.bytes
      this.keyFrom = record.keyStart
      this.keyTo = record.keyEnd
      return
    }
    const to = this.#located
    to.clear()
    this.writeKey(key, to)
    this.keyBytes = to.bytes
    this.keyFrom = 0
    this.keyTo = to.length
  }

  /** The key of a row, decoded from its bytes if it was not decoded before. */
  keyOf(entry: OverlayEntry): unknown {
    if (entry.key !== undecoded) return entry.key
    return this.spec.key.read(entry.slab, entry.keyStart, entry.keyEnd - this.rowKeySuffix)
  }

  /** Throws if the key is too long for a store. */
  protected checkKey(entry: OverlayEntry): void {
    const bytes = entry.keyEnd - entry.keyStart - this.changelogKeySuffix
    if (bytes <= storeKeyBytesMax) return
    throw new StreamsError(
      'PROCESSING_FAILED',
      `a key of ${bytes} bytes for store ${this.spec.name}, which takes at most ${storeKeyBytesMax}: use a shorter key, such as a digest of it, or filter the record out before`,
      { store: this.spec.name, bytes, bytesMax: storeKeyBytesMax },
    )
  }

  /** Sets an entry to a value that was read from the store. */
  protected load(entry: OverlayEntry, stored: Uint8Array): void {
    entry.timestamp = readTimestamp(stored)
    entry.value = this.spec.value.read(stored, timestampBytes, stored.length)
  }

  /** Notes the encoded size of the row. */
  protected resized(entry: OverlayEntry, valueBytes: number): void {
    this.cachedBytes += valueBytes - entry.valueBytes
    entry.valueBytes = valueBytes
  }

  /** Whether the row can no longer be read. In stores without a retention, no row expires. */
  protected isExpired(_entry: OverlayEntry): boolean {
    return false
  }

  /** Whether the row can no longer be read once the clock of the store is at that time. */
  protected isExpiredAt(_entry: OverlayEntry, _storeTime: number): boolean {
    return false
  }

  /** The spaces that a flush up to that time has to clear, because all of their rows have expired. */
  protected spacesToClear(_storeTime: number): readonly number[] {
    return []
  }

  /** Number of bytes at the end of the changelog's key that are not in the store's key. */
  protected abstract readonly changelogKeySuffix: number
  /** Number of bytes in the changelog's key after the key that callers use. */
  protected abstract readonly rowKeySuffix: number
  protected abstract spaceOf(entry: OverlayEntry): number
  /** Removes rows from memory that have expired and are not dirty. */
  protected abstract expire(): void
  /** Removes clean rows from memory until its bound is met. */
  protected abstract evict(): void
}

export interface ChangelogWriter {
  /** Writes one row, under its key in the entry's slab; a value that starts at -1 deletes it. Copies the bytes. */
  append(
    entry: OverlayEntry,
    row: { readonly value: Uint8Array; readonly start: number; readonly end: number },
    timestamp: number,
    cause: number,
  ): void
}

/** In the store, a value is preceded by its timestamp. */
export const timestampBytes = 8

export function readTimestamp(stored: Uint8Array): number {
  return readInt64(stored, 0)
}

export function readInt64(bytes: Uint8Array, at: number): number {
  const high =
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  const low =
    ((bytes[at + 4] as number) << 24) |
    ((bytes[at + 5] as number) << 16) |
    ((bytes[at + 6] as number) << 8) |
    (bytes[at + 7] as number)
  return high * 0x1_0000_0000 + (low >>> 0)
}

export function writeInt64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  bytes[at] = high >>> 24
  bytes[at + 1] = high >>> 16
  bytes[at + 2] = high >>> 8
  bytes[at + 3] = high
  bytes[at + 4] = value >>> 24
  bytes[at + 5] = value >>> 16
  bytes[at + 6] = value >>> 8
  bytes[at + 7] = value
}

const noCodec = ''
/** One of this many dirty rows is measured. */
const touchedPerSample = 64
const dirtyEntryBytes = 128
/** Bytes of an update in the columns of its generation. */
const updateBytes = 40
/** Rows that are looked at for a flush before the event loop runs. */
const entriesPerTurn = 4096
const noValue: Uint8Array = new Uint8Array(0)
