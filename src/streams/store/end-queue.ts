import type { OverlayEntry } from './overlay-entry.ts'

/**
 * Sessions by their end, the earliest first. A session grows while it waits here, so the queue keeps the end that a
 * session had when it was put in and looks again when that comes up: a session that has grown since goes back in with its
 * end of then.
 *
 * - Sessions mostly come in order of time: those stand in a line, which costs a step at either end. What comes out of
 *   order stands in a binary heap beside it.
 * - Every session that belongs to a key's list stands here once; ends only grow, so none comes up too late.
 * - What has left its list is passed over, and swept out when it is more than half: what sessions once were does not add
 *   up in memory.
 */
export class EndQueue {
  /** In order of end; those before `#head` are gone. */
  #line: (OverlayEntry | null)[] = []
  #lineEnds: number[] = []
  #head = 0
  /** A heap: an entry ends at or after its parent, at half its place. */
  #heap: OverlayEntry[] = []
  #heapEnds: number[] = []
  #left = 0

  get size(): number {
    return this.#line.length - this.#head + this.#heap.length
  }

  push(entry: OverlayEntry): void {
    const end = entry.timestamp
    const ends = this.#lineEnds
    if (ends.length === this.#head || end >= (ends[ends.length - 1] as number)) {
      this.#line.push(entry)
      ends.push(end)
      return
    }
    const heapEnds = this.#heapEnds
    const heap = this.#heap
    let place = heap.length
    heap.push(entry)
    heapEnds.push(end)
    while (place > 0) {
      const parent = (place - 1) >>> 1
      const above = heapEnds[parent] as number
      if (above <= end) break
      heapEnds[place] = above
      heap[place] = heap[parent] as OverlayEntry
      place = parent
    }
    heapEnds[place] = end
    heap[place] = entry
  }

  /** Takes out the session that ends first, if that is at most `time`; else null. */
  take(time: number): OverlayEntry | null {
    for (;;) {
      const lineEnd = this.#head < this.#lineEnds.length ? (this.#lineEnds[this.#head] as number) : never
      const heapEnd = this.#heap.length > 0 ? (this.#heapEnds[0] as number) : never
      const end = lineEnd <= heapEnd ? lineEnd : heapEnd
      if (end > time || end === never) return null
      const entry = lineEnd <= heapEnd ? this.#takeFromLine() : this.#takeFromHeap()
      if (entry.rows === null) this.#left = Math.max(0, this.#left - 1)
      else if (entry.timestamp === end) return entry
      else this.push(entry)
    }
  }

  /** One that stands here has left its list. */
  left(): void {
    this.#left += 1
    if (this.#left * 2 > this.size && this.#left > sweepMin) this.#sweep()
  }

  #takeFromLine(): OverlayEntry {
    const entry = this.#line[this.#head] as OverlayEntry
    this.#line[this.#head] = null
    this.#head += 1
    if (this.#head > sweepMin && this.#head * 2 > this.#line.length) {
      this.#line = this.#line.slice(this.#head)
      this.#lineEnds = this.#lineEnds.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  #takeFromHeap(): OverlayEntry {
    const heap = this.#heap
    const ends = this.#heapEnds
    const first = heap[0] as OverlayEntry
    const last = heap.pop() as OverlayEntry
    const end = ends.pop() as number
    const size = heap.length
    if (size === 0) return first
    let place = 0
    for (;;) {
      let child = place * 2 + 1
      if (child >= size) break
      if (child + 1 < size && (ends[child + 1] as number) < (ends[child] as number)) child += 1
      const below = ends[child] as number
      if (below >= end) break
      ends[place] = below
      heap[place] = heap[child] as OverlayEntry
      place = child
    }
    ends[place] = end
    heap[place] = last
    return first
  }

  /** Begins anew with those that are still in a list. */
  #sweep(): void {
    const entries = [...this.#line.slice(this.#head), ...this.#heap]
    this.#line = []
    this.#lineEnds = []
    this.#head = 0
    this.#heap = []
    this.#heapEnds = []
    this.#left = 0
    for (const entry of entries) if (entry !== null && entry.rows !== null) this.push(entry)
  }
}

const never = Number.POSITIVE_INFINITY
const sweepMin = 1024
