import { compareBytes, copyBytes, copyOf } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { SessionRow, SessionStore } from '../key-value-store.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { checkStoreTime, endsBeforeStart } from '../store-time.ts'
import { EndQueue } from './end-queue.ts'
import type { FlushSet } from './flush-set.ts'
import { KeySessions, sessionTimesBytes } from './key-sessions.ts'
import { isKeyOf, KeyTable } from './key-table.ts'
import { EntryOverlay } from './entry-overlay.ts'
import { entryOverheadBytes, OverlayEntry } from './overlay-entry.ts'
import { readInt64, readTimestamp, timestampBytes, writeInt64 } from './overlay.ts'
import { StoredKeys } from './stored-keys.ts'
import { sessionSpaceCount, WindowSpaces } from './window-spaces.ts'

/**
 * A session store in memory on top of one on disk: one table of keys, each with its sessions from the latest end to the
 * earliest. An entry's `timestamp` is the end of its session.
 *
 * - A session that grows becomes another row, because its times are part of its key: the old row is deleted and a new
 *   one is put. If the session was created in the current generation and has not been forwarded yet, its row is moved
 *   instead, which leaves nothing at the old place. So a key costs one row and one tombstone per commit, however many
 *   records it has.
 * - A tombstone stays in its key's list, as an entry without a value, until a flush has written it to the store, which
 *   until then still contains the row.
 * - The clock of the store is the highest end of a session that was put or deleted, even if there was nothing to
 *   delete. Lookups see only sessions with `end > clock - retention`. Older ones are removed from memory at the next
 *   commit, and their space is cleared by the flush that reuses it.
 * - `#completeFrom`: every row with an end of at least this is in memory. For earlier ends, a key's own list may still
 *   be known to be complete, and {@link StoredKeys} knows most keys that are certainly not in the store. Only otherwise
 *   is the store read, with one range per space.
 *
 * Layout, in changelog and store: `key | i64 end | i64 start`, as in Kafka.
 */
export class SessionOverlay extends EntryOverlay implements SessionStore<unknown, unknown> {
  readonly #spaces: WindowSpaces
  readonly #unlistedMs: number
  readonly #cacheBytesMax: number
  readonly #keys = new KeyTable<KeySessions>()
  /** All entries in memory. */
  readonly #byEnd = new EndQueue()
  /** Under `final`: sessions that {@link closed} has not returned yet; null if it is not used. */
  readonly #unclosed: EndQueue | null
  /** The highest end that `closed` was called with; up to there, every row is in memory or was returned. */
  #closedRead = -1
  /** The highest end that `closed` was called with. Sessions that end by then are no longer in `#unclosed`. */
  #handedOutTo = -1
  readonly #stored: StoredKeys
  #lastKey: KeySessions | null = null
  #completeFrom: number
  /** The last key that the store was read for without finding a row, from `#absentFrom` on. */
  #absentKey: Uint8Array | null = null
  #absentFrom = 0
  readonly #found: OverlayEntry[] = []

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    super(spec, store, record)
    this.#spaces = new WindowSpaces(spec.shape.kind === 'session' ? spec.shape.retentionMs : 0, sessionSpaceCount)
    this.#unlistedMs = (spec.shape.kind === 'session' ? spec.shape.unlistedMs : undefined) ?? 0
    this.#cacheBytesMax = cacheBytesMax
    this.#unclosed = spec.emit === 'final' ? new EndQueue() : null
    this.#stored = new StoredKeys(store, sessionSpaceCount, sessionTimesBytes)
    this.#completeFrom = this.#stored.isKnown ? Number.NEGATIVE_INFINITY : this.storeTime + 1
  }

  /** Sessions whose end is at most this have expired. */
  get #horizon(): number {
    return this.storeTime - this.#spaces.retentionMs
  }

  /**
   * Fills `found` with the sessions of a key that have `end >= earliestEnd` and `start <= latestStart`, by end, then by
   * start.
   */
  find(key: unknown, earliestEnd: number, latestStart: number, found: OverlayEntry[]): void {
    const low = Math.max(earliestEnd, this.#horizon + 1)
    const sessions = this.#complete(key, low)
    found.length = 0
    for (let entry = sessions?.latest ?? null; entry !== null && entry.timestamp >= low; entry = entry.older) {
      if (entry.start <= latestStart && entry.value !== null) found.push(entry)
    }
    if (found.length > 1) found.reverse()
  }

  /**
   * The row of exactly that session. If it is absent, the returned entry is not part of the store; {@link place} adds
   * one.
   */
  entry(key: unknown, start: number, end: number): OverlayEntry {
    const low = Math.max(end, this.#horizon + 1)
    const sessions = this.#complete(key, low)
    const entry = end < low ? null : (sessions?.at(start, end) ?? null)
    if (entry !== null) return entry
    this.locate(key)
    return this.#makeEntry(key, start, null, end)
  }

  /**
   * The row as seen by another table that is joined with it. Changes of rows are emitted at the commit, when the clock
   * has advanced, so rows that existed at the previous commit must still be visible.
   */
  partner(key: unknown, start: number, end: number): OverlayEntry | null {
    const time = this.record.isEmission ? this.committedTime : this.storeTime
    return end <= time - this.#spaces.retentionMs ? null : (this.#complete(key, end)?.at(start, end) ?? null)
  }

  /**
   * Returns the row for a session that replaces `merged`, which are sessions of one key that were just found. They are
   * deleted, or one of them is moved if it has not been forwarded yet. The caller sets the value with `update`.
   */
  replace(key: unknown, merged: readonly OverlayEntry[], start: number, end: number, updateTime: number): OverlayEntry {
    let spare: OverlayEntry | null = null
    for (const entry of merged) {
      if (spare === null && this.#isUnknown(entry)) spare = entry
      else this.remove(entry, updateTime)
    }
    if (spare === null) return this.place(key, start, end)
    const sessions = spare.rows as KeySessions
    const there = end > this.#horizon ? sessions.at(start, end) : null
    if (there !== null && there !== spare) {
      this.remove(spare, updateTime)
      return there
    }
    const wasHandedOut = spare.timestamp <= this.#handedOutTo
    sessions.unlink(spare)
    spare.start = start
    spare.timestamp = end
    writeInt64(spare.slab, spare.keyEnd - 16, end)
    writeInt64(spare.slab, spare.keyEnd - 8, start)
    sessions.insert(spare)
    // A session that was returned as closed and has grown since is returned once more, as a new row in its place would
    // be.
    if (wasHandedOut) this.#unclosed?.push(spare)
    return spare
  }

  /**
   * The row for that session, created if there is none. An expired session is not kept: its entry is not part of the
   * store.
   */
  place(key: unknown, start: number, end: number): OverlayEntry {
    const horizon = this.#horizon
    const low = Math.max(end, horizon + 1)
    const sessions = this.#complete(key, low)
    const there = end > horizon ? (sessions?.at(start, end) ?? null) : null
    if (there !== null) return there
    this.locate(key)
    const entry = this.#makeEntry(key, start, null, end)
    if (end > horizon) this.#add(sessions, entry, this.#absentLow(low))
    return entry
  }

  /** Deletes a session. */
  remove(entry: OverlayEntry, updateTime: number): void {
    const forgotten = this.#isUnknown(entry)
    this.update(entry, null, entry.timestamp, updateTime)
    if (forgotten) this.#forget(entry)
  }

  /**
   * Whether the row was absent at the beginning of the generation and has not been forwarded since, so it can vanish
   * without a trace.
   */
  #isUnknown(entry: OverlayEntry): boolean {
    return (
      entry.rows !== null &&
      entry.lastUpdate >= 0 &&
      entry.forwarded === null &&
      !entry.isForwarded &&
      !entry.isUnflushed
    )
  }

  override update(entry: OverlayEntry, value: unknown, end: number, updateTime: number): void {
    this.observe(end)
    super.update(entry, value, end, updateTime)
  }

  /** Advances the clock to the end of a session that was put or deleted, even if there is nothing to keep or delete. */
  observe(end: number): void {
    if (end > this.storeTime) this.storeTime = end
  }

  put(key: unknown, value: unknown, start: number, end: number): void {
    checkStoreTime(this.spec.name, 'the start of a session', start)
    checkStoreTime(this.spec.name, 'the end of a session', end)
    if (end < start) throw endsBeforeStart(this.spec.name, start, end)
    const { timestamp } = this.record
    this.observe(end)
    if (value !== null) {
      if (end > this.#horizon) this.update(this.place(key, start, end), value, end, timestamp)
      return
    }
    const entry = this.entry(key, start, end)
    if (entry.value !== null) this.remove(entry, timestamp)
  }

  fetchSession(key: unknown, start: number, end: number): unknown {
    return this.entry(key, start, end).value
  }

  findSessions(key: unknown, earliestEnd: number, latestStart: number): IterableIterator<SessionRow<unknown, unknown>> {
    this.find(key, earliestEnd, latestStart, this.#found)
    const rows = this.#found.map((entry) => this.#rowOf(entry))
    this.#found.length = 0
    return rows.values()
  }

  fetch(key: unknown): IterableIterator<SessionRow<unknown, unknown>> {
    return this.findSessions(key, this.#horizon + 1 + this.#unlistedMs, Number.POSITIVE_INFINITY)
  }

  all(): IterableIterator<SessionRow<unknown, unknown>> {
    return this.rows()
      .map((entry) => this.#rowOf(entry))
      .values()
  }

  #rowOf(entry: OverlayEntry): SessionRow<unknown, unknown> {
    return { key: this.keyOf(entry), start: entry.start, end: entry.timestamp, value: entry.value }
  }

  /** All sessions within the listed time, by end, then by start, then by the keys' bytes. */
  rows(): readonly OverlayEntry[] {
    const from = this.#horizon + 1 + this.#unlistedMs
    if (from < this.#completeFrom) this.#readAll(from, this.#completeFrom - 1)
    const found: OverlayEntry[] = []
    for (const sessions of this.#keys.values()) {
      for (let entry = sessions.latest; entry !== null && entry.timestamp >= from; entry = entry.older) {
        if (entry.value !== null) found.push(entry)
      }
    }
    return found.sort(compareSessions)
  }

  /**
   * Sessions with `from <= end <= to`, expired or not, by end, then by start, then by the keys' bytes. Each is returned
   * once; called with rising times, the cost depends only on the number of returned sessions.
   */
  closed(from: number, to: number): readonly OverlayEntry[] {
    const queue = this.#unclosed
    if (queue === null) return []
    if (to > this.#handedOutTo) this.#handedOutTo = to
    if (to > this.#closedRead && from < this.#completeFrom) {
      // Reads some way ahead, so that the next session that closes does not cause another pass.
      const ahead = to + Math.ceil(this.#spaces.retentionMs / readAheadsPerRetention)
      this.#readAll(from, Math.min(ahead, this.#completeFrom - 1))
      this.#closedRead = ahead
    }
    const found: OverlayEntry[] = []
    for (let entry = queue.take(to); entry !== null; entry = queue.take(to)) {
      if (entry.value !== null && entry.timestamp >= from) found.push(entry)
    }
    return found.length > 1 ? found.sort(compareSessions) : found
  }

  /** Number of rows in memory. */
  get entryCount(): number {
    let count = 0
    for (const sessions of this.#keys.values()) {
      for (let entry = sessions.latest; entry !== null; entry = entry.older) count += 1
    }
    return count
  }

  /** The sessions of a key, or null if it has none. All that end at `low` or later are in memory then. */
  #complete(key: unknown, low: number): KeySessions | null {
    this.locate(key)
    const { keyBytes, keyFrom, keyTo } = this
    const last = this.#lastKey
    let sessions: KeySessions | null
    let hash: number
    if (last !== null && isKeyOf(last, keyBytes, keyFrom, keyTo)) {
      sessions = last
      hash = last.keyHash
    } else {
      hash = murmur2(keyBytes, keyFrom, keyTo)
      sessions = this.#keys.get(keyBytes, keyFrom, keyTo, hash)
      if (sessions !== null) this.#lastKey = sessions
    }
    if (low >= this.#completeFrom || (sessions !== null && low >= sessions.completeFrom)) return sessions
    return this.#readKey(sessions, hash, low)
  }

  /** Loads the store's rows of the located key into memory, from `low` on. */
  #readKey(sessions: KeySessions | null, hash: number, low: number): KeySessions | null {
    const upTo = Math.min(this.#completeFrom, sessions?.completeFrom ?? Number.POSITIVE_INFINITY) - 1
    if (!this.#stored.mayHave(hash)) {
      if (sessions !== null) sessions.completeFrom = low
      return sessions
    }
    const key = copyOf(this.keyBytes, this.keyFrom, this.keyTo)
    const from = keyWithEnd(key, Math.max(0, low))
    const to = keyWithEnd(key, Math.min(upTo, this.storeTime) + 1)
    let found = 0
    for (let space = 0; space < sessionSpaceCount; space++) {
      for (const item of this.store.range(space, { from, to, reverse: false })) {
        // The row of a longer key may sort between two ends of this one.
        if (item.key.length !== key.length + sessionTimesBytes) continue
        if (compareBytes(item.key.subarray(0, key.length), key) !== 0) continue
        this.#take(item.key, item.value)
        found += 1
      }
    }
    this.#stored.asked(found)
    const now = this.#keys.get(key, 0, key.length, hash)
    if (now === null) {
      this.#absentKey = key
      this.#absentFrom = low
    } else if (low < now.completeFrom) {
      now.completeFrom = low
    }
    return now
  }

  /** The lowest end from which on the located key, which has no rows in memory, is known to have none in the store. */
  #absentLow(low: number): number {
    const known = Math.min(low, this.#completeFrom)
    const key = this.#absentKey
    if (key === null || compareBytes(key, this.keyBytes.subarray(this.keyFrom, this.keyTo)) !== 0) return known
    return Math.min(known, this.#absentFrom)
  }

  /** Loads the store's rows with `from <= end <= to` into memory. */
  #readAll(from: number, to: number): void {
    for (let space = 0; space < sessionSpaceCount; space++) {
      for (const item of this.store.range(space, { from: new Uint8Array(0), to: null, reverse: false })) {
        const end = readInt64(item.key, item.key.length - sessionTimesBytes)
        if (end >= from && end <= to) this.#take(item.key, item.value)
      }
    }
  }

  /** Loads a row of the store, unless memory already has that session. */
  #take(storeKey: Uint8Array, stored: Uint8Array): void {
    const keyTo = storeKey.length - sessionTimesBytes
    const end = readInt64(storeKey, keyTo)
    const start = readInt64(storeKey, keyTo + 8)
    const hash = murmur2(storeKey, 0, keyTo)
    const sessions = this.#keys.get(storeKey, 0, keyTo, hash)
    if (sessions !== null && sessions.at(start, end) !== null) return
    this.keyBytes = storeKey
    this.keyFrom = 0
    this.keyTo = keyTo
    const value = this.spec.value.read(stored, timestampBytes, stored.length)
    const entry = this.#makeEntry(undecoded, start, value, readTimestamp(stored))
    this.#add(sessions, entry, this.#completeFrom)
    this.resized(entry, stored.length)
  }

  /** A new entry for the located key, with its bytes in a slab; it is not part of the store yet. */
  #makeEntry(key: unknown, start: number, value: unknown, end: number): OverlayEntry {
    const entry = new OverlayEntry(key, start, value, end)
    const { keyFrom, keyTo, keySlabs } = this
    const length = keyTo - keyFrom
    keySlabs.reserve(length + sessionTimesBytes)
    const slab = keySlabs.slab
    const at = keySlabs.start
    copyBytes(this.keyBytes, keyFrom, keyTo, slab, at)
    writeInt64(slab, at + length, end)
    writeInt64(slab, at + length + 8, start)
    entry.slab = slab
    entry.keyStart = at
    entry.keyEnd = at + length + sessionTimesBytes
    return entry
  }

  /**
   * Adds an entry to the list of its key. If `found` is null, it is the first one, and all of the key's rows from
   * `completeFrom` on are in memory.
   */
  #add(found: KeySessions | null, entry: OverlayEntry, completeFrom: number): void {
    if (found === null) {
      const hash = murmur2(entry.slab, entry.keyStart, entry.keyEnd - sessionTimesBytes)
      const sessions = new KeySessions(hash, entry, completeFrom)
      this.#keys.add(sessions)
      this.#lastKey = sessions
      this.cachedBytes += keyOverheadBytes
    } else {
      found.insert(entry)
    }
    this.#byEnd.push(entry)
    this.#unclosed?.push(entry)
    this.cachedBytes += entryOverheadBytes
  }

  /** Removes an entry that is still in the queues. */
  #forget(entry: OverlayEntry): void {
    this.#unlink(entry)
    this.#byEnd.left()
    this.#unclosed?.left()
  }

  #unlink(entry: OverlayEntry): KeySessions {
    const sessions = entry.rows as KeySessions
    sessions.remove(entry)
    this.cachedBytes -= entryOverheadBytes + entry.valueBytes
    if (sessions.latest === null) {
      this.#keys.delete(sessions)
      this.cachedBytes -= keyOverheadBytes
      if (this.#lastKey === sessions) this.#lastKey = null
    }
    return sessions
  }

  protected override readonly changelogKeySuffix = 0

  protected override readonly rowKeySuffix: number = sessionTimesBytes

  protected override spaceOf(entry: OverlayEntry): number {
    return this.#spaces.spaceOf(entry.timestamp)
  }

  protected override spacesToClear(storeTime: number): readonly number[] {
    const spaces = this.#spaces.cleared(this.store.position?.storeTime ?? -1, storeTime)
    // These spaces contain only expired rows, so their keys can be forgotten.
    for (const space of spaces) this.#stored.cleared(space)
    return spaces
  }

  protected override get retentionMs(): number {
    return this.#spaces.retentionMs
  }

  protected override timeOf(entry: OverlayEntry): number {
    return entry.timestamp
  }

  protected override resized(entry: OverlayEntry, valueBytes: number): void {
    if (entry.rows !== null) super.resized(entry, valueBytes)
  }

  protected override flushed(set: FlushSet): void {
    for (let index = 0; index < set.entries.length; index++) {
      const entry = set.entries[index] as OverlayEntry
      if (entry.value === null && entry.lastUpdate < 0 && entry.flushSet === set && entry.rows !== null)
        this.#forget(entry)
    }
  }

  protected override expire(): void {
    const horizon = this.#horizon
    for (let entry = this.#byEnd.take(horizon); entry !== null; entry = this.#byEnd.take(horizon)) {
      this.#unlink(entry)
      this.#unclosed?.left()
    }
  }

  /** Evicts the sessions that ended first, because records that belong to them are the least likely. */
  protected override evict(): void {
    this.#absentKey = null
    const kept: OverlayEntry[] = []
    while (this.cachedBytes > this.#cacheBytesMax && kept.length < keptPerEviction) {
      const entry = this.#byEnd.take(Number.MAX_VALUE)
      if (entry === null) break
      if (entry.lastUpdate >= 0 || entry.isUnflushed) {
        kept.push(entry)
        continue
      }
      const sessions = this.#unlink(entry)
      this.#unclosed?.left()
      this.#stored.add(sessions.keyHash, this.#spaces.spaceOf(entry.timestamp))
      const from = entry.timestamp + 1
      if (sessions.completeFrom < from) sessions.completeFrom = from
      if (this.#completeFrom < from) this.#completeFrom = from
      // Under `final`, it has to be read again before it can be returned as closed.
      if (this.#closedRead >= entry.timestamp) this.#closedRead = entry.timestamp - 1
    }
    for (const entry of kept) this.#byEnd.push(entry)
  }
}

function compareSessions(left: OverlayEntry, right: OverlayEntry): number {
  return (
    left.timestamp - right.timestamp ||
    left.start - right.start ||
    compareBytes(
      left.slab.subarray(left.keyStart, left.keyEnd - sessionTimesBytes),
      right.slab.subarray(right.keyStart, right.keyEnd - sessionTimesBytes),
    )
  )
}

function keyWithEnd(key: Uint8Array, end: number): Uint8Array {
  const bytes = new Uint8Array(key.length + 8)
  bytes.set(key)
  writeInt64(bytes, key.length, end)
  return bytes
}

const keyOverheadBytes = 120
const readAheadsPerRetention = 64
/** Number of entries that cannot be evicted yet and are skipped before eviction waits for the next flush. */
const keptPerEviction = 1024
