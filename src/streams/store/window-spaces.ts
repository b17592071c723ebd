/**
 * Which named database of a window store holds which time: a fixed ring of spaces, each a stretch of window starts.
 *
 * ```
 * cycle   = floor(start / spanMs)           space = cycle mod spaceCount
 * retention  <= (spaceCount - 1) * spanMs   so the live cycles always stand in different spaces
 * ```
 * From a store's clock alone follows which cycle each space holds, so nothing has to be remembered: when the clock goes
 * on, the spaces of the cycles that it enters are cleared in the same transaction.
 */
export class WindowSpaces {
  readonly retentionMs: number
  readonly #spanMs: number

  constructor(retentionMs: number) {
    this.retentionMs = retentionMs
    this.#spanMs = Math.max(1, Math.ceil(retentionMs / (windowSpaceCount - 1)))
  }

  spaceOf(start: number): number {
    const space = Math.floor(start / this.#spanMs) % windowSpaceCount
    return space < 0 ? space + windowSpaceCount : space
  }

  /** Spaces to clear when the store's clock goes from one time (-1: fresh) to a later one. */
  cleared(from: number, to: number): number[] {
    if (from < 0 || to <= from) return []
    const first = Math.floor(from / this.#spanMs) + 1
    const last = Math.floor(to / this.#spanMs)
    const spaces: number[] = []
    for (let cycle = Math.max(first, last - windowSpaceCount + 1); cycle <= last; cycle++) {
      spaces.push(cycle % windowSpaceCount)
    }
    return spaces
  }
}

export const windowSpaceCount = 6
