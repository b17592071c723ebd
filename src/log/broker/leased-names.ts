/**
 * Names of which only one client of this log may have each at a time, numbered from 0 on: transactional ids above all. They
 * are given up when the client is closed, and with the process: whoever comes after a crash gets the same names again, and
 * so ends what was left open under them.
 */
export class LeasedNames {
  readonly #leased = new Set<string>()

  /** `<prefix>-<n>` with the smallest number that nobody has. */
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
