/**
 * What each region asks for, and whether it gets it.
 *
 *   events ═ by region ═┬─ views, five minutes every minute ───────────────────► views-per-region
 *                       └─ per minute, when closed ─ bursts of failures ───────► alerts
 */
import type { Stream, StreamsBuilder } from 'millrace'
import { z } from 'zod'
import { AlertOnBursts, type Health, health, watch } from './alert-on-bursts.ts'
import { alerts, fiveMinutes, minute, type ShopEvent, viewsPerRegion } from './events.ts'
import type { JobTopologyOptions } from './topology.ts'

// All that has to travel of an event.
const [anyEvent, view, failure] = [0, 1, 2] as const

export function watchRegions(
  builder: StreamsBuilder,
  events: Stream<string, ShopEvent>,
  emit: JobTopologyOptions['emit'],
): void {
  const byRegion = events
    .map((event) => [event.region, signOf(event)])
    .repartition({ name: 'events-by-region', key: z.string(), value: z.number() })
  byRegion
    .filter((sign) => sign === view)
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
}

/** What the server could not do is a failure; what nobody can have, such as a page that is not there, is none. */
function signOf({ type, status = 0 }: ShopEvent): number {
  if (status >= 500) return failure
  return type === 'view' ? view : anyEvent
}

const healthy: Health = { events: 0, failures: 0 }

function withSign({ events, failures }: Health, sign: number): Health {
  return { events: events + 1, failures: failures + (sign === failure ? 1 : 0) }
}
