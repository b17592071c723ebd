/**
 * One day of a shop's traffic, generated from a seed: the same seed always gives the same lines.
 *
 * The lines are in the order of their arrival, which is not the order of their events: 3 % are late by up to 90 s, 1 %
 * are sent a second time within ten minutes, 8 % come from bots that identify themselves, some from programs that do
 * not, and a few are not events at all. This module does not know how the job counts: it produces text, as a shop's web
 * servers would send it.
 */
import type { ShopEvent } from '../events.ts'
import { type Outage, outages, type ScraperRequest, scraperRequests } from './mischief.ts'
import { Random } from './random.ts'
import { dayMs, regionOf } from './shop.ts'
import { anyPath, type Click, Visits } from './visits.ts'

/**
 * A line as it arrives. `visitor` decides the partition, so that a repeated line is in the same one as its first copy.
 */
export interface Arrival {
  /** 0 for the first line of the day. */
  readonly position: number
  readonly visitor: string
  readonly line: string
  /** When the line arrived, in milliseconds since the epoch. It never decreases. */
  readonly arrivedAt: number
}

export interface TrafficOptions {
  readonly seed: number
  /** Number of lines in the day, including repeated and malformed ones. */
  readonly events: number
  /** The midnight at which the day begins. */
  readonly dayStart: number
}

const lateMaxMs = 90_000
/** A repeated line follows its first copy within this time. */
const repeatMaxMs = 9 * 60_000
/** Number of recent lines that may be sent again. */
const repeatable = 256

export function* traffic({ seed, events, dayStart }: TrafficOptions): Generator<Arrival> {
  const random = new Random(seed)
  const scraping = scraperRequests(seed, events)
  const others = events - scraping.length
  const crowd = new Crowd(random, outages(seed), dayStart)
  let scraped = 0
  let next: { readonly minute: number; readonly arrivedAt: number } | null = null
  for (let position = 0; position < events; position++) {
    const index = position - scraped
    if (next === null && index < others) {
      // One line for each slice of the curve, so that arrivals are in order without sorting and every hour has its
      // share.
      const share = (index + random.next()) / others
      const minute = minuteOfDay(share)
      next = { minute, arrivedAt: dayStart + timeInMinute(minute, share) }
    }
    const request = scraping[scraped]
    if (request && (next === null || dayStart + request.at <= next.arrivedAt)) {
      scraped++
      yield scraperLine(position, dayStart, request)
    } else if (next !== null) {
      yield crowd.line(position, next.arrivedAt, others * shareOfMinute(next.minute) * minutesBetweenClicks)
      next = null
    }
  }
}

/**
 * All senders but the scrapers: people, bots that identify themselves, and senders that repeat, delay and damage lines.
 */
class Crowd {
  readonly #random: Random
  readonly #people: Visits
  readonly #failing: readonly Outage[]
  readonly #dayStart: number
  readonly #day: string
  readonly #recent: Arrival[] = []

  constructor(random: Random, failing: readonly Outage[], dayStart: number) {
    this.#random = random
    this.#people = new Visits(random)
    this.#failing = failing
    this.#dayStart = dayStart
    this.#day = dayOf(dayStart)
  }

  /** The line that arrives at that time, while that many visitors are present. */
  line(position: number, arrivedAt: number, there: number): Arrival {
    const random = this.#random
    const first = random.chance(0.01) && this.#recent.length > 0 ? random.pick(this.#recent) : undefined
    if (first && arrivedAt - first.arrivedAt <= repeatMaxMs) return { ...first, position, arrivedAt }
    const late = random.chance(0.03) ? random.between(1000, lateMaxMs) : 0
    const event = this.#event(`${this.#day}-${position}`, Math.max(this.#dayStart, arrivedAt - late), there)
    const { visitor } = event
    if (random.chance(0.004)) return { position, visitor, line: spoil(event, random), arrivedAt }
    const arrival = { position, visitor, line: JSON.stringify(event), arrivedAt }
    this.#recent[position % repeatable] = arrival
    return arrival
  }

  #event(id: string, at: number, there: number): ShopEvent {
    if (this.#random.chance(0.08)) return botEvent(id, at, this.#random)
    const event = clickEvent(id, at, this.#people.next(there))
    const timeOfDay = at - this.#dayStart
    // While the servers of a region fail, most of its requests end in an error.
    const isDown = this.#failing.some(
      ({ region, from, to }) => region === event.region && timeOfDay >= from && timeOfDay < to,
    )
    return isDown && this.#random.chance(0.6) ? { ...event, type: 'error', status: 503 } : event
  }
}

/** Average time that a visitor looks at a page. */
const minutesBetweenClicks = 0.7

function clickEvent(id: string, at: number, { visitor, type, path, status }: Click): ShopEvent {
  const event = {
    id,
    at,
    type,
    visitor: `v${visitor}`,
    path,
    region: regionOf(visitor),
    agent: pick(browsers, visitor),
  }
  return status === undefined ? event : { ...event, status }
}

function botEvent(id: string, at: number, random: Random): ShopEvent {
  const number = random.skewed(40, 2.5)
  const agent = pick(botAgents, number)
  return { id, at, type: 'view', visitor: `b${number}`, path: anyPath(random), region: regionOf(number), agent }
}

/** Prefix of the ids of a day's events, so that no two days share an id. */
function dayOf(dayStart: number): string {
  return new Date(dayStart).toISOString().slice(0, 10)
}

function scraperLine(position: number, dayStart: number, { scraper, at, path }: ScraperRequest): Arrival {
  const [visitor, arrivedAt] = [`s${scraper}`, dayStart + at]
  const [region, agent] = [regionOf(scraper), pick(browsers, scraper)]
  const id = `${dayOf(dayStart)}-${position}`
  const event: ShopEvent = { id, at: arrivedAt, type: 'view', visitor, path, region, agent }
  return { position, visitor, line: JSON.stringify(event), arrivedAt }
}

/** The line of a broken sender: truncated, of another type, or without a field. */
function spoil(event: ShopEvent, random: Random): string {
  const line = JSON.stringify(event)
  switch (random.below(6)) {
    case 0:
      return line.slice(0, random.between(1, line.length - 1))
    case 1:
      return JSON.stringify({ ...event, at: new Date(event.at).toUTCString() })
    case 2:
      return JSON.stringify({ ...event, type: 'teleport' })
    case 3:
      return JSON.stringify({ ...event, id: undefined })
    case 4:
      return JSON.stringify({ ...event, at: -event.at })
    default:
      return ''
  }
}

/** The minute of the day by which a share of its lines has arrived: few at night, most in the evening. */
function minuteOfDay(share: number): number {
  let low = 0
  let high = arrivedBy.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((arrivedBy[middle] ?? 1) <= share) low = middle
    else high = middle
  }
  return low
}

function timeInMinute(minute: number, share: number): number {
  const from = arrivedBy[minute] ?? 0
  const to = arrivedBy[minute + 1] ?? 1
  return Math.min(dayMs - 1, Math.floor((minute + (share - from) / (to - from)) * 60_000))
}

function shareOfMinute(minute: number): number {
  return (arrivedBy[minute + 1] ?? 1) - (arrivedBy[minute] ?? 0)
}

/** For each minute of the day, the share that has arrived before it. */
const arrivedBy: Float64Array = cumulativeCurve()

function cumulativeCurve(): Float64Array {
  const minutes = dayMs / 60_000
  const curve = new Float64Array(minutes + 1)
  for (let minute = 0; minute < minutes; minute++) {
    const hour = minute / 60
    const evening = Math.exp(-((hour - 20) ** 2) / 8)
    const noon = Math.exp(-((hour - 12.5) ** 2) / 18)
    curve[minute + 1] = (curve[minute] ?? 0) + 0.15 + noon + 1.2 * evening
  }
  const total = curve[minutes] ?? 1
  return curve.map((value) => value / total)
}

function pick(items: readonly string[], index: number): string {
  return items[index % items.length] ?? ''
}

const browsers: readonly string[] = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/604.1',
  'Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15',
]

const botAgents: readonly string[] = [
  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
  'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)',
  'Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)',
  'magpie-crawler/1.1 (U; Linux amd64; en-GB; +http://www.brandwatch.net)',
]
