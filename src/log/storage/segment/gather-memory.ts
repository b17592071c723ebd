/**
 * Memory in which small consecutive writes are joined into one call. It is allocated at first use, grows as needed and
 * is reused: what `join` returns is valid until the next call.
 */
export class GatherMemory {
  readonly #bytesMax: number
  #bytes: Uint8Array = noBytes

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Concatenates the pieces. Together they must not exceed the bound. */
  join(pieces: readonly Uint8Array[]): Uint8Array {
    let length = 0
    for (const piece of pieces) length += piece.length
    // It doubles until it reaches the maximum, so a log that writes little does not pay for one that writes much.
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
