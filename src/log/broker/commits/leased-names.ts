/**
 * Names that only one client of this log may use at a time, numbered from 0; mainly transactional ids. A name is
 * released when its client is closed or the process ends. After a crash, the next clients get the same names again, and
 * thereby end the transactions left open under them.
 */
export class LeasedNames {
  readonly #leased = new Set<string>()

  /** Returns `<prefix>-<n>` with the smallest number that is not in use. */
  lease(prefix: string): string {
    for (let number = 0; ; number++) {
      const name = `${prefix}-${number}`
      if (this.#leased.has(name)) continue
      this.#leased.add(name)
      return name
    }
  }

  release(name: string): void {
    this.#leased.delete(name)
  }
}
