import type { Change, Processor, ProcessorContext } from '../../streams/processor/processor.ts'

/** Turns the changes of a table into records with the new value, which is null if the row was deleted. */
export function toStreamSupplier(): () => Processor {
  return () => new ToStream()
}

class ToStream implements Processor<unknown, Change<unknown>> {
  #context!: ProcessorContext

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, change: Change<unknown>, timestamp: number): void {
    this.#context.forward(key, change.newValue, timestamp)
  }
}
