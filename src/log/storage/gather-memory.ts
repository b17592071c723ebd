/**
 * Memory in which small writes that follow each other are put together, so that they are one call. It is made at the first
 * use, grows to what is asked of it, and is used again: what it gave out holds until it is asked once more.
 */
export class GatherMemory {
  readonly #bytesMax: number
  #bytes: Uint8Array = noBytes

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The pieces, one behind the other; together no more than the bound. */
  join(pieces: readonly Uint8Array[]): Uint8Array {
    let length = 0
    for (const piece of pieces) length += piece.length
    // In steps of two, and all of it after a few: a log that writes little does not pay for one that writes much.
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(Math.min(this.#bytesMax, roundedUp(length)))
    let at = 0
    for (const piece of pieces) {
      this.#bytes.set(piece, at)
      at += piece.length
    }
    return this.#bytes.subarray(0, at)
  }
}

const noBytes: Uint8Array = new Uint8Array(0)
const firstBytes = 16 * 1024

function roundedUp(length: number): number {
  let bytes = firstBytes
  while (bytes < length) bytes *= 2
  return bytes
}
