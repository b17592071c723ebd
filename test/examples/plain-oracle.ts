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
  readonly path: string
  readonly region: string
  readonly agent: string
}

const minuteMs = 60_000

/** The answers for a day of the shop, from its lines in the order of arrival. */
export function shopAnswers(lines: Iterable<{ readonly line: string; readonly arrivedAt: number }>): AnswerRow[] {
  const events: PlainEvent[] = []
  const accepted = new Map<string, number>()
  const totals = { lines: 0, malformed: 0, duplicates: 0 }
  for (const { line, arrivedAt } of lines) {
    totals.lines++
    const event = plainEvent(line)
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
  return answers(totals, events)
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
  for (const line of lines) {
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
    events.push({ id: '', at, type: status >= 400 ? 'error' : 'view', path, region: 'unknown', agent })
  }
  return [
    ...answers(totals, events),
    ...[...perStatus].map(([status, requests]) => ({ answer: 'requests-per-status', status, requests })),
    ...[...perClient].map(([client, requests]) => ({ answer: 'requests-per-client', client, requests })),
    ...[...perMinute].map(([minute, requests]) => ({ answer: 'requests-per-minute', minute: iso(minute), requests })),
  ]
}

function plainEvent(line: string): PlainEvent | undefined {
  try {
    const event = JSON.parse(line)
    if (['id', 'type', 'visitor', 'path', 'region', 'agent'].some((field) => typeof event[field] !== 'string'))
      return undefined
    if (!Number.isInteger(event.at) || event.at < 0) return undefined
    return ['view', 'search', 'add-to-cart', 'order', 'error'].includes(event.type) ? event : undefined
  } catch {
    return undefined
  }
}

function answers(
  totals: { readonly lines: number; readonly malformed: number; readonly duplicates: number },
  events: readonly PlainEvent[],
): AnswerRow[] {
  let bots = 0
  const perType: Record<string, number> = {}
  const perPage = new Map<string, number>()
  const perRegion = new Map<string, number>()
  const perHour = new Map<number, Map<string, number>>()
  for (const { at, type, path, region, agent } of events) {
    if (['bot', 'crawl', 'spider', 'slurp', 'feed'].some((word) => agent.toLowerCase().includes(word))) {
      bots++
      continue
    }
    perType[type] = (perType[type] ?? 0) + 1
    if (type !== 'view') continue
    const minute = at - (at % minuteMs)
    add(perPage, JSON.stringify([minute, path]))
    for (let from = minute - 4 * minuteMs; from <= minute; from += minuteMs)
      if (from >= 0) add(perRegion, JSON.stringify([from, region]))
    const hour = at - (at % (60 * minuteMs))
    const pages = perHour.get(hour) ?? new Map<string, number>()
    perHour.set(hour, pages)
    add(pages, path)
  }
  const rows: AnswerRow[] = [{ answer: 'totals', ...totals, bots, events: perType }]
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
  return rows
}

function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function iso(time: number): string {
  return new Date(time).toISOString()
}
