import { shown } from '../../base/shown.ts'
import type { Processor } from '../../streams/processor/processor.ts'

/** Writes each record as a line `[label]: key, value`, as Kafka's Printed does. */
export function printSupplier(label: string, write: (line: string) => void): () => Processor {
  return () => new Print(label, write)
}

class Print implements Processor {
  readonly #label: string
  readonly #write: (line: string) => void

  constructor(label: string, write: (line: string) => void) {
    this.#label = label
    this.#write = write
  }

  process(key: unknown, value: unknown): void {
    this.#write(`[${this.#label}]: ${textOf(key)}, ${textOf(value)}`)
  }
}

function textOf(part: unknown): string {
  return typeof part === 'string' ? part : shown(part)
}
