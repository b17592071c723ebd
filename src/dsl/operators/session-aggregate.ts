import { empty } from '../../base/lists.ts'
import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { SessionOverlay } from '../../streams/store/overlay/session-overlay.ts'
import { undecoded } from '../../streams/store/record-context.ts'
import { mergingFoldOf, type MergingFold, type MergingOptions } from './aggregate-fold.ts'

export interface SessionAggregateOptions extends MergingOptions {
  readonly gapMs: number
  readonly graceMs: number
}

/**
 * Keeps one aggregate per key and session `[start, end]`. A session is a group of records of which neighbors are at
 * most `gapMs` apart. A record merges all sessions that it reaches into one: a tombstone is forwarded for each of them,
 * earliest end first, then the new session is forwarded. All of these have the end of their session as timestamp.
 *
 * - Time is the operator's own: the highest timestamp of the records that it has processed, including the current one.
 *   After a restart it is restored from the last commit.
 * - Lateness is decided after merging: a record is dropped and counted if the merged session ends before `time - grace
 *   - gap`. So a record that reaches a session that is still open is never dropped.
 * - As in Kafka, the aggregate begins with the initial one, then merges the sessions from the earliest end on, then
 *   adds the record. All of this is computed before anything is changed, so a callback that throws leaves the sessions
 *   unchanged.
 * - Updates have no headers, as in Kafka, where those of time windows do. Results that are emitted when a session
 *   closes have the headers of the record that closed it.
 * - Only a null key drops a record; a null value is passed to the aggregator, as in Kafka.
 * - Under `final`, sessions are emitted in order of end, then start, then of the keys' bytes. No session is lost when
 *   time jumps.
 */
export function sessionAggregateSupplier(options: SessionAggregateOptions): () => Processor {
  return () => new SessionAggregate(options)
}

class SessionAggregate implements Processor {
  readonly #storeName: string
  readonly #fold: MergingFold
  readonly #emission: MergingOptions['emit']
  readonly #gapMs: number
  readonly #graceMs: number
  #context!: ProcessorContext
  #store!: SessionOverlay
  #time = -1
  /** Under `final`, sessions that end before this have been emitted. */
  #emittedTo = -1
  readonly #merged: number[] = []

  constructor(options: SessionAggregateOptions) {
    this.#storeName = options.store
    this.#fold = mergingFoldOf(options)
    this.#emission = options.emit
    this.#gapMs = options.gapMs
    this.#graceMs = options.graceMs
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#store = context.store<SessionOverlay>(this.#storeName)
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
    const closeTime = this.#time - this.#graceMs - this.#gapMs
    this.#add(key, value, timestamp, closeTime)
    if (this.#emission === 'final' && closeTime > this.#emittedTo) this.#emitClosed(closeTime)
  }

  #add(key: unknown, value: unknown, timestamp: number, closeTime: number): void {
    const store = this.#store
    const fold = this.#fold
    const merged = this.#merged
    store.find(key, timestamp - this.#gapMs, timestamp + this.#gapMs, merged)
    let start = timestamp
    let end = timestamp
    for (const row of merged) {
      const itsStart = store.startOf(row)
      const itsEnd = store.timestampOf(row)
      if (itsStart < start) start = itsStart
      if (itsEnd > end) end = itsEnd
    }
    if (end < closeTime) {
      this.#context.dropped('late record')
      return
    }
    let aggregate = fold.initial()
    // A tombstone must not be emitted after the session that replaces it, even if the record that caused the merge is
    // older.
    let updateTime = timestamp
    for (const row of merged) {
      aggregate = fold.merge(aggregate, store.valueAt(row), key)
      const time = store.updateTimeOf(row)
      if (time > updateTime) updateTime = time
    }
    const after = fold.add(aggregate, value, key)
    const first = merged[0]
    if (start === end && first !== undefined) {
      this.#renew(key, first, after, updateTime)
      return
    }
    if (this.#emission === 'update') {
      for (const row of merged) {
        const oldValue = store.valueAt(row)
        store.remove(row, updateTime)
        this.#forward(key, store.startOf(row), store.timestampOf(row), { newValue: null, oldValue })
      }
      empty(merged)
    }
    const row = store.replace(key, merged, start, end, updateTime)
    if (after !== null) store.update(row, after, end, updateTime)
    else if (store.valueAt(row) !== null) store.remove(row, updateTime)
    else store.observe(end)
    if (this.#emission === 'update') this.#forward(key, start, end, { newValue: after, oldValue: null })
  }

  /**
   * Another record at the time of a session of a single instant: the session's times stay the same, so no tombstone is
   * needed.
   */
  #renew(key: unknown, row: number, after: unknown, updateTime: number): void {
    const store = this.#store
    const oldValue = store.valueAt(row)
    const start = store.startOf(row)
    const end = store.timestampOf(row)
    if (after === null) store.remove(row, updateTime)
    else store.update(row, after, end, updateTime)
    if (this.#emission === 'update') this.#forward(key, start, end, { newValue: after, oldValue })
  }

  #emit(row: number): void {
    const store = this.#store
    const newValue = store.valueAt(row)
    const oldValue = store.forwardedValue(row)
    if (newValue === null && oldValue === null) return
    const change: Change<unknown> = { newValue, oldValue }
    const end = store.timestampOf(row)
    if (!store.emitsKeyBytes) {
      this.#forward(store.keyOf(row), store.startOf(row), end, change)
      return
    }
    store.presentKey(row)
    this.#context.headers = noHeaders
    this.#context.forward(undecoded, change, end)
  }

  #emitClosed(closeTime: number): void {
    const from = Math.max(0, this.#emittedTo)
    this.#emittedTo = closeTime
    const store = this.#store
    for (const row of store.closed(from, closeTime - 1)) {
      const start = store.startOf(row)
      const end = store.timestampOf(row)
      const change: Change<unknown> = { newValue: store.valueAt(row), oldValue: null }
      this.#context.forward({ key: store.keyOf(row), start, end, kind: 'session' }, change, end)
    }
  }

  #forward(key: unknown, start: number, end: number, change: Change<unknown>): void {
    this.#context.headers = noHeaders
    this.#context.forward({ key, start, end, kind: 'session' }, change, end)
  }
}

const noHeaders: ProcessorContext['headers'] = []
