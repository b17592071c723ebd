/** The answers as they are in the topics: the newest value of each key. */
import type { Topic, Windowed, WindowKind } from 'millrace'
import type { EmbeddedLog } from 'millrace/log'
import { newestValues, polls } from '../shared/read-topic.ts'
import { eventOutcome } from './activity-topology.ts'
import {
  type Counts,
  eventsPerRepository,
  eventsPerType,
  outcomes,
  sessionsPerActor,
  sessionsPerAuthor,
  topRepositories,
  touchesPerRepository,
  watchForkPairs,
} from './events.ts'
import type { ActivityAnswers, PairAnswer, Session, TouchesAnswers, WindowCount } from './report.ts'

export async function readActivityAnswers(log: EmbeddedLog): Promise<ActivityAnswers> {
  const counts = await keyCounts(log, outcomes)
  const hours = await newestValues(log, topRepositories, (hour) => hour)
  return {
    format: 'events',
    totals: {
      malformed: counts.find(([outcome]) => outcome === 'malformed')?.[1] ?? 0,
      events: counts
        .filter(([outcome]) => outcome.startsWith(eventOutcome))
        .map(([outcome, count]) => ({ type: outcome.slice(eventOutcome.length), count }))
        .toSorted(mostFirst),
    },
    perType: await minuteCounts(log, eventsPerType),
    perRepository: await minuteCounts(log, eventsPerRepository),
    sessions: await sessionCounts(log, sessionsPerActor),
    pairs: await readPairs(log),
    topRepositories: [...hours.values()]
      .map(({ key, value }) => ({ hour: key, repositories: value }))
      .toSorted((a, b) => a.hour - b.hour),
  }
}

export async function readTouchesAnswers(log: EmbeddedLog): Promise<TouchesAnswers> {
  const counts = new Map(await keyCounts(log, outcomes))
  return {
    format: 'touches',
    totals: {
      malformed: counts.get('malformed') ?? 0,
      inOrder: counts.get('in order') ?? 0,
      late: counts.get('late') ?? 0,
    },
    perRepository: await minuteCounts(log, touchesPerRepository),
    sessions: await sessionCounts(log, sessionsPerAuthor),
  }
}

async function keyCounts(log: EmbeddedLog, topic: Counts<string>): Promise<readonly (readonly [string, number])[]> {
  const newest = await newestValues(log, topic, (key) => key)
  return [...newest.values()].map(({ key, value }) => [key, value])
}

async function minuteCounts(
  log: EmbeddedLog,
  topic: Counts<Windowed<string, 'time'>>,
): Promise<readonly WindowCount[]> {
  const newest = await newestWindows(log, topic)
  return newest.map(({ key: { key, start }, value }) => ({ minute: start, name: key, events: value })).toSorted(inTime)
}

async function sessionCounts(
  log: EmbeddedLog,
  topic: Topic<Windowed<string, 'session'>, number | null>,
): Promise<readonly Session[]> {
  const newest = await newestWindows(log, topic)
  return newest
    .flatMap(({ key: { key, start, end }, value }) =>
      value === null ? [] : [{ name: key, from: start, to: end, events: value }],
    )
    .toSorted((a, b) => a.from - b.from || order(a.name, b.name))
}

async function newestWindows<V, Kind extends WindowKind>(
  log: EmbeddedLog,
  topic: Topic<Windowed<string, Kind>, V>,
): Promise<readonly { readonly key: Windowed<string, Kind>; readonly value: V }[]> {
  const newest = await newestValues(log, topic, ({ key, start, end }) => `${start} ${end} ${key}`)
  return [...newest.values()]
}

async function readPairs(log: EmbeddedLog): Promise<readonly PairAnswer[]> {
  const pairs: PairAnswer[] = []
  for await (const records of polls(log, watchForkPairs))
    for (const {
      key: [actor, repository],
      value,
    } of records)
      pairs.push({ actor, repository, ...value })
  return pairs.toSorted(
    (a, b) =>
      a.watchedAt - b.watchedAt ||
      a.forkedAt - b.forkedAt ||
      order(a.actor, b.actor) ||
      order(a.repository, b.repository),
  )
}

type TypeCount = ActivityAnswers['totals']['events'][number]

function mostFirst(a: TypeCount, b: TypeCount): number {
  return b.count - a.count || order(a.type, b.type)
}

function inTime(a: WindowCount, b: WindowCount): number {
  return a.minute - b.minute || order(a.name, b.name)
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
