import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { KeyValueOverlay } from '../../streams/store/key-value-overlay.ts'
import { undefinedResult } from './undefined-result.ts'

/** What a row becomes; it is not called for null. */
export type RowFunction = (value: unknown, key: unknown) => unknown

/** Keeps a row or makes it null. */
export function rowFilter(predicate: (value: unknown, key: unknown) => boolean, wanted: boolean): RowFunction {
  // Truthiness, not identity: a predicate from JavaScript may return anything.
  return (value, key) => (!predicate(value, key) !== wanted ? value : null)
}

export function rowMapper(node: string, mapper: (value: unknown, key: unknown) => unknown): RowFunction {
  return (value, key) => {
    const mapped = mapper(value, key)
    if (mapped === undefined) throw undefinedResult(node, 'mapper')
    return mapped
  }
}

export interface TableOperatorOptions {
  readonly compute: RowFunction
  /** Keeps what it makes; null: not. */
  readonly store: string | null
  readonly needsOld: boolean
  /** True for filters: a row that was out and stays out is no news, if that can be known. */
  readonly skipsNothing: boolean
}

/**
 * Makes each row of a table into a row of another. The old value comes from the operator's own store, or is computed
 * again from that of its source. Without old values a filter forwards a tombstone for every row that does not pass, even
 * if nothing of it was ever there, as Kafka does: to know better it would have to keep rows.
 */
export function tableOperatorSupplier(options: TableOperatorOptions): () => Processor {
  return () => new TableOperator(options)
}

class TableOperator implements Processor<unknown, Change<unknown>> {
  readonly #options: TableOperatorOptions
  #context!: ProcessorContext
  #store: KeyValueOverlay | null = null

  constructor(options: TableOperatorOptions) {
    this.#options = options
  }

  init(context: ProcessorContext): void {
    this.#context = context
    const { store } = this.#options
    if (store !== null) this.#store = context.store<KeyValueOverlay>(store)
  }

  process(key: unknown, change: Change<unknown>, timestamp: number): void {
    const { compute, needsOld, skipsNothing } = this.#options
    const newValue = change.newValue === null ? null : compute(change.newValue, key)
    let oldValue: unknown = null
    if (this.#store !== null) {
      const entry = needsOld ? this.#store.entry(key) : this.#store.entryToOverwrite(key)
      if (needsOld) oldValue = entry.value
      if (needsOld && skipsNothing && oldValue === null && newValue === null) return
      this.#store.update(entry, newValue, timestamp, timestamp)
    } else if (needsOld) {
      if (change.oldValue !== null) oldValue = compute(change.oldValue, key)
      if (skipsNothing && oldValue === null && newValue === null) return
    }
    const made: Change<unknown> = { newValue, oldValue }
    this.#context.forward(key, made, timestamp)
  }
}

/** Keeps the rows of a table in a store on their way. The old value is the one that was there. */
export function tableStoreSupplier(store: string): () => Processor {
  return tableOperatorSupplier({ compute: (value) => value, store, needsOld: true, skipsNothing: false })
}
