import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { checkResult } from './undefined-result.ts'

/** Forwards each record with the value that the mapper returns. */
export function mapValuesSupplier(node: string, mapper: (value: unknown, key: unknown) => unknown): () => Processor {
  return () => new MapValues(node, mapper)
}

class MapValues implements Processor {
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
    const mapped = this.#mapper(value, key)
    checkResult(mapped, this.#node, 'mapper')
    this.#context.forward(key, mapped, timestamp)
  }
}
