import { shown } from '../../base/shown.ts'
import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { StreamsError } from '../../streams/errors.ts'
import { checkResult } from './undefined-result.ts'

/** Forwards the key and value that the mapper returns for each record. */
export function mapSupplier(
  node: string,
  mapper: (value: unknown, key: unknown) => readonly [unknown, unknown],
): () => Processor {
  return () => new MapRecord(node, mapper)
}

class MapRecord implements Processor {
  readonly #node: string
  readonly #mapper: (value: unknown, key: unknown) => readonly [unknown, unknown]
  #context!: ProcessorContext

  constructor(node: string, mapper: (value: unknown, key: unknown) => readonly [unknown, unknown]) {
    this.#node = node
    this.#mapper = mapper
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    const pair = checkPair(this.#mapper(value, key), this.#node)
    this.#context.forward(pair[0], pair[1], timestamp)
  }
}

/** Returns the pair if it is a `[key, value]` without undefined; else throws. */
export function checkPair(pair: unknown, node: string): readonly [unknown, unknown] {
  if (!Array.isArray(pair) || pair.length !== 2) {
    checkResult(pair, node, 'mapper')
    throw new StreamsError('PROCESSING_FAILED', `the mapper of ${node} must return [key, value], not ${shown(pair)}`, {
      node,
    })
  }
  const [key, value]: readonly unknown[] = pair
  checkResult(key, node, 'mapper')
  checkResult(value, node, 'mapper')
  return [key, value]
}
