import type { OverlayEntry } from './overlay-entry.ts'

/**
 * Sessions by their end, the earliest first: a binary heap. A session grows while it waits here, so the heap keeps the
 * end that a session had when it was put in and looks again when that comes up: a session that has grown since goes
 * back in with its end of then. Sessions mostly come in order of time, which a heap takes without moving anything.
 *
 * - Every session that belongs to a key's list stands here once; ends only grow, so none comes up too late.
 * - What has left its list is passed over, and swept out when it is more than half: what sessions once were does not add
 *   up in memory.
 */
export class EndQueue {
  #entries: OverlayEntry[] = []
  #ends: Float64Array = new Float64Array(firstCapacity)
  #gone = 0

  get size(): number {
    return this.#entries.length
  }

  push(entry: OverlayEntry): void {
    let place = this.#entries.length
    if (place === this.#ends.length) this.#grow()
    const ends = this.#ends
    const entries = this.#entries
    const end = entry.timestamp
    entries.push(entry)
    while (place > 0) {
      const parent = (place - 1) >>> 1
      const above = ends[parent] as number
      if (above <= end) break
      ends[place] = above
      entries[place] = entries[parent] as OverlayEntry
      place = parent
    }
    ends[place] = end
    entries[place] = entry
  }

  /** The session that ends first, if that is at most `time`; else null. It stays in. */
  first(time: number): OverlayEntry | null {
    while (this.#entries.length > 0 && (this.#ends[0] as number) <= time) {
      const entry = this.#entries[0] as OverlayEntry
      if (entry.rows !== null && entry.timestamp === this.#ends[0]) return entry
      this.shift()
      if (entry.rows === null) this.#gone = Math.max(0, this.#gone - 1)
      else this.push(entry)
    }
    return null
  }

  /** Takes the first one out. */
  shift(): void {
    const entries = this.#entries
    const last = entries.pop()
    if (last === undefined || entries.length === 0) return
    this.#sink(last, this.#ends[entries.length] as number, 0)
  }

  /** One that stands here has left its list. */
  left(): void {
    this.#gone += 1
    if (this.#gone * 2 > this.#entries.length && this.#gone > firstCapacity) this.#sweep()
  }

  #sink(entry: OverlayEntry, end: number, from: number): void {
    const entries = this.#entries
    const ends = this.#ends
    const size = entries.length
    let place = from
    for (;;) {
      let child = place * 2 + 1
      if (child >= size) break
      if (child + 1 < size && (ends[child + 1] as number) < (ends[child] as number)) child += 1
      const below = ends[child] as number
      if (below >= end) break
      ends[place] = below
      entries[place] = entries[child] as OverlayEntry
      place = child
    }
    ends[place] = end
    entries[place] = entry
  }

  #sweep(): void {
    const kept = this.#entries.filter((entry) => entry.rows !== null)
    this.#entries = kept
    this.#gone = 0
    for (let place = 0; place < kept.length; place++) this.#ends[place] = (kept[place] as OverlayEntry).timestamp
    for (let place = (kept.length >>> 1) - 1; place >= 0; place--) {
      this.#sink(kept[place] as OverlayEntry, this.#ends[place] as number, place)
    }
  }

  #grow(): void {
    const ends = new Float64Array(this.#ends.length * 2)
    ends.set(this.#ends)
    this.#ends = ends
  }
}

const firstCapacity = 64
