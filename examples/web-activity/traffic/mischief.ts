/**
 * What happens in a shop besides its visitors: programs that pretend to be browsers and read several pages per second,
 * and hours in which the shop's own servers fail.
 */
import { Random } from './random.ts'
import { dayMs, regions } from './shop.ts'
import { anyPath } from './visits.ts'

export interface ScraperRequest {
  readonly scraper: number
  readonly at: number
  readonly path: string
}

const scraperLinesMin = 300
const scraperLinesMax = 400
/** There is one scraper for this many lines of a day. */
const linesPerScraper = 20_000

/** The requests of all scrapers of the day, in time order; none if the day has few lines. */
export function scraperRequests(seed: number, lines: number): readonly ScraperRequest[] {
  const random = new Random(seed + 0x5c4a)
  const requests: ScraperRequest[] = []
  for (let scraper = 0; scraper < Math.floor(lines / linesPerScraper); scraper++) {
    const count = random.between(scraperLinesMin, scraperLinesMax)
    const tookMs = random.between(60_000, 100_000)
    const from = random.below(dayMs - tookMs)
    for (let index = 0; index < count; index++) {
      requests.push({ scraper, at: from + Math.floor((tookMs * index) / count), path: anyPath(random) })
    }
  }
  return requests.toSorted((a, b) => a.at - b.at)
}

/** The part of a day in which most requests of a region fail. */
export interface Outage {
  readonly region: string
  readonly from: number
  readonly to: number
}

const outagesPerDay = 4

export function outages(seed: number): readonly Outage[] {
  const random = new Random(seed + 0x0a7e)
  return Array.from({ length: outagesPerDay }, () => {
    const from = random.between(dayMs / 3, (dayMs * 11) / 12)
    // One of the larger regions, where an outage is noticed.
    const region = regions[regions.length - 1 - random.below(3)] ?? ''
    return { region, from, to: from + random.between(6, 14) * 60_000 }
  })
}
