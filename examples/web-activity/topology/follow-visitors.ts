/**
 * Follows visitors from one page to the next. The data is already partitioned by visitor, as the lines are, so no
 * repartitioning is needed before counting.
 *
 *   views ─┬─ sessions, 30 minutes apart ──────────────────────────────────────► sessions
 *          └─ of products ─┬─ an order within the hour? ═ by hour and product ─► bought-after-view
 *   orders ────────────────┘
 */
import type { Stream, StreamsBuilder } from 'millrace'
import { z } from 'zod'
import {
  boughtAfterView,
  hour,
  type Moment,
  type Session,
  session,
  sessionGap,
  type ShopEvent,
  visitorSessions,
} from '../events.ts'
import { isProduct } from '../traffic/shop.ts'
import { type ProductView, OncePerView } from './once-per-view.ts'
import type { JobTopologyOptions } from './topology.ts'

/** `people` are events by visitor, without those that only advance time. */
export function followVisitors(
  builder: StreamsBuilder,
  people: Stream<string, ShopEvent>,
  { format, emit }: JobTopologyOptions,
): void {
  const views = people.filter(({ type }) => type === 'view')
  views
    .groupByKey()
    .windowedBy(sessionGap)
    .aggregate({ name: 'sessions', value: session, initial: () => noPages, add: withView, merge: joined, emit })
    .toStream()
    .to(visitorSessions)
  // An access log contains no orders.
  if (format === 'combined') return

  const bought = builder.addStore({
    name: 'bought',
    key: z.string(),
    value: z.literal(true),
    // An order comes up to an hour after the view, and both may be late.
    window: { size: hour.sizeMs, retention: 3 * hour.sizeMs },
  })
  views
    .filter(({ path }) => isProduct(path))
    .mapValues(({ id, at, path }): ProductView => ({ id, at, path }))
    .join(
      people.filter(({ type }) => type === 'order').mapValues(() => true),
      (view) => view,
      { name: 'view-then-order', after: '1h', grace: hour.graceMs },
    )
    .processValues(() => new OncePerView(bought), { name: 'once-per-view', stores: [bought] })
    .map(({ at, path }): [readonly [number, string], number] => [[at - (at % hour.sizeMs), path], 1])
    .groupByKey({ name: 'bought-by-product', key: z.tuple([z.number(), z.string()]).readonly() })
    .count({ name: 'bought-after-view', emit })
    .toStream()
    .to(boughtAfterView)
}

const noPages: Session = { pages: 0, entry: null, exit: null }

// Views arrive in any order, and sessions merge. So the first and the last view are found by their times, and by their
// ids if times are equal, never by the order of arrival.
function withView({ pages, entry, exit }: Session, { at, id, path }: ShopEvent): Session {
  const view = { at, id, path }
  return { pages: pages + 1, entry: earlier(entry, view), exit: later(exit, view) }
}

function joined(left: Session, right: Session): Session {
  return {
    pages: left.pages + right.pages,
    entry: earlier(left.entry, right.entry),
    exit: later(left.exit, right.exit),
  }
}

function earlier(left: Moment | null, right: Moment | null): Moment | null {
  if (left === null || right === null) return left ?? right
  return isBefore(left, right) ? left : right
}

function later(left: Moment | null, right: Moment | null): Moment | null {
  if (left === null || right === null) return left ?? right
  return isBefore(left, right) ? right : left
}

function isBefore(left: Moment, right: Moment): boolean {
  return left.at === right.at ? left.id < right.id : left.at < right.at
}
