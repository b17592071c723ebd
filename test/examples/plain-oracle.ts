/**
 * What the web-activity job must answer, computed by loops over plain Maps: no windows, no stores, no partitions, no
 * code of the job or of millrace. It assumes that no event is late beyond its grace, which the traffic promises; so it
 * also shows that the job drops nothing.
 */
export type AnswerRow = { readonly [field: string]: unknown }

interface PlainEvent {
  readonly id: string
  readonly at: number
  readonly type: string
  readonly visitor: string
  readonly path: string
  readonly region: string
  readonly agent: string
  readonly status?: number
  /** When its line arrived. */
  readonly arrivedAt: number
}

/** The tables that the job reads besides the lines. */
export interface PlainTables {
  readonly users: readonly {
    readonly visitor: string
    readonly user: { readonly segment: string } | null
    readonly at: number
  }[]
  readonly pages: readonly { readonly path: string; readonly page: { readonly category: string } }[]
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** The answers for a day of the shop, from its lines in the order of arrival. */
export function shopAnswers(
  lines: Iterable<{ readonly line: string; readonly arrivedAt: number }>,
  tables: PlainTables,
): AnswerRow[] {
  const events: PlainEvent[] = []
  const accepted = new Map<string, number>()
  const totals = { lines: 0, malformed: 0, duplicates: 0 }
  for (const { line, arrivedAt } of lines) {
    totals.lines++
    const event = plainEvent(line, arrivedAt)
    if (!event) {
      totals.malformed++
      continue
    }
    const before = accepted.get(event.id)
    if (before !== undefined && arrivedAt - before < 10 * minuteMs) {
      totals.duplicates++
      continue
    }
    accepted.set(event.id, arrivedAt)
    events.push(event)
  }
  const people = withoutBots(events)
  return [...answers(totals, people), ...categoryAnswers(people.events, tables), ...funnelAnswers(people.events)]
}

/** The answers for an access log, from its whole text. */
export function accessLogAnswers(text: string): AnswerRow[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const totals = { lines: lines.length, malformed: 0, duplicates: 0 }
  const events: PlainEvent[] = []
  const perStatus = new Map<number, number>()
  const perClient = new Map<string, number>()
  const perMinute = new Map<number, number>()
  let arrivedAt = 0
  for (const [index, line] of lines.entries()) {
    // host - - [time] "request" status bytes "referrer" "agent": six quotes, when none is escaped.
    const [head = '', request = '', middle = '', , between, agent, tail] = line.split('"')
    const time = /\[(\d\d)\/(\w{3})\/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)\]/.exec(head)
    if (!time || between !== ' ' || agent === undefined || tail !== '') {
      totals.malformed++
      continue
    }
    const at = Date.parse(`${time[1]} ${time[2]} ${time[3]} ${time[4]} ${time[5]}${time[6]}`)
    const status = Number(middle.trim().split(' ')[0])
    add(perStatus, status)
    add(perClient, head.split(' ')[0] ?? '')
    add(perMinute, at - (at % minuteMs))
    const path = (request.split(' ')[1] ?? '-').split('?')[0] ?? ''
    arrivedAt = Math.max(arrivedAt, at)
    const visitor = head.split(' ')[0] ?? ''
    const type = status >= 400 ? 'error' : 'view'
    events.push({ id: String(index + 1), at, type, visitor, path, region: 'unknown', agent, status, arrivedAt })
  }
  return [
    ...answers(totals, withoutBots(events)),
    ...[...perStatus].map(([status, requests]) => ({ answer: 'requests-per-status', status, requests })),
    ...[...perClient].map(([client, requests]) => ({ answer: 'requests-per-client', client, requests })),
    ...[...perMinute].map(([minute, requests]) => ({ answer: 'requests-per-minute', minute: iso(minute), requests })),
  ]
}

function plainEvent(line: string, arrivedAt: number): PlainEvent | undefined {
  try {
    const event = JSON.parse(line)
    if (['id', 'type', 'visitor', 'path', 'region', 'agent'].some((field) => typeof event[field] !== 'string'))
      return undefined
    if (!Number.isInteger(event.at) || event.at < 0) return undefined
    const isKnown = ['view', 'search', 'add-to-cart', 'order', 'error'].includes(event.type)
    return isKnown ? { ...event, arrivedAt } : undefined
  } catch {
    return undefined
  }
}

interface People {
  readonly events: readonly PlainEvent[]
  readonly botsPerRule: ReadonlyMap<string, number>
}

/** More than 120 events in a minute, by the clock of arrival, make a bot for an hour; so does a word in the name. */
function withoutBots(all: readonly PlainEvent[]): People {
  const botsPerRule = new Map<string, number>()
  const perMinute = new Map<string, number>()
  const until = new Map<string, number>()
  const events = all.filter(({ agent, visitor, arrivedAt }) => {
    const word = ['bot', 'crawl', 'spider', 'slurp', 'feed'].find((one) => agent.toLowerCase().includes(one))
    if (word === undefined) {
      const minute = `${visitor} ${Math.floor(arrivedAt / minuteMs)}`
      add(perMinute, minute)
      if ((perMinute.get(minute) ?? 0) > 120) until.set(visitor, arrivedAt + hourMs)
    }
    const rule = word ?? (arrivedAt < (until.get(visitor) ?? 0) ? 'rate' : undefined)
    if (rule === undefined) return true
    add(botsPerRule, rule)
    return false
  })
  return { events, botsPerRule }
}

function answers(
  totals: { readonly lines: number; readonly malformed: number; readonly duplicates: number },
  { events, botsPerRule }: People,
): AnswerRow[] {
  const perType: Record<string, number> = {}
  const perPage = new Map<string, number>()
  const perRegion = new Map<string, number>()
  const perHour = new Map<number, Map<string, number>>()
  const visitors = new Map<string, Set<string>>()
  for (const { at, type, visitor, path, region } of events) {
    perType[type] = (perType[type] ?? 0) + 1
    if (type !== 'view') continue
    const minute = at - (at % minuteMs)
    add(perPage, JSON.stringify([minute, path]))
    for (let from = minute - 4 * minuteMs; from <= minute; from += minuteMs)
      if (from >= 0) add(perRegion, JSON.stringify([from, region]))
    const hour = at - (at % hourMs)
    const pages = perHour.get(hour) ?? new Map<string, number>()
    perHour.set(hour, pages)
    add(pages, path)
    const hourOfPage = JSON.stringify([hour, path])
    visitors.set(hourOfPage, (visitors.get(hourOfPage) ?? new Set()).add(visitor))
  }
  const bots = [...botsPerRule.values()].reduce((sum, count) => sum + count, 0)
  const rows: AnswerRow[] = [{ answer: 'totals', ...totals, bots, events: perType }]
  for (const [rule, count] of botsPerRule) rows.push({ answer: 'bots-per-rule', rule, events: count })
  for (const [key, views] of perPage) {
    const [minute, page] = JSON.parse(key)
    rows.push({ answer: 'views-per-page', minute: iso(minute), page, views })
  }
  for (const [key, views] of perRegion) {
    const [from, region] = JSON.parse(key)
    rows.push({ answer: 'views-per-region', from: iso(from), to: iso(from + 5 * minuteMs), region, views })
  }
  for (const [hour, pages] of perHour) {
    const ranked = [...pages].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 10)
    for (const [index, [page, views]] of ranked.entries())
      rows.push({ answer: 'top-pages', hour: iso(hour), rank: index + 1, page, views })
  }
  for (const [key, { size }] of visitors) {
    const [hour, page] = JSON.parse(key)
    rows.push({ answer: 'unique-visitors', hour: iso(hour), page, visitors: size })
  }
  return [...rows, ...alertAnswers(events), ...sessionAnswers(events)]
}

/** Views by the category of the page and the account that the visitor had when the line arrived. */
function categoryAnswers(events: readonly PlainEvent[], { users, pages }: PlainTables): AnswerRow[] {
  const categories = new Map(pages.map(({ path, page }) => [path, page.category]))
  const accounts = new Map<string, { readonly segment: string | undefined; readonly at: number }[]>()
  for (const { visitor, user, at } of users) {
    const history = accounts.get(visitor) ?? []
    accounts.set(visitor, history)
    history.push({ segment: user?.segment, at })
  }
  const perHour = new Map<string, { guest: number; member: number; gold: number }>()
  for (const { at, type, visitor, path, arrivedAt } of events) {
    if (type !== 'view') continue
    const key = JSON.stringify([at - (at % hourMs), categories.get(path) ?? 'other'])
    const views = perHour.get(key) ?? { guest: 0, member: 0, gold: 0 }
    perHour.set(key, views)
    const segment = accounts.get(visitor)?.findLast((row) => row.at < arrivedAt)?.segment ?? 'guest'
    if (segment === 'guest' || segment === 'member' || segment === 'gold') views[segment]++
  }
  return [...perHour].map(([key, views]) => {
    const [hour, category] = JSON.parse(key)
    return { answer: 'views-per-category', hour: iso(hour), category, ...views }
  })
}

/** Views of a visitor that are at most half an hour apart. */
function sessionAnswers(events: readonly PlainEvent[]): AnswerRow[] {
  const perVisitor = Map.groupBy(
    events.filter(({ type }) => type === 'view'),
    ({ visitor }) => visitor,
  )
  return [...perVisitor].flatMap(([visitor, views]) => {
    const inOrder = views.toSorted((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))
    const sessions: PlainEvent[][] = []
    for (const view of inOrder) {
      const last = sessions.at(-1)?.at(-1)
      if (last && view.at - last.at <= 30 * minuteMs) sessions.at(-1)?.push(view)
      else sessions.push([view])
    }
    return sessions.flatMap((session) => {
      const [first, last] = [session[0], session.at(-1)]
      if (!first || !last) return []
      const times = { from: iso(first.at), to: iso(last.at), durationMs: last.at - first.at }
      const pages = session.length
      return [{ answer: 'sessions', visitor, ...times, pages, entry: first.path, exit: last.path, bounce: pages === 1 }]
    })
  })
}

/** Product views by hour, and those that an order of the same visitor followed within an hour. */
function funnelAnswers(events: readonly PlainEvent[]): AnswerRow[] {
  const orders = Map.groupBy(
    events.filter(({ type }) => type === 'order'),
    ({ visitor }) => visitor,
  )
  const perHour = new Map<string, { views: number; bought: number }>()
  for (const { at, type, visitor, path } of events) {
    if (type !== 'view' || !path.startsWith('/products/')) continue
    const key = JSON.stringify([at - (at % hourMs), path])
    const counts = perHour.get(key) ?? { views: 0, bought: 0 }
    perHour.set(key, counts)
    counts.views++
    if (orders.get(visitor)?.some((order) => order.at >= at && order.at - at <= hourMs)) counts.bought++
  }
  return [...perHour].map(([key, counts]) => {
    const [hour, product] = JSON.parse(key)
    return { answer: 'funnel', hour: iso(hour), product, ...counts }
  })
}

/** When a fifth of the requests of five minutes fail, and five at least, a burst begins; less than 3 % end it. */
function alertAnswers(events: readonly PlainEvent[]): AnswerRow[] {
  const rows: AnswerRow[] = []
  for (const region of new Set(events.map((event) => event.region))) {
    const asked = new Map<number, number>()
    const failed = new Map<number, number>()
    for (const event of events) {
      if (event.region !== region) continue
      const minute = event.at - (event.at % minuteMs)
      add(asked, minute)
      if ((event.status ?? 0) >= 500) add(failed, minute)
    }
    const count = (from: number, to: number) => {
      const sum = { events: 0, failures: 0 }
      for (let minute = from; minute < to; minute += minuteMs) {
        sum.events += asked.get(minute) ?? 0
        sum.failures += failed.get(minute) ?? 0
      }
      return sum
    }
    let open: number | null = null
    const tell = (from: number, until: number, to: string | null): void => {
      rows.push({ answer: 'alerts', region, from: iso(from), to, ...count(from - 4 * minuteMs, until) })
    }
    for (const minute of [...asked.keys()].toSorted((a, b) => a - b)) {
      const { events: all, failures } = count(minute - 4 * minuteMs, minute + minuteMs)
      if (open === null && failures >= 5 && failures / all >= 0.2) open = minute
      else if (open !== null && failures / all < 0.03) {
        tell(open, minute + minuteMs, iso(minute + minuteMs))
        open = null
      }
    }
    if (open !== null) tell(open, open + minuteMs, null)
  }
  return rows
}

function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function iso(time: number): string {
  return new Date(time).toISOString()
}
