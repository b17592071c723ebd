import { assert, InvariantError } from '../../base/assert.ts'
import type { KeyRange, OrderedStore, StoreBatch, StoreEngine, StoreItem, StorePosition } from './ordered-store.ts'
import { SortedEntries } from './sorted-entries.ts'
import { OperationCursor } from './write-batch.ts'

/** Stores that exist as long as the process: they are empty when opened and are filled from the changelog. */
export class MemoryStoreEngine implements StoreEngine {
  open(options: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore> {
    return Promise.resolve(new MemoryStore(options.spaces))
  }

  destroy(): Promise<void> {
    return Promise.resolve()
  }
}

/** An ordered store in memory. A flush is complete when it returns. */
export class MemoryStore implements OrderedStore {
  readonly #spaces: SortedEntries[]
  #position: StorePosition | null = null
  #open = true

  constructor(spaces: number) {
    this.#spaces = Array.from({ length: spaces }, () => new SortedEntries())
  }

  get position(): StorePosition | null {
    return this.#position
  }

  get(space: number, key: Uint8Array): Uint8Array | undefined {
    return this.#space(space).get(key)
  }

  range(space: number, range: KeyRange): IterableIterator<StoreItem> {
    return this.#space(space).range(range)
  }

  count(space: number): number {
    return this.#space(space).count
  }

  flush(batch: StoreBatch): Promise<null> {
    this.apply(batch)
    return Promise.resolve(null)
  }

  close(): Promise<void> {
    this.#open = false
    return Promise.resolve()
  }

  /** Applies a batch at once. */
  apply(batch: StoreBatch): void {
    const cursor = new OperationCursor(batch.operations)
    // Everything is checked before anything is changed.
    if (cursor.spaceMax >= 0) this.#space(cursor.spaceMax)
    for (const space of batch.clear) this.#space(space)
    for (const space of batch.clear) this.#spaces[space] = new SortedEntries()
    while (cursor.next()) {
      const value = cursor.value()
      // Copies, because a view would keep the whole batch in memory for a single entry.
      if (value === null) this.#space(cursor.space).delete(cursor.key())
      else this.#space(cursor.space).put(cursor.key().slice(), value.slice())
    }
    this.#position = batch.position
  }

  #space(space: number): SortedEntries {
    assert(this.#open, 'the store is closed')
    const entries = this.#spaces[space]
    if (entries === undefined)
      throw new InvariantError(`the store has spaces 0 to ${this.#spaces.length - 1}, not ${space}`)
    return entries
  }
}
