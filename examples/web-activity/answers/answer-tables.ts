/** The answers for a terminal: the most important part of each, on two screens. */
import { formatMinute, formatNumber, formatTable, type Table } from '../../shared/tables.ts'
import type { Answers, RegionViews, VisitorSession } from './report.ts'

/** Rows shown in a table, for an answer that may have thousands. */
const rowsMax = 5
/** Rows shown of an answer that has some dozens. */
const longRowsMax = 10
/** Hours shown in a table: half a day. */
const hoursMax = 12

export function tables(answers: Answers): string {
  return [
    totalsTable(answers),
    ...requestTables(answers),
    minuteTable(answers),
    regionTable(answers),
    ...hourTables(answers),
    ...sessionTables(answers),
    ...funnelTables(answers),
    ...categoryTables(answers),
    ...alertTables(answers),
  ]
    .map(formatTable)
    .join('\n\n')
}

function totalsTable({ totals, botsPerRule }: Answers): Table {
  const rules = botsPerRule.toSorted((a, b) => b.events - a.events)
  const byRule = rules.map(({ rule, events }) => `${rule} ${formatNumber(events)}`).join(', ')
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
    ...(byRule === '' ? {} : { note: `bots by rule: ${byRule}` }),
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
      rows: mostFirst(perClient, 'requests', longRowsMax).map(({ client, requests }) => [client, requests]),
      note: shown(perClient.length, longRowsMax, 'clients'),
    },
    {
      title: 'Lines per minute, the fullest',
      columns: ['minute (UTC)', 'lines'],
      rows: mostFirst(perMinute, 'requests', rowsMax).map(({ minute, requests }) => [formatMinute(minute), requests]),
      note: shown(perMinute.length, rowsMax, 'minutes with lines'),
    },
  ]
}

function minuteTable({ viewsPerPage }: Answers): Table {
  return {
    title: 'Views per page per minute, the fullest',
    columns: ['minute (UTC)', 'page', 'views'],
    rows: mostFirst(viewsPerPage, 'views', rowsMax).map(({ minute, page, views }) => [
      formatMinute(minute),
      page,
      views,
    ]),
    note: shown(viewsPerPage.length, rowsMax, 'counts'),
  }
}

function regionTable({ viewsPerRegion }: Answers): Table {
  return {
    title: 'Views per region, five minutes every minute: the fullest of each region',
    columns: ['region', 'five minutes from (UTC)', 'views'],
    rows: peakPerRegion(viewsPerRegion)
      .slice(0, longRowsMax)
      .map(({ region, from, views }) => [region, formatMinute(from), views]),
    note: shown(viewsPerRegion.length, 0, 'counts'),
  }
}

function hourTables({ topPages, viewsPerPage, uniqueVisitors }: Answers): readonly Table[] {
  const perHour = viewsByHour(viewsPerPage)
  const views = topPages.map(({ hour, pages }) => ({ hour, pages, views: perHour.get(hour) ?? 0 }))
  const [busiest] = mostFirst(views, 'views', 1)
  const visitorsOf = (page: string): number =>
    uniqueVisitors.find((one) => one.hour === busiest?.hour && one.page === page)?.visitors ?? 0
  return [
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
            columns: ['rank', 'page', 'views', 'visitors'],
            rows: busiest.pages.map(({ page, views }, index) => [index + 1, page, views, visitorsOf(page)]),
          },
        ]
      : []),
  ]
}

function sessionTables({ sessions }: Answers): readonly Table[] {
  if (sessions.length === 0) return []
  const byEntry = [...Map.groupBy(sessions, ({ entry }) => entry)].map(([entry, begun]) => ({
    entry,
    begun,
    count: begun.length,
  }))
  const all = summaryOf(sessions)
  return [
    {
      title: 'Sessions, half an hour apart, by the page they begin with',
      columns: ['first page', 'sessions', 'pages each', 'minutes each', 'left at once'],
      rows: mostFirst(byEntry, 'count', rowsMax).map(({ entry, begun, count }) => {
        const { pages, minutes, bounces } = summaryOf(begun)
        return [entry, count, pages, minutes, bounces]
      }),
      note: `${formatNumber(sessions.length)} sessions in all: ${all.pages} pages and ${all.minutes} minutes each, ${all.bounces} left at once`,
    },
  ]
}

function summaryOf(sessions: readonly VisitorSession[]): Record<'pages' | 'minutes' | 'bounces', string> {
  const count = Math.max(1, sessions.length)
  const pages = sessions.reduce((sum, session) => sum + session.pages, 0)
  const times = sessions.reduce((sum, { from, to }) => sum + to - from, 0)
  const bounces = sessions.filter((session) => session.pages === 1).length
  return {
    pages: (pages / count).toFixed(1),
    minutes: (times / 60_000 / count).toFixed(1),
    bounces: percent(bounces, count),
  }
}

function funnelTables({ funnel }: Answers): readonly Table[] {
  if (funnel.length === 0) return []
  const products = [...Map.groupBy(funnel, ({ product }) => product)].map(([product, hours]) => ({
    product,
    views: hours.reduce((sum, { views }) => sum + views, 0),
    bought: hours.reduce((sum, { bought }) => sum + bought, 0),
  }))
  const views = products.reduce((sum, product) => sum + product.views, 0)
  const bought = products.reduce((sum, product) => sum + product.bought, 0)
  return [
    {
      title: 'Funnel: product views, and those that an order of the same visitor followed within an hour',
      columns: ['product', 'views', 'then an order', 'share'],
      rows: mostFirst(products, 'bought', rowsMax).map((one) => [
        one.product,
        one.views,
        one.bought,
        percent(one.bought, one.views),
      ]),
      note: `of ${formatNumber(views)} product views in all ${formatNumber(bought)}, that is ${percent(bought, views)}`,
    },
  ]
}

function categoryTables({ viewsPerCategory }: Answers): readonly Table[] {
  if (viewsPerCategory.length === 0) return []
  const sums = [...Map.groupBy(viewsPerCategory, ({ category }) => category)].map(([category, hours]) => {
    const sum = { category, guest: 0, member: 0, gold: 0, views: 0 }
    for (const { guest, member, gold } of hours) {
      sum.guest += guest
      sum.member += member
      sum.gold += gold
      sum.views += guest + member + gold
    }
    return sum
  })
  return [
    {
      title: 'Views per category, by the account of the visitor at that time',
      columns: ['category', 'guests', 'members', 'gold members'],
      rows: mostFirst(sums, 'views', longRowsMax).map(({ category, guest, member, gold }) => [
        category,
        guest,
        member,
        gold,
      ]),
      note: shown(viewsPerCategory.length, 0, 'hours of categories'),
    },
  ]
}

function alertTables({ alerts }: Answers): readonly Table[] {
  if (alerts.length === 0) return []
  return [
    {
      title: 'Alerts: bursts of failures',
      columns: ['region', 'from (UTC)', 'to', 'requests', 'failed'],
      rows: alerts
        .slice(-longRowsMax)
        .map(({ region, from, to, events, failures }) => [
          region,
          formatMinute(from),
          to === null ? 'going on' : formatMinute(to),
          events,
          failures,
        ]),
      note: shown(alerts.length, longRowsMax, 'bursts'),
    },
  ]
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / Math.max(1, whole)).toFixed(1)} %`
}

function mostFirst<Row extends { readonly [K in By]: number }, By extends string>(
  rows: readonly Row[],
  by: By,
  count: number,
): readonly Row[] {
  return rows.toSorted((a, b) => b[by] - a[by]).slice(0, count)
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

function shown(count: number, rows: number, what: string): string {
  return count > rows
    ? `${formatNumber(count)} ${what} in all; --json prints every one`
    : `${formatNumber(count)} ${what}`
}
