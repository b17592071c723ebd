import type { KeyedItem } from './key-table.ts'
import type { OverlayEntry } from './overlay-entry.ts'

/**
 * The rows that one key has in the windows of a store, linked from the newest window to the oldest, because most records
 * concern the newest ones. An entry is in at most one list.
 */
export class KeyRows implements KeyedItem {
  readonly keyHash: number
  /**
   * Key bytes of its newest row. Those of an older row would keep its slab in memory after that row has been removed.
   */
  slab: Uint8Array
  keyStart: number
  keyEnd: number
  newest: OverlayEntry | null

  constructor(keyHash: number, first: OverlayEntry) {
    this.keyHash = keyHash
    this.slab = first.slab
    this.keyStart = first.keyStart
    this.keyEnd = first.keyEnd - rowKeyBytes
    this.newest = first
    first.rows = this
  }

  /** The row of the window with that start, or null. */
  at(start: number): OverlayEntry | null {
    let entry = this.newest
    while (entry !== null && entry.start > start) entry = entry.older
    return entry !== null && entry.start === start ? entry : null
  }

  #turnTo(newest: OverlayEntry | null): void {
    this.newest = newest
    if (newest === null) return
    this.slab = newest.slab
    this.keyStart = newest.keyStart
    this.keyEnd = newest.keyEnd - rowKeyBytes
  }

  insert(entry: OverlayEntry): void {
    entry.rows = this
    const { newest } = this
    if (newest === null || newest.start < entry.start) {
      entry.older = newest
      this.#turnTo(entry)
      return
    }
    let newer = newest
    while (newer.older !== null && newer.older.start > entry.start) newer = newer.older
    entry.older = newer.older
    newer.older = entry
  }

  remove(entry: OverlayEntry): void {
    entry.rows = null
    if (this.newest === entry) {
      this.#turnTo(entry.older)
      return
    }
    let newer = this.newest
    while (newer !== null && newer.older !== entry) newer = newer.older
    if (newer !== null) newer.older = entry.older
  }
}

/** Bytes after the key in a changelog: start and sequence. */
export const rowKeyBytes = 12
