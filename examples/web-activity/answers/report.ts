/** The answers, and their form for other programs: one JSON object per line. */
import type { Alert, SegmentViews } from '../events.ts'

/** Number of lines that arrived, by outcome. */
export interface Totals {
  readonly lines: number
  readonly malformed: number
  readonly duplicates: number
  readonly bots: number
  /** The remaining events, by type. */
  readonly events: readonly { readonly type: string; readonly count: number }[]
}

export interface Answers {
  readonly totals: Totals
  /** `minute`, `from`, `to`, `hour`: milliseconds since the epoch. Sorted by time, then by name. */
  readonly viewsPerPage: readonly { readonly minute: number; readonly page: string; readonly views: number }[]
  readonly viewsPerRegion: readonly RegionViews[]
  readonly botsPerRule: readonly { readonly rule: string; readonly events: number }[]
  readonly uniqueVisitors: readonly { readonly hour: number; readonly page: string; readonly visitors: number }[]
  readonly viewsPerCategory: readonly CategoryHour[]
  /** `to` is null while the alert lasts. */
  readonly alerts: readonly (Alert & { readonly region: string })[]
  readonly sessions: readonly VisitorSession[]
  /**
   * For each closed hour: the views of a product, and how many were followed by an order of the same visitor within an
   * hour.
   */
  readonly funnel: readonly ProductHour[]
  readonly topPages: readonly { readonly hour: number; readonly pages: readonly PageViews[] }[]
  /** Counts of every well-formed line of an access log, including bots; null for generated traffic. */
  readonly requests: Requests | null
}

export interface VisitorSession {
  readonly visitor: string
  /** The times of its first and its last view. */
  readonly from: number
  readonly to: number
  readonly pages: number
  readonly entry: string
  readonly exit: string
}

export interface ProductHour {
  readonly hour: number
  readonly product: string
  readonly views: number
  readonly bought: number
}

export interface CategoryHour extends SegmentViews {
  readonly hour: number
  readonly category: string
}

export interface RegionViews {
  readonly from: number
  readonly to: number
  readonly region: string
  readonly views: number
}

export interface PageViews {
  readonly page: string
  readonly views: number
}

export interface Requests {
  readonly perStatus: readonly { readonly status: number; readonly requests: number }[]
  readonly perClient: readonly { readonly client: string; readonly requests: number }[]
  readonly perMinute: readonly { readonly minute: number; readonly requests: number }[]
}

export function* jsonLines({ totals, ...answers }: Answers): Generator<string> {
  const { lines, malformed, duplicates, bots } = totals
  yield JSON.stringify({
    answer: 'totals',
    lines,
    malformed,
    duplicates,
    bots,
    events: Object.fromEntries(totals.events.map(({ type, count }) => [type, count])),
  })
  for (const { status, requests } of answers.requests?.perStatus ?? [])
    yield JSON.stringify({ answer: 'requests-per-status', status, requests })
  for (const { client, requests } of answers.requests?.perClient ?? [])
    yield JSON.stringify({ answer: 'requests-per-client', client, requests })
  for (const { minute, requests } of answers.requests?.perMinute ?? [])
    yield JSON.stringify({ answer: 'requests-per-minute', minute: isoTime(minute), requests })
  for (const { minute, page, views } of answers.viewsPerPage)
    yield JSON.stringify({ answer: 'views-per-page', minute: isoTime(minute), page, views })
  for (const { from, to, region, views } of answers.viewsPerRegion)
    yield JSON.stringify({ answer: 'views-per-region', from: isoTime(from), to: isoTime(to), region, views })
  for (const { hour, pages } of answers.topPages) {
    for (const [index, { page, views }] of pages.entries())
      yield JSON.stringify({ answer: 'top-pages', hour: isoTime(hour), rank: index + 1, page, views })
  }
  for (const { rule, events } of answers.botsPerRule) yield JSON.stringify({ answer: 'bots-per-rule', rule, events })
  for (const { hour, page, visitors } of answers.uniqueVisitors)
    yield JSON.stringify({ answer: 'unique-visitors', hour: isoTime(hour), page, visitors })
  for (const { hour, ...views } of answers.viewsPerCategory)
    yield JSON.stringify({ answer: 'views-per-category', hour: isoTime(hour), ...views })
  for (const { visitor, from, to, pages, entry, exit } of answers.sessions) {
    const times = { from: isoTime(from), to: isoTime(to), durationMs: to - from }
    yield JSON.stringify({ answer: 'sessions', visitor, ...times, pages, entry, exit, bounce: pages === 1 })
  }
  for (const { hour, product, views, bought } of answers.funnel)
    yield JSON.stringify({ answer: 'funnel', hour: isoTime(hour), product, views, bought })
  for (const { from, to, region, events, failures } of answers.alerts) {
    const [since, until] = [isoTime(from), to === null ? null : isoTime(to)]
    yield JSON.stringify({ answer: 'alerts', region, from: since, to: until, events, failures })
  }
}

function isoTime(time: number): string {
  return new Date(time).toISOString()
}
