import { assert } from '../../../base/assert.ts'
import { ByteWriter } from '../../../base/bytes.ts'
import type { Clock } from '../../../base/clock.ts'
import { reasonFor } from '../../../base/coded-error.ts'
import { readInt64 } from '../../../base/int64.ts'
import { CodecError } from '../../../codec/codec-error.ts'
import { StreamsError } from '../../errors.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { OrderedStore, StorePosition } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { storeKeyBytesMax } from '../store-error.ts'
import type { Slice } from '../write-batch.ts'
import { FlushSet } from './flush-set.ts'
import { SpareMemory } from './spare-memory.ts'
import { UpdateLog } from './update-log.ts'

/**
 * The layer in memory on top of a store: all rows that the store does not contain yet, and clean rows that are worth
 * keeping.
 *
 * A row in memory has its newest value. It is *active* from its first update to the next commit; then *committed*, with
 * its bytes in the open {@link FlushSet} and in the staged changelog; then *flushing*, when that set is sealed and its
 * last commit is durable; then clean. A row can be in several of these states at once (a new update while an older value
 * is being flushed). The sets have copies of the bytes, so these do not interfere.
 *
 * Rows are numbers in window and session stores, which have the most of them ({@link RowOverlay}), and objects in the
 * others ({@link EntryOverlay}).
 *
 * Invariants
 * - The store never contains anything that is not durable in its changelog: `flush` is called only after the durable
 *   receipt.
 * - A row that is dirty or unflushed never leaves memory.
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
  /** Number of emitting stores between the sources and this one; stores emit in this order. */
  level = 0
  /**
   * Whether no node that receives emitted records reads their keys. The operator may then present their bytes and
   * forward `undecoded`. Set when the task is wired.
   */
  emitsKeyBytes = false
  /** Highest time of a row that was given to the store, -1 at first. Windows expire by it. */
  storeTime: number
  /** The value of `storeTime` at the last commit. */
  protected committedTime: number
  /** The end of the changelog after the newest commit whose placement is known. */
  position: StorePosition | null
  /** The updates of the current generation. */
  readonly updates: UpdateLog = new UpdateLog()
  /** Number of rows that the generation has changed. */
  protected touched = 0
  /** Estimated bytes of a value; it rises at once and falls slowly. */
  #sampledBytes = 0
  readonly #spare = new SpareMemory()
  #open: FlushSet = new FlushSet(1, this.#spare)
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
  /** The key of the row that is being written. Reused for each row, as the next two are. */
  protected readonly rowKey: Slice = { bytes: noValue, start: 0, end: 0 }
  /** Its timestamp and value, as in the store. */
  protected readonly stored: Slice = { bytes: noValue, start: 0, end: 0 }
  readonly #logged: Slice = { bytes: noValue, start: timestampBytes, end: 0 }
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

  /**
   * Continues with the clock that the last commit recorded: rows that expired before they were written moved it too.
   */
  resumeAt(storeTime: number): void {
    if (storeTime > this.storeTime) this.storeTime = storeTime
    this.committedTime = this.storeTime
  }

  get isDirty(): boolean {
    return this.updates.count > 0
  }

  /** Estimated bytes that wait for the next commit. */
  get dirtyBytes(): number {
    // A row that is emitted with the commit is written twice, to the changelog and downstream.
    const copies = this.emits ? 2 : 1
    return this.updates.count * updateBytes + this.touched * (dirtyEntryBytes + copies * this.#sampledBytes)
  }

  /**
   * Counts a row that becomes dirty. Its new value is measured now and then, because large values must not accumulate
   * beyond what one commit can contain.
   */
  protected touch(value: unknown): void {
    if (this.touched % touchedPerSample === 0) this.#sample(value)
    this.touched += 1
  }

  #sample(value: unknown): void {
    this.scratch.clear()
    if (value !== null) this.spec.value.write(value, this.scratch)
    const bytes = this.scratch.length
    // A whole number: with its first fraction, the engine would discard all code that it has compiled for overlays.
    this.#sampledBytes = Math.max(bytes, Math.ceil((this.#sampledBytes + bytes) / 2))
  }

  /** The last update of each changed row, as ascending places in {@link updates}. */
  lastUpdates(): Uint32Array {
    return this.updates.lastPlaces(this.touched)
  }

  /**
   * Reads something of the rows that the updates at `places[from, to)` changed, which are about to be emitted or frozen.
   * Rows are all over the memory, and waiting for one takes 50 to 80 ns. These reads do not depend on each other, so the
   * processor waits for all of them at once.
   */
  lookAhead(_places: Uint32Array, _from: number, _to: number): void {}

  /** Whether the changes of rows are forwarded at the commit. */
  abstract get emits(): boolean

  /** Forwards the change of the row of that update, which is its last one, since the row was last forwarded. */
  abstract emitAt(place: number): void

  /** Ends the generation: its rows are written to the changelog and into the open flush set. */
  freeze(changelog: ChangelogWriter): void {
    const { updates, record } = this
    const set = this.#open
    const places = this.lastUpdates()
    for (let from = 0; from < places.length; from += rowsAhead) {
      const to = Math.min(places.length, from + rowsAhead)
      this.lookAhead(places, from, to)
      this.#freezePart(places, from, to, changelog, set)
    }
    record.leave()
    set.storeTime = this.storeTime
    this.committedTime = this.storeTime
    updates.clear()
    this.touched = 0
    this.expire()
  }

  /** A method of its own for the sake of V8, see `mergePart` of the emission. */
  #freezePart(places: Uint32Array, from: number, to: number, changelog: ChangelogWriter, set: FlushSet): void {
    for (let index = from; index < to; index++) this.freezeAt(places[index] as number, changelog, set)
  }

  /**
   * Writes the row of that update, which is its last one, to the changelog and into the set; after this it is not dirty.
   */
  protected abstract freezeAt(place: number, changelog: ChangelogWriter, set: FlushSet): void

  /** Writes the row whose key is in `rowKey` to the changelog. After this, `rowKey` and `stored` are as in the store. */
  protected log(changelog: ChangelogWriter, value: unknown, timestamp: number, cause: number): void {
    const { stored, rowKey } = this
    const logged = this.#logged
    this.encode(value, timestamp)
    logged.bytes = stored.bytes
    logged.end = stored.end
    changelog.append(rowKey, logged, timestamp, cause)
    rowKey.end -= this.changelogKeySuffix
  }

  /** Encodes a value and its timestamp into `stored`. */
  protected encode(value: unknown, timestamp: number): void {
    const { scratch, stored } = this
    scratch.clear()
    scratch.i64(timestamp)
    this.spec.value.write(value, scratch)
    stored.bytes = scratch.bytes
    stored.end = scratch.length
  }

  /** Writes a tombstone for the row whose key is in `rowKey`, with the timestamp of the record that deleted it. */
  protected logDelete(changelog: ChangelogWriter, cause: number): void {
    changelog.append(this.rowKey, tombstone, this.record.timestamp, cause)
    this.rowKey.end -= this.changelogKeySuffix
  }

  /** Bytes that wait for a flush. */
  get unflushedBytes(): number {
    return this.#open.bytes + this.#open.count * dirtyEntryBytes
  }

  get hasUnflushed(): boolean {
    return this.#open.count > 0
  }

  /**
   * Seals the open set, so that new commits go to the next one. The caller flushes it when the last commit in it is
   * durable.
   */
  seal(): FlushSet {
    assert(this.#sealed === null, `store ${this.spec.name} is being flushed already`)
    const set = this.#open
    this.pack(set)
    this.#sealed = set
    this.#open = new FlushSet(set.number + 1, this.#spare)
    // Not the clock of now: records that no commit contains yet have moved it.
    this.#open.storeTime = this.committedTime
    return set
  }

  /** Packs the rows that are only noted in a set so far. */
  protected pack(_set: FlushSet): void {}

  /**
   * Brings the store to the position of the sealed set.
   *
   * Crash here: the store's transaction contains rows and position, or neither. If it is lost, the next start replays
   * the changelog from the older position; the rows are durable there.
   */
  async flush(set: FlushSet, clock: Clock): Promise<void> {
    assert(set === this.#sealed && set.position !== null, `store ${this.spec.name} flushes a set that is not due`)
    // Expired rows are left out: they can no longer be read, and this very flush may clear their space.
    const horizon = set.storeTime - this.retentionMs
    for (let index = 0; index < set.count; index += entriesPerTurn) {
      if (index > 0) await clock.nextTurn()
      set.dropExpired(horizon, index, index + entriesPerTurn)
    }
    const operations = await this.store.flush({
      clear: this.spacesToClear(set.storeTime),
      operations: set.take(),
      position: { ...set.position, storeTime: set.storeTime },
    })
    this.flushed(set)
    set.finish(operations)
    this.#sealed = null
    this.evict()
  }

  /** Called when the store contains the set, before the set is finished. */
  protected flushed(_set: FlushSet): void {}

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

  /**
   * For how long rows can be read, in milliseconds: those whose time is at most `storeTime` minus this have expired. In
   * stores without a retention, no row expires.
   */
  protected get retentionMs(): number {
    return Number.POSITIVE_INFINITY
  }

  /**
   * Throws if a key, as in the store, is too long for it. This is checked when a row is changed and not at the flush:
   * once such a key is committed, every restart would fail on it.
   */
  protected checkKey(bytes: number): void {
    if (bytes <= storeKeyBytesMax) return
    throw new StreamsError(
      'PROCESSING_FAILED',
      `a key of ${bytes} bytes for store ${this.spec.name}, which takes at most ${storeKeyBytesMax}: use a shorter key, such as a digest of it, or filter the record out before`,
      { store: this.spec.name, bytes, bytesMax: storeKeyBytesMax },
    )
  }

  /** The spaces that a flush up to that time has to clear, because all of their rows have expired. */
  protected spacesToClear(_storeTime: number): readonly number[] {
    return []
  }

  /** Number of bytes at the end of the changelog's key that are not in the store's key. */
  protected abstract readonly changelogKeySuffix: number
  /** Removes rows from memory that have expired and are not dirty. */
  protected abstract expire(): void
  /** Removes clean rows from memory until its bound is met. */
  protected abstract evict(): void
}

export interface ChangelogWriter {
  /** Writes one row; a value that starts at -1 deletes it. Copies the bytes. */
  append(key: Slice, value: Slice, timestamp: number, cause: number): void
}

/** In the store, a value is preceded by its timestamp. */
export const timestampBytes = 8

export function readTimestamp(stored: Uint8Array): number {
  return readInt64(stored, 0)
}

const noCodec = ''
/** One of this many dirty rows is measured. */
const touchedPerSample = 64
const dirtyEntryBytes = 128
/** Bytes of an update in the columns of its generation. */
const updateBytes = 40
/** Number of rows whose memory is asked for at a time: about as many reads as a core has in flight. */
export const rowsAhead = 16
/** Rows that are looked at for a flush before the event loop runs. */
const entriesPerTurn = 4096
const noValue: Uint8Array = new Uint8Array(0)
const tombstone: Slice = { bytes: noValue, start: -1, end: -1 }
