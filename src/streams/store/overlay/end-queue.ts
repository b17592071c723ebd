import type { OverlayEntry } from './overlay-entry.ts'

/**
 * Sessions ordered by end, the earliest first. A session can grow while it is queued, so the queue keeps the end that
 * the session had when it was added. When that end comes up, a session that has grown since is added again with its
 * current end.
 *
 * - Sessions usually arrive in time order; these form a line, in which adding and taking are single steps. Sessions
 *   that arrive out of order go to a binary heap beside it.
 * - Every session in the list of its key is queued exactly once. Ends only grow, so no session comes up too late.
 * - Sessions that have left their list are skipped, and swept out when they are more than half of the queue, so that
 *   they do not accumulate in memory.
 */
export class EndQueue {
  /** In order of end; places before `#head` have been taken. */
  #line: (OverlayEntry | null)[] = []
  #lineEnds: number[] = []
  #head = 0
  /** A binary heap: no entry ends before its parent. */
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

  /** Takes the session that ends first, if it ends at or before `time`; else returns null. */
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

  /** Notes that a queued session has left its list. */
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

  /** Rebuilds the queue with the sessions that are still in a list. */
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
