import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { refusePromise } from './no-promise.ts'

/** Forwards the records for which the predicate returns `wanted`. */
export function filterSupplier(predicate: (value: unknown, key: unknown) => boolean, wanted: boolean): () => Processor {
  return () => new Filter(predicate, wanted)
}

class Filter implements Processor {
  readonly #predicate: (value: unknown, key: unknown) => boolean
  readonly #wanted: boolean
  #context!: ProcessorContext

  constructor(predicate: (value: unknown, key: unknown) => boolean, wanted: boolean) {
    this.#predicate = predicate
    this.#wanted = wanted
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    // Tests truthiness, because a predicate written in JavaScript may return anything.
    const passes: unknown = this.#predicate(value, key)
    if (typeof passes === 'object') refusePromise(passes, 'the predicate')
    if (!passes !== this.#wanted) this.#context.forward(key, value, timestamp)
  }
}
