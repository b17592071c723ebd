import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { WindowOverlay } from '../../streams/store/overlay/window-overlay.ts'
import { undecoded } from '../../streams/store/record-context.ts'
import { foldOf, type AggregateOptions, type Fold } from './aggregate-fold.ts'

export interface WindowAggregateOptions extends AggregateOptions {
  readonly sizeMs: number
  readonly advanceMs: number
  readonly graceMs: number
}

/**
 * Keeps one aggregate per key and tumbling or hopping window `[start, end)`, and forwards its changes under a windowed
 * key: under `commit` the newest per row at each commit, under `update` every one in ascending start, under `final` one
 * when the window closes.
 *
 * - Time is the operator's own: the highest timestamp of the records that it has processed, including the current one.
 *   After a restart it is restored from the last commit, so that late records stay late.
 * - A window accepts a record as long as its end is after `time - grace`; each window that does not is counted as one
 *   drop. Only a null key drops the whole record; a null value is passed to the aggregator, as in Kafka.
 * - Under `final`, windows are emitted in order of time, then of the keys' bytes, with the headers of the record that
 *   closed them. Differences from Kafka: there is no throttling by the wall clock, and windows are emitted before they
 *   expire, so that none is lost when time jumps.
 */
export function windowAggregateSupplier(options: WindowAggregateOptions): () => Processor {
  return () => new WindowAggregate(options)
}

class WindowAggregate implements Processor {
  readonly #storeName: string
  readonly #fold: Fold
  readonly #emission: AggregateOptions['emit']
  readonly #sizeMs: number
  readonly #advanceMs: number
  readonly #graceMs: number
  #context!: ProcessorContext
  #store!: WindowOverlay
  /** The rows of a record's windows. */
  #rows: Int32Array = new Int32Array(0)
  #time = -1
  /** Under `final`, windows that end at or before this have been emitted. */
  #emittedTo = -1

  constructor(options: WindowAggregateOptions) {
    this.#storeName = options.store
    this.#fold = foldOf(options)
    this.#emission = options.emit
    this.#sizeMs = options.sizeMs
    this.#advanceMs = options.advanceMs
    this.#graceMs = options.graceMs
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#store = context.store<WindowOverlay>(this.#storeName)
    this.#time = context.restored('streamTime') ?? -1
    context.saveAtCommit('streamTime', () => this.#time)
    if (this.#emission === 'final') {
      this.#emittedTo = context.restored('lastEmitWindowCloseTime') ?? -1
      context.saveAtCommit('lastEmitWindowCloseTime', () => this.#emittedTo)
    }
    if (this.#emission === 'commit') this.#store.emit = (row) => this.#emit(row)
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    if (key === null) {
      this.#context.dropped('null key')
      return
    }
    if (timestamp > this.#time) this.#time = timestamp
    const closeTime = this.#time - this.#graceMs
    const advance = this.#advanceMs
    // Not with a remainder, which takes many times as long for doubles.
    let start = Math.floor(Math.max(0, timestamp - this.#sizeMs + advance) / advance) * advance
    for (; start <= timestamp && start + this.#sizeMs <= closeTime; start += advance)
      this.#context.dropped('late record')
    if (start <= timestamp) this.#addTo(key, value, timestamp, start)
    if (this.#emission === 'final' && closeTime > this.#emittedTo) this.#emitClosed(closeTime)
  }

  /** Adds the record to the windows that start at `first` or later and contain its timestamp. */
  #addTo(key: unknown, value: unknown, timestamp: number, first: number): void {
    const count = Math.floor((timestamp - first) / this.#advanceMs) + 1
    if (count === 1) {
      this.#add(this.#store.entry(key, first), key, value, timestamp)
      return
    }
    if (count > this.#rows.length) this.#rows = new Int32Array(count)
    const rows = this.#rows
    this.#store.entries(key, first, this.#advanceMs, count, rows)
    for (let index = 0; index < count; index++) this.#add(rows[index] as number, key, value, timestamp)
  }

  #add(row: number, key: unknown, value: unknown, timestamp: number): void {
    const store = this.#store
    const before = store.valueAt(row)
    const after = this.#fold(before, value, key)
    const last = store.timestampOf(row)
    store.update(row, after, before !== null && last > timestamp ? last : timestamp, timestamp)
    if (this.#emission === 'update') this.#forward(row, { newValue: after, oldValue: before })
  }

  #emit(row: number): void {
    const store = this.#store
    const change: Change<unknown> = { newValue: store.valueAt(row), oldValue: store.forwardedValue(row) }
    if (change.newValue === null && change.oldValue === null) return
    if (!store.emitsKeyBytes) {
      this.#forward(row, change)
      return
    }
    store.presentKey(row)
    this.#context.forward(undecoded, change, store.timestampOf(row))
  }

  #emitClosed(closeTime: number): void {
    const advance = this.#advanceMs
    const first = Math.ceil(Math.max(0, this.#emittedTo - this.#sizeMs + 1) / advance) * advance
    const last = closeTime - this.#sizeMs
    this.#emittedTo = closeTime
    // Usually time has not reached the end of a window.
    if (first > last) return
    for (const row of this.#store.rowsByStart(first, last)) {
      this.#forward(row, { newValue: this.#store.valueAt(row), oldValue: null })
    }
  }

  #forward(row: number, change: Change<unknown>): void {
    const key = this.#store.keyOf(row)
    const start = this.#store.startOf(row)
    const windowed = { key, start, end: start + this.#sizeMs, kind: 'time' }
    this.#context.forward(windowed, change, this.#store.timestampOf(row))
  }
}
