import { EMPTY, Observable, of, switchMap } from 'rxjs'
import type { Streams } from '../application.ts'
import { type Clock, SystemClock, type Timer } from '../base/clock.ts'
import type { OptionNames } from '../base/option-names.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import type { StreamsMetrics } from '../streams/streams.ts'
import { type ObservedStreams, phasesOf } from './phases-of.ts'

/** The part of an application that is needed to observe its metrics. */
export type MeasuredStreams = ObservedStreams & Pick<Streams, 'metrics'>

/** Options of `metricsOf`. */
export interface MetricsOfOptions {
  /** Time between two samples, which begins when the observer has returned. Default 1000 ms. */
  readonly everyMs?: number
  /** Default: the system's time. */
  readonly clock?: Clock
}

const metricsOfOptionNames: OptionNames<MetricsOfOptions> = { everyMs: true, clock: true }

/**
 * The metrics of an application, sampled while it is running: at once, every `everyMs`, and a last time when it has
 * closed. Then completes, or errors with the error that made the application fail. Every subscription has its own
 * timer, which is set only while the application is running. Throws CONFIG_INVALID for an interval that is not a whole
 * number of at least 1.
 * @example metricsOf(app, { everyMs: 5000 }).subscribe(({ lag, recordsPerSecond }) => show(lag, recordsPerSecond))
 */
export function metricsOf(streams: MeasuredStreams, options: MetricsOfOptions = {}): Observable<StreamsMetrics> {
  checkOptions('metricsOf', options, metricsOfOptionNames)
  const { everyMs = 1000, clock = new SystemClock() } = options
  if (!Number.isSafeInteger(everyMs) || everyMs < 1 || everyMs > intervalMsMax) {
    throw new StreamsError('CONFIG_INVALID', `everyMs is ${everyMs}: use whole milliseconds from 1 to ${intervalMsMax}`)
  }
  return new Observable((subscriber) => {
    let hasRun = false
    const samples = phasesOf(streams).pipe(
      switchMap((phase) => {
        if (phase === 'running') {
          hasRun = true
          return sampled(() => streams.metrics(), { everyMs, clock })
        }
        return phase === 'closed' && hasRun ? of(streams.metrics()) : EMPTY
      }),
    )
    return samples.subscribe(subscriber)
  })
}

/** The largest delay of a timer. */
const intervalMsMax = 2 ** 31 - 1

function sampled<T>(
  read: () => T,
  { everyMs, clock }: { readonly everyMs: number; readonly clock: Clock },
): Observable<T> {
  return new Observable((subscriber) => {
    let timer: Timer | null = null
    const sample = (): void => {
      subscriber.next(read())
      if (!subscriber.closed) timer = clock.setTimer(everyMs, sample)
    }
    sample()
    return () => timer?.cancel()
  })
}
