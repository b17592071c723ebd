/**
 * The topology of the job. Nothing runs when this module is loaded.
 *
 *   lines ─ clean ─ judge ─┬─ malformed ────────────────────────────────────────► dead-letters
 *   page-views             ├─ bots ─────────────────────────────────────────────► bot-events
 *   bot-rules              ├─ what became of these, and of repeated lines ───────► outcomes
 *                          ├─ lines of an access log, counted ──────────────────► requests-per-status, -client, -minute
 *                          └─ events of people ─┬─ views, joined with users ─ by page: count-pages.ts
 *                                               ├─ by visitor: follow-visitors.ts
 *                                               └─ by region: watch-regions.ts
 */
import { type Stream, StreamsBuilder, type Topology } from 'millrace'
import { z } from 'zod'
import {
  botEvents,
  botRulesTopic,
  deadLetters,
  lines,
  minute,
  outcomes,
  pageViews,
  requestsPerClient,
  requestsPerMinute,
  requestsPerStatus,
  rulesKey,
} from '../events.ts'
import type { LineSource } from '../lines/sources.ts'
import { isTick } from '../traffic/ticks.ts'
import { CleanLines, seenWindow } from './clean-lines.ts'
import { countPages } from './count-pages.ts'
import { followVisitors } from './follow-visitors.ts'
import { JudgeBots, type Outcome, pace } from './judge-bots.ts'
import { watchRegions } from './watch-regions.ts'

export interface JobTopologyOptions {
  readonly format: LineSource['format']
  /** Whether every update is forwarded, or only the newest per commit. */
  readonly emit: 'commit' | 'update'
}

export function jobTopology({ format, emit }: JobTopologyOptions): Topology {
  const builder = new StreamsBuilder()
  const judged = judgedLines(builder, format)
  judged
    .filter((outcome) => outcome.is === 'malformed')
    .mapValues(({ letter }) => letter)
    .to(deadLetters)
  judged
    .filter((outcome) => outcome.is === 'bot')
    .mapValues(({ rule, event }) => ({ rule, event }))
    .to(botEvents)
  const lineOutcomes = judged.filter((_, visitor) => !isTick(visitor))
  lineOutcomes
    .filter(({ is }) => is !== 'event')
    .map((outcome) => [outcomeName(outcome), 1])
    .groupByKey({ name: 'lines-by-outcome', key: z.string() })
    .count({ name: 'outcomes', emit })
    .toStream()
    .to(outcomes)
  if (format === 'combined') countRequests(lineOutcomes, emit)

  const people = judged.filter((outcome) => outcome.is === 'event').mapValues(({ event }) => event)
  countPages(
    builder,
    people.filter(({ type }) => type === 'view'),
    { format, emit },
  )
  followVisitors(
    builder,
    people.filter((_, visitor) => !isTick(visitor)),
    { format, emit },
  )
  watchRegions(builder, people, emit)
  return builder.build()
}

/** Every line with its outcome, by visitor, at the time of its event. */
function judgedLines(builder: StreamsBuilder, format: LineSource['format']): Stream<string, Outcome> {
  const seen = builder.addStore({ name: 'seen', key: z.string(), value: z.number(), window: seenWindow })
  const paces = builder.addStore({ name: 'paces', key: z.string(), value: pace })
  const rules = builder.globalTable(botRulesTopic)
  return builder
    .stream(format === 'json' ? [lines, pageViews] : lines)
    .processValues(() => new CleanLines(format, seen), { name: 'clean', stores: [seen] })
    .leftJoinGlobalTable(
      rules,
      () => rulesKey,
      (cleaned, rules) => ({ cleaned, rules }),
    )
    .processValues(() => new JudgeBots(paces), { name: 'judge', stores: [paces] })
}

/** Followed by the rule, so that the counts show how many bots there were and how they were found. */
export const botOutcome = 'bot '

function outcomeName(outcome: Outcome): string {
  return outcome.is === 'bot' ? botOutcome + outcome.rule : outcome.is
}

/**
 * Counts all well-formed lines, including bots. It does not use windows, because a count over all lines must not lose
 * late ones.
 */
function countRequests(outcomes: Stream<string, Outcome>, emit: JobTopologyOptions['emit']): void {
  const requests = outcomes.filter((outcome) => outcome.is !== 'malformed').mapValues(({ event }) => event)
  requests
    .map(({ status }) => [status ?? 0, 1])
    .groupByKey({ key: z.number() })
    .count({ name: 'requests-by-status', emit })
    .toStream()
    .to(requestsPerStatus)
  requests
    .map(({ visitor }) => [visitor, 1])
    .groupByKey({ key: z.string() })
    .count({ name: 'requests-by-client', emit })
    .toStream()
    .to(requestsPerClient)
  requests
    .map(({ at }) => [at - (at % minute.sizeMs), 1])
    .groupByKey({ key: z.number() })
    .count({ name: 'requests-by-minute', emit })
    .toStream()
    .to(requestsPerMinute)
}
