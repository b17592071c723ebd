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
 */
export class Punctuations {
  #schedules: Punctuation[] = []
  /** The earliest due time; read for every record. */
  nextDue: number = Number.POSITIVE_INFINITY

  get all(): readonly Punctuation[] {
    return this.#schedules
  }

  add(punctuation: Punctuation): void {
    this.#schedules.push(punctuation)
    this.#remember()
  }

  /** Fires every schedule that is due at `now`, at most once each. `run` makes the call in the right context. */
  fireDue(now: number, run: (punctuation: Punctuation) => void): void {
    const due = this.#schedules.filter((one) => !one.isCancelled && one.due <= now).sort((a, b) => a.due - b.due)
    for (const punctuation of due) if (!punctuation.isCancelled) run(punctuation)
    this.#schedules = this.#schedules.filter((one) => !one.isCancelled)
    this.#remember()
  }

  #remember(): void {
    this.nextDue = Math.min(Number.POSITIVE_INFINITY, ...this.#schedules.map((one) => one.due))
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
