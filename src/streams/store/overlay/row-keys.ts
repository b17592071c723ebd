import { copyBytes } from '../../../base/bytes.ts'
import { murmur2 } from '../../../base/murmur2.ts'
import { writeInt64 } from '../../../base/int64.ts'
import { undecoded } from '../record-context.ts'
import { ByteCells, cellBytes, integersPerUnit, unitBytes } from './byte-cells.ts'

/**
 * The keys of a window or session store, as numbers, found by their bytes: a hash table with open addressing and linear
 * probing. What is known about a key is in one cell with its bytes and not in an object, because a store may have
 * millions of keys: a collection would have to look at each object, and a lookup would wait for more lines of memory.
 *
 * ```
 *   cell   i32 hash   i32 length   i32 newest row   i32 number of rows   i32 slot   bytes   room for a row's bytes
 * ```
 * - The number of a key is the address of its cell. Numbers have gaps; the {@link RowKeys.slotOf} of a key has not.
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
  readonly #cells = new ByteCells()
  /** By slots: the keys as callers gave them, or `undecoded`. */
  #decoded: unknown[] = []
  /** Slots of keys that have left. */
  readonly #freeSlots: number[] = []
  /** The key that was found last, because most records look up their key more than once. */
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
    const cells = this.#cells
    const key = cells.allocate(headerBytes + length + this.#suffixBytes)
    const { integers, bytes: memory } = cells
    const at = key * unitBytes + headerBytes
    copyBytes(bytes, start, end, memory, at)
    // What is not written again for each row is Kafka's sequence, which is always 0.
    for (let zero = at + length + timeBytes; zero < at + length + this.#suffixBytes; zero++) memory[zero] = 0
    const slot = this.#freeSlots.pop() ?? this.#decoded.length
    this.#decoded[slot] = decoded
    const header = key * integersPerUnit
    integers[header + hashField] = hash
    integers[header + lengthField] = length
    integers[header + newestField] = -1
    integers[header + rowsField] = 0
    integers[header + slotField] = slot
    this.#place(hash, key)
    this.size += 1
    this.#last = key
    return key
  }

  /** The newest row of a key, or -1. */
  newestOf(key: number): number {
    return this.#cells.integers[key * integersPerUnit + newestField] as number
  }

  setNewest(key: number, row: number): void {
    this.#cells.integers[key * integersPerUnit + newestField] = row
  }

  /** Counts a row that has the key. */
  gained(key: number): void {
    const { integers } = this.#cells
    const field = key * integersPerUnit + rowsField
    integers[field] = (integers[field] as number) + 1
  }

  /** Counts a row that no longer has the key, which leaves the table with its last row. */
  lost(key: number): void {
    const { integers } = this.#cells
    const field = key * integersPerUnit + rowsField
    const rows = (integers[field] as number) - 1
    integers[field] = rows
    if (rows === 0) this.#remove(key)
  }

  /** The key as the caller of {@link RowKeys.add} gave it: `undecoded` if there were only its bytes. */
  decodedOf(key: number): unknown {
    return this.#decoded[this.slotOf(key)]
  }

  lengthOf(key: number): number {
    return this.#cells.integers[key * integersPerUnit + lengthField] as number
  }

  hashOf(key: number): number {
    return this.#cells.integers[key * integersPerUnit + hashField] as number
  }

  /** A small number of a key, for columns of callers. It is used again, as the key's number is. */
  slotOf(key: number): number {
    return this.#cells.integers[key * integersPerUnit + slotField] as number
  }

  /** Bytes of memory that a key takes. */
  bytesOf(key: number): number {
    return keyOverheadBytes + cellBytes(headerBytes + this.lengthOf(key) + this.#suffixBytes)
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
    this.memory = this.#cells.bytes
    this.start = key * unitBytes + headerBytes
    return this.start + this.lengthOf(key)
  }

  /** The keys, in no particular order. */
  numbers(): number[] {
    const found: number[] = []
    for (let place = 1; place < this.#places.length; place += 2) {
      const key = (this.#places[place] as number) - 1
      if (key >= 0) found.push(key)
    }
    return found
  }

  /** The bytes of a key, sharing memory with the table. */
  bytes(key: number): Uint8Array {
    const start = key * unitBytes + headerBytes
    return this.#cells.bytes.subarray(start, start + this.lengthOf(key))
  }

  #isKey(key: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start
    const cells = this.#cells
    if (cells.integers[key * integersPerUnit + lengthField] !== length) return false
    const memory = cells.bytes
    const at = key * unitBytes + headerBytes
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

  #remove(key: number): void {
    this.#last = -1
    this.size -= 1
    if (this.size === 0) {
      this.#clear()
      return
    }
    const slot = this.slotOf(key)
    this.#unplace(this.hashOf(key), key)
    this.#cells.release(key, headerBytes + this.lengthOf(key) + this.#suffixBytes)
    this.#decoded[slot] = undecoded
    this.#freeSlots.push(slot)
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
    } else this.#places.fill(0)
    this.#cells.clear()
    this.#decoded = []
    this.#freeSlots.length = 0
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

/* The integers at the beginning of a cell. */
const hashField = 0
const lengthField = 1
const newestField = 2
const rowsField = 3
const slotField = 4
const headerBytes = 20

const firstPlaces = 64
/** Bytes of a key in the table and in columns. */
const keyOverheadBytes = 32
const noBytes = new Uint8Array(0)
