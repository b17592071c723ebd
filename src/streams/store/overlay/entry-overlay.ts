import { undecoded } from '../record-context.ts'
import { ByteSlabs } from './byte-slabs.ts'
import type { FlushSet } from './flush-set.ts'
import { type OverlayEntry, unresolved } from './overlay-entry.ts'
import { type ChangelogWriter, Overlay, readTimestamp, timestampBytes } from './overlay.ts'

/** An overlay that has an object for each row: its {@link OverlayEntry}. */
export abstract class EntryOverlay extends Overlay {
  /** Forwards the change of an entry since it was last forwarded; null if nothing is forwarded at commit. */
  emit: ((entry: OverlayEntry) => void) | null = null
  /** The entry that each update of the generation changed; null beyond their count. */
  readonly #updated: (OverlayEntry | null)[] = []
  /** What was read ahead. Nobody needs it, but without a use the engine would leave the reads out. */
  lastRead = 0
  protected readonly keySlabs: ByteSlabs = new ByteSlabs()

  override get emits(): boolean {
    return this.emit !== null
  }

  /** Gives an entry a new value, or null to delete it. `updateTime` is the timestamp of the record that caused it. */
  update(entry: OverlayEntry, value: unknown, timestamp: number, updateTime: number): void {
    if (entry.lastUpdate < 0) {
      this.checkKey(entry.keyEnd - entry.keyStart - this.changelogKeySuffix)
      this.touch(value)
      entry.forwarded = entry.value
      entry.forwardedTimestamp = entry.timestamp
      entry.isForwarded = false
    }
    entry.value = value
    entry.timestamp = timestamp
    const place = this.updates.add(entry.lastUpdate, this.record, updateTime, this.emit !== null)
    entry.lastUpdate = place
    this.#updated[place] = entry
  }

  override lookAhead(places: Uint32Array, from: number, to: number): void {
    const updated = this.#updated
    let read = 0
    for (let index = from; index < to; index++) read ^= (updated[places[index] as number] as OverlayEntry).keyStart
    for (let index = from; index < to; index++) {
      const { slab, keyStart } = updated[places[index] as number] as OverlayEntry
      read ^= slab[keyStart] as number
    }
    this.lastRead = read
  }

  override emitAt(place: number): void {
    const entry = this.#updated[place] as OverlayEntry
    entry.isForwarded = true
    this.emit?.(entry)
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

  override freeze(changelog: ChangelogWriter): void {
    const { count } = this.updates
    super.freeze(changelog)
    this.#updated.fill(null, 0, count)
  }

  protected override freezeAt(place: number, changelog: ChangelogWriter, set: FlushSet): void {
    const entry = this.#updated[place] as OverlayEntry
    entry.lastUpdate = -1
    const before = entry.forwarded
    entry.forwarded = null
    if (this.timeOf(entry) <= this.storeTime - this.retentionMs) return
    // An error in encoding the row or writing it to its changelog is reported with the record of its last update.
    this.updates.resume(place, this.record)
    const cause = this.updates.causes[place] as number
    const { rowKey } = this
    rowKey.bytes = entry.slab
    rowKey.start = entry.keyStart
    rowKey.end = entry.keyEnd
    const index = entry.flushSet === set ? entry.flushIndex : -1
    if (entry.value === null) {
      if (before === null || (before === unresolved && !this.#isStored(entry))) return
      this.logDelete(changelog, cause)
      this.#flushes(entry, set, set.delete(index, this.spaceOf(entry), rowKey, this.timeOf(entry)))
      return
    }
    this.log(changelog, entry.value, entry.timestamp, cause)
    this.#flushes(entry, set, set.put(index, this.spaceOf(entry), rowKey, this.stored, this.timeOf(entry)))
    this.resized(entry, this.stored.end)
  }

  #flushes(entry: OverlayEntry, set: FlushSet, index: number): void {
    if (entry.flushSet === set) return
    entry.flushSet = set
    entry.flushIndex = index
    set.entries.push(entry)
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

  /** The key of a row, decoded from its bytes if it was not decoded before. */
  keyOf(entry: OverlayEntry): unknown {
    if (entry.key !== undecoded) return entry.key
    return this.spec.key.read(entry.slab, entry.keyStart, entry.keyEnd - this.rowKeySuffix)
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

  /** The time by which an entry expires. */
  protected timeOf(_entry: OverlayEntry): number {
    return -1
  }

  /** Number of bytes in the changelog's key after the key that callers use. */
  protected abstract readonly rowKeySuffix: number
  protected abstract spaceOf(entry: OverlayEntry): number
}
