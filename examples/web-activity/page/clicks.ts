/** Writes clicks on the page to `page-views`, as events of the shop. */
import { randomUUID } from 'node:crypto'
import type { EmbeddedLog, Producer } from 'millrace/log'
import { z } from 'zod'
import { nameLengthMax, pageViews, type ShopEvent, shopEvent } from '../events.ts'

/** The visitor name for clicks on the page. */
export const pageVisitor = 'you'

export interface Click {
  readonly type: 'view' | 'add-to-cart' | 'order'
  readonly path: string
}

const click: z.ZodType<Click> = z.strictObject({
  type: z.enum(['view', 'add-to-cart', 'order']),
  path: z.string().startsWith('/').max(nameLengthMax),
})

/** The click in a request body, or null. */
export function readClick(body: string): Click | null {
  try {
    const checked = click.safeParse(JSON.parse(body))
    return checked.success ? checked.data : null
  } catch {
    return null
  }
}

/** Maximum number of clicks that are not durable yet. */
const waitingMax = 64

export class Clicks {
  readonly #producer: Producer
  readonly #now: () => number
  #waiting = 0

  constructor(log: EmbeddedLog, now: () => number) {
    this.#producer = log.producer({ lingerMs: 0 })
    this.#now = now
  }

  get isFull(): boolean {
    return this.#waiting >= waitingMax
  }

  /** Resolves when the click is durable; resolves to null if it is not an event that can be counted. */
  async send({ type, path }: Click, agent: string): Promise<ShopEvent | null> {
    const at = this.#now()
    const visitor = pageVisitor
    const event = { id: randomUUID(), at, type, visitor, path, region: 'here', agent: agent.slice(0, nameLengthMax) }
    const checked = shopEvent.safeParse(event)
    if (!checked.success) return null
    this.#waiting++
    try {
      await this.#producer.send({ topic: pageViews, key: visitor, value: JSON.stringify(checked.data), timestamp: at })
    } finally {
      this.#waiting--
    }
    return checked.data
  }

  close(): Promise<void> {
    return this.#producer.close()
  }
}
