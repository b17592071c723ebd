import type { Processor } from '../../streams/processor/processor.ts'
import { refusePromise } from './no-promise.ts'

/** Calls the action with each record and forwards nothing. */
export function foreachSupplier(action: (value: unknown, key: unknown) => unknown): () => Processor {
  return () => new Foreach(action)
}

class Foreach implements Processor {
  readonly #action: (value: unknown, key: unknown) => unknown

  constructor(action: (value: unknown, key: unknown) => unknown) {
    this.#action = action
  }

  process(key: unknown, value: unknown): void {
    refusePromise(this.#action(value, key), 'its action')
  }
}
