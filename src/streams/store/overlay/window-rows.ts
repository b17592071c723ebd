import { doublesPerRow, integersPerRow, olderField, ownField, Rows } from './rows.ts'

/** The rows of a window store. Those of a key are linked from the newest window to the oldest. */
export class WindowRows extends Rows {
  /** The row of a key in the window with that start, or -1. */
  at(key: number, start: number): number {
    const { doubles, integers } = this
    let row = this.keys.newestOf(key)
    while (row >= 0 && (doubles[row * doublesPerRow] as number) > start) {
      row = integers[row * integersPerRow + olderField] as number
    }
    return row >= 0 && doubles[row * doublesPerRow] === start ? row : -1
  }

  /** Links a row with those of its key. There must be none with the same start. */
  link(row: number): void {
    const start = this.start(row)
    let newer = -1
    let older = this.keys.newestOf(this.key(row))
    while (older >= 0 && this.start(older) > start) {
      newer = older
      older = this.older(older)
    }
    this.linkBetween(row, newer, older)
  }
}

/** The next row of the same window. */
export const nextField: number = ownField
