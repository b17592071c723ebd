import { compareBytes, copyOf } from '../../../base/bytes.ts'
import { readInt64, writeInt64 } from '../../../base/int64.ts'
import { empty } from '../../../base/lists.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import type { StoreSpec } from '../../topology/node.ts'
import type { SessionRow, SessionStore } from '../key-value-store.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { undecoded, type RecordContext } from '../record-context.ts'
import { checkStoreTime, endsBeforeStart } from '../store-time.ts'
import { EndQueue } from './end-queue.ts'
import type { FlushSet } from './flush-set.ts'
import { type ChangelogWriter, readTimestamp, timestampBytes } from './overlay.ts'
import { RowKeys, sessionSuffixBytes } from './row-keys.ts'
import { RowOverlay } from './row-overlay.ts'
import {
  doublesPerRow,
  flushField,
  integersPerRow,
  olderField,
  rowOverheadBytes,
  slotField,
  timestampField,
  valueBytesField,
} from './rows.ts'
import { SessionCoverage } from './session-coverage.ts'
import { SessionRows } from './session-rows.ts'
import { sessionSpaceCount, WindowSpaces } from './window-spaces.ts'

/**
 * A session store in memory on top of one on disk: one table of keys, each with its sessions from the latest end to the
 * earliest. The timestamp of a row is the end of its session.
 *
 * - A session that grows becomes another row, because its times are part of its key: the old row is deleted and a new
 *   one is put. If the session was created in the current generation and has not been forwarded yet, its row is moved
 *   instead, which leaves nothing at the old place. So a key costs one row and one tombstone per commit, however many
 *   records it has.
 * - A tombstone stays in its key's list, as a row without a value, until a flush has written it to the store, which
 *   until then still contains the row.
 * - The clock of the store is the highest end of a session that was put or deleted, even if there was nothing to
 *   delete. Lookups see only sessions with `end > clock - retention`. Older ones are removed from memory at the next
 *   commit, and their space is cleared by the flush that reuses it.
 * - What memory lacks is known ({@link SessionCoverage}). Only for that the store is read, with one range per space.
 *
 * Layout, in changelog and store: `key | i64 end | i64 start`, as in Kafka.
 */
export class SessionOverlay extends RowOverlay<SessionRows> implements SessionStore<unknown, unknown> {
  readonly #unlistedMs: number
  readonly #cacheBytesMax: number
  /** All rows in memory. */
  readonly #byEnd = new EndQueue(this.columns)
  /** Under `final`: sessions that {@link closed} has not returned yet; null if it is not used. */
  readonly #unclosed: EndQueue | null
  /** The highest end that `closed` was called with; up to there, every row is in memory or was returned. */
  #closedRead = -1
  /** The highest end that `closed` was called with. Sessions that end by then are no longer in `#unclosed`. */
  #handedOutTo = -1
  readonly #coverage: SessionCoverage
  /** Rows of sessions that had expired when they were put. They are not part of the store and live until the commit. */
  readonly #strays: number[] = []
  /** The tombstones in each flush set that the store does not contain yet. */
  readonly #tombstones = new Map<number, number[]>()
  readonly #found: number[] = []

  constructor(spec: StoreSpec, store: OrderedStore, record: RecordContext, cacheBytesMax: number) {
    const spaces = new WindowSpaces(spec.shape.kind === 'session' ? spec.shape.retentionMs : 0, sessionSpaceCount)
    super(spec, store, record, new SessionRows(new RowKeys(sessionSuffixBytes)), spaces)
    this.#unlistedMs = (spec.shape.kind === 'session' ? spec.shape.unlistedMs : undefined) ?? 0
    this.#cacheBytesMax = cacheBytesMax
    this.#unclosed = spec.emit === 'final' ? new EndQueue(this.columns) : null
    this.#coverage = new SessionCoverage(store, this.keys, this.storeTime)
  }

  /**
   * Fills `found` with the sessions of a key that have `end >= earliestEnd` and `start <= latestStart`, by end, then by
   * start.
   */
  find(key: unknown, earliestEnd: number, latestStart: number, found: number[]): void {
    const low = Math.max(earliestEnd, this.horizon + 1)
    const of = this.#complete(key, low)
    empty(found)
    if (of < 0) return
    const rows = this.columns
    const { doubles, integers } = rows
    let row = this.keys.newestOf(of)
    while (row >= 0 && (doubles[row * doublesPerRow + timestampField] as number) >= low) {
      if ((doubles[row * doublesPerRow] as number) <= latestStart && rows.value(row) !== null) found.push(row)
      row = integers[row * integersPerRow + olderField] as number
    }
    if (found.length > 1) found.reverse()
  }

  /** The row of exactly that session, or -1. */
  existing(key: unknown, start: number, end: number): number {
    return end <= this.horizon ? -1 : this.#at(this.#complete(key, end), start, end)
  }

  #at(key: number, start: number, end: number): number {
    return key < 0 ? -1 : this.columns.at(key, start, end)
  }

  /**
   * The row as seen by another table that is joined with it, or -1. Changes of rows are emitted at the commit, when the
   * clock has advanced, so rows that existed at the previous commit must still be visible.
   */
  partner(key: unknown, start: number, end: number): number {
    const time = this.record.isEmission ? this.committedTime : this.storeTime
    return end <= time - this.spaces.retentionMs ? -1 : this.#at(this.#complete(key, end), start, end)
  }

  /**
   * Returns the row for a session that replaces `merged`, which are sessions of one key that were just found. They are
   * deleted, or one of them is moved if it has not been forwarded yet. The caller sets the value with `update`.
   */
  replace(key: unknown, merged: readonly number[], start: number, end: number, updateTime: number): number {
    const rows = this.columns
    let spare = -1
    for (const row of merged) {
      if (spare < 0 && this.#isUnknown(row)) spare = row
      else this.remove(row, updateTime)
    }
    if (spare < 0) return this.place(key, start, end)
    const there = end > this.horizon ? rows.at(rows.key(spare), start, end) : -1
    if (there >= 0 && there !== spare) {
      this.remove(spare, updateTime)
      return there
    }
    const wasHandedOut = rows.timestamp(spare) <= this.#handedOutTo
    rows.move(spare, start, end)
    // A session that was returned as closed and has grown since is returned once more, as a new row in its place would
    // be.
    if (wasHandedOut) this.#unclosed?.push(spare)
    return spare
  }

  /** The row for that session, created if there is none. An expired session is not kept: its row is not part of the store. */
  place(key: unknown, start: number, end: number): number {
    const { horizon } = this
    const low = Math.max(end, horizon + 1)
    const of = this.#complete(key, low)
    const there = end > horizon ? this.#at(of, start, end) : -1
    if (there >= 0) return there
    this.locate(key)
    const from = this.#coverage.absentFrom(this.keyBytes, this.keyFrom, this.keyTo, low)
    if (end > horizon) return this.#add(of, key, start, end, from)
    const row = this.#row(of, key, start, end, from)
    this.columns.queued(row)
    this.#strays.push(row)
    return row
  }

  /** Deletes a session. */
  remove(row: number, updateTime: number): void {
    const forgotten = this.#isUnknown(row)
    this.update(row, null, this.columns.timestamp(row), updateTime)
    if (forgotten) this.#forget(row)
  }

  /**
   * Whether the row was absent at the beginning of the generation and has not been forwarded since, so it can vanish
   * without a trace.
   */
  #isUnknown(row: number): boolean {
    return this.isNew(row) && !this.isUnflushed(row) && this.columns.isListed(row)
  }

  override update(row: number, value: unknown, end: number, updateTime: number): void {
    this.observe(end)
    super.update(row, value, end, updateTime)
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
      if (end > this.horizon) this.update(this.place(key, start, end), value, end, timestamp)
      return
    }
    const row = this.existing(key, start, end)
    if (row >= 0 && this.valueAt(row) !== null) this.remove(row, timestamp)
  }

  fetchSession(key: unknown, start: number, end: number): unknown {
    const row = this.existing(key, start, end)
    return row < 0 ? null : this.valueAt(row)
  }

  findSessions(key: unknown, earliestEnd: number, latestStart: number): IterableIterator<SessionRow<unknown, unknown>> {
    this.find(key, earliestEnd, latestStart, this.#found)
    const rows = this.#found.map((row) => this.#shown(row))
    this.#found.length = 0
    return rows.values()
  }

  fetch(key: unknown): IterableIterator<SessionRow<unknown, unknown>> {
    return this.findSessions(key, this.horizon + 1 + this.#unlistedMs, Number.POSITIVE_INFINITY)
  }

  all(): IterableIterator<SessionRow<unknown, unknown>> {
    return this.rows()
      .map((row) => this.#shown(row))
      .values()
  }

  #shown(row: number): SessionRow<unknown, unknown> {
    const rows = this.columns
    return { key: this.keyOf(row), start: rows.start(row), end: rows.timestamp(row), value: rows.value(row) }
  }

  /** All sessions within the listed time, by end, then by start, then by the keys' bytes. */
  rows(): readonly number[] {
    const from = this.horizon + 1 + this.#unlistedMs
    if (from < this.#coverage.from) this.#readAll(from, this.#coverage.from - 1)
    const rows = this.columns
    const found: number[] = []
    for (const key of this.keys.numbers()) {
      for (let row = this.keys.newestOf(key); row >= 0 && rows.timestamp(row) >= from; row = rows.older(row)) {
        if (rows.value(row) !== null) found.push(row)
      }
    }
    return this.#sorted(found)
  }

  /** Sorts by end, then by start, then by the keys' bytes. */
  #sorted(found: number[]): number[] {
    const rows = this.columns
    const bytesOf = (row: number): Uint8Array => this.keys.bytes(rows.key(row))
    return found.sort(
      (left, right) =>
        rows.timestamp(left) - rows.timestamp(right) ||
        rows.start(left) - rows.start(right) ||
        compareBytes(bytesOf(left), bytesOf(right)),
    )
  }

  /**
   * Sessions with `from <= end <= to`, expired or not, by end, then by start, then by the keys' bytes. Each is returned
   * once; called with rising times, the cost depends only on the number of returned sessions.
   */
  closed(from: number, to: number): readonly number[] {
    const queue = this.#unclosed
    if (queue === null) return []
    if (to > this.#handedOutTo) this.#handedOutTo = to
    if (to > this.#closedRead && from < this.#coverage.from) {
      // Reads some way ahead, so that the next session that closes does not cause another pass.
      const ahead = to + Math.ceil(this.spaces.retentionMs / readAheadsPerRetention)
      this.#readAll(from, Math.min(ahead, this.#coverage.from - 1))
      this.#closedRead = ahead
    }
    const rows = this.columns
    const found: number[] = []
    for (let row = queue.take(to); row >= 0; row = queue.take(to)) {
      if (rows.value(row) !== null && rows.timestamp(row) >= from) found.push(row)
    }
    return found.length > 1 ? this.#sorted(found) : found
  }

  /** Number of rows in the lists of their keys. */
  get listedCount(): number {
    let count = 0
    for (const key of this.keys.numbers()) {
      for (let row = this.keys.newestOf(key); row >= 0; row = this.columns.older(row)) count += 1
    }
    return count
  }

  /** Number of rows in memory, with those that have left their lists and are still queued. */
  get rowCount(): number {
    return this.columns.count
  }

  /** The number of a key, or -1 if it has no rows in memory. All that end at `low` or later are in memory then. */
  #complete(key: unknown, low: number): number {
    this.locate(key)
    const found = this.findLocated()
    const coverage = this.#coverage
    return low >= coverage.from || low >= coverage.fromOf(found) ? found : this.#readKey(found, low)
  }

  /** Loads the store's rows of the located key into memory, from `low` on. */
  #readKey(found: number, low: number): number {
    const coverage = this.#coverage
    const hash = found < 0 ? murmur2(this.keyBytes, this.keyFrom, this.keyTo) : this.keys.hashOf(found)
    if (!coverage.mayLack(hash)) {
      if (found >= 0) coverage.extended(found, low)
      return found
    }
    const upTo = coverage.fromOf(found) - 1
    const key = copyOf(this.keyBytes, this.keyFrom, this.keyTo)
    const from = keyWithEnd(key, Math.max(0, low))
    const to = keyWithEnd(key, Math.min(upTo, this.storeTime) + 1)
    let read = 0
    for (let space = 0; space < sessionSpaceCount; space++) {
      for (const item of this.store.range(space, { from, to, reverse: false })) {
        // The row of a longer key may sort between two ends of this one.
        if (item.key.length !== key.length + sessionSuffixBytes) continue
        if (compareBytes(item.key.subarray(0, key.length), key) !== 0) continue
        this.#take(item.key, item.value)
        read += 1
      }
    }
    const now = this.keys.find(key, 0, key.length)
    coverage.wasRead(key, now, low, read)
    return now
  }

  /** Loads the store's rows with `from <= end <= to` into memory. */
  #readAll(from: number, to: number): void {
    for (let space = 0; space < sessionSpaceCount; space++) {
      for (const item of this.store.range(space, { from: new Uint8Array(0), to: null, reverse: false })) {
        const end = readInt64(item.key, item.key.length - sessionSuffixBytes)
        if (end >= from && end <= to) this.#take(item.key, item.value)
      }
    }
  }

  /** Loads a row of the store, unless memory already has that session. */
  #take(storeKey: Uint8Array, stored: Uint8Array): void {
    const keyTo = storeKey.length - sessionSuffixBytes
    const end = readInt64(storeKey, keyTo)
    const start = readInt64(storeKey, keyTo + 8)
    this.keyBytes = storeKey
    this.keyFrom = 0
    this.keyTo = keyTo
    const found = this.findLocated()
    if (this.#at(found, start, end) >= 0) return
    const value = this.spec.value.read(stored, timestampBytes, stored.length)
    const row = this.#add(found, undecoded, start, readTimestamp(stored), this.#coverage.from)
    this.columns.setValue(row, value)
    this.resized(row, stored.length)
  }

  /**
   * A new row of the located key, which may be in the table or not (-1). If it is not, all of its rows from
   * `completeFrom` on are in memory.
   */
  #row(found: number, key: unknown, start: number, end: number, completeFrom: number): number {
    let of = found
    if (of < 0) {
      this.checkKey(this.keyTo - this.keyFrom + sessionSuffixBytes)
      of = this.keys.add(this.keyBytes, this.keyFrom, this.keyTo, key)
      this.#coverage.added(of, completeFrom)
    }
    return this.columns.add(of, start, end)
  }

  /** The same, and the row becomes part of the store. */
  #add(found: number, key: unknown, start: number, end: number, completeFrom: number): number {
    const row = this.#row(found, key, start, end, completeFrom)
    const of = this.columns.key(row)
    if (this.keys.newestOf(of) < 0) this.cachedBytes += this.keys.bytesOf(of)
    this.columns.link(row)
    this.#byEnd.push(row)
    this.#unclosed?.push(row)
    this.cachedBytes += rowOverheadBytes
    return row
  }

  /** Removes a row that is still in the queues. */
  #forget(row: number): void {
    this.#unlink(row)
    this.#byEnd.left()
    this.#unclosed?.left()
  }

  #unlink(row: number): void {
    const rows = this.columns
    const key = rows.key(row)
    rows.unlink(row)
    this.cachedBytes -= rowOverheadBytes + rows.get(row, valueBytesField)
    if (this.keys.newestOf(key) < 0) this.cachedBytes -= this.keys.bytesOf(key)
    rows.release(row)
  }

  protected override readonly changelogKeySuffix = 0

  protected override timeOf(row: number): number {
    return this.columns.timestamp(row)
  }

  protected override present(row: number): void {
    const rows = this.columns
    this.keys.presentSession(rows.key(row), rows.start(row), rows.timestamp(row))
  }

  protected override spacesToClear(storeTime: number): readonly number[] {
    const spaces = super.spacesToClear(storeTime)
    // These spaces contain only expired rows, so their keys can be forgotten.
    for (const space of spaces) this.#coverage.cleared(space)
    return spaces
  }

  protected override freezeAt(place: number, changelog: ChangelogWriter, set: FlushSet): void {
    super.freezeAt(place, changelog, set)
    const rows = this.columns
    const row = this.updatedAt(place)
    if (!rows.isListed(row)) rows.release(row)
    else if (rows.value(row) === null && rows.get(row, flushField) === set.number) this.#entombed(row, set)
  }

  #entombed(row: number, set: FlushSet): void {
    const tombstones = this.#tombstones.get(set.number)
    if (tombstones === undefined) this.#tombstones.set(set.number, [row])
    else tombstones.push(row)
  }

  protected override flushed(set: FlushSet): void {
    super.flushed(set)
    const rows = this.columns
    // A number may have been used again since, or be there twice.
    for (const row of this.#tombstones.get(set.number) ?? []) {
      if (rows.isListed(row) && rows.value(row) === null && !this.#isPending(row, set)) this.#forget(row)
    }
    this.#tombstones.delete(set.number)
  }

  /** Whether the row has a change that no commit contains yet, or one that is not in that set. */
  #isPending(row: number, set: FlushSet): boolean {
    return this.columns.get(row, slotField) >= 0 || this.columns.get(row, flushField) !== set.number
  }

  protected override expire(): void {
    const rows = this.columns
    for (const row of this.#strays) {
      rows.dequeued(row)
      rows.release(row)
    }
    this.#strays.length = 0
    const { horizon } = this
    for (let row = this.#byEnd.take(horizon); row >= 0; row = this.#byEnd.take(horizon)) {
      this.#unlink(row)
      this.#unclosed?.left()
    }
  }

  /** Evicts the sessions that ended first, because records that belong to them are the least likely. */
  protected override evict(): void {
    const rows = this.columns
    const kept: number[] = []
    while (this.cachedBytes > this.#cacheBytesMax && kept.length < keptPerEviction) {
      const row = this.#byEnd.take(Number.MAX_VALUE)
      if (row < 0) break
      if (!this.isClean(row)) {
        kept.push(row)
        continue
      }
      const end = rows.timestamp(row)
      this.#coverage.left(rows.key(row), end, this.spaces.spaceOf(end))
      // Under `final`, it has to be read again before it can be returned as closed.
      if (this.#closedRead >= end) this.#closedRead = end - 1
      this.#unlink(row)
      this.#unclosed?.left()
    }
    for (const row of kept) this.#byEnd.push(row)
  }
}

function keyWithEnd(key: Uint8Array, end: number): Uint8Array {
  const bytes = new Uint8Array(key.length + 8)
  bytes.set(key)
  writeInt64(bytes, key.length, end)
  return bytes
}

const readAheadsPerRetention = 64
/** Number of entries that cannot be evicted yet and are skipped before eviction waits for the next flush. */
const keptPerEviction = 1024
