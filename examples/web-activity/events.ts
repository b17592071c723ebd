/** The data of the job: lines as they arrive, the shop's events, and the answers. */
import { hopping, sessions, type Topic, topic, tumbling, windowed, type Windowed, type Windows } from 'millrace'
import { z } from 'zod'
import type { PageViews } from './answers/report.ts'

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
  /** The server's status code, if known: it is in access logs, and in the shop's errors. */
  readonly status?: number | undefined
}

/**
 * Names become keys of stores, which are limited to about 2,000 bytes. This is in characters, of at most 3 bytes each.
 */
export const nameLengthMax = 500

/** The end of the year 9999: a later time is a mistake. */
const timeMax = Date.UTC(10_000, 0) - 1

// Only the types: a check for each field would allocate objects for each.
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

/** Returns the event if it fits {@link shopEvent}, otherwise its first mistake. Called for every line of the job. */
export function readEvent(value: unknown): { readonly event: ShopEvent } | { readonly mistake: string } {
  const checked = anyEvent.safeParse(value)
  if (!checked.success) {
    const issue = checked.error.issues[0]
    return { mistake: `${issue?.path.join('.') || 'event'}: ${issue?.message ?? 'does not fit'}` }
  }
  // Checked outside the schema, because a refinement makes it twice as slow.
  const found = mistakeIn(checked.data)
  return found ? { mistake: `${found.field}: ${found.message}` } : { event: checked.data }
}

/** Checks what types cannot express: names must be usable as keys, and times must be plausible. */
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

/** JSON can contain half of a surrogate pair, which cannot be encoded in the bytes of a key. */
function mistakeInText(field: keyof ShopEvent, text: string): Mistake | null {
  return text.isWellFormed() ? null : { field, message: 'has half of a surrogate pair' }
}

interface Mistake {
  readonly field: keyof ShopEvent
  readonly message: string
}

/** Number of partitions of every topic of the job. */
export const partitions = 4

/** Lines as they arrived, not parsed, by visitor. Their timestamp is the arrival time. */
export const lines: Topic<string, string> = topic('lines', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions,
  // A file is loaded as a whole, whatever times its lines have.
  config: { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER },
})

/** Clicks on the job's own page, as lines. */
export const pageViews: Topic<string, string> = topic('page-views', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions,
})

export type Segment = 'guest' | 'member' | 'gold'

/** A visitor with an account. */
export interface User {
  readonly segment: Exclude<Segment, 'guest'>
}

/** Accounts by visitor; null if the account was closed. */
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

/** The rules that distinguish bots from people. */
export interface BotRules {
  /** Words in the names of programs, in lower case. */
  readonly agents: readonly string[]
  /** A visitor with more than `eventsMax` events within a window of `withinMs` counts as a bot for the next `forMs`. */
  readonly rate: { readonly eventsMax: number; readonly withinMs: number; readonly forMs: number }
}

const hourMs = 3_600_000

/** The key of the only row of `bot-rules`, so that all rules change at the same time. */
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

/** Lines that could not be read, with the reason. */
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

/** The views of a page in an hour. */
export interface PageHour {
  readonly category: string
  readonly views: number
  /** Number of different visitors. */
  readonly visitors: number
  /** The views by the segment that the visitors were in at that time. */
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

/** Defines a visit: its views are at most half an hour apart. */
export const sessionGap: Windows<'session'> = sessions('30m', { grace: '2m' })

/** The first or last view of a session. */
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

/** By visitor and the times of the first and the last view; null if a session has become part of a longer one. */
export const visitorSessions: Topic<Windowed<string, 'session'>, Session | null> = topic('sessions', {
  key: windowed(z.string(), sessionGap),
  value: session,
  tombstones: true,
  partitions,
})

/** By hour and product: how many views were followed by an order of the same visitor within an hour. */
export const boughtAfterView: Counts<readonly [number, string]> = topic('bought-after-view', {
  key: z.tuple([z.number(), z.string()]).readonly(),
  value: z.number(),
  partitions,
})

/** A period in which too many requests of a region failed. */
export interface Alert {
  /** The first minute of the five that raised the alert. */
  readonly from: number
  /** When it ended; null while it lasts. */
  readonly to: number | null
  /** Requests and failures from the five minutes that raised the alert to its end. */
  readonly events: number
  readonly failures: number
}

export const alert: z.ZodType<Alert, Alert> = z.object({
  from: z.number(),
  to: z.number().nullable(),
  events: z.number(),
  failures: z.number(),
})

/** By region and the minute that raised the alert: one record when it is raised, one when it has ended. */
export const alerts: Topic<readonly [string, number], Alert> = topic('alerts', {
  key: z.tuple([z.string(), z.number()]).readonly(),
  value: alert,
  partitions,
})

export const ranking: z.ZodType<readonly PageViews[], readonly PageViews[]> = z
  .array(z.object({ page: z.string(), views: z.number() }))
  .readonly()

/** By the start of the hour. */
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

/** Number of events of each type in a region, over all time. */
export const eventsPerRegion: Topic<string, TypeCounts> = topic('events-per-region', {
  key: z.string(),
  value: typeCounts,
  partitions,
})

/** Number of lines that did not become an event of a person: `malformed`, `duplicate`, or `bot` with its rule. */
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
/** By the start of the minute. */
export const requestsPerMinute: Counts<number> = topic('requests-per-minute', {
  key: z.number(),
  value: z.number(),
  partitions,
})
