import { copyBytes } from '../../../base/bytes.ts'

const slabBytes = 64 * 1024

/**
 * Memory for many small byte strings. They are placed one after another in slabs, so that a string costs its bytes and
 * two numbers. Strings are not freed individually; a slab is collected when nothing refers to it any more.
 */
export class ByteSlabs {
  /** Where the last string was placed. */
  slab: Uint8Array = new Uint8Array(0)
  start = 0
  #used = 0

  /** Copies `bytes[start, end)` into a slab; `slab` and `start` then tell where. */
  add(bytes: Uint8Array, start: number, end: number): void {
    this.reserve(end - start)
    copyBytes(bytes, start, end, this.slab, this.start)
  }

  /** Reserves room for a string of that length, which the caller writes to `slab` from `start` on. */
  reserve(length: number): void {
    if (this.#used + length > this.slab.length) {
      this.slab = new Uint8Array(Math.max(slabBytes, length))
      this.#used = 0
    }
    this.start = this.#used
    this.#used += length
  }

  /** Releases the slab that is being filled. */
  clear(): void {
    this.slab = new Uint8Array(0)
    this.#used = 0
  }
}
