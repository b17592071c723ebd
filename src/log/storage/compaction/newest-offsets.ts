import type { Offset } from '../../api/record.ts'

/** The offset of each key's newest record, within a bound on memory. Kafka: the cleaner's `OffsetMap`. */
export class NewestOffsets {
  readonly #offsets = new Map<string, Offset>()
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Notes nothing and returns false if there is no room for another key. */
  note(key: string, offset: Offset): boolean {
    if (!this.#offsets.has(key)) {
      const bytes = this.#bytes + key.length + keyOverheadBytes
      // One key always fits, because otherwise a pass could make no progress.
      if (bytes > this.#bytesMax && this.#offsets.size > 0) return false
      this.#bytes = bytes
    }
    this.#offsets.set(key, offset)
    return true
  }

  of(key: string): Offset | undefined {
    return this.#offsets.get(key)
  }
}

/** Approximate memory that a map entry takes in addition to its key's bytes. */
const keyOverheadBytes = 64
