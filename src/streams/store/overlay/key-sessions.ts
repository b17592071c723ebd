import type { KeyedItem } from './key-table.ts'
import type { OverlayEntry } from './overlay-entry.ts'

/**
 * The sessions of one key in memory, including tombstones, linked from the latest end to the earliest, and from the
 * latest start to the earliest if ends are equal.
 */
export class KeySessions implements KeyedItem {
  readonly keyHash: number
  /**
   * Key bytes of its latest row. Those of an older row would keep its slab in memory after that row has been removed.
   */
  slab: Uint8Array
  keyStart: number
  keyEnd: number
  latest: OverlayEntry | null
  /** Every row of the key with an end of at least this is in the list. */
  completeFrom: number

  constructor(keyHash: number, first: OverlayEntry, completeFrom: number) {
    this.keyHash = keyHash
    this.slab = first.slab
    this.keyStart = first.keyStart
    this.keyEnd = first.keyEnd - sessionTimesBytes
    this.latest = first
    this.completeFrom = completeFrom
    first.rows = this
  }

  /** The row of exactly that session, possibly a tombstone, or null. */
  at(start: number, end: number): OverlayEntry | null {
    let entry = this.latest
    while (entry !== null && comesBefore(entry, start, end)) entry = entry.older
    return entry !== null && entry.timestamp === end && entry.start === start ? entry : null
  }

  insert(entry: OverlayEntry): void {
    entry.rows = this
    const { start, timestamp: end } = entry
    const { latest } = this
    if (latest === null || !comesBefore(latest, start, end)) {
      entry.older = latest
      this.#turnTo(entry)
      return
    }
    let later = latest
    while (later.older !== null && comesBefore(later.older, start, end)) later = later.older
    entry.older = later.older
    later.older = entry
  }

  /** Removes an entry for good. */
  remove(entry: OverlayEntry): void {
    this.unlink(entry)
    entry.rows = null
  }

  /** Removes an entry that will be inserted again at another place. */
  unlink(entry: OverlayEntry): void {
    if (this.latest === entry) {
      this.#turnTo(entry.older)
    } else {
      let later = this.latest
      while (later !== null && later.older !== entry) later = later.older
      if (later !== null) later.older = entry.older
    }
    entry.older = null
  }

  #turnTo(latest: OverlayEntry | null): void {
    this.latest = latest
    if (latest === null) return
    this.slab = latest.slab
    this.keyStart = latest.keyStart
    this.keyEnd = latest.keyEnd - sessionTimesBytes
  }
}

/** Whether an entry precedes the place of a session: it ends later, or ends at the same time and starts later. */
function comesBefore(entry: OverlayEntry, start: number, end: number): boolean {
  return entry.timestamp > end || (entry.timestamp === end && entry.start > start)
}

/** Bytes after the key: end and start. */
export const sessionTimesBytes = 16
