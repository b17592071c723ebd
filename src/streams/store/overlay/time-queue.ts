import { compareBytes } from '../../../base/bytes.ts'
import type { OverlayEntry } from './overlay-entry.ts'

/**
 * Rows in order of time, and of their keys' bytes if times are equal. It is a list of short sorted runs, so that a late
 * row costs no more than any other, however many are queued, and any row can be removed.
 */
export class TimeQueue {
  /** No run is empty. */
  readonly #runs: OverlayEntry[][] = []

  get oldest(): OverlayEntry | null {
    return this.#runs[0]?.[0] ?? null
  }

  /** The row after the oldest one. */
  get second(): OverlayEntry | null {
    return this.#runs[0]?.[1] ?? this.#runs[1]?.[0] ?? null
  }

  get youngest(): OverlayEntry | null {
    return this.#runs.at(-1)?.at(-1) ?? null
  }

  /** The first row whose time is at least `time`. */
  atOrAfter(time: number): OverlayEntry | null {
    const runs = this.#runs
    let low = 0
    let high = runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (((runs[middle] as OverlayEntry[]).at(-1) as OverlayEntry).start < time) low = middle + 1
      else high = middle
    }
    return runs[low]?.find((row) => row.start >= time) ?? null
  }

  add(row: OverlayEntry): void {
    const runs = this.#runs
    const index = this.#runOf(row)
    const run = runs[index]
    if (run === undefined) {
      runs.push([row])
      return
    }
    const last = run[run.length - 1] as OverlayEntry
    if (byTimeAndKey(last, row) < 0) run.push(row)
    else run.splice(placeOf(run, row), 0, row)
    if (run.length > runRowsMax) runs.splice(index + 1, 0, run.splice(runRowsMax / 2))
  }

  /** Removes a row that is in the queue. */
  remove(row: OverlayEntry): void {
    const runs = this.#runs
    const index = this.#runOf(row)
    const run = runs[index] as OverlayEntry[]
    run.splice(placeOf(run, row), 1)
    if (run.length === 0) runs.splice(index, 1)
  }

  /** All rows, the oldest first. */
  rows(): OverlayEntry[] {
    return this.#runs.flat()
  }

  /** The run that contains a row or to which it belongs: the last one that does not begin after it. */
  #runOf(row: OverlayEntry): number {
    const runs = this.#runs
    let low = 0
    let high = runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (byTimeAndKey((runs[middle] as OverlayEntry[])[0] as OverlayEntry, row) <= 0) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }
}

/** The place of the first row that is not before `row`. */
function placeOf(run: readonly OverlayEntry[], row: OverlayEntry): number {
  let low = 0
  let high = run.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (byTimeAndKey(run[middle] as OverlayEntry, row) < 0) low = middle + 1
    else high = middle
  }
  return low
}

function byTimeAndKey(left: OverlayEntry, right: OverlayEntry): number {
  if (left.start !== right.start) return left.start - right.start
  return compareBytes(left.slab.subarray(left.keyStart, left.keyEnd), right.slab.subarray(right.keyStart, right.keyEnd))
}

const runRowsMax = 256
