import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { refusePromise } from './no-promise.ts'

/** Calls the action with each record, then forwards the record. */
export function peekSupplier(action: (value: unknown, key: unknown) => unknown): () => Processor {
  return () => new Peek(action)
}

class Peek implements Processor {
  readonly #action: (value: unknown, key: unknown) => unknown
  #context!: ProcessorContext

  constructor(action: (value: unknown, key: unknown) => unknown) {
    this.#action = action
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    refusePromise(this.#action(value, key), 'its action')
    this.#context.forward(key, value, timestamp)
  }
}
