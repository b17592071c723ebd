/** A length of time: milliseconds, or a text such as `'500ms'`, `'30s'`, `'5m'`, `'1h'`, `'7d'` or `'1h30m'`. */
export type Duration = string | number

const units: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The duration in milliseconds, an integer of 0 or more; null if it is invalid. */
export function millisecondsOf(duration: Duration): number | null {
  const ms = typeof duration === 'number' ? duration : parse(duration)
  return Number.isSafeInteger(ms) && ms >= 0 ? ms : null
}

/** The same for durations that may be negative: `-5000`, `'-5s'`. */
export function signedMillisecondsOf(duration: Duration): number | null {
  const ms = typeof duration === 'number' ? duration : signedParse(duration)
  if (!Number.isSafeInteger(ms)) return null
  return ms === 0 ? 0 : ms
}

function signedParse(text: string): number {
  return typeof text === 'string' && text.startsWith('-') ? -parse(text.slice(1)) : parse(text)
}

/** NaN also for values of other types, which only plain JavaScript can pass: a list of one text reads like that text. */
function parse(text: string): number {
  if (typeof text !== 'string' || !/^(\d+(ms|s|m|h|d))+$/.test(text)) return Number.NaN
  let ms = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) ms += Number(count) * (units[unit ?? ''] ?? 0)
  return ms
}
