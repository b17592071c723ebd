import { assert, InvariantError } from '../../../base/assert.ts'
import type { KeyRange, OrderedStore, StoreBatch, StoreEngine, StoreItem, StorePosition } from '../ordered-store.ts'
import { destroyLmdbStore, hasLmdbStore } from './lmdb-directory.ts'
import type { LmdbEnvironment } from './lmdb-environment.ts'
import type { StoreFlusher } from './store-flusher.ts'

/*
 * LMDB is loaded when it is needed, and then adds properties to a buffer, a typed array and their memory. V8 discards
 * all code then that it has compiled for objects of these kinds without properties: the loops of a worker, at its first
 * flush. So each kind gets a property here, when there is no such code yet.
 */
for (const kind of [Buffer.alloc(1), new Uint32Array(1), new ArrayBuffer(1), new SharedArrayBuffer(1)]) {
  Object.assign(kind, { address: 0 })
}

/**
 * Stores on disk with LMDB. With a flusher, its thread does the writing; without one, a flush blocks until it is
 * synced.
 */
export class LmdbStoreEngine implements StoreEngine {
  readonly #flusher: StoreFlusher | null

  constructor(flusher: StoreFlusher | null) {
    this.#flusher = flusher
  }

  async open({ directory, spaces }: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore> {
    const environment = hasLmdbStore(directory) ? await openEnvironment(directory, spaces) : null
    return new LmdbStore(directory, spaces, this.#flusher, environment)
  }

  // oxlint-disable-next-line require-await
  async destroy(directory: string): Promise<void> {
    destroyLmdbStore(directory)
  }
}

/** Loads LMDB when the first store is opened that contains anything. */
async function openEnvironment(directory: string, spaces: number): Promise<LmdbEnvironment> {
  const { LmdbEnvironment } = await import('./lmdb-environment.ts')
  return new LmdbEnvironment(directory, spaces)
}

/**
 * An ordered store in its own LMDB environment. This thread reads; the flusher writes to the same environment, and its
 * flushes become visible here when they are durable.
 *
 * A store that was never flushed has no directory: the first flush creates it, so that starting does not wait for the
 * disk.
 */
class LmdbStore implements OrderedStore {
  readonly #directory: string
  readonly #spaces: number
  readonly #flusher: StoreFlusher | null
  #environment: LmdbEnvironment | null
  #flushing = false
  #open = true

  constructor(directory: string, spaces: number, flusher: StoreFlusher | null, environment: LmdbEnvironment | null) {
    this.#directory = directory
    this.#spaces = spaces
    this.#flusher = flusher
    this.#environment = environment
  }

  get position(): StorePosition | null {
    return this.#environment?.position ?? null
  }

  get(space: number, key: Uint8Array): Uint8Array | undefined {
    this.#check(space)
    return this.#environment?.get(space, key)
  }

  range(space: number, range: KeyRange): IterableIterator<StoreItem> {
    this.#check(space)
    return this.#environment?.range(space, range) ?? [].values()
  }

  count(space: number): number {
    this.#check(space)
    return this.#environment?.count(space) ?? 0
  }

  async flush(batch: StoreBatch): Promise<ArrayBuffer | null> {
    assert(this.#open, 'the store is closed')
    assert(!this.#flushing, 'one flush at a time')
    this.#flushing = true
    try {
      if (this.#flusher === null) {
        this.#environment ??= await openEnvironment(this.#directory, this.#spaces)
        this.#environment.apply(batch)
        return null
      }
      const memory = await this.#flusher.flush(this.#directory, this.#spaces, batch)
      if (this.#environment === null) this.#environment = await openEnvironment(this.#directory, this.#spaces)
      else this.#environment.refresh()
      return memory
    } finally {
      this.#flushing = false
    }
  }

  /** The caller must wait for its flush first. */
  async close(): Promise<void> {
    if (!this.#open) return
    assert(!this.#flushing, 'a flush is in flight')
    this.#open = false
    await this.#flusher?.release(this.#directory)
    await this.#environment?.close()
    this.#environment = null
  }

  #check(space: number): void {
    assert(this.#open, 'the store is closed')
    if (!(space >= 0 && space < this.#spaces))
      throw new InvariantError(`the store has spaces 0 to ${this.#spaces - 1}, not ${space}`)
  }
}
