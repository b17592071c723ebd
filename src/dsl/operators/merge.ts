import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'

/** Forwards records unchanged. It is used where several streams become one, and where a branch begins. */
export function mergeSupplier(): () => Processor {
  return () => new Merge()
}

class Merge implements Processor {
  #context!: ProcessorContext

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    this.#context.forward(key, value, timestamp)
  }
}
