/**
 * The byte contract under every store: ordered bytes in numbered spaces, changed only by whole batches. A batch and the
 * changelog position that it brings the store to become durable together or not at all, so a store is always exactly at
 * some commit, behind the log and never ahead. Windows use several spaces (a ring by time); key-value stores use one.
 */
export interface OrderedStore {
  /** The value, or undefined. The bytes are valid until the next call. */
  get(space: number, key: Uint8Array): Uint8Array | undefined
  /**
   * Entries with `from <= key < to` in byte order (`to` null: to the end), or backwards. A snapshot of the time of the
   * call: a flush in between does not show. Bytes are valid until the next step. Leave it early by `return()`.
   */
  range(space: number, range: KeyRange): IterableIterator<StoreItem>
  /** Entries in a space, possibly an estimate. */
  count(space: number): number
  /** Brings the store forward by one batch. Resolves when that is durable; one at a time. */
  flush(batch: StoreBatch): Promise<void>
  /** Where the last durable flush brought the store to; null when fresh. */
  readonly position: StorePosition | null
  close(): Promise<void>
}

export interface KeyRange {
  readonly from: Uint8Array
  readonly to: Uint8Array | null
  readonly reverse: boolean
}

export interface StoreItem {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/**
 * Changes to apply as one transaction: clear the spaces first, then put and delete. Operations may come in any order, the
 * engine sorts them by (space, key); of several on one key the last one wins.
 */
export interface StoreBatch {
  readonly clear: readonly number[]
  readonly operations: StoreOperations
  readonly position: StorePosition
}

/**
 * Operations packed one after another, so that they cross to a flush thread without a copy each:
 * `u16 space, u32 key length, i32 value length (-1: delete), key, value`.
 */
export interface StoreOperations {
  readonly bytes: Uint8Array
  readonly count: number
}

/** The last changelog batch that the store holds: its epoch, the offset to go on from, and the store's own clock. */
export interface StorePosition {
  readonly leaderEpoch: number
  readonly changelogOffset: number
  /** Highest time of a row that the store was given, -1 at first: it decides what has expired. */
  readonly storeTime: number
}

/** Opens one store of one task. `spaces` is fixed for the life of the directory. */
export interface StoreEngine {
  open(options: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore>
  /** Removes the store's directory and all that is in it. */
  destroy(directory: string): Promise<void>
}
