import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { WindowOverlay } from '../../streams/store/overlay/window-overlay.ts'
import { undecoded } from '../../streams/store/record-context.ts'
import { foldOf, type AggregateOptions, type Fold } from './aggregate-fold.ts'

export interface SlidingAggregateOptions extends AggregateOptions {
  readonly sizeMs: number
  readonly graceMs: number
}

/**
 * Keeps one aggregate per key and sliding window `[start, start + size]`, both ends included, and forwards its changes.
 * There is one window for every distinct set of records that fit into one: the *left* window of a record ends at it,
 * and its *right* window begins one millisecond after it. The algorithm is Kafka's (KStreamSlidingWindowAggregate), so
 * that results come in the same order:
 *
 * ```
 *   size 4        a   b       c            windows of a: left ..a, right (a+1)..(a+5), which contains b
 *   time    ..3   5   7   9   11           of b: left 3..7, which contains a and b; right 8..12, which contains c
 * ```
 *
 * - A record is added to every existing window that contains its time. Then up to three windows are created: the right
 *   window of the record before it, if this is the first record in it; its own left window, starting with the aggregate
 *   of the last window that ends before it; and its own right window, if later records came first, starting with the
 *   aggregate of the last window that it shares with them.
 * - A row's timestamp is the highest of the records in its window, which shows whether the window contains records
 *   after a given one.
 * - Windows do not begin before 0: records earlier than the size share the first one, `[0, size]`.
 * - A record is dropped if even the last window that can contain it is closed, `time + size < streamTime - grace`. A
 *   window accepts records as long as its end is at least `streamTime - grace`. Null keys and null values are dropped,
 *   as in Kafka.
 */
export function slidingAggregateSupplier(options: SlidingAggregateOptions): () => Processor {
  return () => new SlidingAggregate(options)
}

class SlidingAggregate implements Processor {
  readonly #storeName: string
  readonly #fold: Fold
  readonly #emission: AggregateOptions['emit']
  readonly #sizeMs: number
  readonly #graceMs: number
  #context!: ProcessorContext
  #store!: WindowOverlay
  #time = -1
  #closeTime = 0
  /** Under `final`, windows that end before this have been emitted. */
  #emittedTo = -1
  readonly #near: number[] = []
  /**
   * Aggregate and time of the last window with records after the current one, before that was added: the start of its
   * right window.
   */
  #rightAggregate: unknown = null
  #rightTime = -1

  constructor(options: SlidingAggregateOptions) {
    this.#storeName = options.store
    this.#fold = foldOf(options)
    this.#emission = options.emit
    this.#sizeMs = options.sizeMs
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
    if (key === null || value === null) {
      this.#context.dropped(key === null ? 'null key' : 'null value')
      return
    }
    if (timestamp > this.#time) this.#time = timestamp
    const closeTime = this.#time - this.#graceMs
    this.#closeTime = closeTime
    if (timestamp + this.#sizeMs < closeTime) {
      this.#context.dropped('late record')
      return
    }
    this.#rightAggregate = null
    this.#rightTime = -1
    if (timestamp < this.#sizeMs) this.#addEarly(key, value, timestamp)
    else this.#add(key, value, timestamp)
    if (this.#emission === 'final' && closeTime > this.#emittedTo) this.#emitClosed(closeTime)
  }

  #add(key: unknown, value: unknown, timestamp: number): void {
    const size = this.#sizeMs
    const near = this.#near
    this.#store.find(key, Math.max(0, timestamp - 2 * size), timestamp + 1, near)
    let hasLeft = false
    let hasRight = false
    /** The aggregate of the last window that ends before the record. */
    let leftAggregate: unknown = null
    let previous = -1
    for (const row of near) {
      const start = this.#store.startOf(row)
      const end = start + size
      if (start === timestamp + 1) {
        hasRight = true
      } else if (end > timestamp) {
        this.#noteRight(row)
        this.#update(key, value, timestamp, row)
      } else if (end === timestamp) {
        hasLeft = true
        const last = this.#store.timestampOf(row)
        this.#update(key, value, timestamp, row)
        // Another record of the same time has already created all windows.
        if (last >= timestamp) return
        previous = last
      } else {
        leftAggregate = this.#store.valueAt(row)
        previous = this.#store.timestampOf(row)
        break
      }
    }
    if (previous >= 0) this.#makePreviousRight(key, value, timestamp, previous)
    if (!hasLeft) {
      const reachesBack = previous >= timestamp - size && previous >= 0
      this.#make(key, value, timestamp, timestamp - size, reachesBack ? leftAggregate : null)
    }
    if (!hasRight) this.#makeRight(key, timestamp)
  }

  /** Records earlier than the size are all in the first window; only their right windows differ. */
  #addEarly(key: unknown, value: unknown, timestamp: number): void {
    const near = this.#near
    this.#store.find(key, 0, timestamp + 1, near)
    let first = -1
    let hasRight = false
    let previous = -1
    // Kafka visits these in ascending start.
    for (let index = near.length - 1; index >= 0; index--) {
      const row = near[index] as number
      const start = this.#store.startOf(row)
      if (start === 0) {
        first = row
        const last = this.#store.timestampOf(row)
        if (last < timestamp) previous = last
      } else if (start <= timestamp) {
        this.#rightTime = -1
        this.#noteRight(row)
        this.#update(key, value, timestamp, row)
      } else {
        hasRight = true
      }
    }
    if (this.#rightTime < 0 && first >= 0 && this.#store.timestampOf(first) > timestamp) this.#noteRight(first)
    if (!hasRight) this.#makeRight(key, timestamp)
    if (first < 0) {
      this.#make(key, value, timestamp, 0, null)
      return
    }
    if (previous >= 0) this.#makePreviousRight(key, value, timestamp, previous)
    this.#update(key, value, timestamp, first)
  }

  /** Keeps the current state of the first row that is passed in, and ignores later ones. */
  #noteRight(row: number): void {
    if (this.#rightTime >= 0) return
    this.#rightAggregate = this.#store.valueAt(row)
    this.#rightTime = this.#store.timestampOf(row)
  }

  /** Creates the right window of the previous record, if this is the first record in it. */
  #makePreviousRight(key: unknown, value: unknown, timestamp: number, previous: number): void {
    const start = previous + 1
    if (start + this.#sizeMs < timestamp) return
    for (const row of this.#near) if (this.#store.startOf(row) === start) return
    this.#make(key, value, timestamp, start, null)
  }

  /** Creates the record's own right window, if there are later records; the record itself is not in it. */
  #makeRight(key: unknown, timestamp: number): void {
    if (this.#rightTime <= timestamp) return
    const row = this.#store.entry(key, timestamp + 1)
    this.#store.update(row, this.#rightAggregate, this.#rightTime, timestamp)
    if (this.#emission === 'update') this.#forward(row, key, { newValue: this.#rightAggregate, oldValue: null })
  }

  /** Creates a window for the record, starting with the aggregate of the records before it. */
  #make(key: unknown, value: unknown, timestamp: number, start: number, aggregate: unknown): void {
    if (this.#isClosed(start)) return
    const after = this.#fold(aggregate, value, key)
    const row = this.#store.entry(key, start)
    // If two records are exactly one more than the size apart, the right window of the first is also the left window of
    // the second. It is then created twice, as in Kafka.
    const before = this.#store.valueAt(row)
    this.#store.update(row, after, timestamp, timestamp)
    if (this.#emission === 'update') this.#forward(row, key, { newValue: after, oldValue: before })
  }

  #update(key: unknown, value: unknown, timestamp: number, row: number): void {
    const store = this.#store
    if (this.#isClosed(store.startOf(row))) return
    const before = store.valueAt(row)
    const after = this.#fold(before, value, key)
    store.update(row, after, Math.max(timestamp, store.timestampOf(row)), timestamp)
    if (this.#emission === 'update') this.#forward(row, key, { newValue: after, oldValue: before })
  }

  #isClosed(start: number): boolean {
    if (start + this.#sizeMs >= this.#closeTime) return false
    this.#context.dropped('late record')
    return true
  }

  #emit(row: number): void {
    const store = this.#store
    const change: Change<unknown> = { newValue: store.valueAt(row), oldValue: store.forwardedValue(row) }
    if (change.newValue === null && change.oldValue === null) return
    if (!store.emitsKeyBytes) {
      this.#forward(row, store.keyOf(row), change)
      return
    }
    store.presentKey(row)
    this.#context.forward(undecoded, change, store.timestampOf(row))
  }

  #emitClosed(closeTime: number): void {
    const first = Math.max(0, this.#emittedTo - this.#sizeMs)
    const last = closeTime - 1 - this.#sizeMs
    this.#emittedTo = closeTime
    if (first > last) return
    for (const row of this.#store.rowsByStart(first, last)) {
      this.#forward(row, this.#store.keyOf(row), { newValue: this.#store.valueAt(row), oldValue: null })
    }
  }

  #forward(row: number, key: unknown, change: Change<unknown>): void {
    const start = this.#store.startOf(row)
    const windowed = { key, start, end: start + this.#sizeMs, kind: 'time' }
    this.#context.forward(windowed, change, this.#store.timestampOf(row))
  }
}
