import type { RowKeys } from './row-keys.ts'

/**
 * The rows of a window or session store, as numbers. A row is 64 bytes in a block of memory that all rows share, so it
 * takes one line of the processor's cache, and the rows that a record of a hopping window creates lie side by side. As
 * objects they would be several lines each, all over the heap, and every collection would have to look at them.
 *
 * The rows of a key are linked from the newest to the oldest, because most records concern the newest ones, and back,
 * because rows leave from the oldest on. The numbers of removed rows are used again.
 *
 * ```
 *   bytes   0..8 start   8..16 timestamp   16..64 integers, see below; the last ones are needed least often
 * ```
 * A value that is a small integer, as most counts are, is in the row itself. Others are in a list of their own.
 */
export class Rows {
  readonly keys: RowKeys
  /** The newest values of the rows whose kind is {@link elsewhere}; it ends with the last of them. */
  #values: unknown[] = []
  /** Starts and timestamps: at {@link doublesPerRow} times the row's number. */
  doubles: Float64Array = new Float64Array(doublesPerRow * firstRows)
  /** The integers of the rows, in the same memory: at {@link integersPerRow} times the row's number. */
  integers: Int32Array = new Int32Array(this.doubles.buffer)
  /** Rows that are in use. */
  count = 0
  /** Number of rows that the memory has had room for so far. */
  #used = 0
  /** Numbers that are free again. Not linked through the rows, because taking one would wait for the memory of its row. */
  #free: number[] = []
  /** What was read ahead. Nobody needs it, but without a use the engine would leave the reads out. */
  lastRead = 0

  constructor(keys: RowKeys) {
    this.keys = keys
  }

  start(row: number): number {
    return this.doubles[row * doublesPerRow] as number
  }

  timestamp(row: number): number {
    return this.doubles[row * doublesPerRow + timestampField] as number
  }

  setTimes(row: number, start: number, timestamp: number): void {
    this.doubles[row * doublesPerRow] = start
    this.doubles[row * doublesPerRow + timestampField] = timestamp
  }

  key(row: number): number {
    return this.integers[row * integersPerRow + keyField] as number
  }

  /** The next older row of the same key, or -1. */
  older(row: number): number {
    return this.integers[row * integersPerRow + olderField] as number
  }

  /** The newest value, or null. */
  value(row: number): unknown {
    const integer = row * integersPerRow
    const kind = this.integers[integer + kindField] as number
    if (kind === inRow) return this.integers[integer + valueField]
    return kind === elsewhere ? this.#values[row] : null
  }

  setValue(row: number, value: unknown): void {
    const integer = row * integersPerRow
    if (typeof value === 'number' && (value | 0) === value && !Object.is(value, -0)) {
      this.integers[integer + valueField] = value
      this.#setKind(row, inRow)
      return
    }
    this.#setKind(row, value === null ? none : elsewhere)
    if (value === null) return
    const values = this.#values
    while (values.length <= row) values.push(null)
    values[row] = value
  }

  #setKind(row: number, kind: number): void {
    const at = row * integersPerRow + kindField
    if (this.integers[at] === elsewhere) this.#values[row] = null
    this.integers[at] = kind
  }

  get(row: number, field: number): number {
    return this.integers[row * integersPerRow + field] as number
  }

  set(row: number, field: number, value: number): void {
    this.integers[row * integersPerRow + field] = value
  }

  /**
   * Reads something of `rows[0, count)` and then of their keys, so that both are in the processor's cache; see `lookAhead`
   * of the overlay.
   */
  lookAhead(rows: Int32Array, count: number): void {
    const { integers, keys } = this
    let read = 0
    for (let index = 0; index < count; index++)
      read ^= integers[(rows[index] as number) * integersPerRow + keyField] as number
    for (let index = 0; index < count; index++)
      read ^= keys.lengthOf(integers[(rows[index] as number) * integersPerRow + keyField] as number)
    this.lastRead = read
  }

  /** A new row of a key, without a value. It is not linked with the others yet. */
  add(key: number, start: number, timestamp: number): number {
    const row = this.#number()
    this.count += 1
    this.keys.gained(key)
    this.setTimes(row, start, timestamp)
    const { integers } = this
    const integer = row * integersPerRow
    integers[integer + slotField] = -1
    integers[integer + olderField] = -1
    integers[integer + newerField] = -1
    integers[integer + keyField] = key
    integers[integer + flushField] = 0
    integers[integer + flushIndexField] = -1
    integers[integer + kindField] = none
    integers[integer + valueBytesField] = 0
    integers[integer + ownField] = 0
    integers[integer + ownField + 1] = 0
    return row
  }

  /** Links a row of a key between two others that are neighbors; -1 if there is none on that side. */
  protected linkBetween(row: number, newer: number, older: number): void {
    this.set(row, olderField, older)
    this.set(row, newerField, newer)
    if (older >= 0) this.set(older, newerField, row)
    if (newer >= 0) this.set(newer, olderField, row)
    else this.keys.setNewest(this.key(row), row)
  }

  unlink(row: number): void {
    const older = this.older(row)
    const newer = this.get(row, newerField)
    if (older >= 0) this.set(older, newerField, newer)
    if (newer >= 0) this.set(newer, olderField, older)
    else this.keys.setNewest(this.key(row), older)
  }

  /** Removes a row that is not linked. */
  remove(row: number): void {
    this.keys.lost(this.key(row))
    this.count -= 1
    if (this.count === 0) {
      this.#clear()
      return
    }
    this.#setKind(row, none)
    this.#free.push(row)
  }

  /** A number that no row has. */
  #number(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const row = this.#used
    this.#used += 1
    if (this.#used * doublesPerRow > this.doubles.length) {
      const doubles = new Float64Array(this.doubles.length * 2)
      doubles.set(this.doubles)
      this.doubles = doubles
      this.integers = new Int32Array(doubles.buffer)
    }
    return row
  }

  /** Gives the memory back: an empty store is the only moment when no number is in use. */
  #clear(): void {
    if (this.doubles.length > doublesPerRow * firstRows) {
      this.doubles = new Float64Array(doublesPerRow * firstRows)
      this.integers = new Int32Array(this.doubles.buffer)
    }
    this.#values = []
    this.#used = 0
    this.#free = []
  }
}

export const doublesPerRow = 8
export const timestampField = 1

export const integersPerRow = 16
/** The row's place among those that the generation has changed; -1 if it is not dirty. */
export const slotField = 4
export const olderField = 5
export const keyField = 6
/** Where the value is. */
const kindField = 7
const valueField = 8
/** The number of the flush set with the newest committed value, and its place there. */
export const flushField = 9
export const flushIndexField = 10
export const newerField = 11
/** Bytes of the value at its last encoding, unless it is a number. */
export const valueBytesField = 12
/** The first of two integers for the use of one kind of rows; 0 in a new row. */
export const ownField = 13

const none = 0
const inRow = 1
const elsewhere = 2

/** Bytes of a row besides its value. */
export const rowOverheadBytes: number = 8 * doublesPerRow

const firstRows = 32
