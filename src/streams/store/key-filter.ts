/**
 * Says of a key that it is certainly not in a set, or that it may be: a Bloom filter over hashes of keys, of a fixed
 * size, made when the first key is put in. Two bits per key: with a million of them one answer in twenty is a needless
 * "may be", and nothing but a lookup is lost by that.
 */
export class KeyFilter {
  #bits: Uint32Array | null = null

  get isEmpty(): boolean {
    return this.#bits === null
  }

  add(hash: number): void {
    const bits = (this.#bits ??= new Uint32Array(filterBits / 32))
    const first = firstBit(hash)
    const second = secondBit(hash)
    bits[first >>> 5] = (bits[first >>> 5] as number) | (1 << (first & 31))
    bits[second >>> 5] = (bits[second >>> 5] as number) | (1 << (second & 31))
  }

  mayHave(hash: number): boolean {
    const bits = this.#bits
    if (bits === null) return false
    const first = firstBit(hash)
    if (((bits[first >>> 5] as number) & (1 << (first & 31))) === 0) return false
    const second = secondBit(hash)
    return ((bits[second >>> 5] as number) & (1 << (second & 31))) !== 0
  }

  clear(): void {
    this.#bits = null
  }
}

/** What keys of one partition have in common is in the low bits of their hash, so both places are taken from high ones. */
function firstBit(hash: number): number {
  return Math.imul(hash, 0x9e37_79b1) >>> (32 - filterBitsLog2)
}

function secondBit(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b) >>> (32 - filterBitsLog2)
}

const filterBitsLog2 = 23
/** A megabyte. */
const filterBits = 1 << filterBitsLog2
