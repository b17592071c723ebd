/** What flows through the job: lines as they arrive, the shop's events, and the answers. */
import { hopping, sessions, type Topic, topic, tumbling, windowed, type Windowed, type Windows } from 'millrace'
import { z } from 'zod'
import type { PageViews } from './report.ts'

export const eventTypes = ['view', 'search', 'add-to-cart', 'order', 'error'] as const
export type EventType = (typeof eventTypes)[number]

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
  /** What the server answered, where it is known: access logs say, and errors of the shop do. */
  readonly status?: number | undefined
}

/** Names become keys of stores, which end at some 2,000 bytes. In characters, of which each has at most 3. */
export const nameLengthMax = 500

/** The end of the year 9999: what lies beyond is no time but a mistake. */
const timeMax = Date.UTC(10_000, 0) - 1

// The types alone: a check per field makes objects for each.
const anyEvent = z.object({
  id: z.string(),
  at: z.number(),
  type: z.enum(eventTypes),
  visitor: z.string(),
  path: z.string(),
  region: z.string(),
  agent: z.string(),
  status: z.number().optional(),
})

export const shopEvent: z.ZodType<ShopEvent, ShopEvent> = anyEvent.superRefine((event, context) => {
  const found = mistakeIn(event)
  if (found) context.addIssue({ code: 'custom', path: [found.field], message: found.message })
})

/** An event as {@link shopEvent} wants it, or what is wrong first. Every line of the job comes through here. */
export function readEvent(value: unknown): { readonly event: ShopEvent } | { readonly mistake: string } {
  const checked = anyEvent.safeParse(value)
  if (!checked.success) {
    const issue = checked.error.issues[0]
    return { mistake: `${issue?.path.join('.') || 'event'}: ${issue?.message ?? 'does not fit'}` }
  }
  // Asked beside the schema: a refinement makes it twice as slow.
  const found = mistakeIn(checked.data)
  return found ? { mistake: `${found.field}: ${found.message}` } : { event: checked.data }
}

/** What no type says: names that can be keys, times that can be. */
function mistakeIn({ id, at, visitor, path, region, agent, status = 0 }: ShopEvent): Mistake | null {
  if (id === '') return { field: 'id', message: 'is empty' }
  if (visitor === '') return { field: 'visitor', message: 'is empty' }
  if (!Number.isSafeInteger(at) || at < 0 || at > timeMax)
    return { field: 'at', message: `is no time in milliseconds from 0 to ${timeMax}` }
  if (!Number.isSafeInteger(status)) return { field: 'status', message: 'is no whole number' }
  return (
    mistakeInName('id', id) ??
    mistakeInName('visitor', visitor) ??
    mistakeInName('path', path) ??
    mistakeInName('region', region) ??
    mistakeInText('agent', agent)
  )
}

function mistakeInName(field: keyof ShopEvent, name: string): Mistake | null {
  if (name.length > nameLengthMax) return { field, message: `has more than ${nameLengthMax} characters` }
  return mistakeInText(field, name)
}

/** JSON can say half of a surrogate pair, which no bytes of a key can. */
function mistakeInText(field: keyof ShopEvent, text: string): Mistake | null {
  return text.isWellFormed() ? null : { field, message: 'has half of a surrogate pair' }
}

interface Mistake {
  readonly field: keyof ShopEvent
  readonly message: string
}

/** Of every topic of the job. */
export const partitions = 4

/** Lines as they arrived, unread, by visitor. Their timestamp is the time of arrival. */
export const lines: Topic<string, string> = topic('lines', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions,
  // A file is loaded whole, whatever its lines say of when they came.
  config: { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER },
})

/** Clicks on the job's own page, as lines too. */
export const pageViews: Topic<string, string> = topic('page-views', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions,
})

export type Segment = 'guest' | 'member' | 'gold'

/** Somebody with an account. */
export interface User {
  readonly segment: Exclude<Segment, 'guest'>
}

/** Accounts by visitor; null when one is closed. */
export const users: Topic<string, User | null> = topic('users', {
  key: z.string(),
  value: z.object({ segment: z.enum(['member', 'gold']) }),
  format: 'json',
  tombstones: true,
  partitions,
})

export interface Page {
  readonly title: string
  readonly category: string
}

/** Pages by path. */
export const pages: Topic<string, Page> = topic('pages', {
  key: z.string(),
  value: z.object({ title: z.string(), category: z.string() }),
  format: 'json',
  partitions,
})

/** What tells a bot from a person. */
export interface BotRules {
  /** Words in the names that programs go by, in small letters. */
  readonly agents: readonly string[]
  /** Who sends more events than this within a window of that length is a bot, from then on for so long. */
  readonly rate: { readonly eventsMax: number; readonly withinMs: number; readonly forMs: number }
}

const hourMs = 3_600_000

/** The key of the one row of `bot-rules`: all rules change at one moment. */
export const rulesKey = 'all'

export const botRulesTopic: Topic<string, BotRules> = topic('bot-rules', {
  key: z.string(),
  value: z.object({
    agents: z.array(z.string().min(1)).readonly(),
    rate: z.object({
      eventsMax: z.int().positive(),
      withinMs: z.int().positive().max(hourMs),
      forMs: z.int().positive(),
    }),
  }),
  format: 'json',
  partitions: 1,
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

export interface BotEvent {
  /** The word in the agent's name, or `rate`. */
  readonly rule: string
  readonly event: ShopEvent
}

export const botEvents: Topic<string, BotEvent> = topic('bot-events', {
  key: z.string(),
  value: z.object({ rule: z.string(), event: shopEvent }),
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

/** What a page saw in an hour. */
export interface PageHour {
  readonly category: string
  readonly views: number
  /** Different visitors. */
  readonly visitors: number
  /** The views by who the visitors were at that time. */
  readonly segments: SegmentViews
}

export type SegmentViews = { readonly [S in Segment]: number }

export const segmentViews: z.ZodType<SegmentViews, SegmentViews> = z.object({
  guest: z.number(),
  member: z.number(),
  gold: z.number(),
})

export const pageHour: z.ZodType<PageHour, PageHour> = z.object({
  category: z.string(),
  views: z.number(),
  visitors: z.number(),
  segments: segmentViews,
})

/** Each closed hour of each page. */
export const pageHours: Topic<Windowed<string, 'time'>, PageHour> = topic('page-hours', {
  key: windowed(z.string(), hour),
  value: pageHour,
  partitions,
})

/** By the hour's start and the category of the page. */
export const viewsPerCategory: Topic<readonly [number, string], SegmentViews> = topic('views-per-category', {
  key: z.tuple([z.number(), z.string()]).readonly(),
  value: segmentViews,
  partitions,
})

/** What belongs to one visit: its views are at most half an hour apart. */
export const sessionGap: Windows<'session'> = sessions('30m', { grace: '2m' })

/** A view that begins or ends something. */
export interface Moment {
  readonly at: number
  readonly id: string
  readonly path: string
}

export interface Session {
  readonly pages: number
  readonly entry: Moment | null
  readonly exit: Moment | null
}

const moment = z.object({ at: z.number(), id: z.string(), path: z.string() })

export const session: z.ZodType<Session, Session> = z.object({
  pages: z.number(),
  entry: moment.nullable(),
  exit: moment.nullable(),
})

/** By visitor and the times of the first and the last view; null where a session has become part of a longer one. */
export const visitorSessions: Topic<Windowed<string, 'session'>, Session | null> = topic('sessions', {
  key: windowed(z.string(), sessionGap),
  value: session,
  tombstones: true,
  partitions,
})

/** By hour and product, how many views of it were followed by an order of the same visitor within an hour. */
export const boughtAfterView: Counts<readonly [number, string]> = topic('bought-after-view', {
  key: z.tuple([z.number(), z.string()]).readonly(),
  value: z.number(),
  partitions,
})

/** A time in which too many requests of a region failed. */
export interface Alert {
  /** The first minute that was too bad, counting those just before it. */
  readonly from: number
  /** When it was over; null while it lasts. */
  readonly to: number | null
  /** Requests and failed ones from the five minutes that raised it to its end. */
  readonly events: number
  readonly failures: number
}

export const alert: z.ZodType<Alert, Alert> = z.object({
  from: z.number(),
  to: z.number().nullable(),
  events: z.number(),
  failures: z.number(),
})

/** By region and the minute that raised it: once when it is raised, once when it is over. */
export const alerts: Topic<readonly [string, number], Alert> = topic('alerts', {
  key: z.tuple([z.string(), z.number()]).readonly(),
  value: alert,
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

export type TypeCounts = { readonly [T in EventType]: number }

export const typeCounts: z.ZodType<TypeCounts, TypeCounts> = z.object({
  view: z.number(),
  search: z.number(),
  'add-to-cart': z.number(),
  order: z.number(),
  error: z.number(),
})

/** How many events of each type a region had, over all time. */
export const eventsPerRegion: Topic<string, TypeCounts> = topic('events-per-region', {
  key: z.string(),
  value: typeCounts,
  partitions,
})

/** How many lines became no event of a person: `malformed`, `duplicate`, `bot` and its rule. */
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
