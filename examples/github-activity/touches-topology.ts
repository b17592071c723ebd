/**
 * Files touched by commits, by the time of their authors. Nothing runs when this module is loaded.
 *
 *   lines ─ read ─┬─ malformed ─────────────────────────────────► dead-letters
 *                 ├─ in order, late, or malformed, counted ─────► outcomes
 *                 ├─ by repository ─ per minute ────────────────► touches-per-repository
 *                 └─ by author ─ sessions ──────────────────────► sessions-per-author
 */
import {
  type KeyValueStore,
  type RecordContext,
  type RecordProcessor,
  sessions,
  type StoreRef,
  StreamsBuilder,
  type StreamRecord,
  type Topology,
  tumbling,
} from 'millrace'
import { z } from 'zod'
import {
  deadLetters,
  type DeadLetter,
  inactivityMs,
  lines,
  outcomes,
  sessionRetentionMs,
  sessionsPerAuthor,
  type Touch,
  touchesPerRepository,
} from './events.ts'
import { readTouch } from './read-line.ts'

export function touchesTopology({ graceMs }: { readonly graceMs: number }): Topology {
  const builder = new StreamsBuilder()
  const highest = builder.addStore({ name: 'highest-time', key: z.string(), value: z.number() })
  const read = builder.stream(lines).process(() => new ReadTouches(highest), { name: 'read', stores: [highest] })
  read.flatMapValues((reading) => (reading.is === 'malformed' ? [reading.letter] : [])).to(deadLetters)
  read
    .map(({ is }) => [is, 1])
    .groupByKey({ name: 'lines-by-outcome' })
    .count({ name: 'outcomes' })
    .toStream()
    .to(outcomes)

  const touches = read.flatMapValues((reading) => (reading.is === 'malformed' ? [] : [reading.touch]))
  touches
    .map(({ repository }) => [repository, 1])
    .groupByKey({ name: 'touches-by-repository', key: z.string() })
    .windowedBy(tumbling('1m', { grace: graceMs }))
    .count({ name: 'touches-per-repository' })
    .toStream()
    .to(touchesPerRepository)
  touches
    .map(({ author }) => [author, 1])
    .groupByKey({ name: 'touches-by-author', key: z.string() })
    .windowedBy(sessions(inactivityMs, { grace: graceMs }))
    .count({ name: 'sessions', retention: sessionRetentionMs(graceMs) })
    .toStream()
    .to(sessionsPerAuthor)
  return builder.build()
}

type Outcome =
  | { readonly is: 'in order' | 'late'; readonly touch: Touch }
  | { readonly is: 'malformed'; readonly letter: DeadLetter }

type HighestTime = KeyValueStore<string, number>

/** Forwards each touch at its author's time, with the information whether one with a later time came before it. */
class ReadTouches implements RecordProcessor<string, string, string, Outcome> {
  readonly #highest: StoreRef<HighestTime>
  #context!: RecordContext<string, Outcome>
  #store!: HighestTime

  constructor(highest: StoreRef<HighestTime>) {
    this.#highest = highest
  }

  init(context: RecordContext<string, Outcome>): void {
    this.#context = context
    this.#store = context.store(this.#highest)
  }

  process({ key, value: line, timestamp }: StreamRecord<string, string>): void {
    const { event, reason } = readTouch(line)
    if (!event) {
      this.#context.forward({ key, value: { is: 'malformed', letter: { line, reason } }, timestamp })
      return
    }
    const { repository, author, at } = event
    const highest = this.#store.get('') ?? -1
    if (at > highest) this.#store.put('', at)
    const value: Outcome = { is: at < highest ? 'late' : 'in order', touch: { repository, author, at } }
    this.#context.forward({ key, value, timestamp: at, headers: [] })
  }
}
