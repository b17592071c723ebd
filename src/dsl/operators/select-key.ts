import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { checkResult } from './undefined-result.ts'

/** Forwards each record under the key that the mapper returns. */
export function selectKeySupplier(node: string, mapper: (value: unknown, key: unknown) => unknown): () => Processor {
  return () => new SelectKey(node, mapper)
}

class SelectKey implements Processor {
  readonly #node: string
  readonly #mapper: (value: unknown, key: unknown) => unknown
  #context!: ProcessorContext

  constructor(node: string, mapper: (value: unknown, key: unknown) => unknown) {
    this.#node = node
    this.#mapper = mapper
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const selected = this.#mapper(value, key)
    checkResult(selected, this.#node, 'key selector')
    this.#context.forward(selected, value, timestamp)
  }
}
