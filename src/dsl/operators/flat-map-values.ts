import { shown } from '../../base/shown.ts'
import { StreamsError } from '../../streams/errors.ts'
import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { checkResult } from './undefined-result.ts'

/** Forwards each of the values that the mapper returns for a record, in order, under the record's key. */
export function flatMapValuesSupplier(
  node: string,
  mapper: (value: unknown, key: unknown) => Iterable<unknown>,
): () => Processor {
  return () => new FlatMapValues(node, mapper)
}

class FlatMapValues implements Processor {
  readonly #node: string
  readonly #mapper: (value: unknown, key: unknown) => Iterable<unknown>
  #context!: ProcessorContext

  constructor(node: string, mapper: (value: unknown, key: unknown) => Iterable<unknown>) {
    this.#node = node
    this.#mapper = mapper
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const values: Iterable<unknown> | undefined = this.#mapper(value, key)
    checkResult(values, this.#node, 'mapper')
    checkList(values, this.#node, 'a list of values, empty for none')
    for (const mapped of values) {
      checkResult(mapped, this.#node, 'mapper')
      this.#context.forward(key, mapped, timestamp)
    }
  }
}

/** Throws unless the mapper returned something iterable. */
export function checkList(result: unknown, node: string, expected: string): void {
  if (typeof result === 'string' || (typeof result === 'object' && result !== null && Symbol.iterator in result)) return
  throw new StreamsError('PROCESSING_FAILED', `the mapper of ${node} must return ${expected}, not ${shown(result)}`, {
    node,
  })
}
