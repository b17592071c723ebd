import type { Cancellable } from './processor.ts'
import type { NodeContext } from './forwarding.ts'

/** One schedule. `due` is the next time at which it fires. */
export class Punctuation implements Cancellable {
  readonly context: NodeContext
  readonly name: string
  readonly intervalMs: number
  readonly callback: (time: number) => void
  readonly #anchor: number
  due: number
  isCancelled = false

  constructor(
    context: NodeContext,
    name: string,
    schedule: { readonly intervalMs: number; readonly anchor: number; readonly due: number },
    callback: (time: number) => void,
  ) {
    this.context = context
    this.name = name
    this.intervalMs = schedule.intervalMs
    this.#anchor = schedule.anchor
    this.due = schedule.due
    this.callback = callback
  }

  cancel(): void {
    this.isCancelled = true
  }

  /** Fires once even after a gap: the next due time is the first multiple of the interval after now. */
  fire(now: number): void {
    this.due = nextTime(this.#anchor, this.intervalMs, now)
    this.callback(now)
  }
}

/**
 * The schedules of a task for one of its two clocks: stream time, which is checked after each record, or the wall
 * clock, which the worker checks. Schedules that are due fire in the order of their due times.
 *
 * Those that are due at the same time fire in the order in which Kafka's queue returns them: a binary heap by due time,
 * in which equal times do not change places. Of two schedules, it is the one that was added or has fired earlier. So
 * places in the heap are part of a task's state.
 */
export class Punctuations {
  /** Every schedule is due no later than those at twice its index plus 1 and plus 2. */
  #heap: Punctuation[] = []

  /** In the order of their places. Cancelled schedules keep theirs until they are due. */
  get all(): readonly Punctuation[] {
    return this.#heap
  }

  /** The earliest due time; read for every record. */
  nextDue: number = Number.POSITIVE_INFINITY

  add(punctuation: Punctuation): void {
    this.#heap.push(punctuation)
    this.#rise(this.#heap.length - 1, punctuation)
    this.#remember()
  }

  /** Puts the schedules in the order of the places that a commit recorded; those without one follow. */
  arrange(placeOf: (punctuation: Punctuation) => number | undefined): void {
    const last = this.#heap.length
    const placed = this.#heap.map((one) => ({ one, place: placeOf(one) ?? last }))
    this.#heap = []
    // One by one, because due times may differ from the recorded ones.
    for (const { one } of placed.sort((a, b) => a.place - b.place)) this.add(one)
  }

  /**
   * Fires every schedule that is due at `now`, once each; also one that a callback adds and that is due at once. `run`
   * makes the call in the right context.
   */
  fireDue(now: number, run: (punctuation: Punctuation) => void): void {
    for (;;) {
      const [first] = this.#heap
      if (first === undefined || first.due > now) return
      this.#removeFirst()
      if (first.isCancelled) continue
      run(first)
      // The callback may have cancelled it.
      if (!first.isCancelled) this.add(first)
    }
  }

  /** Fires a schedule whether it is due or not. */
  fireAnyway(punctuation: Punctuation, run: (punctuation: Punctuation) => void): void {
    run(punctuation)
    // Its due time has changed in its place, and a sorted list is a heap.
    this.#heap.sort((a, b) => a.due - b.due)
    this.#remember()
  }

  #removeFirst(): void {
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) this.#sink(last)
    this.#remember()
  }

  /** Moves a schedule from a place towards the first, past those that are due later. */
  #rise(place: number, punctuation: Punctuation): void {
    const heap = this.#heap
    while (place > 0) {
      const above = (place - 1) >>> 1
      const parent = heap[above]
      if (parent === undefined || parent.due <= punctuation.due) break
      heap[place] = parent
      place = above
    }
    heap[place] = punctuation
  }

  /** Moves a schedule down from the first place, past those that are due earlier. */
  #sink(punctuation: Punctuation): void {
    const heap = this.#heap
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      let child = heap[below]
      const right = heap[below + 1]
      if (child !== undefined && right !== undefined && right.due < child.due) {
        child = right
        below += 1
      }
      if (child === undefined || punctuation.due <= child.due) break
      heap[place] = child
      place = below
    }
    heap[place] = punctuation
  }

  #remember(): void {
    this.nextDue = this.#heap[0]?.due ?? Number.POSITIVE_INFINITY
  }
}

/**
 * By stream time, the first call comes at once, with the current or the first record, and further ones at multiples of
 * the interval. An anchored schedule waits for its anchor or, if that is before `now`, for its next time.
 */
export function streamTimeSchedule(
  options: { readonly intervalMs: number; readonly startMs?: number },
  now: number,
): { readonly intervalMs: number; readonly anchor: number; readonly due: number } {
  const { intervalMs, startMs } = options
  if (startMs === undefined) return { intervalMs, anchor: 0, due: 0 }
  return { intervalMs, anchor: startMs, due: startMs >= now ? startMs : nextTime(startMs, intervalMs, now) }
}

/**
 * By the wall clock, the first call comes one interval from now, or at the next time of an anchored schedule. An anchor
 * that equals now is due at the next tick; earlier times are skipped. Both are Kafka's behavior.
 */
export function wallClockSchedule(
  options: { readonly intervalMs: number; readonly startMs?: number },
  now: number,
): { readonly intervalMs: number; readonly anchor: number; readonly due: number } {
  const { intervalMs, startMs } = options
  if (startMs === undefined) return { intervalMs, anchor: now, due: now + intervalMs }
  if (startMs > now) return { intervalMs, anchor: startMs, due: startMs }
  if (startMs === now) return { intervalMs, anchor: startMs, due: startMs + 1 }
  return { intervalMs, anchor: startMs, due: nextTime(startMs, intervalMs, now) }
}

/**
 * When a stream-time schedule is due after a restart. This is the due time that the last commit recorded, or the next time of
 * the schedule if that is sooner because its interval or anchor has changed.
 */
export function recordedDue(
  { intervalMs, anchor }: { readonly intervalMs: number; readonly anchor: number },
  recorded: number,
  streamTime: number,
): number {
  return Math.min(recorded, Math.max(anchor, nextTime(anchor, intervalMs, streamTime)))
}

/** The first time of a schedule after `now`. */
function nextTime(anchor: number, intervalMs: number, now: number): number {
  return anchor + (Math.floor((now - anchor) / intervalMs) + 1) * intervalMs
}
