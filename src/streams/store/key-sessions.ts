import type { KeyedItem } from './key-table.ts'
import type { OverlayEntry } from './overlay-entry.ts'

/** The sessions of one key in memory, tombstones among them, linked from the latest end to the earliest, then by start. */
export class KeySessions implements KeyedItem {
  readonly keyHash: number
  /** Those of its latest row: pointing to an older one would keep its slab when it is gone. */
  slab: Uint8Array
  keyStart: number
  keyEnd: number
  latest: OverlayEntry | null
  /** Every row of the key with an end of at least this stands here. */
  completeFrom: number

  constructor(keyHash: number, first: OverlayEntry, completeFrom: number) {
    this.keyHash = keyHash
    this.slab = first.slab
    this.keyStart = first.keyStart
    this.keyEnd = first.keyEnd - timesBytes
    this.latest = first
    this.completeFrom = completeFrom
    first.rows = this
  }

  /** The row of exactly that session, be it a tombstone, or null. */
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

  /** Takes an entry out for good. */
  remove(entry: OverlayEntry): void {
    this.unlink(entry)
    entry.rows = null
  }

  /** Takes an entry out that comes back at another place. */
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
    this.keyEnd = latest.keyEnd - timesBytes
  }
}

/** Whether an entry stands before the place of a session: it ends later, or at the same time and starts later. */
function comesBefore(entry: OverlayEntry, start: number, end: number): boolean {
  return entry.timestamp > end || (entry.timestamp === end && entry.start > start)
}

const timesBytes = 16
