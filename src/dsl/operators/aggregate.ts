import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { KeyValueOverlay } from '../../streams/store/overlay/key-value-overlay.ts'
import type { OverlayEntry } from '../../streams/store/overlay/overlay-entry.ts'
import { undecoded } from '../../streams/store/record-context.ts'
import { foldOf, type AggregateOptions, type Fold } from './aggregate-fold.ts'

/**
 * Keeps one aggregate per key and forwards its changes: under `commit` the newest per key at each commit, under
 * `update` every one.
 *
 * A record with a null key or a null value is dropped and counted, as in Kafka. The aggregate's timestamp is the
 * highest of its records. An aggregator that returns null deletes the row; a tombstone is then forwarded, under
 * `commit` only if a row existed.
 *
 * Difference from Kafka: the first change of a key has no old value, where Kafka gives that of the initializer.
 */
export function aggregateSupplier(options: AggregateOptions): () => Processor {
  return () => new Aggregate(options)
}

class Aggregate implements Processor {
  readonly #storeName: string
  readonly #fold: Fold
  readonly #isImmediate: boolean
  #context!: ProcessorContext
  #store!: KeyValueOverlay

  constructor(options: AggregateOptions) {
    this.#storeName = options.store
    this.#fold = foldOf(options)
    this.#isImmediate = options.emit !== 'commit'
  }

  init(context: ProcessorContext): void {
    this.#context = context
    this.#store = context.store<KeyValueOverlay>(this.#storeName)
    if (!this.#isImmediate) this.#store.emit = (entry) => this.#emit(entry)
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    if (key === null || value === null) {
      this.#context.dropped(key === null ? 'null key' : 'null value')
      return
    }
    const entry = this.#store.entry(key)
    const before = entry.value
    const after = this.#fold(before, value, key)
    const time = before !== null && entry.timestamp > timestamp ? entry.timestamp : timestamp
    this.#store.update(entry, after, time, timestamp)
    if (!this.#isImmediate) return
    const change: Change<unknown> = { newValue: after, oldValue: before }
    this.#context.forward(key, change, time)
  }

  #emit(entry: OverlayEntry): void {
    if (entry.value === null && entry.forwarded === null) return
    const change: Change<unknown> = { newValue: entry.value, oldValue: entry.forwarded }
    if (this.#store.emitsKeyBytes) {
      this.#store.presentKey(entry)
      this.#context.forward(undecoded, change, entry.timestamp)
      return
    }
    this.#context.forward(this.#store.keyOf(entry), change, entry.timestamp)
  }
}
