/**
 * Memory for the chunks of one reader. What a caller has given back is used for later chunks: a reader that catches up
 * reads hundreds of megabytes per second, and new memory for all of it would wait for the garbage collector by the
 * dozens of megabytes, and be touched for the first time again and again.
 *
 * - A chunk that is never given back is left to the garbage collector.
 * - Small chunks get memory of their own, as tails are read in small pieces all the time.
 */
export class ChunkMemory {
  /** Given back; the one that was used last, whose bytes are most likely still in the processor's cache, is at the end. */
  readonly #free: ArrayBuffer[] = []
  #freeBytes = 0

  /** Memory for a chunk of that many bytes. Its content is arbitrary. */
  take(bytes: number): Buffer<ArrayBuffer> {
    if (bytes < pooledMin) return Buffer.allocUnsafeSlow(bytes)
    const free = this.#free
    for (let index = free.length - 1; index >= 0; index--) {
      const memory = free[index] as ArrayBuffer
      if (memory.byteLength < bytes || memory.byteLength > bytes * wasteMax) continue
      free.splice(index, 1)
      this.#freeBytes -= memory.byteLength
      return Buffer.from(memory, 0, bytes)
    }
    return Buffer.from(Buffer.allocUnsafeSlow(Math.ceil(bytes / unitBytes) * unitBytes).buffer, 0, bytes)
  }

  /** Gives memory from {@link take} back. Nobody may use it any more. */
  give(memory: ArrayBuffer): void {
    if (memory.byteLength < pooledMin || this.#freeBytes + memory.byteLength > freeBytesMax) return
    this.#free.push(memory)
    this.#freeBytes += memory.byteLength
  }
}

const unitBytes = 64 * 1024
const pooledMin = 16 * 1024
/** A chunk gets memory of at most this many times its size. */
const wasteMax = 4
/** What a reader keeps although no chunk uses it. */
const freeBytesMax = 4 * 1024 * 1024
