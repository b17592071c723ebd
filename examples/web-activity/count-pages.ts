/**
 * What is looked at, and by whom. Views are joined with the users on their way in, where both lie by visitor; then they
 * are laid out by page, and joined with the pages there.
 *
 *   views ─ users ─ first of the hour? ═ by page ═┬─ per minute ───────────────────────────────► views-per-page
 *                                                 └─ pages ─ per hour, when closed ─┬──────────► page-hours
 *                                                                                   ├─ ranked ─► top-pages
 *                                                                                   └─ summed ─► views-per-category
 */
import type { Stream, StreamsBuilder } from 'millrace'
import { z } from 'zod'
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
} from './events.ts'
import { FirstVisits, type View, type Visit } from './first-visits.ts'
import type { PageViews } from './report.ts'
import { isTick } from './ticks.ts'
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
  // The pages of an hour come from all partitions; by the hour they meet in one.
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

/** Who views: the account that the visitor has at that time. Nobody has one where an access log says who came. */
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

/** The ten most viewed; of equal ones the first by name, so that the order of arrival does not matter. */
function ranked(pages: readonly PageViews[], page: PageViews): readonly PageViews[] {
  return [...pages, page].toSorted((a, b) => b.views - a.views || (a.page < b.page ? -1 : 1)).slice(0, ranksMax)
}
