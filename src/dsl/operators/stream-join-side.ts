import type { Processor, ProcessorContext } from '../../streams/processor/processor.ts'
import type { JoinOverlay } from '../../streams/store/overlay/join-overlay.ts'
import type { OverlayEntry } from '../../streams/store/overlay/overlay-entry.ts'
import type { UnmatchedOverlay } from '../../streams/store/overlay/unmatched-overlay.ts'
import { checkResult } from './undefined-result.ts'

export interface StreamJoinSideOptions {
  /** Name of the join in error messages. */
  readonly join: string
  readonly isLeft: boolean
  /** Names of the stores with the rows of this side and of the other side. */
  readonly own: string
  readonly other: string
  /** A record joins rows of the other side with times in `[time - beforeMs, time + afterMs]`. */
  readonly beforeMs: number
  readonly afterMs: number
  readonly joiner: (left: unknown, right: unknown, key: unknown) => unknown
  /** The store of records that have not found a partner; null for an inner join, which does not keep them. */
  readonly unmatched: UnmatchedSide | null
}

/** What one side of a left or outer join knows about records without a partner. */
export interface UnmatchedSide {
  readonly store: string
  /** Whether records of this side, and of the other side, are also emitted without a partner. */
  readonly ofOwn: boolean
  readonly ofOther: boolean
  /** How long a window stays open after its end. */
  readonly graceMs: number
}

/**
 * One side of a join of two streams. For each record it looks up the rows of the other side and forwards a result for
 * each of them, in order of time; then it keeps the record for later records of the other side. So a record of a stream
 * that is joined with itself joins itself once.
 *
 * - A result has the later of the two timestamps, and the headers of the record that produced it.
 * - No record is late here: a record joins all rows that are still kept. Each store expires rows by its own clock.
 * - Null keys and null values are dropped and counted; they are not kept and do not move the clock of a row store. But
 *   if a side may stay without a partner, a record without a key is emitted at once without one.
 * - In a left or outer join both sides share a clock, the highest time that they have seen, including dropped records.
 *   A record without a partner is emitted alone, with its own time, when that clock has passed the end of its window
 *   and the grace. This happens at a record that is the newest so far, before the results of that record. The end of
 *   the last search decides when the next one is worthwhile, as in Kafka; see {@link UnmatchedOverlay.endLook}.
 *   Differences from Kafka: searches are not throttled by the wall clock, and a late record waits for the end of the
 *   grace like any other.
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
      // Also if a joiner failed and processing continues: the record counts as received, as in Kafka.
      this.#own.put(key, value, timestamp)
    }
  }

  /** Joins the record with the existing rows. Returns false if there is none. */
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
    if (Math.max(0, timestamp + afterMs) + unmatched.graceMs < queue.storeTime)
      this.#forwardAlone(key, value, timestamp)
    else queue.add(key, value, timestamp, isLeft)
  }

  /** Emits the records whose windows have closed. A record's window ends after `afterMs` of its own side. */
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
    checkResult(joined, join, 'joiner')
    this.#context.forward(key, joined, timestamp)
  }
}
