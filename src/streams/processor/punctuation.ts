import type { Cancellable } from './processor.ts'
import type { NodeContext } from './forwarding.ts'

/** One schedule. `due` is the next time it fires. */
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

  /** After a gap it fires once: the next time is the first multiple of the interval after now. */
  fire(now: number): void {
    this.due = nextTime(this.#anchor, this.intervalMs, now)
    this.callback(now)
  }
}

/**
 * The schedules of a task by one of its two clocks: stream time, asked after each record, and the wall clock, asked by
 * the worker. Due ones fire in order of their due time.
 */
export class Punctuations {
  #schedules: Punctuation[] = []
  /** The earliest due time; asked for each record. */
  nextDue: number = Number.POSITIVE_INFINITY

  get all(): readonly Punctuation[] {
    return this.#schedules
  }

  add(punctuation: Punctuation): void {
    this.#schedules.push(punctuation)
    this.#remember()
  }

  /** Fires what is due at `now`, each at most once; `run` calls back in the right context. */
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
 * By stream time the first time is at once, with the record in process or the first one, and then at the multiples of the
 * interval. An anchored schedule waits for its anchor or, if that is over at `now`, for its next time.
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
 * By the wall clock the first time is one interval from now, or the next time of the anchored schedule. An anchor that is
 * now is due as soon as the clock goes on, any other time that has come already is over: both as Kafka has it.
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
 * When a schedule of stream time is due that a commit recorded as due at `recorded`: then, unless it is another schedule now,
 * of which the next time comes sooner.
 */
export function recordedDue(
  { intervalMs, anchor }: { readonly intervalMs: number; readonly anchor: number },
  recorded: number,
  streamTime: number,
): number {
  return Math.min(recorded, Math.max(anchor, nextTime(anchor, intervalMs, streamTime)))
}

/** The first time of a schedule behind `now`. */
function nextTime(anchor: number, intervalMs: number, now: number): number {
  return anchor + (Math.floor((now - anchor) / intervalMs) + 1) * intervalMs
}
