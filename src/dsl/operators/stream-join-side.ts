import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { JoinOverlay } from '../../streams/store/join-overlay.ts'
import type { OverlayEntry } from '../../streams/store/overlay-entry.ts'
import type { UnmatchedOverlay } from '../../streams/store/unmatched-overlay.ts'
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
  /** Where records wait that have found no partner; null: an inner join, which forgets them. */
  readonly unmatched: UnmatchedSide | null
}

/** What one side of a left or outer join knows about those without a partner. */
export interface UnmatchedSide {
  readonly store: string
  /** Records of this side leave without a partner, too; and those of the other. */
  readonly ofOwn: boolean
  readonly ofOther: boolean
  /** How long a window stays open after its end. */
  readonly graceMs: number
}

/**
 * One side of a join of two streams: looks up the other side's rows for each record, forwards a result for each of them
 * in order of time, then keeps the record for those that come to the other side. So a record of a stream that is joined
 * with itself meets itself once.
 *
 * - A result has the later of the two timestamps and the headers of the record that made it.
 * - Nothing is too late here: a record joins what is still kept. How long that is, each store decides by its own clock.
 * - Null keys and null values are dropped and counted; they are not kept, and move no clock of a store. But where a side
 *   may stay without a partner, a record without a key leaves at once, alone.
 * - In a left or outer join both sides share a clock, the highest time that they have seen, dropped records included. A
 *   record without a partner leaves alone, with its own time, when that clock has passed the end of its window and grace:
 *   at a record that is the newest so far, before the results of that record. When it is worth a look follows from where
 *   the last look ended, as in Kafka, see {@link UnmatchedOverlay.endLook}. Other than Kafka's: not throttled by the wall
 *   clock, and a late record waits out the grace like any other.
 */
export function streamJoinSideSupplier(options: StreamJoinSideOptions): () => Processor {
  return () => new StreamJoinSide(options)
}

class StreamJoinSide implements Processor {
  readonly #options: StreamJoinSideOptions
  #context!: ProcessorContext
  #own!: JoinOverlay
  #other!: JoinOverlay
  #unmatched: UnmatchedOverlay | null = null

  constructor(options: StreamJoinSideOptions) {
    this.#options = options
  }

  init(context: ProcessorContext): void {
    const { own: ownName, other, unmatched } = this.#options
    this.#context = context
    const own = context.store<JoinOverlay>(ownName)
    own.sequence = context.restored('sequence') ?? 0
    context.saveAtCommit('sequence', () => own.sequence)
    this.#own = own
    this.#other = context.store<JoinOverlay>(other)
    if (unmatched === null) return
    const queue = context.store<UnmatchedOverlay>(unmatched.store)
    this.#unmatched = queue
    queue.lookedTo = context.restored('lookedTo') ?? queue.lookedTo
    context.saveAtCommit('lookedTo', () => queue.lookedTo)
  }

  process(key: unknown, value: unknown, timestamp: number): void {
    this.#unmatched?.advance(timestamp)
    if (key === null || value === null) {
      if (value !== null && this.#options.unmatched?.ofOwn === true) this.#forwardAlone(key, value, timestamp)
      else this.#context.dropped(key === null ? 'null key' : 'null value')
      return
    }
    try {
      if (this.#unmatched === null) this.#join(key, value, timestamp)
      else this.#joinOrWait(this.#unmatched, key, value, timestamp)
    } finally {
      // Also when a joiner failed and processing goes on: the record was there, as in Kafka.
      this.#own.put(key, value, timestamp)
    }
  }

  /** Joins with the rows there are; false: there is none. */
  #join(key: unknown, value: unknown, timestamp: number): boolean {
    const { isLeft, unmatched, beforeMs, afterMs } = this.#options
    const rows = this.#other.lookUp(key, Math.max(0, timestamp - beforeMs), Math.max(0, timestamp + afterMs))
    for (let index = 0; index < rows.length; index++) {
      const { start, value: other } = rows[index] as OverlayEntry
      if (unmatched?.ofOther === true) this.#unmatched?.remove(key, start, !isLeft)
      this.#forward(key, isLeft ? value : other, isLeft ? other : value, timestamp > start ? timestamp : start)
    }
    return rows.length > 0
  }

  #joinOrWait(queue: UnmatchedOverlay, key: unknown, value: unknown, timestamp: number): void {
    const { isLeft, afterMs, unmatched } = this.#options
    if (unmatched === null) return
    if (timestamp === queue.storeTime) this.#forwardClosed(queue)
    if (this.#join(key, value, timestamp) || !unmatched.ofOwn) return
    if (timestamp + afterMs + unmatched.graceMs < queue.storeTime) this.#forwardAlone(key, value, timestamp)
    else queue.add(key, value, timestamp, isLeft)
  }

  /** Lets go of the records whose windows have closed; a record's window ends where those after it are too far away. */
  #forwardClosed(queue: UnmatchedOverlay): void {
    const { isLeft, beforeMs, afterMs, unmatched } = this.#options
    const closed = queue.storeTime - (unmatched?.graceMs ?? 0)
    if (queue.lookedTo + afterMs >= closed) return
    const [leftBefore, rightBefore] = [closed - (isLeft ? afterMs : beforeMs), closed - (isLeft ? beforeMs : afterMs)]
    let last = -1
    for (;;) {
      const taken = queue.takeClosed(leftBefore, rightBefore)
      if (taken === null) break
      const { row, waiting } = taken
      last = row.start
      for (const value of waiting.values) {
        this.#forward(row.key, waiting.isLeft ? value : null, waiting.isLeft ? null : value, row.start)
      }
    }
    queue.endLook(last)
  }

  #forwardAlone(key: unknown, value: unknown, timestamp: number): void {
    const { isLeft } = this.#options
    this.#forward(key, isLeft ? value : null, isLeft ? null : value, timestamp)
  }

  #forward(key: unknown, left: unknown, right: unknown, timestamp: number): void {
    const { joiner, join } = this.#options
    const joined = joiner(left, right, key)
    if (joined === undefined) throw undefinedResult(join, 'joiner')
    this.#context.forward(key, joined, timestamp)
  }
}
