import type { ProcessorContext } from '../../streams/processor/processor.ts'
import type { KeyValueOverlay } from '../../streams/store/overlay/key-value-overlay.ts'
import type { SessionOverlay } from '../../streams/store/overlay/session-overlay.ts'
import type { WindowOverlay } from '../../streams/store/overlay/window-overlay.ts'

/**
 * How the rows of a table are read, whether they are in a store or are computed from those of other tables: Kafka's
 * value getter.
 *
 * There are two views. *Newest*, which joins with streams use, is everything that has been processed. *Forwarded*,
 * which joins with other tables use, is what has been sent downstream. With `emit: 'commit'` they differ between two
 * commits, and only the second one makes old values right: the old value of a join must be the one that it forwarded
 * before.
 */
export interface TableRows {
  /** The stores that the rows are read from. */
  readonly stores: readonly string[]
  /**
   * Id of a codec. Keys encoded with it may be passed as bytes, without being decoded; absent if readers need decoded
   * keys.
   */
  readonly keyBytesOf?: string
  open(context: ProcessorContext, view: TableView): TableReader
}

export type TableView = 'newest' | 'forwarded'

/** Reads rows by key. */
export interface TableReader {
  /** Returns the value of a row, or null. `timestamp` is then that of the row. */
  get(key: unknown): unknown
  readonly timestamp: number
}

/** Rows in a key-value store whose keys have the codec with that id. */
export function storedRows(store: string, keyCodec: string): TableRows {
  return {
    stores: [store],
    keyBytesOf: keyCodec,
    open(context, view) {
      const overlay = context.store<KeyValueOverlay>(store)
      return new EntryReader(overlay, view)
    },
  }
}

/** Rows of windows; their keys are `{ key, start }`. */
export function windowedRows(store: string): TableRows {
  return {
    stores: [store],
    open(context, view) {
      const overlay = context.store<WindowOverlay>(store)
      const rowOf = (key: unknown): number => {
        const window = key as { readonly key: unknown; readonly start: number }
        return overlay.partner(window.key, window.start)
      }
      return new RowReader(overlay, rowOf, view)
    },
  }
}

/** Rows of sessions; their keys are `{ key, start, end }`. */
export function sessionRows(store: string): TableRows {
  return {
    stores: [store],
    open(context, view) {
      const overlay = context.store<SessionOverlay>(store)
      const rowOf = (key: unknown): number => {
        const session = key as { readonly key: unknown; readonly start: number; readonly end: number }
        return overlay.partner(session.key, session.start, session.end)
      }
      return new RowReader(overlay, rowOf, view)
    },
  }
}

class EntryReader implements TableReader {
  timestamp = -1
  readonly #overlay: KeyValueOverlay
  readonly #view: TableView

  constructor(overlay: KeyValueOverlay, view: TableView) {
    this.#overlay = overlay
    this.#view = view
  }

  get(key: unknown): unknown {
    const entry = this.#overlay.existing(key)
    if (entry === null) {
      this.timestamp = -1
      return null
    }
    if (this.#view === 'forwarded' && this.#overlay.isHeldBack(entry)) {
      const value = this.#overlay.forwardedValue(entry)
      this.timestamp = entry.forwardedTimestamp
      return value
    }
    this.timestamp = entry.timestamp
    return entry.value
  }
}

class RowReader implements TableReader {
  timestamp = -1
  readonly #overlay: WindowOverlay | SessionOverlay
  readonly #rowOf: (key: unknown) => number
  readonly #view: TableView

  constructor(overlay: WindowOverlay | SessionOverlay, rowOf: (key: unknown) => number, view: TableView) {
    this.#overlay = overlay
    this.#rowOf = rowOf
    this.#view = view
  }

  get(key: unknown): unknown {
    const overlay = this.#overlay
    const row = this.#rowOf(key)
    if (row < 0) {
      this.timestamp = -1
      return null
    }
    if (this.#view === 'forwarded' && overlay.isHeldBack(row)) {
      this.timestamp = overlay.forwardedTimestamp(row)
      return overlay.forwardedValue(row)
    }
    this.timestamp = overlay.timestampOf(row)
    return overlay.valueAt(row)
  }
}

/** Rows that are computed one by one from those of another table. `compute` is not called for null. */
export function computedRows(rows: TableRows, compute: (value: unknown, key: unknown) => unknown): TableRows {
  return {
    stores: rows.stores,
    open: (context, view) => new ComputedReader(rows.open(context, view), compute),
  }
}

class ComputedReader implements TableReader {
  readonly #reader: TableReader
  readonly #compute: (value: unknown, key: unknown) => unknown

  constructor(reader: TableReader, compute: (value: unknown, key: unknown) => unknown) {
    this.#reader = reader
    this.#compute = compute
  }

  get timestamp(): number {
    return this.#reader.timestamp
  }

  get(key: unknown): unknown {
    const value = this.#reader.get(key)
    return value === null ? null : this.#compute(value, key)
  }
}

/** How the rows of a join of two tables are computed. */
export interface JoinedRowsOptions {
  readonly left: TableRows
  readonly right: TableRows
  /** True if there is no result without a left row. The right row is then not read, let alone computed. */
  readonly needsLeft: boolean
  /** Receives null for a side that has no row, and returns null if there is no result. */
  readonly combine: (left: unknown, right: unknown, key: unknown) => unknown
}

/** Rows that are computed from two tables. */
export function joinedRows(options: JoinedRowsOptions): TableRows {
  const { left, right } = options
  return {
    stores: [...new Set([...left.stores, ...right.stores])],
    open: (context, view) => new JoinedReader(left.open(context, view), right.open(context, view), options),
  }
}

class JoinedReader implements TableReader {
  timestamp = -1
  readonly #left: TableReader
  readonly #right: TableReader
  readonly #needsLeft: boolean
  readonly #combine: JoinedRowsOptions['combine']

  constructor(left: TableReader, right: TableReader, { needsLeft, combine }: JoinedRowsOptions) {
    this.#left = left
    this.#right = right
    this.#needsLeft = needsLeft
    this.#combine = combine
  }

  get(key: unknown): unknown {
    const left = this.#left.get(key)
    if (left === null && this.#needsLeft) {
      this.timestamp = -1
      return null
    }
    const leftTime = left === null ? -1 : this.#left.timestamp
    const right = this.#right.get(key)
    const rightTime = right === null ? -1 : this.#right.timestamp
    this.timestamp = leftTime > rightTime ? leftTime : rightTime
    return this.#combine(left, right, key)
  }
}
