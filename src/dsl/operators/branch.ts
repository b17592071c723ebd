import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import { refusePromise } from './no-promise.ts'

export interface Branch {
  /** Name of the child node that receives the records. */
  readonly child: string
  readonly predicate: (value: unknown, key: unknown) => boolean
}

/**
 * Forwards each record to the first branch whose predicate returns true, else to `rest`; without one, the record is
 * dropped.
 */
export function branchSupplier(branches: readonly Branch[], rest: string | null): () => Processor {
  return () => new SplitIntoBranches(branches, rest)
}

class SplitIntoBranches implements Processor {
  readonly #branches: readonly Branch[]
  readonly #rest: string | null
  #context!: ProcessorContext

  constructor(branches: readonly Branch[], rest: string | null) {
    this.#branches = branches
    this.#rest = rest
  }

  init(context: ProcessorContext): void {
    this.#context = context
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    for (const branch of this.#branches) {
      const passes: unknown = branch.predicate(value, key)
      if (typeof passes === 'object') refusePromise(passes, `the predicate of ${branch.child}`)
      if (!passes) continue
      this.#context.forwardTo(branch.child, key, value, timestamp)
      return
    }
    if (this.#rest !== null) this.#context.forwardTo(this.#rest, key, value, timestamp)
  }
}
