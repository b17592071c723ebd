/**
 * Access logs in the Combined Log Format of Apache and nginx:
 *
 *   host ident user [day/month/year:hour:minute:second zone] "request" status bytes "referrer" "user agent"
 *
 * A line that lacks any of these, or whose time does not exist, is malformed as a whole: a truncated line may have lost
 * digits, so that its numbers are wrong.
 */
export interface AccessLine {
  /** Address or name of the client. */
  readonly client: string
  /** Milliseconds since the epoch. */
  readonly at: number
  /** The requested path without the query: `/index.html`. `-` if the request line was empty or not a request. */
  readonly path: string
  readonly status: number
  readonly agent: string
}

// Inside quotes, servers escape a quote with a backslash. Every repetition ends at a character that it cannot contain,
// so a hostile line cannot cause long backtracking.
const combined =
  /^(\S+) \S+ \S+ \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (?:\d+|-) "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"\s*$/

/** The line's parts, or null if it is malformed. */
export function parseAccessLine(line: string): AccessLine | null {
  const match = combined.exec(line)
  if (!match) return null
  const [, client = '', time = '', request = '', status = '', agent = ''] = match
  const at = parseLogTime(time)
  if (at === null) return null
  return { client, at, path: requestedPath(request), status: Number(status), agent }
}

const logTime = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/
const months: readonly string[] = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** `17/May/2015:10:05:03 +0000` in milliseconds since the epoch; null if there is no such time or it is before 1970. */
export function parseLogTime(time: string): number | null {
  const match = logTime.exec(time)
  if (!match) return null
  const [, day, monthName = '', year, hour, minute, second, sign, zoneHours, zoneMinutes] = match
  const month = months.indexOf(monthName)
  if (month < 0 || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null
  // Date.UTC takes the years 0 to 99 for those of the 20th century.
  if (Number(year) < 100) return null
  if (Number(zoneHours) > 14 || Number(zoneMinutes) > 59) return null
  const local = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Math.min(59, Number(second)))
  // Date.UTC turns 31 February into a day in March.
  if (new Date(local).getUTCDate() !== Number(day)) return null
  const zoneMs = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000
  const at = sign === '-' ? local + zoneMs : local - zoneMs
  return at < 0 ? null : at
}

function requestedPath(request: string): string {
  const target = request.split(' ')[1]
  if (target === undefined) return '-'
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}
