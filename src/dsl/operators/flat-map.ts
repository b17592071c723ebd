import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { checkPair } from './map.ts'
import { checkList } from './flat-map-values.ts'
import { checkResult } from './undefined-result.ts'

/** Forwards each of the `[key, value]` pairs that the mapper returns for a record, in order. */
export function flatMapSupplier(
  node: string,
  mapper: (value: unknown, key: unknown) => Iterable<readonly [unknown, unknown]>,
): () => Processor {
  return () => new FlatMap(node, mapper)
}

class FlatMap implements Processor {
  readonly #node: string
  readonly #mapper: (value: unknown, key: unknown) => Iterable<readonly [unknown, unknown]>
  #context!: ProcessorContext

  constructor(node: string, mapper: (value: unknown, key: unknown) => Iterable<readonly [unknown, unknown]>) {
    this.#node = node
    this.#mapper = mapper
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const pairs: Iterable<readonly [unknown, unknown]> | undefined = this.#mapper(value, key)
    checkResult(pairs, this.#node, 'mapper')
    checkList(pairs, this.#node, 'a list of [key, value], empty for none')
    for (const pair of pairs) {
      const [nextKey, nextValue] = checkPair(pair, this.#node)
      this.#context.forward(nextKey, nextValue, timestamp)
    }
  }
}
