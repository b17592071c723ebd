import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { KeyValueOverlay } from '../../streams/store/overlay/key-value-overlay.ts'
import { unresolved, type OverlayEntry } from '../../streams/store/overlay/overlay-entry.ts'
import { undecoded } from '../../streams/store/record-context.ts'

export interface TableSourceOptions {
  /** Null if nothing downstream needs the rows, so that they are not kept. */
  readonly store: string | null
  readonly emit: 'commit' | 'update'
  /** Whether nodes downstream need old values. */
  readonly needsOld: boolean
}

/**
 * Makes a table from records: each record is the new value of its key, and null deletes the row. The record that
 * arrives last wins, whatever its timestamp. A null key is dropped and counted. Equal values count as changes too.
 */
export function tableSourceSupplier(options: TableSourceOptions): () => Processor {
  const { store } = options
  return store === null ? () => new PassingTable() : () => new StoredTable(store, options)
}

/** Turns records into changes without keeping rows. */
class PassingTable implements Processor {
  #context!: ProcessorContext

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    if (key === null) {
      this.#context.dropped('null key')
      return
    }
    const change: Change<unknown> = { newValue: value, oldValue: null }
    this.#context.forward(key, change, timestamp)
  }
}

class StoredTable implements Processor {
  readonly #storeName: string
  readonly #isImmediate: boolean
  readonly #needsOld: boolean
  #context!: ProcessorContext
  #store!: KeyValueOverlay

  constructor(store: string, { emit, needsOld }: TableSourceOptions) {
    this.#storeName = store
    this.#isImmediate = emit === 'update'
    this.#needsOld = needsOld
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#store = context.store<KeyValueOverlay>(this.#storeName)
    if (!this.#isImmediate) this.#store.emit = (entry) => this.#emit(entry)
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    if (key === null) {
      this.#context.dropped('null key')
      return
    }
    // The stored value is read only if nodes downstream need the old value.
    const entry = this.#needsOld ? this.#store.entry(key) : this.#store.entryToOverwrite(key)
    const before = entry.value
    this.#store.update(entry, value, timestamp, timestamp)
    if (!this.#isImmediate) return
    const change: Change<unknown> = { newValue: value, oldValue: this.#needsOld ? before : null }
    this.#context.forward(key, change, timestamp)
  }

  #emit(entry: OverlayEntry): void {
    // For a delete, the stored value is read even if nothing else needs it: the output must not depend on which rows
    // are in memory.
    if (entry.value === null && this.#store.forwardedValue(entry) === null) return
    const oldValue = entry.forwarded === unresolved ? null : entry.forwarded
    const change: Change<unknown> = { newValue: entry.value, oldValue }
    if (this.#store.emitsKeyBytes) {
      this.#store.presentKey(entry)
      this.#context.forward(undecoded, change, entry.timestamp)
      return
    }
    this.#context.forward(this.#store.keyOf(entry), change, entry.timestamp)
  }
}
