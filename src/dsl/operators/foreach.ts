import type { Processor } from '../../streams/processor/processor.ts'

/** Shows each record to the action; nothing follows. */
export function foreachSupplier(action: (value: unknown, key: unknown) => void): () => Processor {
  return () => new Foreach(action)
}

class Foreach implements Processor {
  readonly #action: (value: unknown, key: unknown) => void

  constructor(action: (value: unknown, key: unknown) => void) {
    this.#action = action
  }

  process(key: unknown, value: unknown): void {
    this.#action(value, key)
  }
}
