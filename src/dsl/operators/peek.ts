import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'

/** Shows each record to the action, then forwards it. */
export function peekSupplier(action: (value: unknown, key: unknown) => void): () => Processor {
  return () => new Peek(action)
}

class Peek implements Processor {
  readonly #action: (value: unknown, key: unknown) => void
  #context!: ProcessorContext

  constructor(action: (value: unknown, key: unknown) => void) {
    this.#action = action
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    this.#action(value, key)
    this.#context.forward(key, value, timestamp)
  }
}
