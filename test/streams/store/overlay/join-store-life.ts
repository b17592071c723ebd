import { SystemClock } from '../../../../src/base/clock.ts'
import { readInt64 } from '../../../../src/base/int64.ts'
import type { Codec } from '../../../../src/codec/codec.ts'
import { stringKey } from '../../../../src/codec/key-codecs.ts'
import type { KeyRange, OrderedStore, StoreEngine, StoreItem } from '../../../../src/streams/store/ordered-store.ts'
import type { FlushSet } from '../../../../src/streams/store/overlay/flush-set.ts'
import { type Overlay } from '../../../../src/streams/store/overlay/overlay.ts'
import { unmatchedSpace, unmatchedSpaceCount } from '../../../../src/streams/store/overlay/unmatched-overlay.ts'
import { WindowSpaces, windowSpaceCount } from '../../../../src/streams/store/overlay/window-spaces.ts'
import { RecordContext } from '../../../../src/streams/store/record-context.ts'
import { WriteBatch } from '../../../../src/streams/store/write-batch.ts'
import type { StoreShape, StoreSpec } from '../../../../src/streams/topology/node.ts'

interface ChangelogRow {
  readonly key: Buffer
  readonly value: Buffer | null
  readonly timestamp: number
}

/** Counts the reads of a store. */
class CountedStore implements OrderedStore {
  readonly #store: OrderedStore
  reads = 0

  constructor(store: OrderedStore) {
    this.#store = store
  }

  get position(): OrderedStore['position'] {
    return this.#store.position
  }

  get(space: number, key: Uint8Array): Uint8Array | undefined {
    this.reads += 1
    return this.#store.get(space, key)
  }

  range(space: number, range: KeyRange): IterableIterator<StoreItem> {
    this.reads += 1
    return this.#store.range(space, range)
  }

  count(space: number): number {
    return this.#store.count(space)
  }

  flush(batch: Parameters<OrderedStore['flush']>[0]): ReturnType<OrderedStore['flush']> {
    return this.#store.flush(batch)
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}

/** A store of a join with its overlay, and a list as its changelog. */
export class JoinStoreLife<O extends Overlay> {
  readonly record: RecordContext = new RecordContext()
  readonly changelog: ChangelogRow[] = []
  overlay!: O
  store!: CountedStore
  readonly #engine: StoreEngine
  readonly #directory: string
  readonly #spec: StoreSpec
  readonly #open: (spec: StoreSpec, store: OrderedStore, record: RecordContext) => O
  readonly #clock = new SystemClock()
  #sealed: FlushSet | null = null
  #committed = 0
  #storeTime = -1

  constructor(
    of: {
      readonly engine: StoreEngine
      readonly directory?: string
      readonly shape: StoreShape
      readonly value: Codec<unknown>
    },
    open: (spec: StoreSpec, store: OrderedStore, record: RecordContext) => O,
  ) {
    this.#engine = of.engine
    this.#directory = of.directory ?? '/s'
    this.#spec = {
      name: 's',
      shape: of.shape,
      engine: 'memory',
      key: stringKey,
      value: of.value,
      logged: true,
      emit: 'update',
    }
    this.#open = open
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

  seal(): void {
    if (this.#sealed !== null || !this.overlay.hasUnflushed) return
    this.#sealed = this.overlay.seal()
    this.#sealed.position = this.overlay.position ?? { leaderEpoch: 1, changelogOffset: 0, storeTime: -1 }
  }

  async flush(): Promise<void> {
    const set = this.#sealed
    this.#sealed = null
    if (set !== null) await this.overlay.flush(set, this.#clock)
  }

  async commitAndFlush(): Promise<void> {
    this.commit()
    this.seal()
    await this.flush()
  }

  async close(): Promise<void> {
    await (this.overlay as O | undefined)?.store.close()
  }

  /** Loses everything in memory, and restores the store from its last flush and the changelog. */
  async reopen(): Promise<void> {
    await this.close()
    this.#sealed = null
    const { shape } = this.#spec
    const spaces = shape.kind === 'unmatched' ? unmatchedSpaceCount : windowSpaceCount
    const store = await this.#engine.open({ directory: this.#directory, spaces })
    const from = store.position?.changelogOffset ?? 0
    if (from < this.#committed) await this.#replay(store, from, shape)
    this.store = new CountedStore(store)
    this.overlay = this.#open(this.#spec, this.store, this.record)
    this.overlay.resumeAt(this.#storeTime)
  }

  async #replay(store: OrderedStore, from: number, shape: StoreShape): Promise<void> {
    const batch = new WriteBatch()
    const before = store.position?.storeTime ?? -1
    const ring = shape.kind === 'join' ? new WindowSpaces(shape.retentionMs) : null
    let storeTime = before
    for (const { key, value, timestamp } of this.changelog.slice(from, this.#committed)) {
      const time = ring === null ? -1 : readInt64(key, key.length - 12)
      storeTime = Math.max(storeTime, time)
      if (ring !== null && time <= storeTime - ring.retentionMs) continue
      const space = ring?.spaceOf(time) ?? unmatchedSpace(key, 0)
      const stamp = Buffer.alloc(8)
      stamp.writeBigInt64BE(BigInt(timestamp))
      if (value === null) batch.delete(space, key)
      else batch.put(space, key, Buffer.concat([stamp, value]))
    }
    await store.flush({
      clear: ring?.cleared(before, storeTime) ?? [],
      operations: batch.take(),
      position: { leaderEpoch: 1, changelogOffset: this.#committed, storeTime },
    })
  }
}
