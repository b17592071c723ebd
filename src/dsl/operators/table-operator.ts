import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { KeyValueOverlay } from '../../streams/store/overlay/key-value-overlay.ts'
import { refusePromise } from './no-promise.ts'
import { checkResult } from './undefined-result.ts'

/** Computes the new value of a row; not called for null. */
export type RowFunction = (value: unknown, key: unknown) => unknown

/** Returns the row unchanged, or null if it is filtered out. */
export function rowFilter(predicate: (value: unknown, key: unknown) => boolean, wanted: boolean): RowFunction {
  // Tests truthiness, because a predicate written in JavaScript may return anything.
  return (value, key) => {
    const passes: unknown = predicate(value, key)
    if (typeof passes === 'object') refusePromise(passes, 'the predicate')
    return !passes !== wanted ? value : null
  }
}

export function rowMapper(node: string, mapper: (value: unknown, key: unknown) => unknown): RowFunction {
  return (value, key) => {
    const mapped = mapper(value, key)
    checkResult(mapped, node, 'mapper')
    return mapped
  }
}

export interface TableOperatorOptions {
  readonly compute: RowFunction
  /** The store for the results; null if they are not kept. */
  readonly store: string | null
  readonly needsOld: boolean
  /**
   * True for filters: if a row was filtered out before and still is, nothing is forwarded, provided the old value is
   * known.
   */
  readonly skipsNothing: boolean
}

/**
 * Computes the rows of a table from those of another. The old value comes from the operator's own store, or is computed
 * again from the old value of its source. Without old values, a filter forwards a tombstone for every row that does not
 * pass, even if no such row was ever forwarded, as in Kafka: avoiding that would require keeping rows.
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

/** Keeps the rows of a table in a store and forwards them. The old value is the one that was in the store. */
export function tableStoreSupplier(store: string): () => Processor {
  return tableOperatorSupplier({ compute: (value) => value, store, needsOld: true, skipsNothing: false })
}
