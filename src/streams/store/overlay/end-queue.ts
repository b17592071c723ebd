import type { SessionRows } from './session-rows.ts'

/**
 * Sessions ordered by end, the earliest first. A session can grow while it is queued, so the queue keeps the end that
 * the session had when it was added. When that end comes up, a session that has grown since is added again with its
 * current end.
 *
 * - Sessions usually arrive in time order; these form a line, in which adding and taking are single steps. Sessions
 *   that arrive out of order go to a binary heap beside it.
 * - Every session in the list of its key is queued exactly once. Ends only grow, so no session comes up too late.
 * - The number of a row is not used again while a queue has it.
 * - Sessions that have left their list are skipped, and swept out when they are more than half of the queue, so that
 *   they do not accumulate in memory.
 */
export class EndQueue {
  readonly #rows: SessionRows
  /** In order of end; places before `#head` have been taken. */
  #line: number[] = []
  #lineEnds: number[] = []
  #head = 0
  /** A binary heap: no entry ends before its parent. */
  #heap: number[] = []
  #heapEnds: number[] = []
  #left = 0

  constructor(rows: SessionRows) {
    this.#rows = rows
  }

  get size(): number {
    return this.#line.length - this.#head + this.#heap.length
  }

  push(row: number): void {
    this.#rows.queued(row)
    this.#insert(row)
  }

  #insert(row: number): void {
    const end = this.#rows.timestamp(row)
    const ends = this.#lineEnds
    if (ends.length === this.#head || end >= (ends[ends.length - 1] as number)) {
      this.#line.push(row)
      ends.push(end)
      return
    }
    const heapEnds = this.#heapEnds
    const heap = this.#heap
    let place = heap.length
    heap.push(row)
    heapEnds.push(end)
    while (place > 0) {
      const parent = (place - 1) >>> 1
      const above = heapEnds[parent] as number
      if (above <= end) break
      heapEnds[place] = above
      heap[place] = heap[parent] as number
      place = parent
    }
    heapEnds[place] = end
    heap[place] = row
  }

  /** Takes the session that ends first, if it ends at or before `time`; else returns -1. */
  take(time: number): number {
    const rows = this.#rows
    for (;;) {
      const lineEnd = this.#head < this.#lineEnds.length ? (this.#lineEnds[this.#head] as number) : never
      const heapEnd = this.#heap.length > 0 ? (this.#heapEnds[0] as number) : never
      const end = lineEnd <= heapEnd ? lineEnd : heapEnd
      if (end > time || end === never) return -1
      const row = lineEnd <= heapEnd ? this.#takeFromLine() : this.#takeFromHeap()
      if (!rows.isListed(row)) {
        this.#left = Math.max(0, this.#left - 1)
        this.#drop(row)
      } else if (rows.timestamp(row) === end) {
        rows.dequeued(row)
        return row
      } else this.#insert(row)
    }
  }

  #drop(row: number): void {
    this.#rows.dequeued(row)
    this.#rows.release(row)
  }

  /** Notes that a queued session has left its list. */
  left(): void {
    this.#left += 1
    if (this.#left * 2 > this.size && this.#left > sweepMin) this.#sweep()
  }

  #takeFromLine(): number {
    const row = this.#line[this.#head] as number
    this.#head += 1
    if (this.#head > sweepMin && this.#head * 2 > this.#line.length) {
      this.#line = this.#line.slice(this.#head)
      this.#lineEnds = this.#lineEnds.slice(this.#head)
      this.#head = 0
    }
    return row
  }

  #takeFromHeap(): number {
    const heap = this.#heap
    const ends = this.#heapEnds
    const first = heap[0] as number
    const last = heap.pop() as number
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
      heap[place] = heap[child] as number
      place = child
    }
    ends[place] = end
    heap[place] = last
    return first
  }

  /** Rebuilds the queue with the sessions that are still in a list. */
  #sweep(): void {
    const queued = [...this.#line.slice(this.#head), ...this.#heap]
    this.#line = []
    this.#lineEnds = []
    this.#head = 0
    this.#heap = []
    this.#heapEnds = []
    this.#left = 0
    for (const row of queued) {
      if (this.#rows.isListed(row)) this.#insert(row)
      else this.#drop(row)
    }
  }
}

const never = Number.POSITIVE_INFINITY
const sweepMin = 1024
