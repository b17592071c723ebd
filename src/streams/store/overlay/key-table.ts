/**
 * A hash table whose items are found by the bytes of their key, with open addressing and linear probing. Keys arrive as
 * bytes and are looked up as bytes, while a Map would need a new string for every record.
 *
 * - Each item knows where its key's bytes are. The table keeps the hashes side by side, so that a search usually reads
 *   one cache line before it touches an item, and compares bytes only if the whole hash is equal.
 * - A place is empty if its item is null. At most half of the places are taken, so every search ends.
 * - Deletion moves the following items back instead of leaving a tombstone, so searches do not become slower over time.
 * - An item's bytes may move while it is in the table, as long as they stay equal.
 *
 * Deliberately absent: an order. Callers that list the items have to sort them.
 */
export class KeyTable<T extends KeyedItem> {
  size = 0
  #hashes: Int32Array = new Int32Array(firstCapacity)
  #items: (T | null)[] = emptyItems(firstCapacity)
  /**
   * The place is computed from the top bits of the mixed hash, because the keys of a partition have low bits in common.
   */
  #shift = 32 - Math.log2(firstCapacity)

  /** The item of the key `bytes[start, end)`, whose hash is `hash`. */
  get(bytes: Uint8Array, start: number, end: number, hash: number): T | null {
    const hashes = this.#hashes
    const items = this.#items
    const last = hashes.length - 1
    for (let place = placeOf(hash, this.#shift); ; place = (place + 1) & last) {
      const item = items[place] as T | null
      if (item === null) return null
      if (hashes[place] === hash && isKeyOf(item, bytes, start, end)) return item
    }
  }

  /** Adds an item whose key is not in the table yet. */
  add(item: T): void {
    if ((this.size + 1) * 2 > this.#items.length) this.#grow()
    this.#place(item, item.keyHash)
    this.size += 1
  }

  /** Removes an item that is in the table. */
  delete(item: T): void {
    const hashes = this.#hashes
    const items = this.#items
    const last = hashes.length - 1
    let hole = placeOf(item.keyHash, this.#shift)
    while (items[hole] !== item) {
      if (items[hole] === null) throw new RangeError('the item is not in the table')
      hole = (hole + 1) & last
    }
    this.size -= 1
    for (let place = (hole + 1) & last; items[place] !== null; place = (place + 1) & last) {
      const home = placeOf(hashes[place] as number, this.#shift)
      // An item must not move in front of its home: the hole has to be between its home and its place.
      if (((place - home) & last) < ((place - hole) & last)) continue
      items[hole] = items[place] as T
      hashes[hole] = hashes[place] as number
      hole = place
    }
    items[hole] = null
  }

  *values(): IterableIterator<T> {
    for (const item of this.#items) if (item !== null) yield item
  }

  #place(item: T, hash: number): void {
    const items = this.#items
    const last = items.length - 1
    let place = placeOf(hash, this.#shift)
    while (items[place] !== null) place = (place + 1) & last
    items[place] = item
    this.#hashes[place] = hash
  }

  #grow(): void {
    const hashes = this.#hashes
    const items = this.#items
    this.#hashes = new Int32Array(hashes.length * 2)
    this.#items = emptyItems(hashes.length * 2)
    this.#shift -= 1
    for (let place = 0; place < items.length; place++) {
      const item = items[place] as T | null
      if (item !== null) this.#place(item, hashes[place] as number)
    }
  }
}

/** Something with a key in bytes: `slab[keyStart, keyEnd)`. */
export interface KeyedItem {
  readonly keyHash: number
  readonly slab: Uint8Array
  readonly keyStart: number
  readonly keyEnd: number
}

export function isKeyOf(item: KeyedItem, bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start
  const at = item.keyStart
  if (item.keyEnd - at !== length) return false
  const { slab } = item
  for (let index = 0; index < length; index++) if (slab[at + index] !== bytes[start + index]) return false
  return true
}

function placeOf(hash: number, shift: number): number {
  return Math.imul(hash, 0x9e37_79b1) >>> shift
}

function emptyItems<T>(count: number): (T | null)[] {
  // Filled by pushing. `new Array(count)` would create an array with holes for good, and each read of a hole would
  // search the prototypes too.
  const items: (T | null)[] = []
  for (let place = 0; place < count; place++) items.push(null)
  return items
}

const firstCapacity = 64
