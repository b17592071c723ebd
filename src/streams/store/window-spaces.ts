/**
 * Which named database of a window or session store holds which time: a fixed ring of spaces, each a stretch of the times
 * that the rows expire by (window starts, session ends).
 *
 * ```
 * cycle   = floor(time / spanMs)            space = cycle mod spaceCount
 * retention  <= (spaceCount - 1) * spanMs   so the live cycles always stand in different spaces
 * ```
 * From a store's clock alone follows which cycle each space holds, so nothing has to be remembered: when the clock goes
 * on, the spaces of the cycles that it enters are cleared in the same transaction.
 */
export class WindowSpaces {
  readonly retentionMs: number
  readonly #count: number
  readonly #spanMs: number

  constructor(retentionMs: number, count: number = windowSpaceCount) {
    this.retentionMs = retentionMs
    this.#count = count
    this.#spanMs = Math.max(1, Math.ceil(retentionMs / (count - 1)))
  }

  spaceOf(time: number): number {
    const space = Math.floor(time / this.#spanMs) % this.#count
    return space < 0 ? space + this.#count : space
  }

  /** Spaces to clear when the store's clock goes from one time (-1: fresh) to a later one. */
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

/** Sessions of a key are searched over all of the ring, so it is as short as a ring can be. */
export const sessionSpaceCount = 2
