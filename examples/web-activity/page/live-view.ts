/**
 * The state that the page shows. It is read from the job's answers as any other reader would: only durable records, and
 * only those of the last few hours, however long the job has been running. All data that is kept is bounded by time and
 * number.
 */
import { setTimeout } from 'node:timers/promises'
import type { Topic } from 'millrace'
import type { ConsumerRecord, EmbeddedLog } from 'millrace/log'
import {
  alerts,
  boughtAfterView,
  hour,
  minute,
  partitions,
  sessionGap,
  viewsPerPage,
  visitorSessions,
} from '../events.ts'
import { isProduct } from '../traffic/shop.ts'
import { isTick } from '../traffic/ticks.ts'
import { pageVisitor } from './clicks.ts'

export interface LiveState {
  readonly now: number
  /** Views of each of the last sixty minutes, the oldest first; the last minute is still going on. */
  readonly minutes: readonly { readonly start: number; readonly views: number }[]
  /** The most viewed pages of these sixty minutes. */
  readonly pages: readonly { readonly page: string; readonly views: number }[]
  readonly sessions: { readonly now: number; readonly pages: number; readonly bounces: number }
  /** Product views since `since`, and those that were followed by an order of the same visitor within an hour. */
  readonly funnel: { readonly since: number; readonly views: number; readonly bought: number }
  /** The session of the user who clicks on the page. */
  readonly you: { readonly pages: number; readonly entry: string; readonly exit: string } | null
  readonly alerts: readonly { readonly region: string; readonly from: number }[]
}

const minutesShown = 60
const pagesShown = 10
/**
 * Maximum number of counts per page and minute that are kept; far more than a shop with some hundred pages has in two
 * hours.
 */
const countsMax = 50_000
const sessionsMax = 50_000

interface OpenSession {
  readonly visitor: string
  readonly end: number
  readonly pages: number
  readonly entry: string
  readonly exit: string
}

/** Takes records of the answers and computes the state of the page. */
export class LiveView {
  readonly #counts = new Map<string, { readonly start: number; readonly page: string; readonly views: number }>()
  readonly #sessions = new Map<string, OpenSession>()
  readonly #bought = new Map<string, { readonly hour: number; readonly count: number }>()
  readonly #alerts = new Map<string, { readonly region: string; readonly from: number; readonly to: number | null }>()
  /** Counts the records taken in, so that callers can see whether anything has changed. */
  changes = 0

  viewsCounted(page: string, start: number, views: number): void {
    this.changes++
    if (isTick(page)) return
    const key = `${start} ${page}`
    if (this.#counts.size < countsMax || this.#counts.has(key)) this.#counts.set(key, { start, page, views })
  }

  /** `isThere` is false if the session has become part of a longer one. */
  sessionChanged(session: { readonly visitor: string; readonly start: number } & OpenSession, isThere: boolean): void {
    this.changes++
    const { visitor, start, end, pages, entry, exit } = session
    const key = `${start} ${end} ${visitor}`
    if (!isThere) this.#sessions.delete(key)
    else if (this.#sessions.size < sessionsMax) this.#sessions.set(key, { visitor, end, pages, entry, exit })
  }

  boughtCounted(hourStart: number, product: string, count: number): void {
    this.changes++
    this.#bought.set(`${hourStart} ${product}`, { hour: hourStart, count })
  }

  alertTold(region: string, from: number, to: number | null): void {
    this.changes++
    this.#alerts.set(`${from} ${region}`, { region, from, to })
  }

  state(now: number): LiveState {
    const since = now - (now % hour.sizeMs) - hour.sizeMs
    this.#forget(now, since)
    const firstMinute = now - (now % minute.sizeMs) - (minutesShown - 1) * minute.sizeMs
    const perMinute = new Map<number, number>()
    const perPage = new Map<string, number>()
    let productViews = 0
    for (const { start, page, views } of this.#counts.values()) {
      if (start >= since && isProduct(page)) productViews += views
      if (start < firstMinute) continue
      perMinute.set(start, (perMinute.get(start) ?? 0) + views)
      perPage.set(page, (perPage.get(page) ?? 0) + views)
    }
    const sessions = [...this.#sessions.values()]
    const you = sessions.filter(({ visitor }) => visitor === pageVisitor).toSorted((a, b) => b.end - a.end)[0]
    return {
      now,
      minutes: Array.from({ length: minutesShown }, (_, index) => {
        const start = firstMinute + index * minute.sizeMs
        return { start, views: perMinute.get(start) ?? 0 }
      }),
      pages: [...perPage]
        .map(([page, views]) => ({ page, views }))
        .toSorted((a, b) => b.views - a.views || (a.page < b.page ? -1 : 1))
        .slice(0, pagesShown),
      sessions: {
        now: sessions.length,
        pages: sessions.reduce((sum, { pages }) => sum + pages, 0),
        bounces: sessions.filter(({ pages }) => pages === 1).length,
      },
      funnel: {
        since,
        views: productViews,
        bought: [...this.#bought.values()].reduce((sum, { count }) => sum + count, 0),
      },
      you: you ? { pages: you.pages, entry: you.entry, exit: you.exit } : null,
      alerts: [...this.#alerts.values()].filter(({ to }) => to === null).map(({ region, from }) => ({ region, from })),
    }
  }

  #forget(now: number, since: number): void {
    for (const [key, { start }] of this.#counts) if (start < since) this.#counts.delete(key)
    for (const [key, { end }] of this.#sessions) if (end < now - sessionGap.sizeMs) this.#sessions.delete(key)
    for (const [key, bought] of this.#bought) if (bought.hour < since) this.#bought.delete(key)
    for (const [key, { from, to }] of this.#alerts)
      if (to !== null || from < now - 24 * hour.sizeMs) this.#alerts.delete(key)
  }
}

/** Follows the answers in the log. Calls `onChange` at most a few times a second, while there is something new. */
export class LiveFeed {
  readonly view: LiveView = new LiveView()
  readonly #failure: PromiseWithResolvers<never> = Promise.withResolvers<never>()
  readonly #closers: (() => Promise<void>)[] = []
  readonly #now: () => number
  #closed = false

  constructor(log: EmbeddedLog, now: () => number, onChange: (state: LiveState) => void) {
    const { view } = this
    this.#now = now
    // The error is reported by `failed`; if that is not awaited, it must not count as an unhandled rejection.
    this.#failure.promise.catch(() => undefined)
    this.#follow(log, viewsPerPage, ({ key, value }) => view.viewsCounted(key.key, key.start, value))
    this.#follow(log, visitorSessions, ({ key: { key, start, end }, value }) => {
      const [entry, exit] = [value?.entry?.path ?? '', value?.exit?.path ?? '']
      const session = { visitor: key, start, end, pages: value?.pages ?? 0, entry, exit }
      view.sessionChanged(session, value !== null)
    })
    this.#follow(log, boughtAfterView, ({ key: [start, product], value }) => view.boughtCounted(start, product, value))
    this.#follow(log, alerts, ({ key: [region], value }) => view.alertTold(region, value.from, value.to))
    this.#tell(onChange)
  }

  /** Rejects with the error that stopped it. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#closers.map((close) => close()))
  }

  #follow<K, V>(
    log: EmbeddedLog,
    topic: Topic<K, V, never, never>,
    take: (record: ConsumerRecord<K, V>) => void,
  ): void {
    const consumer = log.consumer({ topics: [topic], autoOffsetReset: 'earliest' })
    const places = Array.from({ length: partitions }, (_, partition) => ({ topic: topic.name, partition }))
    consumer.assign(places)
    for (const at of places) consumer.seek(at, { timestamp: this.#now() - lookBackMs })
    const following = (async () => {
      while (!this.#closed) for (const record of await consumer.poll({ waitMs: pollWaitMs })) take(record)
    })().catch((error: unknown) => this.#failure.reject(error))
    this.#closers.push(async () => {
      consumer.wakeup()
      await following
      await consumer.close()
    })
  }

  #tell(onChange: (state: LiveState) => void): void {
    let told = -1
    let toldAt = 0
    const telling = (async () => {
      while (!this.#closed) {
        const now = this.#now()
        // Time passes without records as well: windows move, and sessions end.
        if (this.view.changes !== told || now - toldAt >= idleMs) {
          told = this.view.changes
          toldAt = now
          onChange(this.view.state(now))
        }
        await setTimeout(tellEveryMs)
      }
    })().catch((error: unknown) => this.#failure.reject(error))
    this.#closers.push(() => telling)
  }
}

const lookBackMs = 3 * 3_600_000
const pollWaitMs = 500
const tellEveryMs = 150
const idleMs = 1000
