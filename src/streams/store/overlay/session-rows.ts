import { doublesPerRow, integersPerRow, olderField, ownField, Rows, slotField, timestampField } from './rows.ts'

/**
 * The rows of a session store. The timestamp of a row is the end of its session. Those of a key are linked from the
 * latest end to the earliest, and from the latest start to the earliest if ends are equal.
 *
 * A row that has left the list of its key may still be queued, or have a change that the commit has to write. Its number
 * is used again when neither is the case.
 */
export class SessionRows extends Rows {
  /** The row of exactly that session, possibly without a value, or -1. */
  at(key: number, start: number, end: number): number {
    const { doubles, integers } = this
    let row = this.keys.newestOf(key)
    while (row >= 0 && comesBefore(doubles, row, start, end))
      row = integers[row * integersPerRow + olderField] as number
    if (row < 0 || doubles[row * doublesPerRow + timestampField] !== end) return -1
    return doubles[row * doublesPerRow] === start ? row : -1
  }

  /** Links a row with those of its key, among which there must be none of the same session. */
  link(row: number): void {
    const { doubles, integers } = this
    const start = doubles[row * doublesPerRow] as number
    const end = doubles[row * doublesPerRow + timestampField] as number
    let later = -1
    let earlier = this.keys.newestOf(this.key(row))
    while (earlier >= 0 && comesBefore(doubles, earlier, start, end)) {
      later = earlier
      earlier = integers[earlier * integersPerRow + olderField] as number
    }
    this.linkBetween(row, later, earlier)
    integers[row * integersPerRow + listedField] = 1
  }

  /** Gives a row that is in its list other times, and with them another place in it. */
  move(row: number, start: number, end: number): void {
    super.unlink(row)
    this.setTimes(row, start, end)
    this.link(row)
  }

  /** Takes a row out of its list for good. */
  override unlink(row: number): void {
    super.unlink(row)
    this.set(row, olderField, -1)
    this.set(row, listedField, 0)
  }

  isListed(row: number): boolean {
    return this.get(row, listedField) === 1
  }

  /** Notes that one more queue has the row. */
  queued(row: number): void {
    this.set(row, queuesField, this.get(row, queuesField) + 1)
  }

  /** Notes that one queue less has the row. */
  dequeued(row: number): void {
    this.set(row, queuesField, this.get(row, queuesField) - 1)
  }

  /** Removes the row if nobody needs it any more. */
  release(row: number): void {
    if (this.get(row, listedField) === 0 && this.get(row, queuesField) === 0 && this.get(row, slotField) < 0) {
      this.remove(row)
    }
  }
}

/** Whether a row comes before the place of a session: it ends later, or ends at the same time and starts later. */
function comesBefore(doubles: Float64Array, row: number, start: number, end: number): boolean {
  const its = doubles[row * doublesPerRow + timestampField] as number
  return its > end || (its === end && (doubles[row * doublesPerRow] as number) > start)
}

const listedField = ownField
const queuesField: number = ownField + 1
