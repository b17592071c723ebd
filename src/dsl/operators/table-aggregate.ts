import type { KeyCodec } from '../../codec/codec.ts'
import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { KeyValueOverlay } from '../../streams/store/overlay/key-value-overlay.ts'
import type { OverlayEntry } from '../../streams/store/overlay/overlay-entry.ts'
import { checkResult } from './undefined-result.ts'

/**
 * Sends each change of a table to its group: first the removal from the old group, then the addition to the new one, so
 * that a row is never in two groups. If both groups are the same (KIP-904), it is one change, so that no intermediate
 * state is visible. Rows with a null group are left out.
 */
export function tableGroupBySupplier(
  node: string,
  group: (value: unknown, key: unknown) => unknown,
  groupKey: KeyCodec<unknown>,
): () => Processor {
  return () => new TableGroupBy(node, group, groupKey)
}

class TableGroupBy implements Processor<unknown, Change<unknown>> {
  readonly #node: string
  readonly #group: (value: unknown, key: unknown) => unknown
  readonly #groupKey: KeyCodec<unknown>
  #context!: ProcessorContext

  constructor(node: string, group: (value: unknown, key: unknown) => unknown, groupKey: KeyCodec<unknown>) {
    this.#node = node
    this.#group = group
    this.#groupKey = groupKey
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, { newValue, oldValue }: Change<unknown>, timestamp: number): void {
    const oldGroup = this.#groupOf(oldValue, key)
    const newGroup = this.#groupOf(newValue, key)
    if (oldGroup !== null && newGroup !== null && this.#isSame(oldGroup, newGroup)) {
      const change: Change<unknown> = { newValue, oldValue }
      this.#context.forward(newGroup, change, timestamp)
      return
    }
    if (oldGroup !== null) {
      const leaving: Change<unknown> = { newValue: null, oldValue }
      this.#context.forward(oldGroup, leaving, timestamp)
    }
    if (newGroup !== null) {
      const entering: Change<unknown> = { newValue, oldValue: null }
      this.#context.forward(newGroup, entering, timestamp)
    }
  }

  #groupOf(value: unknown, key: unknown): unknown {
    if (value === null) return null
    const group = this.#group(value, key)
    checkResult(group, this.#node, 'key selector')
    return group
  }

  #isSame(left: unknown, right: unknown): boolean {
    return this.#groupKey.identity(left) === this.#groupKey.identity(right)
  }
}

export type TableFold = (aggregate: unknown, value: unknown, key: unknown) => unknown

export interface TableAggregateOptions {
  readonly store: string
  readonly emit: 'commit' | 'update'
  /** Returns the aggregate with a value added; `aggregate` is null if there is none yet. */
  readonly add: TableFold
  /** Returns the aggregate with a value removed; not called if there is no aggregate. */
  readonly subtract: TableFold
}

/** The two folds of a count, reduce or aggregate over a grouped table. */
export function tableFolds(
  store: string,
  how: {
    readonly aggregate: 'count' | 'reduce' | 'aggregate'
    readonly initial: (() => unknown) | undefined
    readonly add: TableFold | undefined
    readonly subtract: TableFold | undefined
  },
): Pick<TableAggregateOptions, 'add' | 'subtract'> {
  if (how.aggregate === 'count') {
    return {
      add: (count) => (count === null ? 1 : (count as number) + 1),
      subtract: (count) => (count as number) - 1,
    }
  }
  const { initial, add, subtract } = how
  if (add === undefined || subtract === undefined) throw new TypeError(`${store}: give add and subtract`)
  const adder = checked(add, store, 'adder')
  if (how.aggregate === 'reduce') {
    return {
      add: (reduced, value, key) => (reduced === null ? value : adder(reduced, value, key)),
      subtract: checked(subtract, store, 'subtractor'),
    }
  }
  if (initial === undefined) throw new TypeError(`${store}: aggregate needs an initial value`)
  const first = checked(() => initial(), store, 'initializer')
  return {
    add: (aggregate, value, key) => adder(aggregate ?? first(null, null, null), value, key),
    subtract: checked(subtract, store, 'subtractor'),
  }
}

function checked(fold: TableFold, store: string, callback: string): TableFold {
  return (aggregate, value, key) => {
    const result = fold(aggregate, value, key)
    checkResult(result, store, callback)
    return result
  }
}

/**
 * Keeps one aggregate per group of a table: for a change, the old value is subtracted, then the new one added, with one
 * result for both. The aggregate's timestamp is the highest of its changes. Null deletes the row. When the last row of
 * a group is removed, a count stays at 0, and a reduced value is what its subtractor returned, as in Kafka.
 */
export function tableAggregateSupplier(options: TableAggregateOptions): () => Processor {
  return () => new TableAggregate(options)
}

class TableAggregate implements Processor<unknown, Change<unknown>> {
  readonly #options: TableAggregateOptions
  readonly #isImmediate: boolean
  #context!: ProcessorContext
  #store!: KeyValueOverlay

  constructor(options: TableAggregateOptions) {
    this.#options = options
    this.#isImmediate = options.emit === 'update'
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#store = context.store<KeyValueOverlay>(this.#options.store)
    if (!this.#isImmediate) this.#store.emit = (entry) => this.#emit(entry)
  }

  process(key: unknown, { newValue, oldValue }: Change<unknown>, timestamp: number): void {
    const { add, subtract } = this.#options
    const entry = this.#store.entry(key)
    const before = entry.value
    let after = before
    if (oldValue !== null && after !== null) after = subtract(after, oldValue, key)
    if (newValue !== null) after = add(after, newValue, key)
    const time = before !== null && entry.timestamp > timestamp ? entry.timestamp : timestamp
    this.#store.update(entry, after, time, timestamp)
    if (!this.#isImmediate) return
    const change: Change<unknown> = { newValue: after, oldValue: before }
    this.#context.forward(key, change, time)
  }

  #emit(entry: OverlayEntry): void {
    if (entry.value === null && entry.forwarded === null) return
    const change: Change<unknown> = { newValue: entry.value, oldValue: entry.forwarded }
    this.#context.forward(this.#store.keyOf(entry), change, entry.timestamp)
  }
}
