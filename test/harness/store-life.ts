import { SystemClock } from '../../src/base/clock.ts'
import { readInt64 } from '../../src/base/int64.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { string } from '../../src/codec/value-codecs.ts'
import { MemoryStoreEngine } from '../../src/streams/store/memory-store.ts'
import type { OrderedStore, StoreEngine } from '../../src/streams/store/ordered-store.ts'
import type { FlushSet } from '../../src/streams/store/overlay/flush-set.ts'
import { type Overlay } from '../../src/streams/store/overlay/overlay.ts'
import { sessionSpaceCount, WindowSpaces, windowSpaceCount } from '../../src/streams/store/overlay/window-spaces.ts'
import { RecordContext } from '../../src/streams/store/record-context.ts'
import { WriteBatch } from '../../src/streams/store/write-batch.ts'
import type { StoreShape, StoreSpec } from '../../src/streams/topology/node.ts'
import { MemoryDisk } from '../../src/testing/memory-disk.ts'
import { DiskStoreEngine } from './disk-store.ts'

export interface ChangelogRow {
  readonly key: Buffer
  readonly value: Buffer | null
  readonly timestamp: number
}

export function specOf(shape: StoreShape): StoreSpec {
  return {
    name: 's',
    shape,
    engine: 'memory',
    key: stringKey,
    value: string,
    logged: true,
    emit: 'update',
  }
}

/** A store with its overlay, and a list as its changelog. */
export class StoreLife<O extends Overlay> {
  readonly record: RecordContext = new RecordContext()
  readonly changelog: ChangelogRow[] = []
  overlay!: O
  readonly #engine: StoreEngine
  readonly #spec: StoreSpec
  readonly #open: (spec: StoreSpec, store: OrderedStore, record: RecordContext) => O
  readonly #directory: string
  readonly #clock = new SystemClock()
  #committed = 0
  /** The clock of the store, which a real task records in its commits. */
  #storeTime = -1

  constructor(
    engine: StoreEngine,
    spec: StoreSpec,
    open: (spec: StoreSpec, store: OrderedStore, record: RecordContext) => O,
    directory = '/s',
  ) {
    this.#engine = engine
    this.#spec = spec
    this.#open = open
    this.#directory = directory
  }

  commit(): void {
    this.overlay.freeze({
      append: (key, { bytes, start, end }, timestamp) => {
        this.changelog.push({
          key: Buffer.from(key.bytes.slice(key.start, key.end)),
          value: start < 0 ? null : Buffer.from(bytes.slice(start, end)),
          timestamp,
        })
      },
    })
    this.#committed = this.changelog.length
    this.#storeTime = this.overlay.storeTime
    this.overlay.position = {
      leaderEpoch: 1,
      changelogOffset: this.#committed,
      storeTime: this.overlay.storeTime,
    }
  }

  seal(): FlushSet {
    const set = this.overlay.seal()
    set.position = this.overlay.position ?? { leaderEpoch: 1, changelogOffset: 0, storeTime: -1 }
    return set
  }

  async flush(set: FlushSet): Promise<void> {
    await this.overlay.flush(set, this.#clock)
  }

  /** Loses everything in memory, and restores the store from its last flush and the changelog. */
  async reopen(): Promise<void> {
    await this.close()
    const { shape } = this.#spec
    const spaces = shape.kind === 'window' ? windowSpaceCount : shape.kind === 'session' ? sessionSpaceCount : 1
    const store = await this.#engine.open({ directory: this.#directory, spaces })
    const from = store.position?.changelogOffset ?? 0
    if (from < this.#committed) await this.#replay(store, from, shape)
    this.overlay = this.#open(this.#spec, store, this.record)
    this.overlay.resumeAt(this.#storeTime)
  }

  async close(): Promise<void> {
    await (this.overlay as O | undefined)?.store.close()
  }

  async #replay(store: OrderedStore, from: number, shape: StoreShape): Promise<void> {
    const batch = new WriteBatch()
    const before = store.position?.storeTime ?? -1
    const ring = ringOf(shape)
    let storeTime = before
    for (const row of this.changelog.slice(from, this.#committed)) {
      const key = shape.kind === 'window' ? row.key.subarray(0, row.key.length - 4) : row.key
      // The start of a window, the end of a session.
      const at = ring === null ? 0 : readInt64(key, key.length - (shape.kind === 'window' ? 8 : 16))
      storeTime = ring === null ? -1 : Math.max(storeTime, at)
      const space = ring?.spaceOf(at) ?? 0
      const time = Buffer.alloc(8)
      time.writeBigInt64BE(BigInt(row.timestamp))
      if (row.value === null) batch.delete(space, key)
      else batch.put(space, key, Buffer.concat([time, row.value]))
    }
    await store.flush({
      clear: ring?.cleared(before, storeTime) ?? [],
      operations: batch.take(),
      position: { leaderEpoch: 1, changelogOffset: this.#committed, storeTime },
    })
  }
}

function ringOf(shape: StoreShape): WindowSpaces | null {
  if (shape.kind === 'window') return new WindowSpaces(shape.retentionMs)
  return shape.kind === 'session' ? new WindowSpaces(shape.retentionMs, sessionSpaceCount) : null
}

export const storeEngines: readonly (readonly [string, () => StoreEngine])[] = [
  ['memory', () => new SharedMemoryEngine()],
  ['disk', () => new DiskStoreEngine(new MemoryDisk())],
]

/** A memory store is empty each time it is opened; here its content outlives it, as on a disk. */
class SharedMemoryEngine implements StoreEngine {
  readonly #engine = new MemoryStoreEngine()
  #store: OrderedStore | null = null

  async open(options: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore> {
    this.#store ??= await this.#engine.open(options)
    const store = this.#store
    return {
      get: (space, key) => store.get(space, key),
      range: (space, range) => store.range(space, range),
      count: (space) => store.count(space),
      flush: (batch) => store.flush(batch),
      get position() {
        return store.position
      },
      close: async () => {},
    }
  }

  async destroy(): Promise<void> {
    this.#store = null
  }
}
