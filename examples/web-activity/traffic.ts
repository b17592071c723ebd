/**
 * One day of a shop's traffic, made up from a seed: the same seed gives the same lines for ever.
 *
 * The lines come in the order of their arrival, which is not the order of their events: 3 % are late by up to 90 s, 1 %
 * are sent a second time within ten minutes, 8 % come from bots, and a few are no events at all. Nothing here knows how
 * the job counts: what it makes is text, as a shop's web servers would send it.
 */
import type { EventType, ShopEvent } from './events.ts'

/** A line as it arrives. `visitor` decides the partition, so that a repeated line meets its first copy. */
export interface Arrival {
  /** 0 for the first line of the day. */
  readonly position: number
  readonly visitor: string
  readonly line: string
  /** When the line arrived, in milliseconds since the epoch. Never goes back. */
  readonly arrivedAt: number
}

export interface TrafficOptions {
  readonly seed: number
  /** Lines in the day, repeated and malformed ones among them. */
  readonly events: number
  /** Midnight at which the day begins. */
  readonly dayStart: number
}

export const dayMs = 86_400_000
/** The day that is made up unless the traffic is live: a Friday of many orders. */
export const shopDay: number = Date.UTC(2025, 10, 28)

const lateMaxMs = 90_000
/** A repeated line follows its first copy within this time. */
const repeatMaxMs = 9 * 60_000
/** How many of the last lines may be sent again. */
const repeatable = 256

export function* traffic({ seed, events, dayStart }: TrafficOptions): Generator<Arrival> {
  const random = new Random(seed)
  const recent: Arrival[] = []
  for (let position = 0; position < events; position++) {
    // One line per slice of the curve: arrivals are in order without sorting, and every hour has its share.
    const arrivedAt = dayStart + timeOfDay((position + random.next()) / events)
    const first = random.chance(0.01) && recent.length > 0 ? random.pick(recent) : undefined
    if (first && arrivedAt - first.arrivedAt <= repeatMaxMs) {
      yield { position, visitor: first.visitor, line: first.line, arrivedAt }
      continue
    }
    const late = random.chance(0.03) ? random.between(1000, lateMaxMs) : 0
    const event = shopEvent(`e${position}`, Math.max(dayStart, arrivedAt - late), random)
    if (random.chance(0.004)) {
      yield { position, visitor: event.visitor, line: spoil(event, random), arrivedAt }
      continue
    }
    const arrival: Arrival = { position, visitor: event.visitor, line: JSON.stringify(event), arrivedAt }
    recent[position % repeatable] = arrival
    yield arrival
  }
}

function shopEvent(id: string, at: number, random: Random): ShopEvent {
  const bot = random.chance(0.08)
  const number = random.skewed(bot ? 40 : 9000)
  const type = bot ? 'view' : eventType(random.next())
  return {
    id,
    at,
    type,
    visitor: bot ? `b${number}` : `v${number}`,
    path: pathOf(type, random),
    region: regionOf(number),
    agent: pick(bot ? botAgents : browsers, number),
  }
}

function eventType(chance: number): EventType {
  if (chance < 0.78) return 'view'
  if (chance < 0.87) return 'search'
  if (chance < 0.95) return 'add-to-cart'
  if (chance < 0.98) return 'order'
  return 'error'
}

function pathOf(type: EventType, random: Random): string {
  if (type === 'search') return '/search'
  if (type === 'order') return '/checkout'
  return pick(pages, random.skewed(pages.length))
}

/** A visitor stays in one region; the regions are of different size. */
function regionOf(visitor: number): string {
  return pick(regions, Math.floor(Math.sqrt((visitor * 7919) % (regions.length * regions.length))))
}

/** What reaches a collector when a sender is broken: half a line, another type, a field that is missing. */
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

/** The time of day at which a share of the day's lines has arrived: quiet at night, most in the evening. */
function timeOfDay(share: number): number {
  let low = 0
  let high = arrivedBy.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((arrivedBy[middle] ?? 1) <= share) low = middle
    else high = middle
  }
  const from = arrivedBy[low] ?? 0
  const to = arrivedBy[high] ?? 1
  return Math.min(dayMs - 1, Math.floor((low + (share - from) / (to - from)) * 60_000))
}

/** Per minute of the day the share that has arrived before it. */
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

/** Small, fast and the same on every machine (mulberry32). */
class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** A number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  /** An integer in [low, high]. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** An integer in [0, bound), small ones far more often: a few pages and visitors have most of the traffic. */
  skewed(bound: number): number {
    return Math.floor(bound * this.next() ** 2.5)
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)]
  }
}

function pick(items: readonly string[], index: number): string {
  return items[index % items.length] ?? ''
}

const regions: readonly string[] = ['africa', 'oceania', 'south-america', 'asia', 'north-america', 'europe']

const products: readonly string[] = (
  'kettle lamp rug chair desk shelf mirror clock vase blanket pillow towel mug plate bowl knife pan pot tray basket ' +
  'hook frame candle curtain stool bench bed sofa wardrobe drawer tent backpack bottle torch rope compass map boots ' +
  'jacket gloves scarf hat socks shirt belt wallet watch radio camera tripod'
).split(' ')

const pages: readonly string[] = ['/', '/sale', '/cart', '/new', '/help', '/account'].concat(
  products.map((product) => `/products/${product}`),
)

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
