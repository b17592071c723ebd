import { murmur2 } from '../../base/murmur2.ts'
import { KeyFilter } from './key-filter.ts'
import type { OrderedStore } from './ordered-store.ts'

/**
 * Which keys a store may hold beyond what stands in memory, so that it is asked only for those.
 *
 * - A store that was empty when it was opened is known from the start: what leaves memory is noted here.
 * - One that was not is asked for every key at first. When that was in vain so often that reading all of its keys once
 *   costs no more than a fraction of it, they are read, and from then on it is known, too.
 * - One filter per space, so that what has expired is forgotten with its space.
 */
export class StoredKeys {
  readonly #store: OrderedStore
  readonly #suffix: number
  readonly #filters: readonly KeyFilter[]
  /** Rows that the store had when it was opened; 0 as soon as their keys are known. */
  #unread: number
  #vain = 0

  /** @param suffix how many bytes of the store's keys stand behind the key that is asked for */
  constructor(store: OrderedStore, spaces: number, suffix: number) {
    this.#store = store
    this.#suffix = suffix
    this.#filters = Array.from({ length: spaces }, () => new KeyFilter())
    this.#unread = 0
    for (let space = 0; space < spaces; space++) this.#unread += store.count(space)
  }

  /** Every key that is in the store and not in memory has been noted. */
  get isKnown(): boolean {
    return this.#unread === 0
  }

  mayHave(hash: number): boolean {
    if (this.#unread > 0) return true
    for (const filter of this.#filters) if (filter.mayHave(hash)) return true
    return false
  }

  /** A row of that key is in the store and in memory no longer. */
  add(hash: number, space: number): void {
    this.#filters[space]?.add(hash)
  }

  /** Nothing in that space can be read any more. */
  cleared(space: number): void {
    this.#filters[space]?.clear()
  }

  /** The store was asked for a key and gave so many rows. */
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
/** About how many keys are read in a row in the time of one lookup, and a margin. */
const rowsReadPerLookup = 16
