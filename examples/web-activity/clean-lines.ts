/**
 * The first operator of the job: reads each line and says what became of it. An event that comes again within ten
 * minutes of its first copy is a duplicate. What is forwarded has the time of the event, not that of its arrival.
 */
import type { KeyValueStore, RecordContext, RecordProcessor, StoreRef, StreamRecord } from 'millrace'
import { loadedUpTo } from '../shared/line-loader.ts'
import { isBot, type Reading, readAccessLine, readShopLine } from './clean.ts'
import type { DeadLetter, ShopEvent } from './events.ts'
import type { LineSource } from './sources.ts'

export type Outcome =
  | { readonly is: 'event' | 'bot' | 'duplicate'; readonly event: ShopEvent }
  | { readonly is: 'malformed'; readonly letter: DeadLetter }

/** When an event was first seen, by its id. */
export type SeenStore = KeyValueStore<string, number>

const duplicateWithinMs = 10 * 60_000

export class CleanLines implements RecordProcessor<string, string, string, Outcome> {
  readonly #format: LineSource['format']
  readonly #seen: StoreRef<SeenStore>
  #context!: RecordContext<string, Outcome>
  #store!: SeenStore

  constructor(format: LineSource['format'], seen: StoreRef<SeenStore>) {
    this.#format = format
    this.#seen = seen
  }

  init(context: RecordContext<string, Outcome>): void {
    this.#context = context
    this.#store = context.store(this.#seen)
    // By stream time, so that a replay forgets at the same records as the first run did.
    context.schedule({ every: '10m', by: 'streamTime' }, (time) => this.#forgetBefore(time - duplicateWithinMs))
  }

  process(record: StreamRecord<string, string>): void {
    const { key, value: line, timestamp } = record
    const { event, reason } = this.#read(record)
    if (!event) {
      this.#context.forward({ key, value: { is: 'malformed', letter: { line, reason } }, timestamp })
      return
    }
    const is = this.#isDuplicate(event.id, timestamp) ? 'duplicate' : isBot(event) ? 'bot' : 'event'
    // The position has served; without headers less travels. A dead letter keeps it: it says which line it was.
    this.#context.forward({ key, value: { is, event }, timestamp: event.at, headers: [] })
  }

  #read({ value: line, headers }: StreamRecord<string, string>): Reading {
    if (this.#format === 'json') return readShopLine(line)
    const { position, tick } = loadedUpTo(headers)
    return tick < 0 ? readAccessLine(line, String(position)) : readShopLine(line)
  }

  #isDuplicate(id: string, arrivedAt: number): boolean {
    const before = this.#store.get(id)
    if (before !== null && arrivedAt - before < duplicateWithinMs) return true
    this.#store.put(id, arrivedAt)
    return false
  }

  #forgetBefore(time: number): void {
    for (const [id, arrivedAt] of this.#store.all()) if (arrivedAt <= time) this.#store.delete(id)
  }
}
