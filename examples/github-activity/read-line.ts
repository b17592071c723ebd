/** Turns a line into an event that can be counted, or into the reason why it cannot. */
import { type Activity, nameLengthMax, type Touch } from './events.ts'

export type Reading<Event> =
  { readonly event: Event; readonly reason?: undefined } | { readonly event?: undefined; readonly reason: string }

/** Reads an event of GitHub: one JSON object with `dt`, `repo`, `type` and `actor`. Other fields are ignored. */
export function readActivity(line: string): Reading<Activity> {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return { reason: 'not JSON' }
  }
  if (typeof parsed !== 'object' || parsed === null) return { reason: 'no JSON object' }
  const { dt, repo, type, actor } = parsed as { readonly [name: string]: unknown }
  if (!isName(type)) return { reason: nameReason('type') }
  if (!isName(repo)) return { reason: nameReason('repo') }
  if (!isName(actor)) return { reason: nameReason('actor') }
  const at = typeof dt === 'string' ? isoTime(dt) : null
  if (at === null) return { reason: 'dt: is no time such as 2015-02-22T21:00:00Z since 1970' }
  return { event: { type, repository: repo, actor, at } }
}

/**
 * Reads a touch of a file: commit time, author time (both in seconds), repository, author and path, separated by tabs.
 */
export function readTouch(line: string): Reading<Touch & { readonly arrivedAt: number }> {
  const fields = line.split('\t')
  const [committed = '', authored = '', repository, author, path] = fields
  if (fields.length !== 5 || path === '') return { reason: 'not five fields between tabs' }
  const arrivedAt = secondsTime(committed)
  if (arrivedAt === null) return { reason: 'the commit time is no whole number of seconds since 1970' }
  const at = secondsTime(authored)
  if (at === null) return { reason: 'the author time is no whole number of seconds since 1970' }
  if (!isName(repository)) return { reason: nameReason('the repository') }
  if (!isName(author)) return { reason: nameReason('the author') }
  return { event: { repository, author, at, arrivedAt } }
}

function isName(name: unknown): name is string {
  // JSON can contain half of a surrogate pair, which cannot be encoded in the bytes of a key.
  return typeof name === 'string' && name !== '' && name.length <= nameLengthMax && name.isWellFormed()
}

function nameReason(field: string): string {
  return `${field}: is no text of 1 to ${nameLengthMax} characters`
}

/** The end of the year 9999: a later time is a mistake. */
const timeMax = Date.UTC(10_000, 0) - 1

const isoForm = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?Z$/

function isoTime(text: string): number | null {
  if (!isoForm.test(text)) return null
  const at = Date.parse(text)
  // If a date such as 31 February is parsed at all, it is taken for one in March.
  return Number.isNaN(at) || at < 0 || new Date(at).getUTCDate() !== Number(text.slice(8, 10)) ? null : at
}

function secondsTime(text: string): number | null {
  if (!/^\d{1,12}$/.test(text)) return null
  const at = Number(text) * 1000
  return at <= timeMax ? at : null
}
