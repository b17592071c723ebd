/**
 * Memory for many small byte strings that come and go one by one. A string has a cell, a multiple of 16 bytes, and an
 * address, which fits into 31 bits. Released cells are used again for strings that take as many bytes, so memory stays
 * at what was needed at most at one time; it is not given back.
 *
 * For strings that are released all together there is {@link ByteSlabs}, which costs less.
 */
export class ByteCells {
  readonly #chunks: Uint8Array[] = []
  /** Bytes that are taken in the last chunk. */
  #taken = 0
  /** Addresses of released cells, by their number of units. */
  readonly #released: (number[] | undefined)[] = []

  /** Returns the address of a cell for that many bytes. They are not zero if the cell was used before. */
  allocate(length: number): number {
    const units = unitsOf(length)
    const address = this.#released[units]?.pop()
    if (address !== undefined) return address
    const bytes = units * unitBytes
    if (bytes > chunkBytes) throw new RangeError(`a cell has at most ${chunkBytes} bytes, not ${length}`)
    const last = this.#chunks.at(-1)
    if (last === undefined || this.#taken + bytes > last.length) {
      if (this.#chunks.length === chunksMax) throw new RangeError(`cells take at most ${chunksMax * chunkBytes} bytes`)
      this.#chunks.push(new Uint8Array(last === undefined ? Math.max(firstChunkBytes, bytes) : chunkBytes))
      this.#taken = 0
    }
    const start = this.#taken
    this.#taken += bytes
    return (this.#chunks.length - 1) * chunkBytes + start
  }

  /** Releases the cell of a string of that length. */
  release(address: number, length: number): void {
    const units = unitsOf(length)
    const released = this.#released[units]
    if (released !== undefined) {
      released.push(address)
      return
    }
    while (this.#released.length < units) this.#released.push(undefined)
    this.#released[units] = [address]
  }

  /** Releases everything. */
  clear(): void {
    this.#chunks.length = 0
    this.#released.length = 0
    this.#taken = 0
  }

  /** The memory in which a cell is, from {@link cellStart} on. */
  memoryOf(address: number): Uint8Array {
    return this.#chunks[address >>> chunkBits] as Uint8Array
  }
}

/** Where a cell starts in its memory. */
export function cellStart(address: number): number {
  return address & (chunkBytes - 1)
}

/** Bytes that a string of that length takes. */
export function cellBytes(length: number): number {
  return unitsOf(length) * unitBytes
}

function unitsOf(length: number): number {
  return (length + unitBytes - 1) >>> 4
}

const unitBytes = 16
const chunkBits = 16
const chunkBytes = 2 ** chunkBits
/** A store with few keys takes no more than this. */
const firstChunkBytes = 4096
const chunksMax = 2 ** (31 - chunkBits)
