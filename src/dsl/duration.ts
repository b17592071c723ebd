import { millisecondsOf, signedMillisecondsOf, type Duration } from '../base/duration.ts'
import { shown } from '../base/shown.ts'
import { StreamsError } from '../streams/errors.ts'

/** The milliseconds of a duration. Throws CONFIG_INVALID, naming what it is for, if it is not a duration. */
export function durationMs(duration: Duration, what: string): number {
  const ms = millisecondsOf(duration)
  if (ms !== null) return ms
  throw new StreamsError(
    'CONFIG_INVALID',
    `${what} is ${shown(duration)}; give whole milliseconds from 0 on, or a text such as '500ms', '30s', '5m', '1h', '7d', '1h30m'`,
    { duration },
  )
}

/** Like {@link durationMs}, for lengths that may be negative: `-5000`, `'-5s'`. */
export function signedDurationMs(duration: Duration, what: string): number {
  const ms = signedMillisecondsOf(duration)
  if (ms !== null) return ms
  throw new StreamsError(
    'CONFIG_INVALID',
    `${what} is ${shown(duration)}; give whole milliseconds, or a text such as '500ms', '30s', '5m', '1h', '-5s'`,
    { duration },
  )
}
