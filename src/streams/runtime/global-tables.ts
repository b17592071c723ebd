import type { Clock } from '../../base/clock.ts'
import { reasonFor } from '../../base/coded-error.ts'
import type { Chunk, Log, Position, Reader } from '../../log/api/log.ts'
import { partitionName, type RecordCursor, type TopicPartition } from '../../log/api/record.ts'
import { StreamsError } from '../errors.ts'
import type { StoreEngine } from '../store/ordered-store.ts'
import { KeyValueOverlay } from '../store/overlay/key-value-overlay.ts'
import { RecordContext } from '../store/record-context.ts'
import { noChangelog } from '../task/record-collector.ts'
import type { TaskGlobals } from '../task/task.ts'
import type { GlobalTableSpec, ProcessorNode, StoreSpec } from '../topology/node.ts'
import { RestoreStopped } from './restore.ts'

/**
 * The global tables of an application: all partitions of their topics, in memory, shared by all its tasks.
 *
 * - At every start they are read to their ends before the application runs, because they are stored only in memory.
 * - Records that arrive later are collected and applied between two commits, never during one. So everything in a
 *   commit was made with the same state of each table, and its sections record which state: the next offset of each
 *   partition.
 * - They are not synchronized with the tasks by time.
 */
export class GlobalTables {
  readonly #tables: readonly GlobalTable[]
  readonly #byPartition = new Map<string, GlobalPartition>()
  readonly #reader: Reader
  readonly #clock: Clock
  readonly #listeners: { arrived: () => void; failed: (error: unknown) => void } = {
    arrived: () => undefined,
    failed: () => undefined,
  }
  #arrived: Chunk[] = []
  #arrivedBytes = 0
  /** False while the tables are being opened, because `open` then polls by itself. */
  #following = false
  #polling = false
  #closed = false
  #done: Promise<void> = Promise.resolve()
  #flushing: Promise<void> | null = null

  private constructor(tables: readonly GlobalTable[], reader: Reader, clock: Clock) {
    this.#tables = tables
    this.#reader = reader
    this.#clock = clock
    for (const table of tables) {
      for (const partition of table.partitions) this.#byPartition.set(partitionName(partition.at), partition)
    }
  }

  /** Reads the tables to their ends. Returns null if there are none. */
  static async open(
    specs: readonly GlobalTableSpec[],
    options: {
      readonly log: Log
      readonly clock: Clock
      readonly engine: StoreEngine
      readonly partitions: ReadonlyMap<string, number>
      readonly cacheBytes: number
      /**
       * Checked between two polls: true if the application was closed during its start. `open` then throws
       * `RestoreStopped`.
       */
      readonly isStopped?: () => boolean
      readonly onDropped: (table: string, reason: string) => void
    },
  ): Promise<GlobalTables | null> {
    if (specs.length === 0) return null
    const { log, engine, partitions, cacheBytes, onDropped } = options
    const tables: GlobalTable[] = []
    for (const spec of specs) {
      const store = await engine.open({ directory: '', spaces: 1 })
      const record = new RecordContext()
      const overlay = new KeyValueOverlay(storeSpec(spec), store, record, cacheBytes)
      tables.push(new GlobalTable(spec, overlay, partitions.get(spec.topic) ?? 1, onDropped))
    }
    const all = tables.flatMap((table) => table.partitions)
    const reader = await log.openReader({ isolation: 'sequenced' })
    const globals = new GlobalTables(tables, reader, options.clock)
    try {
      for (const { at, start, end } of await log.bounds(
        all.map((partition) => partition.at),
        'sequenced',
      )) {
        const partition = globals.#byPartition.get(partitionName(at))
        if (partition === undefined) continue
        partition.next = start
        partition.end = end
      }
      reader.assign(all.map(({ at, next }) => ({ at, offset: next })))
      while (!globals.isCaughtUp) {
        if (options.isStopped?.() === true) throw new RestoreStopped('global tables are being read')
        globals.#collect(await reader.poll({ bytesMax: pollBytesMax, waitMs: pollWaitMs }))
        globals.advance()
        await globals.#flushing
      }
      return globals
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  /** Begins to collect new records. */
  follow(arrived: () => void, failed: (error: unknown) => void): void {
    this.#listeners.arrived = arrived
    this.#listeners.failed = failed
    this.#following = true
    this.#poll()
  }

  /** The next offset of each partition of these tables, for the sections of a commit. */
  positions(names: ReadonlySet<string>): { readonly at: TopicPartition; readonly next: number }[] {
    return this.#tables
      .filter((table) => names.has(table.spec.name))
      .flatMap((table) => table.partitions.map(({ at, next }) => ({ at, next })))
  }

  get places(): readonly TopicPartition[] {
    return [...this.#byPartition.values()].map(({ at }) => at)
  }

  /** Notes that the partition contains records up to `offset`, exclusive. */
  reachesTo({ at, offset }: Position): void {
    const partition = this.#byPartition.get(partitionName(at))
    if (partition !== undefined && offset > partition.end) partition.end = offset
  }

  /** Whether all records known to be in the log have been applied. */
  get isCaughtUp(): boolean {
    for (const { next, end } of this.#byPartition.values()) if (next < end) return false
    return true
  }

  get hasArrived(): boolean {
    return this.#arrived.length > 0
  }

  /** Applies the collected records. May be called only between two commits. */
  advance(): void {
    if (this.#arrived.length === 0) return
    const chunks = this.#arrived
    this.#arrived = []
    this.#arrivedBytes = 0
    for (const chunk of chunks) this.#byPartition.get(partitionName(chunk.at))?.take(chunk)
    for (const { overlay } of this.#tables) overlay.freeze(noChangelog)
    this.#flush()
    this.#poll()
  }

  /** The store of a table. */
  overlay(name: string): KeyValueOverlay | null {
    return this.#tables.find((table) => table.spec.name === name)?.overlay ?? null
  }

  /** Gives the nodes of one task access to the tables that they read. */
  forTask(processors: readonly ProcessorNode[]): TaskGlobals {
    const readers = new Map(processors.map((node) => [node.name, new Set(node.globals ?? [])]))
    const names = new Set(processors.flatMap((node) => node.globals ?? []))
    return {
      store: (node, name) => (readers.get(node)?.has(name) === true ? this.overlay(name) : null),
      positions: () => this.positions(names),
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#polling) this.#reader.wakeup()
    await this.#done
    await this.#flushing?.catch(() => undefined)
    await this.#reader.close()
    for (const { overlay } of this.#tables) await overlay.store.close()
  }

  #collect(chunks: readonly Chunk[]): void {
    for (const chunk of chunks) {
      this.reachesTo({ at: chunk.at, offset: chunk.endOffset })
      this.#arrivedBytes += chunk.bytes
      this.#arrived.push(chunk)
    }
  }

  /** Polls once at a time, and not while more is collected than the next `advance` should have to apply. */
  #poll(): void {
    if (!this.#following || this.#polling || this.#closed || this.#arrivedBytes >= arrivedBytesMax) return
    this.#polling = true
    this.#done = this.#reader.poll({ bytesMax: pollBytesMax, waitMs: pollWaitMs }).then(
      (chunks) => {
        this.#polling = false
        if (this.#closed) return
        this.#collect(chunks)
        if (chunks.length > 0) this.#listeners.arrived()
        this.#poll()
      },
      (error: unknown) => {
        this.#polling = false
        if (!this.#closed) this.#listeners.failed(error)
      },
    )
  }

  /** Packs rows into bytes, so that rows that are never read need not be kept decoded. Runs once at a time. */
  #flush(): void {
    if (this.#flushing !== null) return
    const flushing = Promise.all(
      this.#tables.map(async ({ overlay }) => {
        if (!overlay.hasUnflushed) return
        const set = overlay.seal()
        set.position = memoryOnly
        await overlay.flush(set, this.#clock)
      }),
    ).then(() => {
      this.#flushing = null
    })
    this.#flushing = flushing
    flushing.catch((error: unknown) => this.#listeners.failed(error))
  }
}

/** One table: its store, and how records become rows of it. */
class GlobalTable {
  readonly spec: GlobalTableSpec
  readonly overlay: KeyValueOverlay
  readonly partitions: readonly GlobalPartition[]
  readonly #onDropped: (table: string, reason: string) => void

  constructor(
    spec: GlobalTableSpec,
    overlay: KeyValueOverlay,
    partitions: number,
    onDropped: (table: string, reason: string) => void,
  ) {
    this.spec = spec
    this.overlay = overlay
    this.#onDropped = onDropped
    this.partitions = Array.from(
      { length: partitions },
      (_, partition) => new GlobalPartition(this, { topic: spec.topic, partition }),
    )
  }

  /**
   * Applies a record: the last one of a key wins and null deletes. A null key is dropped, and so is an invalid record
   * if the table skips those.
   */
  put(at: TopicPartition, cursor: RecordCursor, partitionTime: number): number {
    const { spec, overlay } = this
    try {
      const key = cursor.keyStart < 0 ? null : partOf(spec.key, cursor.bytes, cursor.keyStart, cursor.keyEnd)
      if (key === null) {
        this.#onDropped(spec.name, 'null key')
        return -1
      }
      if (cursor.valueStart < 0 && spec.value.refusesNull === true) {
        throw new TypeError('the value is null, and the topic does not declare tombstones')
      }
      const value = cursor.valueStart < 0 ? null : partOf(spec.value, cursor.bytes, cursor.valueStart, cursor.valueEnd)
      const time = spec.timestamp?.(value, key, cursor.timestamp, partitionTime) ?? cursor.timestamp
      if (time < 0) {
        this.#onDropped(spec.name, 'negative timestamp')
        return -1
      }
      overlay.update(overlay.entryToOverwrite(key), value, time, time)
      return time
    } catch (error) {
      if (spec.skipsInvalid) {
        this.#onDropped(spec.name, 'invalid record')
        return -1
      }
      const reason = reasonFor('INVALID_RECORD', error)
      throw new StreamsError(
        'INVALID_RECORD',
        `record at ${at.topic}-${at.partition} offset ${cursor.offset}: ${reason}; correct the producer, or give the global table onInvalid: 'skip'`,
        { topic: at.topic, partition: at.partition, offset: cursor.offset, node: spec.name },
        { cause: error },
      )
    }
  }
}

/** One partition of a global table's topic, and how much of it has been applied. */
class GlobalPartition {
  readonly at: TopicPartition
  next = 0
  /** The known end of the partition. */
  end = 0
  readonly #table: GlobalTable
  #time = -1

  constructor(table: GlobalTable, at: TopicPartition) {
    this.#table = table
    this.at = at
  }

  take(chunk: Chunk): void {
    const cursor = chunk.cursor()
    while (cursor.next()) {
      const time = this.#table.put(this.at, cursor, this.#time)
      if (time > this.#time) this.#time = time
    }
    this.next = chunk.nextOffset
    chunk.release?.()
  }
}

function partOf(boundary: GlobalTableSpec['key' | 'value'], bytes: Uint8Array, start: number, end: number): unknown {
  const read = boundary.codec.read(bytes, start, end)
  return boundary.validate === undefined ? read : boundary.validate(read)
}

function storeSpec({ name, key, value }: GlobalTableSpec): StoreSpec {
  return {
    name,
    shape: { kind: 'keyValue' },
    engine: 'memory',
    key: key.codec,
    value: value.codec,
    logged: false,
    emit: 'update',
  }
}

/** The tables are read from the start each time, so they have no changelog position. */
const memoryOnly = { leaderEpoch: 0, changelogOffset: 0, storeTime: -1 }
const pollBytesMax = 1024 * 1024
/** A poll that finds nothing ends after this time and is started again. */
const pollWaitMs = 1000
/** Bytes that may be collected while a commit is in progress. */
const arrivedBytesMax = 16 * 1024 * 1024
