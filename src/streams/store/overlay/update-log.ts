import { noHeaders, type Header, type TopicPartition } from '../../../log/api/record.ts'
import type { RecordContext } from '../record-context.ts'
import type { OverlayEntry } from './overlay-entry.ts'

const firstCapacity = 256

/**
 * The updates of one generation, in order: which entry each one changed, and the record that caused it. These are
 * columns and not fields of the entry: an update appends to each column, while fields would touch memory all over the
 * heap, and the merge at the commit reads the times in sequence.
 *
 * Only the last update of an entry counts, which the entry refers to by its place; earlier ones are skipped.
 */
export class UpdateLog {
  count = 0
  times: Float64Array = new Float64Array(firstCapacity)
  causes: Int32Array = new Int32Array(firstCapacity)
  /** Null beyond `count`. */
  readonly entries: (OverlayEntry | null)[] = []
  #offsets: Float64Array = new Float64Array(firstCapacity)
  /** Indexes into {@link #inputs}: a task has few inputs, and most updates have the same input as the previous one. */
  #inputIndexes: Int32Array = new Int32Array(firstCapacity)
  readonly #inputs: (TopicPartition | null)[] = []
  #lastIndex = -1
  /** Stored only for updates with headers, which are few, and only if the row will be forwarded. */
  readonly #headers = new Map<number, readonly Header[]>()

  /**
   * Adds an update and returns its place. `time` is the timestamp of the record that caused it; the record's headers
   * are kept if the row will be forwarded.
   */
  add(entry: OverlayEntry, record: RecordContext, time: number, isForwarded: boolean): number {
    const place = this.count
    if (place === this.times.length) this.#grow()
    this.count = place + 1
    this.entries[place] = entry
    this.times[place] = time
    this.causes[place] = record.cause
    this.#offsets[place] = record.offset
    this.#inputIndexes[place] = this.#indexOf(record.input)
    if (isForwarded && record.headers.length > 0) this.#headers.set(place, record.headers)
    return place
  }

  isLast(place: number): boolean {
    return (this.entries[place] as OverlayEntry).lastUpdate === place
  }

  /** The places of the last update of each changed entry, ascending; there are `touched` of them. */
  lastPlaces(touched: number): Uint32Array {
    const places = new Uint32Array(touched)
    let found = 0
    for (let place = 0; place < this.count; place++) if (this.isLast(place)) places[found++] = place
    return places
  }

  /** Sets the context back to the record that caused the update. */
  resume(place: number, record: RecordContext): void {
    record.headers = this.#headers.size === 0 ? noHeaders : (this.#headers.get(place) ?? noHeaders)
    record.input = this.#inputs[this.#inputIndexes[place] as number] ?? null
    record.offset = this.#offsets[place] as number
    record.timestamp = this.times[place] as number
  }

  /** Keeps its memory, because the next generation will be about as long. */
  clear(): void {
    this.entries.fill(null, 0, this.count)
    this.count = 0
    this.#inputs.length = 0
    this.#lastIndex = -1
    this.#headers.clear()
  }

  #indexOf(input: TopicPartition | null): number {
    if (this.#lastIndex >= 0 && this.#inputs[this.#lastIndex] === input) return this.#lastIndex
    let index = this.#inputs.indexOf(input)
    if (index < 0) index = this.#inputs.push(input) - 1
    this.#lastIndex = index
    return index
  }

  #grow(): void {
    const size = this.times.length * 2
    const times = new Float64Array(size)
    const causes = new Int32Array(size)
    const offsets = new Float64Array(size)
    const inputIndexes = new Int32Array(size)
    times.set(this.times)
    causes.set(this.causes)
    offsets.set(this.#offsets)
    inputIndexes.set(this.#inputIndexes)
    this.times = times
    this.causes = causes
    this.#offsets = offsets
    this.#inputIndexes = inputIndexes
  }
}
