import type { WindowKind, Windows } from '../codec/windowed-codec.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import type { Duration } from '../base/duration.ts'
import { durationMs } from './duration.ts'

/**
 * Windows of one length that follow each other without gaps or overlaps, aligned to the epoch: `[0, size)`, `[size, 2
 * size)` and so on. `grace` is how long after its end, in stream time, a window still accepts records. Default 0. Throws
 * CONFIG_INVALID. Kafka: `TimeWindows`.
 * @example tumbling('1m', { grace: '10s' })
 */
export function tumbling(size: Duration, options: { readonly grace?: Duration } = {}): Windows<'time'> {
  checkOptions('tumbling', options, { grace: true })
  const sizeMs = durationMs(size, 'the size of a window')
  return timeWindows(sizeMs, sizeMs, options.grace)
}

/**
 * Windows of one length that start every `advance`, so that a record may lie in several of them. `grace` is how long after
 * its end, in stream time, a window still accepts records. Default 0. Throws CONFIG_INVALID. Kafka: `TimeWindows.advanceBy`.
 * @example hopping('5m', { advance: '1m', grace: '10s' })
 */
export function hopping(
  size: Duration,
  options: { readonly advance: Duration; readonly grace?: Duration },
): Windows<'time'> {
  checkOptions('hopping', options, { advance: true, grace: true })
  const sizeMs = durationMs(size, 'the size of a window')
  return timeWindows(sizeMs, durationMs(options.advance, 'the advance of a window'), options.grace)
}

/**
 * Windows of one length that are placed by the records: `[time - size, time]` for every record, both ends included, and a
 * window that begins right after each record. Two records share a window if they are at most `size` apart. `grace` is as for
 * {@link tumbling}. Throws CONFIG_INVALID. Kafka: `SlidingWindows`, whose time difference is `size`.
 * @example sliding('10s', { grace: '1s' })
 */
export function sliding(size: Duration, options: { readonly grace?: Duration } = {}): Windows<'time'> {
  checkOptions('sliding', options, { grace: true })
  const { grace = 0 } = options
  const sizeMs = durationMs(size, 'the size of a sliding window')
  const graceMs = durationMs(grace, 'the grace of a sliding window')
  if (sizeMs === 0) throw invalid('the size of a sliding window must be more than 0 ms', { sizeMs })
  checkSum('twice the size', 2 * sizeMs, graceMs)
  return Object.freeze({ kind: 'time', sizeMs, advanceMs: 0, graceMs })
}

/** Whether windows were made by {@link sliding}. */
export function isSliding({ kind, advanceMs }: Windows<WindowKind>): boolean {
  return kind === 'time' && advanceMs === 0
}

/**
 * Sessions of a key: records that are at most `gap` apart (a distance of exactly `gap` included) belong together;
 * with a gap of 0, those of one millisecond. `grace` is how long after its end plus the gap, in stream time, a session
 * still accepts records. Default 0. Throws CONFIG_INVALID.
 * Kafka: `SessionWindows`.
 * @example sessions('30m', { grace: '10s' })
 */
export function sessions(gap: Duration, options: { readonly grace?: Duration } = {}): Windows<'session'> {
  checkOptions('sessions', options, { grace: true })
  const { grace = 0 } = options
  const sizeMs = durationMs(gap, 'the gap of a session')
  const graceMs = durationMs(grace, 'the grace of a session')
  checkSum('gap', sizeMs, graceMs)
  return Object.freeze({ kind: 'session', sizeMs, advanceMs: 0, graceMs })
}

function timeWindows(sizeMs: number, advanceMs: number, grace: Duration = 0): Windows<'time'> {
  const graceMs = durationMs(grace, 'the grace of a window')
  if (sizeMs === 0) throw invalid('the size of a window must be more than 0 ms', { sizeMs })
  if (advanceMs === 0 || advanceMs > sizeMs) {
    throw invalid(
      `a window must advance by more than 0 ms and at most its size of ${sizeMs} ms, not ${advanceMs} ms: records between windows would be lost`,
      { sizeMs, advanceMs },
    )
  }
  checkSum('size', sizeMs, graceMs)
  return Object.freeze({ kind: 'time', sizeMs, advanceMs, graceMs })
}

function checkSum(what: string, sizeMs: number, graceMs: number): void {
  // One more, because under `final` a session is kept one millisecond longer, until it is emitted.
  if (Number.isSafeInteger(sizeMs + graceMs + 1)) return
  throw invalid(`${what} ${sizeMs} ms and grace ${graceMs} ms together exceed what a timestamp can hold`, {
    sizeMs,
    graceMs,
  })
}

function invalid(message: string, values: Readonly<{ [name: string]: unknown }>): StreamsError {
  return new StreamsError('CONFIG_INVALID', message, values)
}
