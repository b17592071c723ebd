/** The answers as they are in the topics: the newest value of each key. */
import type { Windowed } from 'millrace'
import type { EmbeddedLog } from 'millrace/log'
import { newestValues } from '../../shared/read-topic.ts'
import {
  alerts,
  boughtAfterView,
  type Counts,
  eventsPerRegion,
  eventTypes,
  outcomes,
  pageHours,
  requestsPerClient,
  requestsPerMinute,
  requestsPerStatus,
  topPages,
  viewsPerCategory,
  viewsPerPage,
  viewsPerRegion,
  visitorSessions,
} from '../events.ts'
import type { LineSource } from '../lines/sources.ts'
import { botOutcome } from '../topology/topology.ts'
import { isProduct } from '../traffic/shop.ts'
import { isTick } from '../traffic/ticks.ts'
import type { Answers, Requests } from './report.ts'

export async function readAnswers(log: EmbeddedLog, format: LineSource['format']): Promise<Answers> {
  const pages = await windowCounts(log, viewsPerPage)
  const regions = await windowCounts(log, viewsPerRegion)
  const hours = await newestValues(log, topPages, (hour) => hour)
  const closed = await newestValues(log, pageHours, ({ key, start }) => `${start} ${key}`)
  const categories = await newestValues(log, viewsPerCategory, (key) => key.join(' '))
  const visits = await newestValues(log, visitorSessions, ({ key, start, end }) => `${start} ${end} ${key}`)
  const bought = await newestValues(log, boughtAfterView, (key) => key.join(' '))
  const bursts = await newestValues(log, alerts, (key) => key.join(' '))
  return {
    ...(await readTotals(log)),
    viewsPerPage: pages.map(({ key, start, count }) => ({ minute: start, page: key, views: count })),
    viewsPerRegion: regions.map(({ key, start, end, count }) => ({ from: start, to: end, region: key, views: count })),
    topPages: [...hours.values()]
      .map(({ key, value }) => ({ hour: key, pages: value }))
      .toSorted((a, b) => a.hour - b.hour),
    uniqueVisitors: [...closed.values()]
      .map(({ key: { key, start }, value }) => ({ hour: start, page: key, visitors: value.visitors }))
      .toSorted((a, b) => a.hour - b.hour || order(a.page, b.page)),
    viewsPerCategory: [...categories.values()]
      .map(({ key: [hour, category], value }) => ({ hour, category, ...value }))
      .toSorted((a, b) => a.hour - b.hour || order(a.category, b.category)),
    alerts: [...bursts.values()]
      .map(({ key: [region], value }) => ({ region, ...value }))
      .toSorted((a, b) => a.from - b.from || order(a.region, b.region)),
    sessions: [...visits.values()]
      .flatMap(({ key: { key, start, end }, value }) =>
        value === null ? [] : [{ visitor: key, from: start, to: end, ...value }],
      )
      .map(({ entry, exit, ...rest }) => ({ ...rest, entry: entry?.path ?? '', exit: exit?.path ?? '' }))
      .toSorted((a, b) => a.from - b.from || order(a.visitor, b.visitor)),
    funnel:
      format === 'combined'
        ? []
        : [...closed.values()]
            .filter(({ key }) => isProduct(key.key))
            .map(({ key: { key, start }, value }) => ({
              hour: start,
              product: key,
              views: value.views,
              bought: bought.get(`${start} ${key}`)?.value ?? 0,
            }))
            .toSorted((a, b) => a.hour - b.hour || order(a.product, b.product)),
    requests: format === 'combined' ? await readRequests(log) : null,
  }
}

async function readTotals(log: EmbeddedLog): Promise<Pick<Answers, 'totals' | 'botsPerRule'>> {
  const counts = await keyCounts(log, outcomes)
  const of = (outcome: string): number => counts.find(({ key }) => key === outcome)?.count ?? 0
  const botsPerRule = counts
    .filter(({ key }) => key.startsWith(botOutcome))
    .map(({ key, count }) => ({ rule: key.slice(botOutcome.length), events: count }))
  const events = await readEventTypes(log)
  const totals = {
    lines: [...counts, ...events].reduce((sum, { count }) => sum + count, 0),
    malformed: of('malformed'),
    duplicates: of('duplicate'),
    bots: botsPerRule.reduce((sum, { events }) => sum + events, 0),
    events,
  }
  return { totals, botsPerRule }
}

/** The event types that occurred, over all regions, with the most frequent one first. */
async function readEventTypes(log: EmbeddedLog): Promise<Answers['totals']['events']> {
  const regions = [...(await newestValues(log, eventsPerRegion, (region) => region)).values()]
  return eventTypes
    .map((type) => ({
      type,
      count: regions.reduce((sum, { key, value }) => sum + (isTick(key) ? 0 : value[type]), 0),
    }))
    .filter(({ count }) => count > 0)
    .toSorted((a, b) => b.count - a.count || order(a.type, b.type))
}

async function readRequests(log: EmbeddedLog): Promise<Requests> {
  const perStatus = await keyCounts(log, requestsPerStatus)
  const perClient = await keyCounts(log, requestsPerClient)
  const perMinute = await keyCounts(log, requestsPerMinute)
  return {
    perStatus: perStatus.map(({ key, count }) => ({ status: key, requests: count })),
    perClient: perClient.map(({ key, count }) => ({ client: key, requests: count })),
    perMinute: perMinute.map(({ key, count }) => ({ minute: key, requests: count })),
  }
}

async function keyCounts<K extends string | number>(
  log: EmbeddedLog,
  topic: Counts<K>,
): Promise<readonly { readonly key: K; readonly count: number }[]> {
  const newest = await newestValues(log, topic, (key) => key)
  return [...newest.values()].map(({ key, value }) => ({ key, count: value })).toSorted((a, b) => order(a.key, b.key))
}

interface WindowCount {
  readonly key: string
  readonly start: number
  readonly end: number
  readonly count: number
}

/** The counts without windows that only ticks have opened. */
async function windowCounts(
  log: EmbeddedLog,
  topic: Counts<Windowed<string, 'time'>>,
): Promise<readonly WindowCount[]> {
  const newest = await newestValues(log, topic, ({ key, start }) => `${start} ${key}`)
  return [...newest.values()]
    .filter(({ key }) => !isTick(key.key))
    .map(({ key: { key, start, end }, value }) => ({ key, start, end, count: value }))
    .toSorted((a, b) => a.start - b.start || order(a.key, b.key))
}

function order(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0
}
