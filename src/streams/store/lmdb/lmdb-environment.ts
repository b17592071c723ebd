import { dirname, join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { InvariantError } from '../../../base/assert.ts'
import { compareBytes } from '../../../base/bytes.ts'
import { NodeDisk } from '../../../base/disk.ts'
import type { KeyRange, StoreBatch, StoreItem, StorePosition } from '../ordered-store.ts'
import { checkStoreKey, StoreError, storeKeyBytesMax } from '../store-error.ts'
import { OperationCursor } from '../write-batch.ts'
import { hasLmdbStore, lmdbDataFile, removeLmdbFiles } from './lmdb-directory.ts'
import { findLmdbDamage } from './lmdb-file.ts'

/**
 * One LMDB environment: a directory with one named database per space, and `__meta`. A store's own thread reads through
 * one of these, and its flush thread writes through another one over the same directory; LMDB shares the memory map
 * between them.
 *
 * - Nothing is ever stored in, cleared in or dropped from the root database: clearing it corrupts the file.
 * - Writes happen only in `apply`, as one synchronous transaction, which is synced when it returns.
 * - A directory appears under its name completely or not at all.
 * - LMDB does not allow an empty key: the value of the empty key is in `__meta`.
 *
 *   __meta   "format"          u16 version | u16 spaces
 *            "position"        i32 leader epoch | i64 changelog offset | f64 store time
 *            "empty" u16 space the value of the empty key
 */
export class LmdbEnvironment {
  readonly #root: LmdbRoot
  readonly #meta: LmdbDatabase
  readonly #spaces: readonly LmdbDatabase[]
  readonly #emptyKeys: readonly Uint8Array[]
  /** Views of LMDB's only value buffer, by length, so that a lookup creates no object. */
  readonly #views: Uint8Array[] = []
  #position: StorePosition | null

  /** Creates the store if there is none, possibly as a copy of an empty store that the caller created before. */
  constructor(directory: string, spaces: number, empty: EmptyStores = new Map()) {
    if (!hasLmdbStore(directory)) createDirectory(directory, spaces, empty)
    const { root, meta, databases } = openEnvironment(directory, spaces)
    this.#root = root
    this.#meta = meta
    this.#spaces = databases
    this.#emptyKeys = databases.map((_, space) => emptyKey(space))
    this.#position = this.#readPosition()
  }

  get position(): StorePosition | null {
    return this.#position
  }

  /** The bytes are valid until the next call. */
  get(space: number, key: Uint8Array): Uint8Array | undefined {
    if (key.length > storeKeyBytesMax) return undefined
    const database = this.#space(space)
    const found =
      key.length === 0 ? this.#meta.getBinaryFast(this.#emptyKeys[space] as Uint8Array) : database.getBinaryFast(key)
    return found === undefined ? undefined : this.#view(found)
  }

  range(space: number, range: KeyRange): IterableIterator<StoreItem> {
    const database = this.#space(space)
    if (range.to !== null && compareBytes(range.from, range.to) >= 0) return [].values()
    const entries = database.getRange(rangeOptions(range))[Symbol.iterator]()
    const empty = range.from.length === 0 ? this.#meta.getBinary(this.#emptyKeys[space] as Uint8Array) : undefined
    return new LmdbRange(entries, empty, range.reverse)
  }

  count(space: number): number {
    const stats: { entryCount?: number } = this.#space(space).getStats()
    const empty = this.#meta.getBinaryFast(this.#emptyKeys[space] as Uint8Array) === undefined ? 0 : 1
    return (stats.entryCount ?? 0) + empty
  }

  /** Applies a batch as one synced transaction. If it throws, nothing has changed. */
  apply(batch: StoreBatch): void {
    const cursor = new OperationCursor(batch.operations)
    // Crash here, or anywhere inside: the transaction does not exist, the store stays at its old position, and the
    // changelog contains the missing rows.
    this.#root.transactionSync(() => {
      for (const space of batch.clear) {
        this.#space(space).clearSync()
        this.#meta.removeSync(this.#emptyKeys[space] as Uint8Array)
      }
      while (cursor.next()) this.#applyOne(cursor.space, cursor.key(), cursor.value())
      this.#meta.putSync(positionKey, encodePosition(batch.position))
    })
    this.#position = batch.position
  }

  /** Makes later commits of other threads visible to reads. */
  refresh(): void {
    this.#root.resetReadTxn()
    this.#position = this.#readPosition()
  }

  async close(): Promise<void> {
    await this.#root.close()
  }

  #applyOne(space: number, key: Uint8Array, value: Uint8Array | null): void {
    checkStoreKey(key)
    const database = key.length === 0 ? this.#meta : this.#space(space)
    const stored = key.length === 0 ? (this.#emptyKeys[space] as Uint8Array) : key
    if (value === null) database.removeSync(stored)
    else database.putSync(stored, value)
  }

  #space(space: number): LmdbDatabase {
    const database = this.#spaces[space]
    if (database === undefined)
      throw new InvariantError(`the store has spaces 0 to ${this.#spaces.length - 1}, not ${space}`)
    return database
  }

  /** LMDB's buffer has a wrong `byteLength` (16 MiB), so only a view of the right length may be handed out. */
  #view(found: Uint8Array): Uint8Array {
    const length = found.length
    const known = this.#views[length]
    if (known !== undefined && known.buffer === found.buffer && known.byteOffset === found.byteOffset) return known
    const view = new Uint8Array(found.buffer, found.byteOffset, length)
    if (length < viewsMax) this.#views[length] = view
    return view
  }

  #readPosition(): StorePosition | null {
    const bytes = this.#meta.getBinary(positionKey)
    return bytes === undefined ? null : decodePosition(bytes)
  }
}

/**
 * The data files of empty stores, by number of spaces. LMDB creates the first one, and others are written as copies:
 * creating one in an environment of its own takes several times as long, and an application can have a hundred stores.
 * LMDB's files do not depend on their path, and nothing in them identifies a store.
 */
export type EmptyStores = Map<number, Uint8Array>

type LmdbRoot = RootDatabase<Uint8Array, Uint8Array>
type LmdbDatabase = Database<Uint8Array, Uint8Array>

const disk = new NodeDisk()
const formatVersion = 1
const formatKey: Uint8Array = Buffer.from('format')
const positionKey: Uint8Array = Buffer.from('position')
const viewsMax = 4096
/**
 * Address space, not memory or disk. It is fixed from the start, because a map that grows can move while other threads
 * read.
 */
const mapBytesMax = 64 * 1024 ** 3
const readersMax = 512

function openEnvironment(
  directory: string,
  spaces: number,
): { root: LmdbRoot; meta: LmdbDatabase; databases: LmdbDatabase[] } {
  const damage = findLmdbDamage(disk, join(directory, lmdbDataFile))
  if (damage !== null) {
    throw new StoreError(
      'STORE_CORRUPT',
      `${directory} is not a store, or a damaged one (${damage}): remove the directory to restore it from the changelog`,
    )
  }
  const root = openRoot(directory, spaces)
  const meta = root.openDB<Uint8Array, Uint8Array>('__meta', binary)
  const format = meta.getBinary(formatKey)
  const version = format?.readUInt16BE(0)
  const found = format?.readUInt16BE(2)
  if (version !== formatVersion || found !== spaces) {
    void root.close()
    throw new StoreError(
      'STORE_MISMATCH',
      `${directory} contains a store of format ${version} with ${found} spaces, but format ${formatVersion} with ${spaces} is required`,
    )
  }
  return { root, meta, databases: openSpaces(root, spaces) }
}

function openRoot(directory: string, spaces: number): LmdbRoot {
  return open<Uint8Array, Uint8Array>({
    path: directory,
    noSubdir: false,
    ...binary,
    mapSize: mapBytesMax,
    maxReaders: readersMax,
    maxDbs: spaces + 1,
    // A commit is durable when it returns, not some time later.
    overlappingSync: false,
  })
}

const binary = { keyEncoding: 'binary', encoding: 'binary' } as const

/** Opens all in one transaction, because separate ones would be synced one by one. */
function openSpaces(root: LmdbRoot, spaces: number): LmdbDatabase[] {
  return root.transactionSync(() =>
    Array.from({ length: spaces }, (_, space) => root.openDB<Uint8Array, Uint8Array>(`space-${space}`, binary)),
  )
}

/** Creates a store under a temporary name, complete and synced, then renames it. */
function createDirectory(directory: string, spaces: number, empty: EmptyStores): void {
  const fresh = `${directory}.new`
  // Crash before the rename: the next attempt finds the incomplete directory here and starts over.
  removeLmdbFiles(fresh)
  let stable = dirname(directory)
  while (!disk.exists(stable)) stable = dirname(stable)
  disk.makeDirectory(fresh)
  const made = empty.get(spaces)
  if (made === undefined) empty.set(spaces, makeEmpty(fresh, spaces))
  else writeSynced(join(fresh, lmdbDataFile), made)
  disk.syncDirectory(fresh)
  // An interrupted removal can have left the directory without its data file.
  removeLmdbFiles(directory)
  disk.rename(fresh, directory)
  // Crash before the last of these: the store may be missing after a power cut, but nothing was reported as durable
  // yet.
  for (let parent = dirname(directory); ; parent = dirname(parent)) {
    disk.syncDirectory(parent)
    if (parent === stable) return
  }
}

/** Lets LMDB create an empty store, synced, and returns the bytes of its data file. */
function makeEmpty(directory: string, spaces: number): Uint8Array {
  const root = openRoot(directory, spaces)
  root.transactionSync(() => {
    const meta = root.openDB<Uint8Array, Uint8Array>('__meta', binary)
    openSpaces(root, spaces)
    const format = Buffer.alloc(4)
    format.writeUInt16BE(formatVersion, 0)
    format.writeUInt16BE(spaces, 2)
    meta.putSync(formatKey, format)
  })
  void root.close()
  const file = disk.open(join(directory, lmdbDataFile), 'read')
  try {
    const bytes = new Uint8Array(file.size())
    file.read(bytes, 0)
    return bytes
  } finally {
    file.close()
  }
}

function writeSynced(path: string, bytes: Uint8Array): void {
  const file = disk.open(path, 'create')
  try {
    file.write(bytes, 0)
    file.sync()
  } finally {
    file.close()
  }
}

function rangeOptions(range: KeyRange): object {
  const from = bound(range.from)
  const to = range.to === null ? null : bound(range.to)
  if (!range.reverse) {
    return {
      ...(from.key.length === 0 ? {} : { start: from.key, exclusiveStart: from.cut }),
      ...(to === null ? {} : { end: to.key, inclusiveEnd: to.cut }),
    }
  }
  return {
    reverse: true,
    ...(to === null ? {} : { start: to.key, exclusiveStart: !to.cut }),
    end: from.key.length === 0 ? lowestKey : from.key,
    inclusiveEnd: !from.cut,
  }
}

const lowestKey: Uint8Array = Uint8Array.of(0)

/**
 * A bound that is longer than any key is replaced by its longest possible prefix, with the key of that prefix cut off.
 */
function bound(key: Uint8Array): { key: Uint8Array; cut: boolean } {
  return key.length > storeKeyBytesMax ? { key: key.subarray(0, storeKeyBytesMax), cut: true } : { key, cut: false }
}

/**
 * An iterator over a range of the environment. It is no generator, because a generator that was never started skips its
 * `finally`. An LMDB iterator that is left open keeps its read transaction, and with it every page freed since.
 */
class LmdbRange implements IterableIterator<StoreItem> {
  readonly #entries: Iterator<StoreItem>
  readonly #reverse: boolean
  #ahead: IteratorResult<StoreItem> | null
  #empty: Uint8Array | undefined

  constructor(entries: Iterator<StoreItem>, empty: Uint8Array | undefined, reverse: boolean) {
    this.#entries = entries
    this.#empty = empty
    this.#reverse = reverse
    // The first step takes the snapshot. Without it, a flush before the first use would be visible.
    this.#ahead = entries.next()
  }

  next(): IteratorResult<StoreItem> {
    if (!this.#reverse && this.#empty !== undefined) return this.#takeEmpty(this.#empty)
    const step = this.#ahead ?? this.#entries.next()
    this.#ahead = step.done === true ? step : null
    if (step.done === true && this.#empty !== undefined) return this.#takeEmpty(this.#empty)
    return step
  }

  return(): IteratorResult<StoreItem> {
    this.#entries.return?.()
    this.#empty = undefined
    this.#ahead = finished
    return finished
  }

  [Symbol.iterator](): this {
    return this
  }

  [Symbol.dispose](): void {
    this.return()
  }

  #takeEmpty(value: Uint8Array): IteratorResult<StoreItem> {
    this.#empty = undefined
    return { done: false, value: { key: noBytes, value } }
  }
}

const finished: IteratorResult<StoreItem> = { done: true, value: undefined }

const noBytes: Uint8Array = new Uint8Array(0)

function emptyKey(space: number): Uint8Array {
  const key = Buffer.from('empty__')
  key.writeUInt16BE(space, 5)
  return key
}

function encodePosition(position: StorePosition): Uint8Array {
  const bytes = Buffer.alloc(20)
  bytes.writeInt32BE(position.leaderEpoch, 0)
  bytes.writeBigInt64BE(BigInt(position.changelogOffset), 4)
  bytes.writeDoubleBE(position.storeTime, 12)
  return bytes
}

function decodePosition(bytes: Buffer): StorePosition {
  return {
    leaderEpoch: bytes.readInt32BE(0),
    changelogOffset: Number(bytes.readBigInt64BE(4)),
    storeTime: bytes.readDoubleBE(12),
  }
}
