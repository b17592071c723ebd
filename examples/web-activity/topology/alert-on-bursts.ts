/**
 * Watches the failures of each region, one closed minute after the other, and raises one alert per burst. A burst
 * begins when a fifth of the requests of the last five minutes have failed, and ends when it is three in a hundred.
 * Between these bounds nothing changes, so a rate that fluctuates around one of them does not raise alert after alert.
 */
import type { KeyValueStore, RecordContext, RecordProcessor, StoreRef, StreamRecord, Windowed } from 'millrace'
import { z } from 'zod'
import { type Alert, alert, minute } from '../events.ts'

/** The requests of a region in a minute, and how many of them failed. */
export interface Health {
  readonly events: number
  readonly failures: number
}

export const health: z.ZodType<Health, Health> = z.object({ events: z.number(), failures: z.number() })

export interface Watch {
  /** The last minutes that had requests. */
  readonly minutes: readonly (Health & { readonly start: number })[]
  readonly open: Alert | null
}

export const watch: z.ZodType<Watch, Watch> = z.object({
  minutes: z.array(z.object({ start: z.number(), events: z.number(), failures: z.number() })).readonly(),
  open: alert.nullable(),
})

export type WatchStore = KeyValueStore<string, Watch>

const overMs = 5 * minute.sizeMs
const raisedFrom = 0.2
const raisedFromFailures = 5
const overBelow = 0.03

export class AlertOnBursts implements RecordProcessor<
  Windowed<string, 'time'>,
  Health,
  readonly [string, number],
  Alert
> {
  readonly #watches: StoreRef<WatchStore>
  #context!: RecordContext<readonly [string, number], Alert>
  #store!: WatchStore

  constructor(watches: StoreRef<WatchStore>) {
    this.#watches = watches
  }

  init(context: RecordContext<readonly [string, number], Alert>): void {
    this.#context = context
    this.#store = context.store(this.#watches)
  }

  /**
   * The minutes of a region arrive in order and once each, because they are final. Minutes without a request are
   * missing.
   */
  process({
    key: { key: region, start, end },
    value,
    timestamp,
  }: StreamRecord<Windowed<string, 'time'>, Health>): void {
    const before = this.#store.get(region)
    const minutes = (before?.minutes ?? []).filter((one) => one.start > start - overMs)
    const recent = [...minutes, { start, ...value }]
    const sum = total(recent)
    const rate = sum.failures / sum.events
    let open = before?.open ?? null
    const tell = (told: Alert): void => this.#context.forward({ key: [region, told.from], value: told, timestamp })
    if (open === null) {
      if (rate >= raisedFrom && sum.failures >= raisedFromFailures) tell((open = { from: start, to: null, ...sum }))
    } else {
      open = { ...open, events: open.events + value.events, failures: open.failures + value.failures }
      if (rate < overBelow) {
        tell({ ...open, to: end })
        open = null
      }
    }
    this.#store.put(region, { minutes: recent, open })
  }
}

function total(minutes: readonly Health[]): Health {
  let [events, failures] = [0, 0]
  for (const one of minutes) {
    events += one.events
    failures += one.failures
  }
  return { events, failures }
}
