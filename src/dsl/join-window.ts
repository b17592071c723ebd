import { StreamsError } from '../streams/errors.ts'
import { durationMs, signedDurationMs } from './duration.ts'
import type { StreamJoined } from './options.ts'

/**
 * Which records of two streams are close enough: the time of the right one must be in `[left - beforeMs, left +
 * afterMs]`.
 */
export interface JoinWindow {
  readonly beforeMs: number
  readonly afterMs: number
  readonly graceMs: number
}

/** The window of a join from its options. Throws CONFIG_INVALID if they are incomplete or contradictory. */
export function joinWindow(options: StreamJoined): JoinWindow {
  const { name, within, before, after, grace = 0 } = options
  if (within === undefined && before === undefined && after === undefined) {
    throw invalid(`join ${name} does not say how far apart records may be; give { within }, or { before, after }`, {})
  }
  if (within !== undefined && (before !== undefined || after !== undefined)) {
    throw invalid(`join ${name}: give either within, which stands for both, or before and after`, {})
  }
  const beforeMs =
    within === undefined
      ? signedDurationMs(before === undefined ? 0 : before, `before of join ${name}`)
      : durationMs(within, `within of join ${name}`)
  const afterMs =
    within === undefined ? signedDurationMs(after === undefined ? 0 : after, `after of join ${name}`) : beforeMs
  const graceMs = durationMs(grace, `the grace of join ${name}`)
  if (!Number.isSafeInteger(joinRetentionMs({ beforeMs, afterMs, graceMs }))) {
    throw invalid(
      `join ${name}: before ${beforeMs} ms, after ${afterMs} ms and grace ${graceMs} ms together exceed what a timestamp can hold; shorten them`,
      { beforeMs, afterMs, graceMs },
    )
  }
  if (beforeMs + afterMs < 0) {
    throw invalid(
      `join ${name}: before ${beforeMs} ms and after ${afterMs} ms make a window that ends before it begins; their sum must be at least 0`,
      { beforeMs, afterMs },
    )
  }
  return Object.freeze({ beforeMs, afterMs, graceMs })
}

/**
 * How long each side keeps its rows: as long as a record that is not too late can join them. A row is kept while it is
 * younger than the retention, so if `beforeMs` or `afterMs` is zero or negative, the retention must be greater than the
 * other one alone. Otherwise a record in order, at the far end of the window, would come one millisecond too late if
 * rows of other keys had advanced the clock.
 */
export function joinRetentionMs({ beforeMs, afterMs, graceMs }: JoinWindow): number {
  return Math.max(beforeMs + afterMs, beforeMs + 1, afterMs + 1) + graceMs
}

function invalid(message: string, values: Readonly<{ [name: string]: unknown }>): StreamsError {
  return new StreamsError('CONFIG_INVALID', message, values)
}
