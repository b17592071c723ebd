/** The answers for the user: tables on a terminal, or one JSON object per line. */
import { formatMinute, formatNumber, formatTable, type Table } from '../shared/tables.ts'
import type { RepositoryEvents } from './events.ts'

/** Times are in milliseconds since the epoch; rows are sorted by time, then by name. */
export interface ActivityAnswers {
  readonly format: 'events'
  readonly totals: {
    readonly malformed: number
    readonly events: readonly { readonly type: string; readonly count: number }[]
  }
  readonly perType: readonly WindowCount[]
  readonly perRepository: readonly WindowCount[]
  readonly sessions: readonly Session[]
  readonly pairs: readonly PairAnswer[]
  readonly topRepositories: readonly { readonly hour: number; readonly repositories: readonly RepositoryEvents[] }[]
}

export interface TouchesAnswers {
  readonly format: 'touches'
  /** `late` counts touches that arrived after one with a later time. */
  readonly totals: { readonly malformed: number; readonly inOrder: number; readonly late: number }
  readonly perRepository: readonly WindowCount[]
  readonly sessions: readonly Session[]
}

export interface WindowCount {
  readonly minute: number
  /** Name of a type or a repository. */
  readonly name: string
  readonly events: number
}

/** Both ends are times of events. */
export interface Session {
  /** Name of an actor or an author. */
  readonly name: string
  readonly from: number
  readonly to: number
  readonly events: number
}

export interface PairAnswer {
  readonly actor: string
  readonly repository: string
  readonly watchedAt: number
  readonly forkedAt: number
}

/**
 * Compares the events in a windowed count with all events; the difference was dropped because its windows had closed.
 */
function keptOf(rows: readonly { readonly events: number }[], all: number): { kept: number; dropped: number } {
  const kept = rows.reduce((sum, { events }) => sum + events, 0)
  return { kept, dropped: all - kept }
}

export function* jsonLines(answers: ActivityAnswers | TouchesAnswers): Generator<string> {
  for (const row of answers.format === 'events' ? activityRows(answers) : touchesRows(answers))
    yield JSON.stringify(row)
}

type Row = { readonly answer: string; readonly [field: string]: unknown }

function* activityRows({ totals, ...answers }: ActivityAnswers): Generator<Row> {
  const all = eventsOf(totals)
  yield {
    answer: 'totals',
    lines: all + totals.malformed,
    malformed: totals.malformed,
    events: Object.fromEntries(totals.events.map(({ type, count }) => [type, count])),
  }
  yield { answer: 'kept', in: 'events-per-type', ...keptOf(answers.perType, all) }
  yield { answer: 'kept', in: 'events-per-repository', ...keptOf(answers.perRepository, all) }
  yield { answer: 'kept', in: 'sessions', ...keptOf(answers.sessions, all) }
  for (const { minute, name: type, events } of answers.perType)
    yield { answer: 'events-per-type', minute: isoTime(minute), type, events }
  for (const { minute, name: repository, events } of answers.perRepository)
    yield { answer: 'events-per-repository', minute: isoTime(minute), repository, events }
  for (const { name: actor, from, to, events } of answers.sessions)
    yield { answer: 'sessions', actor, from: isoTime(from), to: isoTime(to), events }
  for (const { actor, repository, watchedAt, forkedAt } of answers.pairs)
    yield { answer: 'pairs', actor, repository, watched: isoTime(watchedAt), forked: isoTime(forkedAt) }
  for (const { hour, repositories } of answers.topRepositories) {
    for (const [index, { repository, events }] of repositories.entries())
      yield { answer: 'top-repositories', hour: isoTime(hour), rank: index + 1, repository, events }
  }
}

function* touchesRows({ totals, perRepository, sessions }: TouchesAnswers): Generator<Row> {
  const { malformed, inOrder, late } = totals
  yield { answer: 'totals', lines: malformed + inOrder + late, malformed, inOrder, late }
  yield { answer: 'kept', in: 'touches-per-repository', ...keptOf(perRepository, inOrder + late) }
  yield { answer: 'kept', in: 'sessions', ...keptOf(sessions, inOrder + late) }
  for (const { minute, name: repository, events } of perRepository)
    yield { answer: 'touches-per-repository', minute: isoTime(minute), repository, touches: events }
  for (const { name: author, from, to, events } of sessions)
    yield { answer: 'sessions', author, from: isoTime(from), to: isoTime(to), touches: events }
}

function eventsOf({ events }: ActivityAnswers['totals']): number {
  return events.reduce((sum, { count }) => sum + count, 0)
}

function isoTime(time: number): string {
  return new Date(time).toISOString()
}

/** Rows shown in a table, for an answer that may have thousands. */
const rowsMax = 10
/** Hours shown in a table: one day. */
const hoursMax = 24

export function tables(answers: ActivityAnswers | TouchesAnswers): string {
  const all = answers.format === 'events' ? activityTables(answers) : touchesTables(answers)
  return all.map(formatTable).join('\n\n')
}

function activityTables({ totals, ...answers }: ActivityAnswers): readonly Table[] {
  const { perType, perRepository, sessions, pairs, topRepositories } = answers
  const all = eventsOf(totals)
  return [
    {
      title: 'What arrived',
      columns: ['', 'lines'],
      rows: [
        ['all lines', all + totals.malformed],
        ['malformed, put aside as dead letters', totals.malformed],
        ...totals.events.map(({ type, count }) => [`events: ${type}`, count]),
      ],
    },
    fullest('Events per type per minute, the fullest', 'type', perType, all),
    fullest('Events per repository per minute, the fullest', 'repository', perRepository, all),
    longest('Sessions per actor, the longest', 'actor', sessions, all),
    {
      title: 'Watches and forks of the same actor and repository, the first',
      columns: ['watched (UTC)', 'forked (UTC)', 'actor', 'repository'],
      rows: pairs
        .slice(0, rowsMax)
        .map(({ actor, repository, watchedAt, forkedAt }) => [
          formatSecond(watchedAt),
          formatSecond(forkedAt),
          actor,
          repository,
        ]),
      note: shown(pairs.length, 'pairs'),
    },
    {
      title: 'Repositories with the most events of each hour: the first three',
      columns: ['hour (UTC)', 'first', 'second', 'third'],
      rows: topRepositories.slice(-hoursMax).map(({ hour, repositories }) => [
        formatMinute(hour),
        ...[0, 1, 2].map((rank) => {
          const ranked = repositories[rank]
          return ranked ? `${ranked.repository} ${formatNumber(ranked.events)}` : ''
        }),
      ]),
      ...(topRepositories.length > hoursMax
        ? { note: `the last ${hoursMax} of ${topRepositories.length} hours; --json prints every one` }
        : {}),
    },
  ]
}

function touchesTables({ totals, perRepository, sessions }: TouchesAnswers): readonly Table[] {
  const { malformed, inOrder, late } = totals
  const all = inOrder + late
  return [
    {
      title: 'What arrived',
      columns: ['', 'lines'],
      rows: [
        ['all lines', all + malformed],
        ['malformed, put aside as dead letters', malformed],
        ['touches in the order of their authors’ times', inOrder],
        ['touches that came late', late],
      ],
    },
    {
      title: 'What was counted of them',
      columns: ['', 'kept', 'dropped: their window had closed'],
      rows: [
        ['touches per repository per minute', ...Object.values(keptOf(perRepository, all))],
        ['sessions per author', ...Object.values(keptOf(sessions, all))],
      ],
    },
    fullest('Touches per repository per minute, the fullest', 'repository', perRepository, all),
    longest('Sessions per author, the longest', 'author', sessions, all),
  ]
}

function fullest(title: string, name: string, rows: readonly WindowCount[], all: number): Table {
  return {
    title,
    columns: ['minute (UTC)', name, 'events'],
    rows: mostFirst(rows).map(({ minute, name, events }) => [formatMinute(minute), name, events]),
    note: shown(rows.length, 'counts') + dropped(rows, all),
  }
}

function longest(title: string, name: string, rows: readonly Session[], all: number): Table {
  return {
    title,
    columns: ['from (UTC)', 'to (UTC)', name, 'events'],
    rows: mostFirst(rows).map(({ name, from, to, events }) => [formatSecond(from), formatSecond(to), name, events]),
    note: shown(rows.length, 'sessions') + dropped(rows, all),
  }
}

function mostFirst<Row extends { readonly events: number }>(rows: readonly Row[]): readonly Row[] {
  return rows.toSorted((a, b) => b.events - a.events).slice(0, rowsMax)
}

function dropped(rows: readonly { readonly events: number }[], all: number): string {
  const { dropped } = keptOf(rows, all)
  return dropped === 0 ? '' : `; ${formatNumber(dropped)} events came after their window had closed`
}

function shown(count: number, what: string): string {
  return count > rowsMax
    ? `${formatNumber(count)} ${what} in all; --json prints every one`
    : `${formatNumber(count)} ${what}`
}

/** `2025-11-28 20:15:07`, in UTC. */
function formatSecond(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ')
}
