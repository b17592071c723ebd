/**
 * The job as a topology. Nothing runs when this module is loaded.
 *
 *   lines ─ clean ─┬─ malformed ─────────────────────────────────────────────► dead-letters
 *                  ├─ bots ──────────────────────────────────────────────────► bot-events
 *                  ├─ what became of each line, counted ─────────────────────► outcomes
 *                  ├─ every well-formed line of an access log, counted ──────► requests-per-status, -client, -minute
 *                  └─ views ─┬─ by page ─┬─ per minute ──────────────────────► views-per-page
 *                            │           └─ per hour, when closed ─ ranked ──► top-pages
 *                            └─ by region ─ five minutes, every minute ──────► views-per-region
 */
import { type Stream, StreamsBuilder, type Topology } from 'millrace'
import { z } from 'zod'
import { CleanLines, type Outcome } from './clean-lines.ts'
import {
  botEvents,
  deadLetters,
  fiveMinutes,
  hour,
  lines,
  minute,
  outcomes,
  ranking,
  requestsPerClient,
  requestsPerMinute,
  requestsPerStatus,
  type ShopEvent,
  topPages,
  viewsPerPage,
  viewsPerRegion,
} from './events.ts'
import type { PageViews } from './report.ts'
import type { LineSource } from './sources.ts'
import { isTick } from './ticks.ts'

export interface JobTopologyOptions {
  readonly format: LineSource['format']
  /** Whether every update is sent on, or the newest per commit. */
  readonly emit: 'commit' | 'update'
}

export function jobTopology({ format, emit }: JobTopologyOptions): Topology {
  const builder = new StreamsBuilder()
  const seen = builder.addStore({ name: 'seen', key: z.string(), value: z.number() })
  const cleaned = builder.stream(lines).process(() => new CleanLines(format, seen), { name: 'clean', stores: [seen] })

  cleaned.flatMapValues((outcome) => (outcome.is === 'malformed' ? [outcome.letter] : [])).to(deadLetters)
  cleaned.flatMapValues((outcome) => (outcome.is === 'bot' ? [outcome.event] : [])).to(botEvents)
  const lineOutcomes = cleaned.filter((_, visitor) => !isTick(visitor))
  lineOutcomes
    .map((outcome) => [outcomeName(outcome), 1])
    .groupByKey({ name: 'lines-by-outcome', key: z.string() })
    .count({ name: 'outcomes', emit })
    .toStream()
    .to(outcomes)
  if (format === 'combined') countRequests(lineOutcomes, emit)
  countViews(
    cleaned.flatMapValues((outcome) =>
      outcome.is === 'event' && outcome.event.type === 'view' ? [outcome.event] : [],
    ),
    emit,
  )
  return builder.build()
}

function outcomeName(outcome: Outcome): string {
  return outcome.is === 'event' ? outcome.event.type : outcome.is
}

/** Of all well-formed lines, bots too. Not by windows: a count over all lines must not lose a late one. */
function countRequests(outcomes: Stream<string, Outcome>, emit: JobTopologyOptions['emit']): void {
  const requests = outcomes.flatMapValues((outcome) => (outcome.is === 'malformed' ? [] : [outcome.event]))
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

function countViews(views: Stream<string, ShopEvent>, emit: JobTopologyOptions['emit']): void {
  // Both counts of pages read one repartition topic, because their grouping has a name. Counts read no values: a small
  // one travels.
  const byPage = views.map(({ path }) => [path, 1]).groupByKey({ name: 'views-by-page', key: z.string() })
  byPage.windowedBy(minute).count({ name: 'views-per-minute', emit }).toStream().to(viewsPerPage)

  byPage
    .windowedBy(hour)
    .count({ name: 'views-per-hour', emit: 'final' })
    .toStream()
    .filter((_, { key: page }) => !isTick(page))
    .map((views, { key: page, start }): [number, PageViews] => [start, { page, views }])
    // The pages of an hour come from all partitions; by the hour they meet in one.
    .groupByKey({ name: 'pages-by-hour', key: z.number() })
    .aggregate({ name: 'top-pages', value: ranking, initial: () => [], add: ranked, emit })
    .toStream()
    .to(topPages)

  views
    .map(({ region }) => [region, 1])
    .groupByKey({ name: 'views-by-region', key: z.string() })
    .windowedBy(fiveMinutes)
    .count({ name: 'views-per-region', emit })
    .toStream()
    .to(viewsPerRegion)
}

const ranksMax = 10

/** The ten most viewed; of equal ones the first by name, so that the order of arrival does not matter. */
export function ranked(pages: readonly PageViews[], page: PageViews): readonly PageViews[] {
  return [...pages, page].toSorted((a, b) => b.views - a.views || (a.page < b.page ? -1 : 1)).slice(0, ranksMax)
}
