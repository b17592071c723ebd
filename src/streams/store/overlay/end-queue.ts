import { grown } from '../../../base/columns.ts'
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
  /*
   * The line, in order of end: columns used as a ring from `#head` on, whose length is a power of two. Arrays that grow at
   * one end and are cut at the other would be several MB of garbage per commit, too large for the young generation.
   */
  #line: Int32Array = new Int32Array(firstRows)
  #lineEnds: Float64Array = new Float64Array(firstRows)
  #head = 0
  #lineSize = 0
  /** The end of the last one in the line. */
  #lastEnd = 0
  /* A binary heap: no entry ends before its parent. */
  #heap: Int32Array = new Int32Array(firstRows)
  #heapEnds: Float64Array = new Float64Array(firstRows)
  #heapSize = 0
  #left = 0

  constructor(rows: SessionRows) {
    this.#rows = rows
  }

  get size(): number {
    return this.#lineSize + this.#heapSize
  }

  push(row: number): void {
    this.#rows.queued(row)
    this.#insert(row)
  }

  #insert(row: number): void {
    const end = this.#rows.timestamp(row)
    if (this.#lineSize === 0 || end >= this.#lastEnd) this.#addToLine(row, end)
    else this.#addToHeap(row, end)
  }

  #addToLine(row: number, end: number): void {
    const size = this.#lineSize
    if (size === this.#line.length) this.#growLine()
    const place = (this.#head + size) & (this.#line.length - 1)
    this.#line[place] = row
    this.#lineEnds[place] = end
    this.#lineSize = size + 1
    this.#lastEnd = end
  }

  /** The line is full, so what is before the head continues it. */
  #growLine(): void {
    const size = this.#line.length
    this.#line = grown(this.#line, new Int32Array(size * 2))
    this.#lineEnds = grown(this.#lineEnds, new Float64Array(size * 2))
    this.#line.copyWithin(size, 0, this.#head)
    this.#lineEnds.copyWithin(size, 0, this.#head)
  }

  #addToHeap(row: number, end: number): void {
    let place = this.#heapSize
    if (place === this.#heap.length) {
      this.#heap = grown(this.#heap, new Int32Array(place * 2))
      this.#heapEnds = grown(this.#heapEnds, new Float64Array(place * 2))
    }
    const heap = this.#heap
    const ends = this.#heapEnds
    this.#heapSize = place + 1
    while (place > 0) {
      const parent = (place - 1) >>> 1
      const above = ends[parent] as number
      if (above <= end) break
      ends[place] = above
      heap[place] = heap[parent] as number
      place = parent
    }
    ends[place] = end
    heap[place] = row
  }

  /** Takes the session that ends first, if it ends at or before `time`; else returns -1. */
  take(time: number): number {
    const rows = this.#rows
    for (;;) {
      const lineEnd = this.#lineSize > 0 ? (this.#lineEnds[this.#head] as number) : never
      const heapEnd = this.#heapSize > 0 ? (this.#heapEnds[0] as number) : never
      const end = lineEnd <= heapEnd ? lineEnd : heapEnd
      if (end > time || end === never) {
        if (this.size === 0) this.#clear()
        return -1
      }
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
    this.#head = (this.#head + 1) & (this.#line.length - 1)
    this.#lineSize -= 1
    return row
  }

  #takeFromHeap(): number {
    const heap = this.#heap
    const ends = this.#heapEnds
    const first = heap[0] as number
    const size = this.#heapSize - 1
    this.#heapSize = size
    const last = heap[size] as number
    const end = ends[size] as number
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
    const queued: number[] = []
    while (this.#lineSize > 0) queued.push(this.#takeFromLine())
    for (let place = 0; place < this.#heapSize; place++) queued.push(this.#heap[place] as number)
    this.#clear()
    for (const row of queued) {
      if (this.#rows.isListed(row)) this.#insert(row)
      else this.#drop(row)
    }
  }

  /** Gives the memory back. */
  #clear(): void {
    this.#lineSize = 0
    this.#head = 0
    this.#heapSize = 0
    this.#left = 0
    if (this.#line.length > firstRows) {
      this.#line = new Int32Array(firstRows)
      this.#lineEnds = new Float64Array(firstRows)
    }
    if (this.#heap.length > firstRows) {
      this.#heap = new Int32Array(firstRows)
      this.#heapEnds = new Float64Array(firstRows)
    }
  }
}

const never = Number.POSITIVE_INFINITY
const sweepMin = 1024
/** A power of two. */
const firstRows = 16
