/**
 * Tells whether a key is certainly not in a set, or may be in it. It consists of Bloom filters over hashes of keys,
 * with two bits per key; when one is full, a larger one is added. So a few keys cost a few kilobytes, and no set costs
 * more than a megabyte plus the smaller filters before it. With a million keys, one answer in twenty is a false "may
 * be", which costs only a needless lookup.
 *
 * Growing filters: Almeida, Baquero, Preguiça and Hutchison, "Scalable Bloom Filters", 2007.
 */
export class KeyFilter {
  readonly #filters: Uint32Array[] = []
  /** Number of keys that the newest filter can still take. */
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
    // The newest filter contains most of the keys.
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

/** The hashes of one partition's keys have low bits in common, so both places are computed from high bits. */
function firstBit(hash: number): number {
  return Math.imul(hash, 0x9e37_79b1)
}

function secondBit(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b)
}

/** How far a 32-bit hash must be shifted to become a bit number in these words, whose number is a power of two. */
function shiftOf(bits: Uint32Array): number {
  return Math.clz32(bits.length) - 4
}

/** The filters have 16 KiB, then 128 KiB, then 1 MiB, which is the last size. */
const firstWords = 1 << 12
const growth = 8
const lastWords: number = firstWords * growth * growth
/** 16 bits per key: with a full filter, one answer in sixty is wrong. */
const keysPerWord = 2
