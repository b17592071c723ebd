import type { Offset } from '../../api/record.ts'

/**
 * A segment's `.index`: the file position of one batch about every `index.interval.bytes`. Kafka's bytes:
 *
 * ```
 * 0 offset - base i32 │ 4 file position i32          offset: the batch's LAST one; ascending in both
 * ```
 *
 * It is a cache of the `.log`: a reader that follows an entry checks that the batch it leads to ends at the entry's
 * offset, and rebuilds the index if it does not. Missing entries only cost time.
 */
export class OffsetIndex {
  static readonly entryBytes = 8
  readonly base: Offset
  #entries = new Int32Array(32)
  #count = 0

  constructor(base: Offset) {
    this.base = base
  }

  /** Reads entries up to the first that is not above its predecessor: zero padding, a torn tail, or damage. */
  static decode(base: Offset, bytes: Uint8Array): OffsetIndex {
    const index = new OffsetIndex(base)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at + OffsetIndex.entryBytes <= bytes.length; at += OffsetIndex.entryBytes) {
      const delta = view.getInt32(at)
      const filePosition = view.getInt32(at + 4)
      if (filePosition <= index.lastFilePosition || delta < 0 || base + delta <= index.lastOffset) break
      index.append(base + delta, filePosition)
    }
    return index
  }

  get count(): number {
    return this.#count
  }

  /** Offset of the last entry; the offset before the base if there is none. */
  get lastOffset(): Offset {
    return this.#count === 0 ? this.base - 1 : this.offsetAt(this.#count - 1)
  }

  get lastFilePosition(): number {
    return this.#count === 0 ? 0 : this.filePositionAt(this.#count - 1)
  }

  offsetAt(entry: number): Offset {
    return this.base + (this.#entries[2 * entry] as number)
  }

  filePositionAt(entry: number): number {
    return this.#entries[2 * entry + 1] as number
  }

  append(offset: Offset, filePosition: number): void {
    const at = 2 * this.#count
    if (at === this.#entries.length) {
      const bigger = new Int32Array(2 * at)
      bigger.set(this.#entries)
      this.#entries = bigger
    }
    this.#entries[at] = offset - this.base
    this.#entries[at + 1] = filePosition
    this.#count++
  }

  /** The last entry at or below `offset`, or -1: then the search starts at the segment's first byte. */
  floor(offset: Offset): number {
    const delta = offset - this.base
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#entries[2 * middle] as number) <= delta) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Drops entries of batches that start at or beyond `filePosition`. */
  dropFrom(filePosition: number): void {
    while (this.#count > 0 && this.lastFilePosition >= filePosition) this.#count--
  }

  /** Drops entries above `offset`. */
  dropAbove(offset: Offset): void {
    while (this.#count > 0 && this.lastOffset > offset) this.#count--
  }

  /** The file's bytes from entry `from` on. */
  encode(from = 0): Buffer {
    const bytes = Buffer.allocUnsafeSlow((this.#count - from) * OffsetIndex.entryBytes)
    for (let word = 2 * from; word < 2 * this.#count; word++) {
      bytes.writeInt32BE(this.#entries[word] as number, 4 * (word - 2 * from))
    }
    return bytes
  }
}
