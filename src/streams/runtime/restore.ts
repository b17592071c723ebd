import { unreachable } from '../../base/assert.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { readInt64 } from '../../base/int64.ts'
import type { Log, Reader } from '../../log/api/log.ts'
import type { RecordCursor, TopicPartition } from '../../log/api/record.ts'
import { StreamsError } from '../errors.ts'
import type { OrderedStore, StoreBatch, StoreEngine, StorePosition } from '../store/ordered-store.ts'
import { sessionSuffixBytes } from '../store/overlay/row-keys.ts'
import { unmatchedSpace, unmatchedSpaceCount } from '../store/overlay/unmatched-overlay.ts'
import { sessionSpaceCount, WindowSpaces, windowSpaceCount } from '../store/overlay/window-spaces.ts'
import { WriteBatch } from '../store/write-batch.ts'
import type { StoreShape, StoreSpec } from '../topology/node.ts'

/** How far a store has been restored from its changelog, reported after each poll. */
export interface RestoreProgress {
  /** The name of the store. */
  readonly store: string
  /** The partition of its changelog. */
  readonly at: TopicPartition
  /** Records that were read so far. */
  readonly records: number
  /** The next offset to read. */
  readonly offset: number
  /** The offset at which the store is complete. */
  readonly end: number
}

/**
 * Opens a store and brings it to the end of its changelog, before its task runs.
 *
 * The store knows its changelog offset and the leader epoch of that offset. If that epoch ended before the offset, or
 * if the changelog begins after the offset, store and changelog no longer belong together, and the store is rebuilt
 * from the start. Otherwise only the missing part is replayed. Every batch contains its position, so a crash here costs
 * only the batches that were not flushed.
 */
export async function restoreStore(options: RestoreOptions): Promise<OrderedStore> {
  const { log, changelog } = options
  let store = await openStore(options)
  try {
    const [bounds] = changelog === null ? [] : await log.bounds([changelog], 'committed')
    if (changelog === null || bounds === undefined) return store
    // If the changelog is a source topic, only what the task has read of it counts as rows. Rows beyond that come from
    // a topic that has been created again since, or from before the offsets were reset.
    const end = Math.min(bounds.end, options.end ?? bounds.end)
    store = await rebuiltIfAhead(store, { ...options, changelog, bounds: { start: bounds.start, end } })
    const from = store.position?.changelogOffset ?? bounds.start
    if (from < end) await bringToEnd(store, { ...options, changelog, from, end })
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

export interface RestoreOptions {
  readonly log: Log
  readonly engine: StoreEngine
  readonly directory: string
  readonly spec: StoreSpec
  /** Null if the store has no changelog; it is then used as it is. */
  readonly changelog: TopicPartition | null
  /** Where the rows end, if that is not the end of the changelog. */
  readonly end?: number
  /**
   * Checked between two polls: true if the application was closed during its start. {@link RestoreStopped} is thrown
   * then.
   */
  readonly isStopped?: () => boolean
  readonly onProgress: (progress: RestoreProgress) => void
  /** Called with the reason if a store is rebuilt. */
  readonly onAhead: (error: StreamsError) => void
}

/**
 * The application was closed while it restored a store. This is no failure, and the next start continues from there.
 */
export class RestoreStopped extends Error {
  override readonly name = 'RestoreStopped'
}

function openStore({ engine, directory, spec }: RestoreOptions): Promise<OrderedStore> {
  return engine.open({ directory, spaces: spaceCount(spec.shape) })
}

type Replayed = RestoreOptions & { readonly changelog: TopicPartition }

async function rebuiltIfAhead(
  store: OrderedStore,
  options: Replayed & { readonly bounds: { readonly start: number; readonly end: number } },
): Promise<OrderedStore> {
  const { log, engine, directory, spec, changelog, bounds } = options
  if (store.position === null || (await isPrefix(log, changelog, store.position, bounds))) return store
  options.onAhead(
    new StreamsError(
      'STORE_AHEAD',
      `store ${spec.name} in ${directory} is at offset ${store.position.changelogOffset} of epoch ${store.position.leaderEpoch}, which ${changelog.topic}-${changelog.partition} (offsets ${bounds.start} to ${bounds.end}) does not have; it is restored from the start`,
      { store: spec.name, ...changelog, position: store.position },
    ),
  )
  await store.close()
  await engine.destroy(directory)
  return openStore(options)
}

async function bringToEnd(
  store: OrderedStore,
  options: Replayed & { readonly from: number; readonly end: number },
): Promise<void> {
  const { log, changelog, from } = options
  // Replayed rows are written to the store, which must not contain rows that a power cut can still remove from the
  // changelog.
  await log.sync()
  const reader = await log.openReader({ isolation: 'committed' })
  const flushes = new RestoreFlushes(store)
  try {
    reader.assign([{ at: changelog, offset: from }])
    await replay(reader, flushes, options)
  } finally {
    // A store must not be closed while it is being written.
    await flushes.settle()
    await reader.close()
  }
}

/** Runs one flush at a time while the next chunks are read. */
class RestoreFlushes {
  readonly store: OrderedStore
  #running: Promise<unknown> = Promise.resolve()

  constructor(store: OrderedStore) {
    this.store = store
  }

  /** Throws the error of the previous flush, if it failed. */
  async next(batch: () => StoreBatch): Promise<void> {
    await this.#running
    this.#running = this.store.flush(batch())
    // The error is thrown by the next call. Until then, it must not count as unhandled; a poll may take a while.
    this.#running.catch(() => undefined)
  }

  async end(): Promise<void> {
    await this.#running
  }

  async settle(): Promise<void> {
    await this.#running.catch(() => undefined)
  }
}

async function isPrefix(
  log: Log,
  at: TopicPartition,
  position: StorePosition,
  bounds: { readonly start: number; readonly end: number },
): Promise<boolean> {
  if (position.changelogOffset < bounds.start || position.changelogOffset > bounds.end) return false
  const [epochEnd] = await log.epochEnds([{ at, leaderEpoch: position.leaderEpoch }])
  return epochEnd === undefined || position.changelogOffset <= epochEnd.offset
}

async function replay(
  reader: Reader,
  flushes: RestoreFlushes,
  options: Replayed & { readonly from: number; readonly end: number },
): Promise<void> {
  const { spec, changelog, end } = options
  const { position } = flushes.store
  const rows = rowsOf(spec.shape)
  rows.storeTime = position?.storeTime ?? -1
  let flushedTime = rows.storeTime
  let offset = options.from
  let records = 0
  let leaderEpoch = position?.leaderEpoch ?? 0
  while (offset < end) {
    if (options.isStopped?.() === true)
      throw new RestoreStopped(`store ${spec.name} is restored up to offset ${offset}`)
    for (const chunk of await reader.poll({ bytesMax: pollBytesMax, waitMs: pollWaitMs })) {
      const cursor = chunk.cursor()
      while (cursor.next()) {
        if (cursor.offset >= end) break
        rows.add(cursor)
        records += 1
      }
      offset = Math.min(chunk.nextOffset, end)
      leaderEpoch = chunk.leaderEpoch
      chunk.release?.()
    }
    if (rows.batch.byteLength < flushBytes && offset < end) continue
    const { storeTime } = rows
    await flushes.next(() => ({
      clear: rows.spaces?.cleared(flushedTime, storeTime) ?? [],
      operations: rows.batch.take(),
      position: { leaderEpoch, changelogOffset: offset, storeTime },
    }))
    flushedTime = storeTime
    options.onProgress({ store: spec.name, at: changelog, records, offset, end })
  }
  await flushes.end()
}

function spaceCount(shape: StoreShape): number {
  if (shape.kind === 'keyValue') return 1
  if (shape.kind === 'session') return sessionSpaceCount
  return shape.kind === 'unmatched' ? unmatchedSpaceCount : windowSpaceCount
}

function rowsOf(shape: StoreShape): KeyValueRows | WindowRows | SessionRows {
  switch (shape.kind) {
    case 'keyValue':
      return new KeyValueRows(() => 0)
    case 'unmatched':
      return new KeyValueRows(unmatchedSpace)
    case 'window':
      return new WindowRows(shape.retentionMs, sequenceBytes)
    case 'join':
      return new WindowRows(shape.retentionMs, 0)
    case 'session':
      return new SessionRows(shape.retentionMs)
    default:
      return unreachable(shape)
  }
}

class KeyValueRows {
  readonly batch = new WriteBatch()
  readonly spaces: WindowSpaces | null = null
  storeTime = -1
  readonly #value = new ByteWriter(1024)
  readonly #spaceOf: (bytes: Uint8Array, keyStart: number) => number

  constructor(spaceOf: (bytes: Uint8Array, keyStart: number) => number) {
    this.#spaceOf = spaceOf
  }

  add(cursor: RecordCursor): void {
    if (cursor.keyStart < 0) return
    const key = cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd)
    const space = this.#spaceOf(cursor.bytes, cursor.keyStart)
    if (cursor.valueStart < 0) this.batch.delete(space, key)
    else this.batch.put(space, key, stored(cursor, this.#value))
  }
}

class WindowRows {
  readonly batch = new WriteBatch()
  readonly spaces: WindowSpaces
  storeTime = -1
  readonly #value = new ByteWriter(1024)

  readonly #leftOff: number

  constructor(retentionMs: number, leftOff: number) {
    this.spaces = new WindowSpaces(retentionMs)
    this.#leftOff = leftOff
  }

  /**
   * Changelog keys end in the start (or time) and a sequence of four bytes. In the store, keys of windows have no
   * sequence.
   */
  add(cursor: RecordCursor): void {
    if (cursor.keyEnd - cursor.keyStart < 12) return
    const start = readInt64(cursor.bytes, cursor.keyEnd - 12)
    if (start > this.storeTime) this.storeTime = start
    if (start <= this.storeTime - this.spaces.retentionMs) return
    const key = cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd - this.#leftOff)
    const space = this.spaces.spaceOf(start)
    if (cursor.valueStart < 0) this.batch.delete(space, key)
    else this.batch.put(space, key, stored(cursor, this.#value))
  }
}

class SessionRows {
  readonly batch = new WriteBatch()
  readonly spaces: WindowSpaces
  storeTime = -1
  readonly #value = new ByteWriter(1024)

  constructor(retentionMs: number) {
    this.spaces = new WindowSpaces(retentionMs, sessionSpaceCount)
  }

  /** Keys end in end and start, both in the changelog and in the store. */
  add(cursor: RecordCursor): void {
    if (cursor.keyEnd - cursor.keyStart < sessionSuffixBytes) return
    const end = readInt64(cursor.bytes, cursor.keyEnd - sessionSuffixBytes)
    if (end > this.storeTime) this.storeTime = end
    if (end <= this.storeTime - this.spaces.retentionMs) return
    const key = cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd)
    const space = this.spaces.spaceOf(end)
    if (cursor.valueStart < 0) this.batch.delete(space, key)
    else this.batch.put(space, key, stored(cursor, this.#value))
  }
}

/** `i64 timestamp | value`, valid until the next call. */
function stored(cursor: RecordCursor, into: ByteWriter): Uint8Array {
  into.clear()
  into.i64(cursor.timestamp)
  into.raw(cursor.bytes, cursor.valueStart, cursor.valueEnd)
  return into.bytes.subarray(0, into.length)
}

const sequenceBytes = 4
const pollBytesMax = 1024 * 1024
const pollWaitMs = 100
const flushBytes = 8 * 1024 * 1024
