/**
 * Counts the requests of each region, and how many of them fail.
 *
 *   events ═ by region ═┬─ views, five minutes every minute ───────────────────► views-per-region
 *                       ├─ per minute, when closed ─ bursts of failures ───────► alerts
 *                       └─ all of them, by type ───────────────────────────────► events-per-region
 *
 * The last count does not need the region. It is here because the events are already repartitioned: by type, all of
 * them would be written once more, to be counted in five rows.
 */
import type { Stream, StreamsBuilder } from 'millrace'
import { z } from 'zod'
import {
  alerts,
  eventsPerRegion,
  type EventType,
  eventTypes,
  fiveMinutes,
  minute,
  type ShopEvent,
  type TypeCounts,
  typeCounts,
  viewsPerRegion,
} from '../events.ts'
import { AlertOnBursts, type Health, health, watch } from './alert-on-bursts.ts'
import type { JobTopologyOptions } from './topology.ts'

// The only part of an event that has to be repartitioned: the index of its type, with an offset if it failed.
const failed = eventTypes.length
const successfulView = eventTypes.indexOf('view')

export function watchRegions(
  builder: StreamsBuilder,
  events: Stream<string, ShopEvent>,
  emit: JobTopologyOptions['emit'],
): void {
  const byRegion = events
    .map((event) => [event.region, signOf(event)])
    .repartition({ name: 'events-by-region', key: z.string(), value: z.number() })
  byRegion
    .filter((sign) => sign === successfulView)
    .groupByKey()
    .windowedBy(fiveMinutes)
    .count({ name: 'views-per-region', emit })
    .toStream()
    .to(viewsPerRegion)

  const watches = builder.addStore({ name: 'watches', key: z.string(), value: watch })
  byRegion
    .groupByKey()
    .windowedBy(minute)
    .aggregate({ name: 'region-minutes', value: health, initial: () => healthy, add: withSign, emit: 'final' })
    .toStream()
    .process(() => new AlertOnBursts(watches), { name: 'alert-on-bursts', stores: [watches] })
    .to(alerts)

  byRegion
    .groupByKey()
    .aggregate({ name: 'events-per-region', value: typeCounts, initial: () => nothing, add: counted, emit })
    .toStream()
    .to(eventsPerRegion)
}

/** Only an error of the server is a failure; a request for a page that does not exist is not. */
function signOf({ type, status = 0 }: ShopEvent): number {
  return eventTypes.indexOf(type) + (status >= 500 ? failed : 0)
}

function typeOf(sign: number): EventType {
  return eventTypes[sign % failed] ?? 'error'
}

const healthy: Health = { events: 0, failures: 0 }

function withSign({ events, failures }: Health, sign: number): Health {
  return { events: events + 1, failures: failures + (sign >= failed ? 1 : 0) }
}

const nothing: TypeCounts = { view: 0, search: 0, 'add-to-cart': 0, order: 0, error: 0 }

function counted(counts: TypeCounts, sign: number): TypeCounts {
  const type = typeOf(sign)
  return { ...counts, [type]: counts[type] + 1 }
}
