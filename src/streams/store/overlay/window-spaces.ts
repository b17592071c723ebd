/**
 * Decides which named database of a window or session store contains which time. There is a fixed ring of spaces, each
 * for a stretch of the times by which rows expire (window starts, session ends).
 *
 * ```
 * cycle   = floor(time / spanMs)            space = cycle mod spaceCount
 * retention  <= (spaceCount - 1) * spanMs   so the live cycles are always in different spaces
 * ```
 * The cycle of each space follows from the store's clock alone, so nothing has to be stored: when the clock advances,
 * the spaces of the cycles that it enters are cleared in the same transaction.
 */
export class WindowSpaces {
  readonly retentionMs: number
  readonly #count: number
  readonly #spanMs: number
  /** The cycle of the last time: its first time, the first one after it, and its space. */
  #cycleFrom = 0
  #cycleTo = 0
  #cycleSpace = 0

  constructor(retentionMs: number, count: number = windowSpaceCount) {
    this.retentionMs = retentionMs
    this.#count = count
    this.#spanMs = Math.max(1, Math.ceil(retentionMs / (count - 1)))
  }

  spaceOf(time: number): number {
    // Most times are in the cycle of the one before, and a remainder of doubles takes as long as fetching a row.
    if (time >= this.#cycleFrom && time < this.#cycleTo) return this.#cycleSpace
    const cycle = Math.floor(time / this.#spanMs)
    const space = cycle % this.#count
    this.#cycleFrom = cycle * this.#spanMs
    this.#cycleTo = this.#cycleFrom + this.#spanMs
    this.#cycleSpace = space < 0 ? space + this.#count : space
    return this.#cycleSpace
  }

  /** The spaces to clear when the store's clock advances from one time (-1 if fresh) to a later one. */
  cleared(from: number, to: number): number[] {
    if (from < 0 || to <= from) return []
    const first = Math.floor(from / this.#spanMs) + 1
    const last = Math.floor(to / this.#spanMs)
    const spaces: number[] = []
    for (let cycle = Math.max(first, last - this.#count + 1); cycle <= last; cycle++) {
      spaces.push(cycle % this.#count)
    }
    return spaces
  }
}

export const windowSpaceCount = 6

/** A search for the sessions of a key covers the whole ring, so the ring is as short as possible. */
export const sessionSpaceCount = 2
