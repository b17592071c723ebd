/**
 * What people do in the shop, visit by visit: they arrive on some page, look around, and one in eight buys a product
 * that they have looked at. At any time, as many visitors are present as needed for the next click to be due, each of
 * them clicking about once a minute.
 */
import type { EventType } from '../events.ts'
import type { Random } from './random.ts'
import { otherPaths, productPaths, visitorCount } from './shop.ts'

/** A click of a visitor. */
export interface Click {
  readonly visitor: number
  readonly type: EventType
  readonly path: string
  readonly status?: number
}

interface Visit {
  readonly visitor: number
  readonly buys: boolean
  clicksLeft: number
  isNew: boolean
  /** The product that was viewed last. */
  product: string | null
}

const clicksMax = 40

export class Visits {
  readonly #random: Random
  readonly #there: Visit[] = []

  constructor(random: Random) {
    this.#random = random
  }

  /** The next click of a present visitor, or of a new one if fewer than `wanted` are present. */
  next(wanted: number): Click {
    if (this.#there.length < Math.max(1, wanted)) this.#there.push(newVisit(this.#random))
    const index = this.#random.below(this.#there.length)
    const visit = this.#there[index] ?? newVisit(this.#random)
    const click = clickOf(visit, this.#random)
    visit.isNew = false
    visit.clicksLeft--
    if (visit.clicksLeft <= 0) {
      this.#there[index] = this.#there.at(-1) ?? visit
      this.#there.pop()
    }
    return click
  }
}

function newVisit(random: Random): Visit {
  const visitor = random.skewed(visitorCount, 1.5)
  const buys = random.chance(0.12)
  return { visitor, buys, clicksLeft: visitLength(buys, random), isNew: true, product: null }
}

/** A third leaves after one page; the others stay for about eight, buyers longer. */
function visitLength(buys: boolean, random: Random): number {
  if (!buys && random.chance(0.3)) return 1
  let clicks = buys ? 5 : 2
  while (clicks < clicksMax && random.chance(0.86)) clicks++
  return clicks
}

function clickOf(visit: Visit, random: Random): Click {
  const { visitor, buys, clicksLeft, isNew, product } = visit
  if (buys && product !== null && clicksLeft === 2) return { visitor, type: 'add-to-cart', path: product }
  if (buys && product !== null && clicksLeft === 1) return { visitor, type: 'order', path: '/checkout' }
  const chance = isNew ? 1 : random.next()
  if (chance < 0.09) return { visitor, type: 'search', path: '/search' }
  if (chance < 0.16 && product !== null) return { visitor, type: 'add-to-cart', path: product }
  if (chance < 0.175) return { visitor, type: 'error', path: anyPath(random), status: random.chance(0.8) ? 404 : 500 }
  const path = isNew ? entryPath(random) : random.chance(0.6) ? productPath(random) : otherPath(random)
  if (path.startsWith('/products/')) visit.product = path
  return { visitor, type: 'view', path }
}

function entryPath(random: Random): string {
  return random.chance(0.5) ? '/' : random.chance(0.3) ? '/sale' : productPath(random)
}

/** A page of the shop; bots choose pages in the same way. */
export function anyPath(random: Random): string {
  return random.chance(0.7) ? productPath(random) : otherPath(random)
}

// A few pages have most of the traffic.
function productPath(random: Random): string {
  return productPaths[random.skewed(productPaths.length, 2)] ?? '/'
}

function otherPath(random: Random): string {
  return otherPaths[random.skewed(otherPaths.length, 1.5)] ?? '/'
}
