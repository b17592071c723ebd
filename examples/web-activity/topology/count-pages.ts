/**
 * Counts which pages are viewed, and by whom. Views are joined with the users first, while both are partitioned by
 * visitor; then they are repartitioned by page and joined with the pages.
 *
 *   views ─ users ─ first of the hour? ═ by page ═┬─ per minute ───────────────────────────────► views-per-page
 *                                                 └─ pages ─ per hour, when closed ─┬──────────► page-hours
 *                                                                                   ├─ ranked ─► top-pages
 *                                                                                   └─ summed ─► views-per-category
 */
import type { Stream, StreamsBuilder } from 'millrace'
import { z } from 'zod'
import type { PageViews } from '../answers/report.ts'
import {
  hour,
  minute,
  type PageHour,
  pageHour,
  pageHours,
  pages,
  ranking,
  type SegmentViews,
  segmentViews,
  type ShopEvent,
  topPages,
  users,
  viewsPerCategory,
  viewsPerPage,
} from '../events.ts'
import { isTick } from '../traffic/ticks.ts'
import { FirstVisits, type View, type Visit } from './first-visits.ts'
import type { JobTopologyOptions } from './topology.ts'

export function countPages(
  builder: StreamsBuilder,
  views: Stream<string, ShopEvent>,
  { format, emit }: JobTopologyOptions,
): void {
  const visited = builder.addStore({
    name: 'visited',
    key: z.tuple([z.string(), z.string()]).readonly(),
    value: z.literal(true),
    window: { size: hour.sizeMs, retention: hour.sizeMs + hour.graceMs },
  })
  const byPage = viewsOf(builder, views, format)
    .processValues(() => new FirstVisits(visited), { name: 'first-visits', stores: [visited] })
    .map(({ path, segment, isFirst }) => [path, { segment, isFirst }])
    .repartition({ name: 'views-by-page', key: z.string() })
  byPage.groupByKey().windowedBy(minute).count({ name: 'views-per-minute', emit }).toStream().to(viewsPerPage)

  const closedHours = pageVisits(builder, byPage, format)
    .groupByKey()
    .windowedBy(hour)
    .aggregate({ name: 'page-hours', value: pageHour, initial: () => unseen, add: withVisit, emit: 'final' })
    .toStream()
    .filter((_, { key: page }) => !isTick(page))
  closedHours.to(pageHours)
  // The pages of an hour are in all partitions; grouped by the hour, they are in one.
  closedHours
    .map(({ views }, { key: page, start }): [number, PageViews] => [start, { page, views }])
    .groupByKey({ name: 'pages-by-hour', key: z.number() })
    .aggregate({ name: 'top-pages', value: ranking, initial: () => [], add: ranked, emit })
    .toStream()
    .to(topPages)
  if (format === 'combined') return
  closedHours
    .map(({ category, segments }, { start }): [readonly [number, string], SegmentViews] => [
      [start, category],
      segments,
    ])
    .groupByKey({ name: 'pages-by-category', key: z.tuple([z.number(), z.string()]).readonly() })
    .aggregate({ name: 'views-per-category', value: segmentViews, initial: () => noViews, add: sum, emit })
    .toStream()
    .to(viewsPerCategory)
}

/** Adds the account that the visitor has at the time of the view. In an access log, visitors have no accounts. */
function viewsOf(
  builder: StreamsBuilder,
  views: Stream<string, ShopEvent>,
  format: JobTopologyOptions['format'],
): Stream<string, View> {
  if (format === 'combined') return views.mapValues(({ path }) => ({ path, segment: 'guest' }))
  return views.leftJoinTable(builder.table(users, { changelog: 'source' }), ({ path }, user) => ({
    path,
    segment: user?.segment ?? 'guest',
  }))
}

type PageVisit = Omit<Visit, 'path'> & { readonly category: string }

function pageVisits(
  builder: StreamsBuilder,
  byPage: Stream<string, Omit<Visit, 'path'>>,
  format: JobTopologyOptions['format'],
): Stream<string, PageVisit> {
  if (format === 'combined') return byPage.mapValues((visit) => ({ ...visit, category: unknownCategory }))
  return byPage.leftJoinTable(builder.table(pages, { changelog: 'source' }), ({ segment, isFirst }, page) => ({
    segment,
    isFirst,
    category: page?.category ?? unknownCategory,
  }))
}

const unknownCategory = 'other'

const noViews: SegmentViews = { guest: 0, member: 0, gold: 0 }
const unseen: PageHour = { category: unknownCategory, views: 0, visitors: 0, segments: noViews }

function withVisit({ views, visitors, segments }: PageHour, { segment, isFirst, category }: PageVisit): PageHour {
  return {
    category,
    views: views + 1,
    visitors: visitors + (isFirst ? 1 : 0),
    segments: { ...segments, [segment]: segments[segment] + 1 },
  }
}

function sum(left: SegmentViews, right: SegmentViews): SegmentViews {
  return { guest: left.guest + right.guest, member: left.member + right.member, gold: left.gold + right.gold }
}

const ranksMax = 10

/**
 * The ten most viewed pages, sorted by name if counts are equal, so that the result does not depend on the order of
 * arrival.
 */
function ranked(pages: readonly PageViews[], page: PageViews): readonly PageViews[] {
  return [...pages, page].toSorted((a, b) => b.views - a.views || (a.page < b.page ? -1 : 1)).slice(0, ranksMax)
}
