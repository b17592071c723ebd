/**
 * Says of a key that it is certainly not in a set, or that it may be: Bloom filters over hashes of keys, two bits per
 * key, each one larger than the one before it, made when that is full. So a few keys cost a few kilobytes, and none costs
 * more than a megabyte and what led to it: with a million keys one answer in twenty is a needless "may be", and nothing
 * but a lookup is lost by that.
 *
 * Growing filters in a row: Almeida, Baquero, Preguiça and Hutchison, "Scalable Bloom Filters", 2007.
 */
export class KeyFilter {
  readonly #filters: Uint32Array[] = []
  /** How many keys the newest filter still takes. */
  #room = 0

  get isEmpty(): boolean {
    return this.#filters.length === 0
  }

  add(hash: number): void {
    if (this.#room === 0) this.#grow()
    this.#room -= 1
    const bits = this.#filters[this.#filters.length - 1] as Uint32Array
    const shift = shiftOf(bits)
    const first = firstBit(hash) >>> shift
    const second = secondBit(hash) >>> shift
    bits[first >>> 5] = (bits[first >>> 5] as number) | (1 << (first & 31))
    bits[second >>> 5] = (bits[second >>> 5] as number) | (1 << (second & 31))
  }

  mayHave(hash: number): boolean {
    const filters = this.#filters
    // The newest has most of the keys.
    for (let index = filters.length - 1; index >= 0; index--) {
      const bits = filters[index] as Uint32Array
      const shift = shiftOf(bits)
      const first = firstBit(hash) >>> shift
      if (((bits[first >>> 5] as number) & (1 << (first & 31))) === 0) continue
      const second = secondBit(hash) >>> shift
      if (((bits[second >>> 5] as number) & (1 << (second & 31))) !== 0) return true
    }
    return false
  }

  clear(): void {
    this.#filters.length = 0
    this.#room = 0
  }

  #grow(): void {
    const words = (this.#filters.at(-1)?.length ?? firstWords / growth) * growth
    this.#filters.push(new Uint32Array(words))
    this.#room = words === lastWords ? Number.POSITIVE_INFINITY : words * keysPerWord
  }
}

/** What keys of one partition have in common is in the low bits of their hash, so both places are taken from high ones. */
function firstBit(hash: number): number {
  return Math.imul(hash, 0x9e37_79b1)
}

function secondBit(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b)
}

/** By how much a 32-bit hash is to be shifted to be a place in these bits, whose number is a power of two. */
function shiftOf(bits: Uint32Array): number {
  return Math.clz32(bits.length) - 4
}

/** 16 KiB, then 128, then the last: a megabyte. */
const firstWords = 1 << 12
const growth = 8
const lastWords: number = firstWords * growth * growth
/** 16 bits per key: one answer in sixty is a mistake of a full filter. */
const keysPerWord = 2
