/**
 * Memory for many small byte strings that come and go one by one, in one block that grows. A string has a cell, which is
 * a multiple of 16 bytes, and an address, which is the cell's place in units of 16 bytes. Released cells are used again
 * for strings that take as many bytes, so memory stays at what was needed at most at one time; it is not given back.
 *
 * For strings that are released all together there is {@link ByteSlabs}, which costs less.
 */
export class ByteCells {
  /** The block. It is replaced by a larger one when it is full; the former one keeps its content. */
  bytes: Uint8Array = new Uint8Array(firstBytes)
  /** The same memory as integers; a cell begins at `address * integersPerUnit`. */
  integers: Int32Array = new Int32Array(this.bytes.buffer)
  /** Units that have been taken from the block so far. */
  #taken = 0
  /** Addresses of released cells, by their number of units. */
  readonly #released: (number[] | undefined)[] = []

  /** Returns the address of a cell for that many bytes. They are not zero if the cell was used before. */
  allocate(length: number): number {
    const units = unitsOf(length)
    const released = this.#released[units]
    if (released !== undefined && released.length > 0) return released.pop() as number
    const address = this.#taken
    const taken = address + units
    if (taken * unitBytes > this.bytes.length) this.#grow(taken * unitBytes)
    this.#taken = taken
    return address
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
    if (this.bytes.length > firstBytes) {
      this.bytes = new Uint8Array(firstBytes)
      this.integers = new Int32Array(this.bytes.buffer)
    }
    this.#released.length = 0
    this.#taken = 0
  }

  #grow(needed: number): void {
    if (needed > bytesMax) throw new RangeError(`cells take at most ${bytesMax} bytes`)
    const bytes = new Uint8Array(Math.min(bytesMax, Math.max(needed, this.bytes.length * 2)))
    bytes.set(this.bytes)
    this.bytes = bytes
    this.integers = new Int32Array(bytes.buffer)
  }
}

/** Bytes that a string of that length takes. */
export function cellBytes(length: number): number {
  return unitsOf(length) * unitBytes
}

function unitsOf(length: number): number {
  return (length + unitBytes - 1) >>> 4
}

export const unitBytes = 16
export const integersPerUnit = 4
const firstBytes = 4096
const bytesMax = 2 ** 31
