/**
 * What the github-activity job must answer, computed by loops over plain Maps and arrays: no windows, no stores, no code
 * of the job or of millrace. Lateness is computed as Kafka Streams has it, by the highest time so far of what an operator
 * has seen, which with one partition is that of the file.
 */
import type { AnswerRow } from './plain-oracle.ts'

const minuteMs = 60_000
const hourMs = 3_600_000
const gapMs = 30 * minuteMs

interface PlainEvent {
  readonly type: string
  readonly repo: string
  readonly actor: string
  readonly at: number
}

export interface OracleOptions {
  readonly withinMs: number
  readonly graceMs: number
}

export function activityAnswers(lines: readonly string[], { withinMs, graceMs }: OracleOptions): AnswerRow[] {
  const events: PlainEvent[] = []
  let malformed = 0
  const perType: Record<string, number> = {}
  for (const line of lines) {
    const event = plainEvent(line)
    if (event === undefined) {
      malformed++
      continue
    }
    events.push(event)
    perType[event.type] = (perType[event.type] ?? 0) + 1
  }
  const types = windowCounts(events, ({ type }) => type, { sizeMs: minuteMs, graceMs })
  const repositories = windowCounts(events, ({ repo }) => repo, { sizeMs: minuteMs, graceMs })
  const sessions = sessionCounts(events, ({ actor }) => actor, graceMs)
  return [
    { answer: 'totals', lines: lines.length, malformed, events: perType },
    kept('events-per-type', types, events.length),
    kept('events-per-repository', repositories, events.length),
    kept('sessions', sessions, events.length),
    ...types.map(({ start, name, count }) => ({
      answer: 'events-per-type',
      minute: iso(start),
      type: name,
      events: count,
    })),
    ...repositories.map(({ start, name, count }) => ({
      answer: 'events-per-repository',
      minute: iso(start),
      repository: name,
      events: count,
    })),
    ...sessions.map(({ name, from, to, count }) => ({
      answer: 'sessions',
      actor: name,
      from: iso(from),
      to: iso(to),
      events: count,
    })),
    ...pairs(events, withinMs),
    ...topRepositories(events, graceMs),
  ]
}

export function touchesAnswers(lines: readonly string[], graceMs: number): AnswerRow[] {
  const touches: { readonly repo: string; readonly author: string; readonly at: number }[] = []
  let malformed = 0
  let late = 0
  let highest = -1
  for (const line of lines) {
    const match = /^(\d+)\t(\d+)\t([^\t]+)\t([^\t]+)\t[^\t]+$/.exec(line)
    if (match === null) {
      malformed++
      continue
    }
    const at = Number(match[2]) * 1000
    if (at < highest) late++
    highest = Math.max(highest, at)
    touches.push({ repo: match[3] ?? '', author: match[4] ?? '', at })
  }
  const repositories = windowCounts(touches, ({ repo }) => repo, { sizeMs: minuteMs, graceMs })
  const sessions = sessionCounts(touches, ({ author }) => author, graceMs)
  return [
    { answer: 'totals', lines: lines.length, malformed, inOrder: touches.length - late, late },
    kept('touches-per-repository', repositories, touches.length),
    kept('sessions', sessions, touches.length),
    ...repositories.map(({ start, name, count }) => ({
      answer: 'touches-per-repository',
      minute: iso(start),
      repository: name,
      touches: count,
    })),
    ...sessions.map(({ name, from, to, count }) => ({
      answer: 'sessions',
      author: name,
      from: iso(from),
      to: iso(to),
      touches: count,
    })),
  ]
}

function plainEvent(line: string): PlainEvent | undefined {
  try {
    const { dt, repo, type, actor } = JSON.parse(line)
    const at = Date.parse(dt)
    return typeof repo === 'string' && typeof type === 'string' && typeof actor === 'string' && at >= 0
      ? { type, repo, actor, at }
      : undefined
  } catch {
    return undefined
  }
}

function windowCounts<E extends { readonly at: number }>(
  events: readonly E[],
  nameOf: (event: E) => string,
  { sizeMs, graceMs }: { readonly sizeMs: number; readonly graceMs: number },
): readonly { readonly start: number; readonly name: string; readonly count: number }[] {
  const counts = new Map<string, { readonly start: number; readonly name: string; count: number }>()
  let highest = -1
  for (const event of events) {
    highest = Math.max(highest, event.at)
    const start = event.at - (event.at % sizeMs)
    if (start + sizeMs + graceMs <= highest) continue
    const name = nameOf(event)
    const row = counts.get(`${start} ${name}`) ?? { start, name, count: 0 }
    counts.set(`${start} ${name}`, row)
    row.count++
  }
  return [...counts.values()]
}

interface PlainSession {
  readonly name: string
  readonly from: number
  readonly to: number
  readonly count: number
}

/**
 * A record is late if its session, after merging all that it can, would have ended longer than gap and grace ago.
 */
function sessionCounts<E extends { readonly at: number }>(
  events: readonly E[],
  nameOf: (event: E) => string,
  graceMs: number,
): readonly PlainSession[] {
  const byName = new Map<string, PlainSession[]>()
  let highest = -1
  for (const event of events) {
    highest = Math.max(highest, event.at)
    const name = nameOf(event)
    const all = byName.get(name) ?? []
    const near = all.filter(({ from, to }) => event.at >= from - gapMs && event.at <= to + gapMs)
    const merged = {
      name,
      from: Math.min(event.at, ...near.map(({ from }) => from)),
      to: Math.max(event.at, ...near.map(({ to }) => to)),
      count: near.reduce((sum, { count }) => sum + count, 1),
    }
    if (merged.to < highest - gapMs - graceMs) continue
    byName.set(name, [...all.filter((session) => !near.includes(session)), merged])
  }
  return [...byName.values()].flat()
}

/** Assumes that none is too late, as with a grace longer than any event is behind. */
function pairs(events: readonly PlainEvent[], withinMs: number): AnswerRow[] {
  const forks = new Map<string, number[]>()
  for (const { type, actor, repo, at } of events) {
    if (type === 'fork') forks.set(`${actor} ${repo}`, [...(forks.get(`${actor} ${repo}`) ?? []), at])
  }
  return events
    .filter(({ type }) => type === 'watch')
    .flatMap(({ actor, repo, at }) =>
      (forks.get(`${actor} ${repo}`) ?? [])
        .filter((forked) => Math.abs(forked - at) <= withinMs)
        .map((forked) => ({ answer: 'pairs', actor, repository: repo, watched: iso(at), forked: iso(forked) })),
    )
}

function topRepositories(events: readonly PlainEvent[], graceMs: number): AnswerRow[] {
  const hours = new Map<number, { readonly name: string; readonly count: number }[]>()
  for (const { start, name, count } of windowCounts(events, ({ repo }) => repo, { sizeMs: hourMs, graceMs }))
    hours.set(start, [...(hours.get(start) ?? []), { name, count }])
  return [...hours].flatMap(([hour, repositories]) =>
    repositories
      .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
      .slice(0, 10)
      .map(({ name, count }, index) => ({
        answer: 'top-repositories',
        hour: iso(hour),
        rank: index + 1,
        repository: name,
        events: count,
      })),
  )
}

function kept(name: string, rows: readonly { readonly count: number }[], all: number): AnswerRow {
  const sum = rows.reduce((total, { count }) => total + count, 0)
  return { answer: 'kept', in: name, kept: sum, dropped: all - sum }
}

function iso(time: number): string {
  return new Date(time).toISOString()
}
