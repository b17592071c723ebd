/**
 * The shop of the generated traffic: its pages, its visitors, and which of them have accounts. Information that is not
 * in the stream of events is in rows of tables, which the loader writes into topics of their own.
 */
import type { BotRules, Page, User } from '../events.ts'
import { Random } from './random.ts'

const departments: { readonly [category: string]: string } = {
  kitchen: 'kettle mug plate bowl knife pan pot tray',
  living: 'lamp rug chair shelf mirror clock vase frame candle curtain bench sofa',
  bedroom: 'blanket pillow towel bed drawer wardrobe basket hook',
  office: 'desk stool wallet watch radio camera tripod',
  outdoor: 'tent backpack bottle torch rope compass map',
  clothing: 'boots jacket gloves scarf hat socks shirt belt',
}

export interface PageRow {
  readonly path: string
  readonly page: Page
}

/** Every page of the shop. */
export const pageRows: readonly PageRow[] = [
  ...['/', '/sale', '/new', '/cart', '/help', '/account'].map((path) => ({
    path,
    page: { title: path === '/' ? 'Home' : titled(path.slice(1)), category: 'shop' },
  })),
  ...Object.entries(departments).flatMap(([category, names]) =>
    names.split(' ').map((name) => ({ path: `/products/${name}`, page: { title: titled(name), category } })),
  ),
]

export const productPaths: readonly string[] = pageRows.map(({ path }) => path).filter(isProduct)
export const otherPaths: readonly string[] = pageRows.map(({ path }) => path).filter((path) => !isProduct(path))

export function isProduct(path: string): boolean {
  return path.startsWith('/products/')
}

function titled(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1)
}

export const regions: readonly string[] = ['africa', 'oceania', 'south-america', 'asia', 'north-america', 'europe']

/** A visitor stays in one region; the regions differ in size. */
export function regionOf(visitor: number): string {
  return regions[Math.floor(Math.sqrt((visitor * 7919) % (regions.length * regions.length)))] ?? ''
}

export const visitorCount = 9000

export interface UserRow {
  readonly visitor: string
  /** Null if the account was closed. */
  readonly user: User | null
  /** When this change took effect. */
  readonly at: number
}

/** The accounts in time order: those that exist before the day, and the changes during it. */
export function userRows({ seed, dayStart }: { readonly seed: number; readonly dayStart: number }): UserRow[] {
  const random = new Random(seed + 0x5eed)
  const before: UserRow[] = []
  const during: UserRow[] = []
  for (let number = 0; number < visitorCount; number++) {
    const visitor = `v${number}`
    const hasAccount = random.chance(0.6)
    if (hasAccount) {
      before.push({
        visitor,
        user: { segment: random.chance(0.15) ? 'gold' : 'member' },
        at: dayStart - visitorCount + number,
      })
    }
    if (!random.chance(0.04)) continue
    const at = dayStart + random.below(dayMs)
    if (!hasAccount) during.push({ visitor, user: { segment: 'member' }, at })
    else during.push({ visitor, user: random.chance(0.7) ? { segment: 'gold' } : null, at })
  }
  return [...before, ...during.toSorted((a, b) => a.at - b.at)]
}

export const dayMs = 86_400_000

/** The rules that distinguish bots from people: words in agent names, and a rate at which nobody reads. */
export const botRules: BotRules = {
  agents: ['bot', 'crawl', 'spider', 'slurp', 'feed'],
  rate: { eventsMax: 120, withinMs: 60_000, forMs: 3_600_000 },
}

/** The midnight at which the generated day begins, unless the traffic is live: a Friday with many orders. */
export const shopDay: number = Date.UTC(2025, 10, 28)
