import { murmur2 } from '../../../base/murmur2.ts'
import type { OrderedStore } from '../ordered-store.ts'
import { KeyFilter } from './key-filter.ts'

/**
 * Which keys the store may contain beyond those in memory, so that it is read only for those.
 *
 * - For a store that was empty when it was opened, this is known from the start: keys that leave memory are noted here.
 * - Any other store is read for every key at first. When so many reads were in vain that reading all of its keys once
 *   costs no more than they did, the keys are read, and are known from then on.
 * - There is one filter per space, so that the keys of expired rows are forgotten with their space.
 */
export class StoredKeys {
  readonly #store: OrderedStore
  readonly #suffix: number
  readonly #filters: readonly KeyFilter[]
  /** Number of rows in the store when it was opened; 0 once their keys are known. */
  #unread: number
  #vain = 0

  /** @param suffix number of bytes in the store's keys after the key that callers use */
  constructor(store: OrderedStore, spaces: number, suffix: number) {
    this.#store = store
    this.#suffix = suffix
    this.#filters = Array.from({ length: spaces }, () => new KeyFilter())
    this.#unread = 0
    for (let space = 0; space < spaces; space++) this.#unread += store.count(space)
  }

  /** Whether every key that is in the store and not in memory has been noted. */
  get isKnown(): boolean {
    return this.#unread === 0
  }

  mayHave(hash: number): boolean {
    if (this.#unread > 0) return true
    for (const filter of this.#filters) if (filter.mayHave(hash)) return true
    return false
  }

  /** Notes that a row of that key is in the store and no longer in memory. */
  add(hash: number, space: number): void {
    this.#filters[space]?.add(hash)
  }

  /** Notes that no row in that space can be read any more. */
  cleared(space: number): void {
    this.#filters[space]?.clear()
  }

  /** Notes that the store was read for a key, and how many rows were found. */
  asked(found: number): void {
    if (found > 0 || this.#unread === 0) return
    this.#vain += 1
    if (this.#vain * rowsReadPerLookup >= this.#unread) this.#readKeys()
  }

  #readKeys(): void {
    this.#unread = 0
    for (const [space, filter] of this.#filters.entries()) {
      for (const { key } of this.#store.range(space, { from: noBytes, to: null, reverse: false })) {
        filter.add(murmur2(key, 0, key.length - this.#suffix))
      }
    }
  }
}

const noBytes = new Uint8Array(0)
/** How many keys can be read in sequence in the time of one lookup, with a margin. */
const rowsReadPerLookup = 16
