import { compareBytes } from '../../../base/bytes.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { grown } from '../../../base/columns.ts'
import { type RowKeys, sessionSuffixBytes } from './row-keys.ts'
import { StoredKeys } from './stored-keys.ts'
import { sessionSpaceCount } from './window-spaces.ts'

/**
 * Which sessions of a store are known to be in memory, so that the store is read only for the others. Ends say how far
 * back:
 *
 * - Every row that ends at {@link SessionCoverage.from} or later is in memory. For earlier ends, more may be known of one
 *   key, which has rows in memory, and {@link StoredKeys} knows most keys that are certainly not in the store.
 * - Of the keys without rows in memory, the one that the store was read for last is remembered.
 */
export class SessionCoverage {
  /** Rises when rows leave memory. */
  from: number
  readonly #keys: RowKeys
  readonly #stored: StoredKeys
  /** By the keys' slots: every row of the key that ends at this or later is in memory. */
  #froms: Float64Array = new Float64Array(64)
  /** The last key that the store was read for without finding a row, and from which end on. */
  #absentKey: Uint8Array | null = null
  #absentFrom = 0

  /** `storeTime` is the end of the last session that the store contains. */
  constructor(store: OrderedStore, keys: RowKeys, storeTime: number) {
    this.#keys = keys
    this.#stored = new StoredKeys(store, sessionSpaceCount, sessionSuffixBytes)
    this.from = this.#stored.isKnown ? Number.NEGATIVE_INFINITY : storeTime + 1
  }

  /** The end from which on all rows of a key are in memory; `key` is -1 if it has none there. */
  fromOf(key: number): number {
    return key < 0 ? this.from : Math.min(this.from, this.#froms[this.#keys.slotOf(key)] as number)
  }

  /** Whether the store may have rows of a key with that hash that are not in memory. */
  mayLack(hash: number): boolean {
    return this.#stored.mayHave(hash)
  }

  /** Notes that a key has its first row in memory, with all of its rows that end at `from` or later. */
  added(key: number, from: number): void {
    const slot = this.#keys.slotOf(key)
    if (slot >= this.#froms.length) this.#froms = grown(this.#froms, new Float64Array(slot * 2))
    this.#froms[slot] = from
  }

  /** Notes that all rows of a key that end at `low` or later are in memory. */
  extended(key: number, low: number): void {
    const slot = this.#keys.slotOf(key)
    if (low < (this.#froms[slot] as number)) this.#froms[slot] = low
  }

  /**
   * Notes that the store was read for the rows of a key from `low` on, and how many were found; `key` is its number now,
   * or -1.
   */
  wasRead(bytes: Uint8Array, key: number, low: number, found: number): void {
    this.#stored.asked(found)
    if (key >= 0) {
      this.extended(key, low)
      return
    }
    this.#absentKey = bytes
    this.#absentFrom = low
  }

  /** The lowest end from which on a key without rows in memory has none in the store; all from `low` on are known. */
  absentFrom(bytes: Uint8Array, start: number, end: number, low: number): number {
    const known = Math.min(low, this.from)
    const key = this.#absentKey
    if (key === null || compareBytes(key, bytes.subarray(start, end)) !== 0) return known
    return Math.min(known, this.#absentFrom)
  }

  /** Notes that a row of a key that ends at `end` leaves memory and is in that space of the store. */
  left(key: number, end: number, space: number): void {
    const from = end + 1
    const slot = this.#keys.slotOf(key)
    this.#stored.add(this.#keys.hashOf(key), space)
    if ((this.#froms[slot] as number) < from) this.#froms[slot] = from
    if (this.from < from) this.from = from
    this.#absentKey = null
  }

  /** Notes that no row in that space can be read any more. */
  cleared(space: number): void {
    this.#stored.cleared(space)
  }
}
