import { assert } from '../../base/assert.ts'
import { ByteWriter } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { StreamsError } from '../errors.ts'
import type { StoreSpec } from '../topology/node.ts'
import { ByteSlabs } from './byte-slabs.ts'
import { FlushSet } from './flush-set.ts'
import type { OrderedStore, StorePosition } from './ordered-store.ts'
import { unresolved, type OverlayEntry } from './overlay-entry.ts'
import { undecoded, type RecordContext } from './record-context.ts'
import { storeKeyBytesMax } from './store-error.ts'
import { UpdateLog } from './update-log.ts'
import { WriteBatch } from './write-batch.ts'

/**
 * What stands above a store: all rows that the store does not hold yet, and the clean ones that are worth keeping.
 *
 * A row has one entry with its newest value. Its life: *active* from its first update to the next commit; then
 * *committed*: its bytes stand in the open {@link FlushSet} and in the staged changelog; then *flushing*, when that set
 * is sealed and its last commit durable; then clean. An entry can be in several of these at once (a new update while an
 * older value is being flushed): the sets hold bytes of their own, so neither disturbs the other.
 *
 * Invariants
 * - The store never holds what is not durable in its changelog: `flush` is called after the durable receipt only.
 * - An entry that is dirty or unflushed never leaves memory.
 * - The changelog gets a row once per commit, however often it was updated: its newest value, in order of last update.
 * - A row that was absent before a generation and is absent after it leaves nothing.
 *
 * Deliberately absent: undoing a generation. Whatever aborts a commit throws the whole overlay away and restores the
 * store from its changelog, which is the one path back that is tested by every restart.
 */
export abstract class Overlay {
  readonly spec: StoreSpec
  readonly store: OrderedStore
  readonly record: RecordContext
  /** Forwards what became of an entry since it was last forwarded; null: nobody listens at commit. */
  emit: ((entry: OverlayEntry) => void) | null = null
  /** How many emitting stores stand between the sources and this one: emission goes by this order. */
  level = 0
  /**
   * Nobody behind `emit` reads keys: those who emit may leave the key to {@link presentKey} and forward `undecoded`. Set
   * when the task is wired.
   */
  emitsKeyBytes = false
  /** Newest row time that the store was given, -1 at first. Windows expire by it. */
  storeTime: number
  /** What `storeTime` was at the last commit. */
  protected committedTime: number
  /** Where the changelog ends for the newest commit whose placement is known. */
  position: StorePosition | null
  readonly #updates = new UpdateLog()
  #touched = 0
  /** About how many bytes a value takes; goes up at once and down slowly. */
  #sampledBytes = 0
  #open: FlushSet = new FlushSet()
  #sealed: FlushSet | null = null
  /** Where a key stands that was brought to bytes by {@link locate}, until the next one is. */
  protected keyBytes: Uint8Array = noValue
  protected keyFrom = 0
  protected keyTo = 0
  /** What `locate` encodes to. */
  readonly #located = new ByteWriter(64)
  /** Id of the keys' codec if keys are told from others by bytes as they came, else one that no source has. */
  readonly #keyCodec: string
  protected readonly keySlabs: ByteSlabs = new ByteSlabs()
  /** Filled for each packed row. */
  readonly #slices = { key: { bytes: noValue, start: 0, end: 0 }, value: { bytes: noValue, start: 0, end: 0 } }
  protected readonly scratch: ByteWriter = new ByteWriter(256)

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext) {
    this.spec = spec
    this.store = store
    this.record = record
    this.#keyCodec = spec.key.check === undefined ? noCodec : spec.key.id
    this.position = store.position
    this.storeTime = store.position?.storeTime ?? -1
    this.committedTime = this.storeTime
    // A flush before the first commit must not turn the store's clock back.
    this.#open.storeTime = this.storeTime
  }

  /** Gives an entry a new value, null to delete it. `updateTime` is the timestamp of the record that did it. */
  update(entry: OverlayEntry, value: unknown, timestamp: number, updateTime: number): void {
    if (entry.lastUpdate < 0) {
      // Here and not at the flush: behind its commit a key that no store holds would stop every restart.
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

  /** Whether the entry holds a value that nobody downstream has been given yet: it leaves with the commit. */
  isHeldBack(entry: OverlayEntry): boolean {
    return this.emit !== null && entry.lastUpdate >= 0 && !entry.isForwarded
  }

  /**
   * The value that was last forwarded, with its timestamp in the entry. A put that did not ask what was there is asked now:
   * the store has it, for what it lacks never leaves memory.
   */
  forwardedValue(entry: OverlayEntry): unknown {
    if (entry.forwarded !== unresolved) return entry.forwarded
    const stored = this.store.get(this.spaceOf(entry), this.localKey(entry))
    entry.forwarded = stored === undefined ? null : this.spec.value.read(stored, timestampBytes, stored.length)
    entry.forwardedTimestamp = stored === undefined ? -1 : readTimestamp(stored)
    return entry.forwarded
  }

  /** Puts the key's bytes, as the store has them, where the sinks find those of the record in process. */
  presentKey(entry: OverlayEntry): void {
    const record = this.record
    record.bytes = entry.slab
    record.keyStart = entry.keyStart
    record.keyEnd = entry.keyEnd - this.changelogKeySuffix
  }

  /** The clock as the last commit recorded it: rows that came and went before they were written moved it too. */
  resumeAt(storeTime: number): void {
    if (storeTime > this.storeTime) this.storeTime = storeTime
    this.committedTime = this.storeTime
  }

  get isDirty(): boolean {
    return this.#updates.count > 0
  }

  /** An estimate of what waits for the next commit. */
  get dirtyBytes(): number {
    // A row that is emitted with the commit is there twice, in the changelog and in what goes downstream.
    const copies = this.emit === null ? 1 : 2
    return this.#updates.count * updateBytes + this.#touched * (dirtyEntryBytes + copies * this.#sampledBytes)
  }

  /** Large values must not gather beyond what one commit takes, so now and then one is measured. */
  #sample(value: unknown): void {
    this.scratch.clear()
    if (value !== null) this.spec.value.write(value, this.scratch)
    const bytes = this.scratch.length
    this.#sampledBytes = Math.max(bytes, (this.#sampledBytes + bytes) / 2)
  }

  /** The updates that are the last of their rows, by place in {@link updates}, in order. */
  lastUpdates(): Uint32Array {
    return this.#updates.lastPlaces(this.#touched)
  }

  /** What the generation did so far. */
  get updates(): UpdateLog {
    return this.#updates
  }

  /** Ends the generation: its rows go to the changelog and into the open flush set. */
  freeze(changelog: ChangelogWriter): void {
    const updates = this.#updates
    const codec = this.spec.value
    const scratch = this.scratch
    const set = this.#open
    const record = this.record
    const row = { value: noValue, start: timestampBytes, end: 0 }
    for (let place = 0; place < updates.count; place++) {
      const entry = updates.entries[place] as OverlayEntry
      if (entry.lastUpdate !== place) continue
      entry.lastUpdate = -1
      const before = entry.forwarded
      entry.forwarded = null
      if (this.isExpired(entry)) continue
      // A row that cannot be encoded, or that its changelog does not take, is told with the record of its last update.
      updates.resume(place, record)
      const cause = updates.causes[place] as number
      if (entry.value === null) {
        if (before === null || (before === unresolved && !this.#isStored(entry))) continue
        // A delete leaves at the time of the record that did it.
        changelog.append(entry, { value: noValue, start: -1, end: -1 }, record.timestamp, cause)
        set.delete(entry)
        continue
      }
      scratch.clear()
      scratch.i64(entry.timestamp)
      codec.write(entry.value, scratch)
      row.value = scratch.bytes
      row.end = scratch.length
      changelog.append(entry, row, entry.timestamp, cause)
      set.put(entry, scratch.bytes, 0, scratch.length)
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
   * Whether the store holds a row that was put and deleted without being read. What the changelog says must follow from
   * the rows alone, not from which of them stood in memory, or a replay would write another one.
   */
  #isStored(entry: OverlayEntry): boolean {
    return this.store.get(this.spaceOf(entry), this.localKey(entry)) !== undefined
  }

  /** The key as the store has it. */
  protected localKey(entry: OverlayEntry): Uint8Array {
    return entry.slab.subarray(entry.keyStart, entry.keyEnd - this.changelogKeySuffix)
  }

  /** Bytes that wait to be flushed. */
  get unflushedBytes(): number {
    return this.#open.bytes + this.#open.entries.length * dirtyEntryBytes
  }

  get hasUnflushed(): boolean {
    return this.#open.entries.length > 0
  }

  /** Closes the open set for new commits. The caller flushes it when the last commit in it is durable. */
  seal(): FlushSet {
    assert(this.#sealed === null, `store ${this.spec.name} is being flushed already`)
    const set = this.#open
    this.#sealed = set
    this.#open = new FlushSet()
    this.#open.storeTime = this.storeTime
    return set
  }

  /**
   * Brings the store to where the sealed set ends.
   *
   * Crash here: the store's transaction holds rows and position or neither. Without it the next start replays the
   * changelog from the older position; the rows are durable there.
   */
  async flush(set: FlushSet, clock: Clock): Promise<void> {
    assert(set === this.#sealed && set.position !== null, `store ${this.spec.name} flushes a set that is not due`)
    const batch = new WriteBatch(set.bytes + set.entries.length * packedEntryBytes)
    for (let index = 0; index < set.entries.length; index++) {
      this.#pack(batch, set, index)
      if (index % entriesPerTurn === entriesPerTurn - 1) await clock.nextTurn()
    }
    await this.store.flush({
      clear: this.spacesToClear(set.storeTime),
      operations: batch.take(),
      position: { ...set.position, storeTime: set.storeTime },
    })
    this.flushed(set)
    set.finish()
    this.#sealed = null
    this.evict()
  }

  /** The store holds the set from now on; it is not finished yet. */
  protected flushed(_set: FlushSet): void {}

  /** Expired rows stay out: nobody can read them, and their space may be cleared in this very flush. */
  #pack(batch: WriteBatch, set: FlushSet, index: number): void {
    const entry = set.entries[index] as OverlayEntry
    if (this.isExpiredAt(entry, set.storeTime)) return
    const { key, value } = this.#slices
    key.bytes = entry.slab
    key.start = entry.keyStart
    key.end = entry.keyEnd - this.changelogKeySuffix
    const start = set.valueStarts[index] as number
    if (start < 0) {
      batch.deleteSlice(this.spaceOf(entry), key)
      return
    }
    value.bytes = set.slabs[index] as Uint8Array
    value.start = start
    value.end = set.valueEnds[index] as number
    batch.putSlices(this.spaceOf(entry), key, value)
  }

  /**
   * Brings a key to `keyBytes[keyFrom, keyTo)`. That of the record in process stands there already, if the source's codec
   * is the store's.
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
    this.spec.key.write(key, to)
    this.keyBytes = to.bytes
    this.keyFrom = 0
    this.keyTo = to.length
  }

  /** The key of a row, read from its bytes where nobody decoded it. */
  keyOf(entry: OverlayEntry): unknown {
    if (entry.key !== undecoded) return entry.key
    return this.spec.key.read(entry.slab, entry.keyStart, entry.keyEnd - this.rowKeySuffix)
  }

  /** Throws where no store could hold the key. */
  protected checkKey(entry: OverlayEntry): void {
    const bytes = entry.keyEnd - entry.keyStart - this.changelogKeySuffix
    if (bytes <= storeKeyBytesMax) return
    throw new StreamsError(
      'PROCESSING_FAILED',
      `a key of ${bytes} bytes for store ${this.spec.name}, which takes at most ${storeKeyBytesMax}: use a shorter key, such as a digest of it, or filter the record out before`,
      { store: this.spec.name, bytes, bytesMax: storeKeyBytesMax },
    )
  }

  /** Puts the value of a row that the store gave into an entry. */
  protected load(entry: OverlayEntry, stored: Uint8Array): void {
    entry.timestamp = readTimestamp(stored)
    entry.value = this.spec.value.read(stored, timestampBytes, stored.length)
  }

  /** How many bytes of the changelog's key the store's key leaves off at the end. */
  protected abstract readonly changelogKeySuffix: number
  /** How many bytes of the changelog's key stand behind the key that the row was asked for by. */
  protected abstract readonly rowKeySuffix: number
  protected abstract spaceOf(entry: OverlayEntry): number
  protected abstract spacesToClear(storeTime: number): readonly number[]
  protected abstract isExpired(entry: OverlayEntry): boolean
  protected abstract isExpiredAt(entry: OverlayEntry, storeTime: number): boolean
  /** The row now takes that many bytes. */
  protected abstract resized(entry: OverlayEntry, valueBytes: number): void
  /** Forgets rows that have expired and are not dirty. */
  protected abstract expire(): void
  /** Lets clean rows go until the bound on memory holds. */
  protected abstract evict(): void
}

export interface ChangelogWriter {
  /** One row, under its key in the entry's slab; a value that starts at -1 deletes it. Copies. */
  append(
    entry: OverlayEntry,
    row: { readonly value: Uint8Array; readonly start: number; readonly end: number },
    timestamp: number,
    cause: number,
  ): void
}

/** Locally a value stands behind its timestamp. */
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
/** One in so many dirty rows is measured. */
const touchedPerSample = 64
const dirtyEntryBytes = 128
/** What an update takes in the columns of its generation. */
const updateBytes = 40
/** Rows packed for a flush before the event loop gets its turn. */
const entriesPerTurn = 4096
const noValue: Uint8Array = new Uint8Array(0)
/** About what a packed row takes beside its value. */
const packedEntryBytes = 56
