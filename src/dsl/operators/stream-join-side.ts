import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { JoinOverlay } from '../../streams/store/join-overlay.ts'
import { undefinedResult } from './undefined-result.ts'

export interface StreamJoinSideOptions {
  /** The join, as errors name it. */
  readonly join: string
  readonly isLeft: boolean
  /** The store of this side's rows, and that of the other's. */
  readonly own: string
  readonly other: string
  /** Rows of the other side join that lie in `[time - beforeMs, time + afterMs]`. */
  readonly beforeMs: number
  readonly afterMs: number
  readonly joiner: (left: unknown, right: unknown, key: unknown) => unknown
}

/**
 * One side of a join of two streams: looks up the other side's rows for each record, forwards a result for each of them
 * in order of time, then keeps the record for those that come to the other side. So a record of a stream that is joined
 * with itself meets itself once.
 *
 * - A result has the later of the two timestamps and the headers of the record that made it.
 * - Nothing is too late here: a record joins what is still kept. How long that is, each store decides by its own clock.
 * - Null keys and null values are dropped and counted; they are not kept, and move no clock of a store.
 */
export function streamJoinSideSupplier(options: StreamJoinSideOptions): () => Processor {
  return () => new StreamJoinSide(options)
}

class StreamJoinSide implements Processor {
  readonly #options: StreamJoinSideOptions
  #context!: ProcessorContext
  #own!: JoinOverlay
  #other!: JoinOverlay

  constructor(options: StreamJoinSideOptions) {
    this.#options = options
  }

  init(context: ProcessorContext): void {
    this.#context = context
    const own = context.store<JoinOverlay>(this.#options.own)
    own.sequence = context.restored('sequence') ?? 0
    context.saveAtCommit('sequence', () => own.sequence)
    this.#own = own
    this.#other = context.store<JoinOverlay>(this.#options.other)
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    if (key === null || value === null) {
      this.#context.dropped(key === null ? 'null key' : 'null value')
      return
    }
    try {
      this.#join(key, value, timestamp)
    } finally {
      // Also when a joiner failed and processing goes on: the record was there, as in Kafka.
      this.#own.put(key, value, timestamp)
    }
  }

  #join(key: unknown, value: unknown, timestamp: number): void {
    const { beforeMs, afterMs } = this.#options
    const rows = this.#other.lookUp(key, Math.max(0, timestamp - beforeMs), Math.max(0, timestamp + afterMs))
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index]
      if (row === undefined) return
      this.#forward(key, value, row.value, timestamp > row.start ? timestamp : row.start)
    }
  }

  #forward(key: unknown, value: unknown, other: unknown, timestamp: number): void {
    const { isLeft, joiner, join } = this.#options
    const joined = isLeft ? joiner(value, other, key) : joiner(other, value, key)
    if (joined === undefined) throw undefinedResult(join, 'joiner')
    this.#context.forward(key, joined, timestamp)
  }
}
