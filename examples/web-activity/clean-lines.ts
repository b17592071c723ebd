/**
 * The first operator of the job: reads each line. An event that comes again within ten minutes of its first copy is a
 * duplicate. Records keep the time of their arrival here: what comes next asks how fast they came.
 */
import type { KeyValueStore, StoreRef, StreamRecord, ValueContext, ValueProcessor } from 'millrace'
import { loadedUpTo } from '../shared/line-loader.ts'
import { type Reading, readAccessLine, readShopLine } from './clean.ts'
import type { DeadLetter, ShopEvent } from './events.ts'
import type { LineSource } from './sources.ts'

export type Cleaned =
  | { readonly is: 'event' | 'duplicate'; readonly event: ShopEvent }
  | { readonly is: 'malformed'; readonly letter: DeadLetter }

/** When an event was first seen, by its id. */
export type SeenStore = KeyValueStore<string, number>

const duplicateWithinMs = 10 * 60_000

export class CleanLines implements ValueProcessor<string, string, Cleaned> {
  readonly #format: LineSource['format']
  readonly #seen: StoreRef<SeenStore>
  #context!: ValueContext<Cleaned>
  #store!: SeenStore

  constructor(format: LineSource['format'], seen: StoreRef<SeenStore>) {
    this.#format = format
    this.#seen = seen
  }

  init(context: ValueContext<Cleaned>): void {
    this.#context = context
    this.#store = context.store(this.#seen)
    // By stream time, so that a replay forgets at the same records as the first run did.
    context.schedule({ every: '10m', by: 'streamTime' }, (time) => this.#forgetBefore(time - duplicateWithinMs))
  }

  process(record: StreamRecord<string, string>): void {
    const { value: line, timestamp } = record
    const { event, reason } = this.#read(record)
    if (!event) {
      this.#context.forward({ is: 'malformed', letter: { line, reason } })
      return
    }
    this.#context.forward({ is: this.#isDuplicate(event.id, timestamp) ? 'duplicate' : 'event', event })
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
