import { noHeaders, type Header, type TopicPartition } from '../../../log/api/record.ts'
import type { RecordContext } from '../record-context.ts'
import { grown } from '../../../base/columns.ts'

const firstCapacity = 256

/**
 * The updates of one generation, in order: the record that caused each one, and whether a later one of the same row
 * followed. These are columns and not fields of the rows: an update appends to each column, while fields would touch
 * memory all over the heap, and the merge at the commit reads the times in sequence.
 *
 * Only the last update of a row counts; the overlay knows which row each update changed.
 */
export class UpdateLog {
  count = 0
  times: Float64Array = new Float64Array(firstCapacity)
  causes: Int32Array = new Int32Array(firstCapacity)
  #offsets: Float64Array = new Float64Array(firstCapacity)
  /** Indexes into {@link #inputs}: a task has few inputs, and most updates have the same input as the previous one. */
  #inputIndexes: Int32Array = new Int32Array(firstCapacity)
  /** 1 if a later update changed the same row. */
  #superseded: Uint8Array = new Uint8Array(firstCapacity)
  /** The memory of {@link lastPlaces}. */
  #places: Uint32Array = new Uint32Array(firstCapacity)
  readonly #inputs: (TopicPartition | null)[] = []
  #lastIndex = -1
  /** Stored only for updates with headers, which are few, and only if the row will be forwarded. */
  readonly #headers = new Map<number, readonly Header[]>()

  /**
   * Adds an update and returns its place. `previous` is the place of the row's last update before, or -1. `time` is the
   * timestamp of the record that caused it; the record's headers are kept if the row will be forwarded.
   */
  add(previous: number, record: RecordContext, time: number, isForwarded: boolean): number {
    const place = this.count
    if (place === this.times.length) this.#grow()
    this.count = place + 1
    if (previous >= 0) this.#superseded[previous] = 1
    this.times[place] = time
    this.causes[place] = record.cause
    this.#offsets[place] = record.offset
    this.#inputIndexes[place] = this.#indexOf(record.input)
    if (isForwarded && record.headers.length > 0) this.#headers.set(place, record.headers)
    return place
  }

  /**
   * The places of the last update of each changed row, ascending; there are `touched` of them. They are valid until the
   * next call.
   */
  lastPlaces(touched: number): Uint32Array {
    if (touched > this.#places.length) this.#places = new Uint32Array(this.times.length)
    const places = this.#places
    const superseded = this.#superseded
    let found = 0
    for (let place = 0; place < this.count; place++) if (superseded[place] === 0) places[found++] = place
    return places.subarray(0, touched)
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
    this.#superseded.fill(0, 0, this.count)
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
    this.times = grown(this.times, new Float64Array(size))
    this.causes = grown(this.causes, new Int32Array(size))
    this.#offsets = grown(this.#offsets, new Float64Array(size))
    this.#inputIndexes = grown(this.#inputIndexes, new Int32Array(size))
    this.#superseded = grown(this.#superseded, new Uint8Array(size))
  }
}
