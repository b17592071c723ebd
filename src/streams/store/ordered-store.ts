/**
 * The byte-level contract of every store: ordered bytes in numbered spaces, changed only by whole batches. A batch and
 * the changelog position that it leads to become durable together or not at all. So a store always has exactly the
 * state of some commit, possibly behind the log but never ahead. Windows use several spaces (a ring by time); key-value
 * stores use one.
 */
export interface OrderedStore {
  /** The value, or undefined. The bytes are valid until the next call. */
  get(space: number, key: Uint8Array): Uint8Array | undefined
  /**
   * Entries with `from <= key < to` in byte order (to the end if `to` is null), or backwards. It is a snapshot of the
   * time of the call: flushes during the iteration are not visible. Bytes are valid until the next step. To end the
   * iteration early, call `return()`.
   */
  range(space: number, range: KeyRange): IterableIterator<StoreItem>
  /** Number of entries in a space, possibly an estimate. */
  count(space: number): number
  /**
   * Applies one batch; one flush at a time. Resolves when it is durable, with the memory of the operations if the store
   * has taken it and needs it no longer.
   */
  flush(batch: StoreBatch): Promise<ArrayBuffer | null>
  /** The position of the last durable flush; null for a fresh store. */
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
 * Changes to apply as one transaction: first the spaces are cleared, then keys are put and deleted. Operations may be
 * in any order, since the engine sorts them by (space, key); if several have the same key, the last one wins.
 */
export interface StoreBatch {
  readonly clear: readonly number[]
  readonly operations: StoreOperations
  readonly position: StorePosition
}

/**
 * Operations packed one after another, so that they can be transferred to a flush thread without copying each: `u16
 * space (65,535: none, the operation was dropped), u32 key length, i32 value length (-1: delete), key, value`.
 */
export interface StoreOperations {
  readonly bytes: Uint8Array
  readonly count: number
}

/** The position of a store in its changelog: leader epoch, next offset, and the store's own clock. */
export interface StorePosition {
  readonly leaderEpoch: number
  readonly changelogOffset: number
  /** Highest time of a row that was given to the store, -1 at first. It decides which rows have expired. */
  readonly storeTime: number
}

/** Opens the store of one task. `spaces` never changes for a directory. */
export interface StoreEngine {
  open(options: { readonly directory: string; readonly spaces: number }): Promise<OrderedStore>
  /** Removes the store's directory with its contents. */
  destroy(directory: string): Promise<void>
}
