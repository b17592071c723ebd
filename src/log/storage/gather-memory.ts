/**
 * Memory in which small writes that follow each other are put together, so that they are one call. It is made at the first
 * use and used again: what it gave out holds until it is asked once more.
 */
export class GatherMemory {
  readonly #bytesMax: number
  #bytes: Uint8Array | null = null

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The pieces, one behind the other; together no more than the bound. */
  join(pieces: readonly Uint8Array[]): Uint8Array {
    this.#bytes ??= new Uint8Array(this.#bytesMax)
    let at = 0
    for (const piece of pieces) {
      this.#bytes.set(piece, at)
      at += piece.length
    }
    return this.#bytes.subarray(0, at)
  }
}
