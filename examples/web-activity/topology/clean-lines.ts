/**
 * The first operator of the job, which reads each line. An event that arrives again within ten minutes of its first
 * copy is a duplicate. Records keep their arrival time here, because the next operator measures how fast they arrived.
 */
import type { StoreRef, StreamRecord, ValueContext, ValueProcessor, WindowStore } from 'millrace'
import { loadedUpTo } from '../../shared/line-loader.ts'
import type { DeadLetter, ShopEvent } from '../events.ts'
import type { LineSource } from '../lines/sources.ts'
import { type Reading, readAccessLine, readShopLine } from './clean.ts'

export type Cleaned =
  | { readonly is: 'event'; readonly event: ShopEvent }
  | { readonly is: 'duplicate'; readonly event: ShopEvent }
  | { readonly is: 'malformed'; readonly letter: DeadLetter }

/**
 * When an event was first seen, by its id and the ten minutes in which that was. So the store forgets rows by itself,
 * and a first copy within the last ten minutes can be in only two rows.
 */
export type SeenStore = WindowStore<string, number>

const duplicateWithinMs = 10 * 60_000
/** The window with which the store `seen` is declared. */
export const seenWindow: { readonly size: number; readonly retention: number } = {
  size: duplicateWithinMs,
  retention: 3 * duplicateWithinMs,
}

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
    const start = arrivedAt - (arrivedAt % duplicateWithinMs)
    const before = this.#store.fetch(id, start) ?? this.#store.fetch(id, start - duplicateWithinMs)
    if (before !== null && arrivedAt - before < duplicateWithinMs) return true
    this.#store.put(id, arrivedAt, start)
    return false
  }
}
