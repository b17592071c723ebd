/** What flows through the job: the shop's events, and the topics between its parts and around it. */
import { z } from 'zod'

export type EventType = 'view' | 'search' | 'add-to-cart' | 'order' | 'error'

export interface ShopEvent {
  readonly id: string
  /** When it happened, in milliseconds since the epoch. It may arrive later. */
  readonly at: number
  readonly type: EventType
  readonly visitor: string
  readonly path: string
  readonly region: string
  /** The user agent. */
  readonly agent: string
  /** What the server answered; only access logs say. */
  readonly status?: number | undefined
}

export const shopEvent: z.ZodType<ShopEvent, ShopEvent> = z.object({
  id: z.string().min(1),
  at: z.int().nonnegative(),
  type: z.enum(['view', 'search', 'add-to-cart', 'order', 'error']),
  visitor: z.string().min(1),
  path: z.string(),
  region: z.string(),
  agent: z.string(),
  status: z.int().optional(),
})
