import { latin1Slice } from '../../base/bytes.ts'
import type { KeyRange, StoreItem } from './ordered-store.ts'

/** An entry never changes: a new value is a new entry, so a reference to an old entry is a snapshot. */
interface Entry extends StoreItem {
  /** The key, one character per byte: these strings compare in the same order as the bytes. */
  readonly id: string
}

/** A run of the sorted entries. Only the owner of `mark` may change it. */
interface Run {
  readonly mark: object
  readonly entries: Entry[]
}

const runEntriesMax = 512

/**
 * One space of a store in memory: a map for lookups and, after the first request for a range, runs of sorted entries. A
 * range is a cheap snapshot: opening one makes the current runs read-only, and the next change copies the run that it
 * affects.
 */
export class SortedEntries {
  readonly #byId = new Map<string, Entry>()
  #runs: Run[] | null = null
  #mark: object = {}
  #shared = false

  get count(): number {
    return this.#byId.size
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#byId.get(latin1Slice(key, 0, key.length))?.value
  }

  /** Keeps both arrays; they must never change again. */
  put(key: Uint8Array, value: Uint8Array): void {
    const id = latin1Slice(key, 0, key.length)
    const entry = { id, key, value }
    this.#byId.set(id, entry)
    if (this.#runs !== null) this.#putSorted(this.#ownRuns(this.#runs), entry)
  }

  delete(key: Uint8Array): void {
    const id = latin1Slice(key, 0, key.length)
    if (!this.#byId.delete(id) || this.#runs === null) return
    const runs = this.#ownRuns(this.#runs)
    const index = runOf(runs, id)
    const run = this.#ownRun(runs, index)
    run.entries.splice(placeOf(run.entries, id), 1)
    if (run.entries.length === 0) runs.splice(index, 1)
  }

  /** The entries of the range as they are now, regardless of later changes. */
  range(range: KeyRange): IterableIterator<StoreItem> {
    this.#runs ??= this.#sort()
    this.#shared = true
    const from = latin1Slice(range.from, 0, range.from.length)
    const to = range.to === null ? null : latin1Slice(range.to, 0, range.to.length)
    return range.reverse ? backward(this.#runs, from, to) : forward(this.#runs, from, to)
  }

  #sort(): Run[] {
    const sorted = [...this.#byId.values()].sort((left, right) => (left.id < right.id ? -1 : 1))
    const runs: Run[] = []
    // Runs are half full, so that later entries find room.
    for (let start = 0; start < sorted.length; start += runEntriesMax / 2) {
      runs.push({ mark: this.#mark, entries: sorted.slice(start, start + runEntriesMax / 2) })
    }
    return runs
  }

  #putSorted(runs: Run[], entry: Entry): void {
    if (runs.length === 0) {
      runs.push({ mark: this.#mark, entries: [entry] })
      return
    }
    const index = runOf(runs, entry.id)
    const { entries } = this.#ownRun(runs, index)
    const place = placeOf(entries, entry.id)
    if (entries[place]?.id === entry.id) entries[place] = entry
    else entries.splice(place, 0, entry)
    if (entries.length > runEntriesMax) {
      runs.splice(index + 1, 0, { mark: this.#mark, entries: entries.splice(runEntriesMax / 2) })
    }
  }

  #ownRuns(runs: Run[]): Run[] {
    if (!this.#shared) return runs
    this.#shared = false
    this.#mark = {}
    this.#runs = runs.slice()
    return this.#runs
  }

  #ownRun(runs: Run[], index: number): Run {
    const run = runs[index] as Run
    if (run.mark === this.#mark) return run
    const own = { mark: this.#mark, entries: run.entries.slice() }
    runs[index] = own
    return own
  }
}

/** The run that contains `id` or to which it belongs: the last one that does not start after it. */
function runOf(runs: readonly Run[], id: string): number {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const first = (runs[middle] as Run).entries[0] as Entry
    if (first.id <= id) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** The place of the first entry that is not before `id`. */
function placeOf(entries: readonly Entry[], id: string): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[middle] as Entry).id < id) low = middle + 1
    else high = middle
  }
  return low
}

function* forward(runs: readonly Run[], from: string, to: string | null): IterableIterator<StoreItem> {
  const first = runOf(runs, from)
  for (let index = first; index < runs.length; index++) {
    const { entries } = runs[index] as Run
    for (let place = index === first ? placeOf(entries, from) : 0; place < entries.length; place++) {
      const entry = entries[place] as Entry
      if (to !== null && entry.id >= to) return
      yield entry
    }
  }
}

function* backward(runs: readonly Run[], from: string, to: string | null): IterableIterator<StoreItem> {
  const last = to === null ? runs.length - 1 : runOf(runs, to)
  for (let index = last; index >= 0; index--) {
    const entries = runs[index]?.entries ?? []
    for (
      let place = index === last && to !== null ? placeOf(entries, to) - 1 : entries.length - 1;
      place >= 0;
      place--
    ) {
      const entry = entries[place] as Entry
      if (entry.id < from) return
      yield entry
    }
  }
}
