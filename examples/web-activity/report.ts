/** The answers as the user reads them: tables on a terminal, or one JSON object per line. */
import { formatMinute, formatNumber, formatTable, type Table } from '../shared/tables.ts'
import type { Alert, SegmentViews } from './events.ts'

/** How often each thing happened to the lines that arrived. */
export interface Totals {
  readonly lines: number
  readonly malformed: number
  readonly duplicates: number
  readonly bots: number
  /** What is left after these, by type. */
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
  /** `to` is null while it lasts. */
  readonly alerts: readonly (Alert & { readonly region: string })[]
  readonly sessions: readonly VisitorSession[]
  /** Of each closed hour: views of a product, and how many an order of the same visitor followed within an hour. */
  readonly funnel: readonly ProductHour[]
  readonly topPages: readonly { readonly hour: number; readonly pages: readonly PageViews[] }[]
  /** Of every well-formed line of an access log, bots included; null for made-up traffic. */
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

/** Rows that a table shows of an answer that has thousands. */
const rowsMax = 10
/** Hours that are shown: a day. */
const hoursMax = 24

export function tables(answers: Answers): string {
  return [totalsTable(answers), ...requestTables(answers), ...viewTables(answers)].map(formatTable).join('\n\n')
}

function totalsTable({ totals }: Answers): Table {
  return {
    title: 'What arrived',
    columns: ['', 'lines'],
    rows: [
      ['all lines', totals.lines],
      ['malformed, put aside as dead letters', totals.malformed],
      ['repeated, counted once', totals.duplicates],
      ['from bots, put apart', totals.bots],
      ...totals.events.map(({ type, count }) => [`events: ${type}`, count]),
    ],
  }
}

function requestTables({ requests }: Answers): readonly Table[] {
  if (!requests) return []
  const { perStatus, perClient, perMinute } = requests
  return [
    {
      title: 'Lines per status (all well-formed lines)',
      columns: ['status', 'lines'],
      rows: perStatus.map(({ status, requests }) => [String(status), requests]),
    },
    {
      title: 'Lines per client',
      columns: ['client', 'lines'],
      rows: mostFirst(perClient, 'requests').map(({ client, requests }) => [client, requests]),
      note: shown(perClient.length, 'clients'),
    },
    {
      title: 'Lines per minute, the fullest',
      columns: ['minute (UTC)', 'lines'],
      rows: mostFirst(perMinute, 'requests').map(({ minute, requests }) => [formatMinute(minute), requests]),
      note: shown(perMinute.length, 'minutes with lines'),
    },
  ]
}

function viewTables({ viewsPerPage, viewsPerRegion, topPages }: Answers): readonly Table[] {
  const perHour = viewsByHour(viewsPerPage)
  const busiest = mostFirst(
    topPages.map(({ hour, pages }) => ({ hour, pages, views: perHour.get(hour) ?? 0 })),
    'views',
  )[0]
  return [
    {
      title: 'Views per page per minute, the fullest',
      columns: ['minute (UTC)', 'page', 'views'],
      rows: mostFirst(viewsPerPage, 'views').map(({ minute, page, views }) => [formatMinute(minute), page, views]),
      note: shown(viewsPerPage.length, 'counts'),
    },
    {
      title: 'Views per region, five minutes every minute: the fullest of each region',
      columns: ['region', 'five minutes from (UTC)', 'views'],
      rows: peakPerRegion(viewsPerRegion).map(({ region, from, views }) => [region, formatMinute(from), views]),
      note: shown(viewsPerRegion.length, 'counts'),
    },
    {
      title: 'Most viewed pages of each closed hour: the first three',
      columns: ['hour (UTC)', 'first', 'second', 'third'],
      rows: topPages
        .slice(-hoursMax)
        .map(({ hour, pages }) => [
          formatMinute(hour),
          ...[0, 1, 2].map((rank) => (pages[rank] ? `${pages[rank].page} ${formatNumber(pages[rank].views)}` : '')),
        ]),
      ...(topPages.length > hoursMax
        ? { note: `the last ${hoursMax} of ${topPages.length} hours; --json prints every one` }
        : {}),
    },
    ...(busiest
      ? [
          {
            title: `The ten most viewed pages of the busiest hour, ${formatMinute(busiest.hour)} UTC`,
            columns: ['rank', 'page', 'views'],
            rows: busiest.pages.map(({ page, views }, index) => [index + 1, page, views]),
          },
        ]
      : []),
  ]
}

function mostFirst<Row extends { readonly [K in By]: number }, By extends string>(
  rows: readonly Row[],
  by: By,
): readonly Row[] {
  return rows.toSorted((a, b) => b[by] - a[by]).slice(0, rowsMax)
}

function peakPerRegion(rows: readonly RegionViews[]): readonly RegionViews[] {
  const peaks = new Map<string, RegionViews>()
  for (const row of rows) if (row.views > (peaks.get(row.region)?.views ?? 0)) peaks.set(row.region, row)
  return [...peaks.values()].toSorted((a, b) => b.views - a.views)
}

function viewsByHour(rows: Answers['viewsPerPage']): ReadonlyMap<number, number> {
  const perHour = new Map<number, number>()
  for (const { minute, views } of rows) {
    const hour = minute - (minute % 3_600_000)
    perHour.set(hour, (perHour.get(hour) ?? 0) + views)
  }
  return perHour
}

function shown(count: number, what: string): string {
  return count > rowsMax
    ? `${formatNumber(count)} ${what} in all; --json prints every one`
    : `${formatNumber(count)} ${what}`
}
