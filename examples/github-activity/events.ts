/** The data of the job: lines as they arrived, the events in them, and the answers. */
import { sessions, type Topic, topic, tumbling, windowed, type Windowed, type Windows } from 'millrace'
import { z } from 'zod'

/**
 * Number of partitions of every topic of the job. Whether an event is late depends on stream time, which is counted per
 * partition. With one partition each, `--grace` has the same meaning for types, repositories and actors: it refers to
 * the time of the file.
 */
export const partitions = 1

/**
 * Names become keys of stores, which are limited to about 2,000 bytes. This is in characters, of at most 3 bytes each.
 */
export const nameLengthMax = 300

/** An event of GitHub. */
export interface Activity {
  readonly type: string
  readonly repository: string
  readonly actor: string
  /** When it happened, in milliseconds since the epoch. It may arrive later. */
  readonly at: number
}

/** A file touched by a commit. */
export interface Touch {
  readonly repository: string
  readonly author: string
  /** When its author made it, which may be years before it reached the repository. */
  readonly at: number
}

/** Lines as they arrived, not parsed. */
export const lines: Topic<string, string> = topic('lines', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions,
  // A file is loaded as a whole, whatever times its lines have.
  config: { timestampAfterMaxMs: Number.MAX_SAFE_INTEGER },
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

export type Counts<K> = Topic<K, number>

const counts = <K extends string>(name: K): Counts<string> =>
  topic(name, { key: z.string(), value: z.number(), partitions })

/** Number of lines by outcome. */
export const outcomes: Counts<string> = counts('outcomes')

const minute: Windows<'time'> = tumbling('1m')
const minuteCounts = (name: string): Counts<Windowed<string, 'time'>> =>
  topic(name, { key: windowed(z.string(), minute), value: z.number(), partitions })

export const eventsPerType: Counts<Windowed<string, 'time'>> = minuteCounts('events-per-type')
export const eventsPerRepository: Counts<Windowed<string, 'time'>> = minuteCounts('events-per-repository')
export const touchesPerRepository: Counts<Windowed<string, 'time'>> = minuteCounts('touches-per-repository')

/** Null if the session has become part of another one. */
export type SessionCounts = Topic<Windowed<string, 'session'>, number | null>

/** An event after this time without one begins another session. */
export const inactivityMs: number = 30 * 60_000

/**
 * How long a session is kept after its end. It accepts events only for the inactivity plus the grace. But a late event
 * can connect it to a session that is still open; if it were forgotten by then, it would be missing from the result.
 * This is enough for open sessions of up to a day.
 */
export function sessionRetentionMs(graceMs: number): number {
  return graceMs + 25 * 3_600_000
}

const sessionCounts = (name: string): SessionCounts =>
  topic(name, { key: windowed(z.string(), sessions(inactivityMs)), value: z.number(), tombstones: true, partitions })

export const sessionsPerActor: SessionCounts = sessionCounts('sessions-per-actor')
export const sessionsPerAuthor: SessionCounts = sessionCounts('sessions-per-author')

export interface Pair {
  readonly watchedAt: number
  readonly forkedAt: number
}

/** By actor and repository: one record for each watch and fork that are close enough in time. */
export const watchForkPairs: Topic<readonly [actor: string, repository: string], Pair> = topic('watch-fork-pairs', {
  key: z.tuple([z.string(), z.string()]).readonly(),
  value: z.object({ watchedAt: z.number(), forkedAt: z.number() }),
  partitions,
})

export interface RepositoryEvents {
  readonly repository: string
  readonly events: number
}

export const ranking: z.ZodType<readonly RepositoryEvents[], readonly RepositoryEvents[]> = z
  .array(z.object({ repository: z.string(), events: z.number() }))
  .readonly()

/** By the start of the hour. */
export const topRepositories: Topic<number, readonly RepositoryEvents[]> = topic('top-repositories', {
  key: z.number(),
  value: ranking,
  partitions,
})
