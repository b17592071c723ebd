import { StreamsError } from '../streams/errors.ts'

/** A length of time: milliseconds, or a text such as `'500ms'`, `'30s'`, `'5m'`, `'1h'`, `'7d'` or `'1h30m'`. */
export type Duration = string | number

const units: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The milliseconds of a duration; CONFIG_INVALID, naming what it is for, if it is none. */
export function durationMs(duration: Duration, what: string): number {
  const ms = typeof duration === 'number' ? duration : parse(duration)
  if (Number.isSafeInteger(ms) && ms >= 0) return ms
  throw new StreamsError(
    'CONFIG_INVALID',
    `${what} is ${JSON.stringify(duration)}; give whole milliseconds from 0 on, or a text such as '500ms', '30s', '5m', '1h', '7d', '1h30m'`,
    { duration },
  )
}

/** As {@link durationMs}, where a length may point backwards: `-5000`, `'-5s'`. */
export function signedDurationMs(duration: Duration, what: string): number {
  const ms = typeof duration === 'number' ? duration : signedParse(duration)
  if (Number.isSafeInteger(ms)) return ms === 0 ? 0 : ms
  throw new StreamsError(
    'CONFIG_INVALID',
    `${what} is ${JSON.stringify(duration)}; give whole milliseconds, or a text such as '500ms', '30s', '5m', '1h', '-5s'`,
    { duration },
  )
}

function signedParse(text: string): number {
  return text.startsWith('-') ? -parse(text.slice(1)) : parse(text)
}

function parse(text: string): number {
  if (!/^(\d+(ms|s|m|h|d))+$/.test(text)) return Number.NaN
  let ms = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) ms += Number(count) * (units[unit ?? ''] ?? 0)
  return ms
}
