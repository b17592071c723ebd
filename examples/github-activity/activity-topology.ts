/**
 * Events of GitHub, as a topology. Nothing runs when this module is loaded.
 *
 *   lines ─ read ─┬─ malformed ──────────────────────────────────────────► dead-letters
 *                 ├─ what became of each line, counted ──────────────────► outcomes
 *                 ├─ by type ─ per minute ───────────────────────────────► events-per-type
 *                 ├─ by repository ─┬─ per minute ───────────────────────► events-per-repository
 *                 │                 └─ per hour ─ by the hour, ranked ───► top-repositories
 *                 ├─ by actor ─ sessions ────────────────────────────────► sessions-per-actor
 *                 └─ by actor and repository ─ watches with forks ───────► watch-fork-pairs
 */
import {
  type RecordContext,
  type RecordProcessor,
  sessions,
  type Stream,
  StreamsBuilder,
  type StreamRecord,
  type Topology,
  tumbling,
} from 'millrace'
import { z } from 'zod'
import {
  type Activity,
  deadLetters,
  type DeadLetter,
  eventsPerRepository,
  eventsPerType,
  inactivityMs,
  lines,
  outcomes,
  ranking,
  type RepositoryEvents,
  sessionRetentionMs,
  sessionsPerActor,
  topRepositories,
  watchForkPairs,
} from './events.ts'
import { readActivity } from './read-line.ts'

export interface ActivityOptions {
  /** How far apart a watch and a fork may be. */
  readonly withinMs: number
  /** How late an event may arrive and still be counted. */
  readonly graceMs: number
}

export function activityTopology({ withinMs, graceMs }: ActivityOptions): Topology {
  const builder = new StreamsBuilder()
  const read = builder.stream(lines).process(() => new ReadActivities(), { name: 'read' })
  read.flatMapValues((reading) => (reading.is === 'malformed' ? [reading.letter] : [])).to(deadLetters)
  read
    .map((reading) => [reading.is === 'malformed' ? 'malformed' : eventOutcome + reading.event.type, 1])
    .groupByKey({ name: 'lines-by-outcome', key: z.string() })
    .count({ name: 'outcomes' })
    .toStream()
    .to(outcomes)

  const events = read.flatMapValues((reading) => (reading.is === 'event' ? [reading.event] : []))
  countPerMinute(events, graceMs)
  events
    .map(({ actor }) => [actor, 1])
    .groupByKey({ name: 'events-by-actor', key: z.string() })
    .windowedBy(sessions(inactivityMs, { grace: graceMs }))
    .count({ name: 'sessions', retention: sessionRetentionMs(graceMs) })
    .toStream()
    .to(sessionsPerActor)
  joinWatchesWithForks(events, { withinMs, graceMs })
  return builder.build()
}

/** Followed by the type of the event, because a type may have any name, even `malformed`. */
export const eventOutcome = 'event '

type Outcome =
  { readonly is: 'event'; readonly event: Activity } | { readonly is: 'malformed'; readonly letter: DeadLetter }

/** Forwards each event at its own time. */
class ReadActivities implements RecordProcessor<string, string, string, Outcome> {
  #context!: RecordContext<string, Outcome>

  init(context: RecordContext<string, Outcome>): void {
    this.#context = context
  }

  process({ key, value: line, timestamp }: StreamRecord<string, string>): void {
    const { event, reason } = readActivity(line)
    if (event) this.#context.forward({ key, value: { is: 'event', event }, timestamp: event.at, headers: [] })
    else this.#context.forward({ key, value: { is: 'malformed', letter: { line, reason } }, timestamp })
  }
}

function countPerMinute(events: Stream<string, Activity>, graceMs: number): void {
  const minute = tumbling('1m', { grace: graceMs })
  // Counts do not read values, so a small one is forwarded.
  events
    .map(({ type }) => [type, 1])
    .groupByKey({ name: 'events-by-type', key: z.string() })
    .windowedBy(minute)
    .count({ name: 'events-per-type' })
    .toStream()
    .to(eventsPerType)

  const byRepository = events
    .map(({ repository }) => [repository, 1])
    .groupByKey({ name: 'events-by-repository', key: z.string() })
  byRepository.windowedBy(minute).count({ name: 'events-per-repository' }).toStream().to(eventsPerRepository)
  byRepository
    .windowedBy(tumbling('1h', { grace: graceMs }))
    .count({ name: 'events-per-hour' })
    .toStream()
    .map((events, { key: repository, start }): [number, RepositoryEvents] => [start, { repository, events }])
    .groupByKey({ name: 'repositories-by-hour', key: z.number() })
    .aggregate({ name: 'top-repositories', value: ranking, initial: () => [], add: ranked })
    .toStream()
    .to(topRepositories)
}

function joinWatchesWithForks(events: Stream<string, Activity>, { withinMs, graceMs }: ActivityOptions): void {
  const timesOf = (type: string): Stream<readonly [string, string], number> =>
    events
      .filter((event) => event.type === type)
      .map(({ actor, repository, at }): [readonly [string, string], number] => [[actor, repository], at])
  timesOf('watch')
    .join(timesOf('fork'), (watchedAt, forkedAt) => ({ watchedAt, forkedAt }), {
      name: 'watch-fork',
      within: withinMs,
      grace: graceMs,
      value: z.number(),
      otherValue: z.number(),
    })
    .to(watchForkPairs)
}

const ranksMax = 10

/**
 * The ten repositories with the most events, sorted by name if counts are equal. The count of a repository only grows,
 * so one that has dropped out can come back only with a higher count of its own: the others need not be remembered.
 */
export function ranked(top: readonly RepositoryEvents[], counted: RepositoryEvents): readonly RepositoryEvents[] {
  const last = top.at(-1)
  if (top.length === ranksMax && last !== undefined && before(last, counted)) return top
  return [...top.filter(({ repository }) => repository !== counted.repository), counted]
    .toSorted((a, b) => (before(a, b) ? -1 : 1))
    .slice(0, ranksMax)
}

function before(a: RepositoryEvents, b: RepositoryEvents): boolean {
  return a.events > b.events || (a.events === b.events && a.repository < b.repository)
}
