import { copyBytes } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import { undecoded } from '../record-context.ts'
import { ByteCells, cellBytes, cellStart } from './byte-cells.ts'
import { writeInt64 } from './overlay.ts'

/**
 * The keys of a window or session store, as numbers, found by their bytes: a hash table with open addressing and linear
 * probing. What is known about a key is in columns of integers and not in objects, because a store may have millions of
 * keys, and a collection would have to look at each object.
 *
 * - Behind the bytes of a key there is room for the bytes with which a changelog continues it, so that the key of a row
 *   can be completed in place ({@link RowKeys.presentWindow}, {@link RowKeys.presentSession}).
 * - A key is in the table as long as it has rows ({@link RowKeys.gained}, {@link RowKeys.lost}). Its number is then used
 *   again.
 * - At most half of the places of the table are taken, so every search ends; deletion moves the following keys back.
 *
 * Deliberately absent: an order. Callers that list keys have to sort them.
 */
export class RowKeys {
  /** Number of keys. */
  size = 0
  /** The memory of the key that was presented last, where its bytes start, and where those of its row end. */
  memory: Uint8Array = noBytes
  start = 0
  end = 0
  /** Bytes after the key in a changelog. */
  readonly #suffixBytes: number
  /** Pairs of a hash and a key's number plus 1; the second is 0 if the place is empty. */
  #places: Int32Array = new Int32Array(2 * firstPlaces)
  #shift = 32 - Math.log2(firstPlaces)
  /** {@link fieldsPerKey} integers for each key. */
  #fields: Int32Array = new Int32Array(fieldsPerKey * firstKeys)
  #cells = new ByteCells()
  /** The keys as callers gave them, or `undecoded`. */
  #decoded: unknown[] = []
  /** Number of keys that `#fields` has had room for so far. */
  #used = 0
  /** The first number that is free again; the others follow by `newest`. */
  #free = -1
  /** The key that was found last, because a hopping window looks up the same key many times. */
  #last = -1

  /** `suffixBytes` is {@link windowSuffixBytes} or {@link sessionSuffixBytes}. */
  constructor(suffixBytes: number) {
    this.#suffixBytes = suffixBytes
  }

  /** The number of the key `bytes[start, end)`, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const last = this.#last
    if (last >= 0 && this.#isKey(last, bytes, start, end)) return last
    const hash = murmur2(bytes, start, end)
    const places = this.#places
    const mask = places.length - 1
    for (let place = this.#homeOf(hash); ; place = (place + 2) & mask) {
      const key = (places[place + 1] as number) - 1
      if (key < 0) return -1
      if (places[place] === hash && this.#isKey(key, bytes, start, end)) {
        this.#last = key
        return key
      }
    }
  }

  /** Adds the key `bytes[start, end)`, which is not in the table yet, and returns its number. It has no rows so far. */
  add(bytes: Uint8Array, start: number, end: number, decoded: unknown): number {
    if ((this.size + 1) * 4 > this.#places.length) this.#grow()
    const hash = murmur2(bytes, start, end)
    const length = end - start
    const address = this.#cells.allocate(length + this.#suffixBytes)
    const memory = this.#cells.memoryOf(address)
    const at = cellStart(address)
    copyBytes(bytes, start, end, memory, at)
    // What is not written again for each row is Kafka's sequence, which is always 0.
    for (let zero = at + length + timeBytes; zero < at + length + this.#suffixBytes; zero++) memory[zero] = 0
    const key = this.#number()
    const fields = this.#fields
    const field = key * fieldsPerKey
    fields[field + hashField] = hash
    fields[field + addressField] = address
    fields[field + lengthField] = length
    fields[field + newestField] = -1
    fields[field + rowsField] = 0
    this.#decoded[key] = decoded
    this.#place(hash, key)
    this.size += 1
    this.#last = key
    return key
  }

  /** The newest row of a key, or -1. */
  newestOf(key: number): number {
    return this.#fields[key * fieldsPerKey + newestField] as number
  }

  setNewest(key: number, row: number): void {
    this.#fields[key * fieldsPerKey + newestField] = row
  }

  /** Counts a row that has the key. */
  gained(key: number): void {
    const field = key * fieldsPerKey + rowsField
    this.#fields[field] = (this.#fields[field] as number) + 1
  }

  /** Counts a row that no longer has the key, which leaves the table with its last row. */
  lost(key: number): void {
    const field = key * fieldsPerKey + rowsField
    const rows = (this.#fields[field] as number) - 1
    this.#fields[field] = rows
    if (rows === 0) this.#remove(key)
  }

  /** The key as the caller of {@link RowKeys.add} gave it: `undecoded` if there were only its bytes. */
  decodedOf(key: number): unknown {
    return this.#decoded[key]
  }

  lengthOf(key: number): number {
    return this.#fields[key * fieldsPerKey + lengthField] as number
  }

  /** Bytes of memory that a key takes. */
  bytesOf(key: number): number {
    return keyOverheadBytes + cellBytes(this.lengthOf(key) + this.#suffixBytes)
  }

  /**
   * Shows the bytes `key | i64 start | i32 0` of a row in `memory[start, end)`. They are valid until a row of the same key
   * is presented.
   */
  presentWindow(key: number, start: number): void {
    const at = this.#present(key)
    writeInt64(this.memory, at, start)
    this.end = at + windowSuffixBytes
  }

  /** The same for the bytes `key | i64 end | i64 start`. */
  presentSession(key: number, start: number, end: number): void {
    const at = this.#present(key)
    writeInt64(this.memory, at, end)
    writeInt64(this.memory, at + timeBytes, start)
    this.end = at + sessionSuffixBytes
  }

  /** Returns where the key ends in `memory`. */
  #present(key: number): number {
    const field = key * fieldsPerKey
    const address = this.#fields[field + addressField] as number
    this.memory = this.#cells.memoryOf(address)
    this.start = cellStart(address)
    return this.start + (this.#fields[field + lengthField] as number)
  }

  hashOf(key: number): number {
    return this.#fields[key * fieldsPerKey + hashField] as number
  }

  /** The keys that have rows, in no particular order. */
  numbers(): number[] {
    const found: number[] = []
    for (let key = 0; key < this.#used; key++) if (this.#fields[key * fieldsPerKey + rowsField] !== 0) found.push(key)
    return found
  }

  /** The bytes of a key, sharing memory with the table. */
  bytes(key: number): Uint8Array {
    const address = this.#fields[key * fieldsPerKey + addressField] as number
    const start = cellStart(address)
    return this.#cells.memoryOf(address).subarray(start, start + this.lengthOf(key))
  }

  #isKey(key: number, bytes: Uint8Array, start: number, end: number): boolean {
    const field = key * fieldsPerKey
    const length = end - start
    if (this.#fields[field + lengthField] !== length) return false
    const address = this.#fields[field + addressField] as number
    const memory = this.#cells.memoryOf(address)
    const at = cellStart(address)
    for (let index = 0; index < length; index++) if (memory[at + index] !== bytes[start + index]) return false
    return true
  }

  /**
   * The place at which the search for a hash begins. It is computed from the top bits of the mixed hash, because the
   * keys of a partition have low bits in common.
   */
  #homeOf(hash: number): number {
    return (Math.imul(hash, 0x9e37_79b1) >>> this.#shift) * 2
  }

  #place(hash: number, key: number): void {
    const places = this.#places
    const mask = places.length - 1
    let place = this.#homeOf(hash)
    while (places[place + 1] !== 0) place = (place + 2) & mask
    places[place] = hash
    places[place + 1] = key + 1
  }

  /** A number that no key has. */
  #number(): number {
    const free = this.#free
    if (free >= 0) {
      this.#free = this.newestOf(free)
      return free
    }
    const key = this.#used
    this.#used += 1
    if (this.#used * fieldsPerKey > this.#fields.length) {
      const fields = new Int32Array(this.#fields.length * 2)
      fields.set(this.#fields)
      this.#fields = fields
    }
    this.#decoded.push(undecoded)
    return key
  }

  #remove(key: number): void {
    this.#last = -1
    this.size -= 1
    if (this.size === 0) {
      this.#clear()
      return
    }
    const fields = this.#fields
    const field = key * fieldsPerKey
    this.#unplace(fields[field + hashField] as number, key)
    this.#cells.release(
      fields[field + addressField] as number,
      (fields[field + lengthField] as number) + this.#suffixBytes,
    )
    this.#decoded[key] = undecoded
    fields[field + newestField] = this.#free
    this.#free = key
  }

  #unplace(hash: number, key: number): void {
    const places = this.#places
    const mask = places.length - 1
    let hole = this.#homeOf(hash)
    while (places[hole + 1] !== key + 1) hole = (hole + 2) & mask
    for (let place = (hole + 2) & mask; places[place + 1] !== 0; place = (place + 2) & mask) {
      // A key must not move in front of its home: the hole has to be between its home and its place.
      const home = this.#homeOf(places[place] as number)
      if (((place - home) & mask) < ((place - hole) & mask)) continue
      places[hole] = places[place] as number
      places[hole + 1] = places[place + 1] as number
      hole = place
    }
    places[hole + 1] = 0
  }

  /** Gives the memory back: an empty store is the only moment when no number is in use. */
  #clear(): void {
    if (this.#places.length > 2 * firstPlaces) {
      this.#places = new Int32Array(2 * firstPlaces)
      this.#shift = 32 - Math.log2(firstPlaces)
      this.#fields = new Int32Array(fieldsPerKey * firstKeys)
    } else this.#places.fill(0)
    this.#cells.clear()
    this.#decoded = []
    this.#used = 0
    this.#free = -1
  }

  #grow(): void {
    const before = this.#places
    this.#places = new Int32Array(before.length * 2)
    this.#shift -= 1
    for (let place = 0; place < before.length; place += 2) {
      const key = before[place + 1] as number
      if (key !== 0) this.#place(before[place] as number, key - 1)
    }
  }
}

const timeBytes = 8
/** Start and sequence. */
export const windowSuffixBytes = 12
/** End and start. */
export const sessionSuffixBytes = 16

const fieldsPerKey = 8
const hashField = 0
const addressField = 1
const lengthField = 2
const newestField = 3
const rowsField = 4

const firstPlaces = 64
const firstKeys = 32
/** Bytes of a key in the columns and in the table. */
const keyOverheadBytes = 4 * fieldsPerKey + 32
const noBytes = new Uint8Array(0)
