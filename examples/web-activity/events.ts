/** What flows through the job: lines as they arrive, the shop's events, and the answers. */
import { hopping, type Topic, topic, tumbling, windowed, type Windowed, type Windows } from 'millrace'
import { z } from 'zod'
import type { PageViews } from './report.ts'

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

/** Names become keys of stores, which end at some 2,000 bytes. In characters, of which each has at most 3. */
export const nameLengthMax = 500

/** The end of the year 9999: what lies beyond is no time but a mistake. */
const timeMax = Date.UTC(10_000, 0) - 1

/** JSON can say half of a surrogate pair, which no bytes of a key can. */
const text = z.string().refine((given) => given.isWellFormed(), 'has half of a surrogate pair')
const name = text.max(nameLengthMax)

export const shopEvent: z.ZodType<ShopEvent, ShopEvent> = z.object({
  id: name.min(1),
  at: z.int().nonnegative().max(timeMax),
  type: z.enum(['view', 'search', 'add-to-cart', 'order', 'error']),
  visitor: name.min(1),
  path: name,
  region: name,
  agent: text,
  status: z.int().optional(),
})

/** Of every topic of the job. */
export const partitions = 4

/** Lines as they arrived, unread, by visitor. Their timestamp is the time of arrival. */
export const lines: Topic<string, string> = topic('lines', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions,
})

export interface DeadLetter {
  readonly line: string
  readonly reason: string
}

/** What could not be read, with the reason. */
export const deadLetters: Topic<string, DeadLetter> = topic('dead-letters', {
  key: z.string(),
  value: z.object({ line: z.string(), reason: z.string() }),
  format: 'json',
  partitions,
})

export const botEvents: Topic<string, ShopEvent> = topic('bot-events', {
  key: z.string(),
  value: shopEvent,
  format: 'json',
  partitions,
})

export const minute: Windows<'time'> = tumbling('1m', { grace: '2m' })
export const fiveMinutes: Windows<'time'> = hopping('5m', { advance: '1m', grace: '2m' })
export const hour: Windows<'time'> = tumbling('1h', { grace: '2m' })

export type Counts<K> = Topic<K, number>

export const viewsPerPage: Counts<Windowed<string, 'time'>> = topic('views-per-page', {
  key: windowed(z.string(), minute),
  value: z.number(),
  partitions,
})

export const viewsPerRegion: Counts<Windowed<string, 'time'>> = topic('views-per-region', {
  key: windowed(z.string(), fiveMinutes),
  value: z.number(),
  partitions,
})

export const ranking: z.ZodType<readonly PageViews[], readonly PageViews[]> = z
  .array(z.object({ page: z.string(), views: z.number() }))
  .readonly()

/** By the hour's start. */
export const topPages: Topic<number, readonly PageViews[]> = topic('top-pages', {
  key: z.number(),
  value: ranking,
  partitions,
})

/** How many lines became what: `malformed`, `duplicate`, `bot`, or the type of a good event. */
export const outcomes: Counts<string> = topic('outcomes', { key: z.string(), value: z.number(), partitions })

export const requestsPerStatus: Counts<number> = topic('requests-per-status', {
  key: z.number(),
  value: z.number(),
  partitions,
})
export const requestsPerClient: Counts<string> = topic('requests-per-client', {
  key: z.string(),
  value: z.number(),
  partitions,
})
/** By the minute's start. */
export const requestsPerMinute: Counts<number> = topic('requests-per-minute', {
  key: z.number(),
  value: z.number(),
  partitions,
})
