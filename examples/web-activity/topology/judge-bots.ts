/**
 * Decides which events come from bots, by rules that are data: words in agent names, and a rate that no person reaches.
 * A visitor that is too fast counts as a bot from the first event beyond the limit; earlier events stay counted,
 * because answers are not taken back.
 *
 * Forwarded records have the time of the event, not its arrival time.
 */
import type { KeyValueStore, StoreRef, StreamRecord, ValueContext, ValueProcessor } from 'millrace'
import { z } from 'zod'
import type { BotEvent, BotRules, ShopEvent } from '../events.ts'
import type { Cleaned } from './clean-lines.ts'

export type Outcome = Cleaned | ({ readonly is: 'bot' } & BotEvent)

/** A line to be judged, with the current rules. */
export interface Judged {
  readonly cleaned: Cleaned
  readonly rules: BotRules | null
}

/** The recent rate of a visitor. */
export interface Pace {
  /** When the last event arrived. */
  readonly at: number
  /** Number of the window in which it arrived, and the number of arrivals in that window. */
  readonly window: number
  readonly events: number
  /** Until then, all events of the visitor count as those of a bot. */
  readonly botUntil: number
}

export const pace: z.ZodType<Pace, Pace> = z.object({
  at: z.number(),
  window: z.number(),
  events: z.number(),
  botUntil: z.number(),
})

export type PaceStore = KeyValueStore<string, Pace>

/** Longer than the window of any rate rule. */
const forgottenAfterMs = 3_600_000
/** Number of agent names for which the verdict is remembered. */
const agentsMax = 1000

export class JudgeBots implements ValueProcessor<string, Judged, Outcome> {
  readonly #paces: StoreRef<PaceStore>
  #context!: ValueContext<Outcome>
  #store!: PaceStore
  #agents: readonly string[] = []
  readonly #verdicts = new Map<string, string | null>()

  constructor(paces: StoreRef<PaceStore>) {
    this.#paces = paces
  }

  init(context: ValueContext<Outcome>): void {
    this.#context = context
    this.#store = context.store(this.#paces)
    // By stream time, so that a replay forgets at the same records as the first run.
    context.schedule({ every: '24h', by: 'streamTime' }, (time) => this.#forget(time))
  }

  process({ key: visitor, value: { cleaned, rules }, timestamp: arrivedAt }: StreamRecord<string, Judged>): void {
    if (cleaned.is === 'malformed') {
      // A dead letter keeps the headers, which say which line it was.
      this.#context.forward(cleaned)
      return
    }
    const { event } = cleaned
    const rule = cleaned.is === 'event' && rules ? this.#ruleAgainst(event, visitor, arrivedAt, rules) : null
    this.#context.forward(rule === null ? cleaned : { is: 'bot', rule, event }, { timestamp: event.at, headers: [] })
  }

  #ruleAgainst({ agent }: ShopEvent, visitor: string, arrivedAt: number, { agents, rate }: BotRules): string | null {
    return this.#wordIn(agent, agents) ?? (this.#isTooFast(visitor, arrivedAt, rate) ? 'rate' : null)
  }

  #wordIn(agent: string, agents: readonly string[]): string | null {
    if (agents !== this.#agents || this.#verdicts.size >= agentsMax) {
      this.#agents = agents
      this.#verdicts.clear()
    }
    let verdict = this.#verdicts.get(agent)
    if (verdict === undefined) {
      const name = agent.toLowerCase()
      verdict = agents.find((word) => name.includes(word)) ?? null
      this.#verdicts.set(agent, verdict)
    }
    return verdict
  }

  #isTooFast(visitor: string, at: number, { eventsMax, withinMs, forMs }: BotRules['rate']): boolean {
    const window = Math.floor(at / withinMs)
    const before = this.#store.get(visitor)
    const events = before?.window === window ? before.events + 1 : 1
    const botUntil = events > eventsMax ? at + forMs : (before?.botUntil ?? 0)
    this.#store.put(visitor, { at, window, events, botUntil })
    return at < botUntil
  }

  #forget(time: number): void {
    for (const [visitor, { at, botUntil }] of this.#store.all())
      if (at + forgottenAfterMs <= time && botUntil <= time) this.#store.delete(visitor)
  }
}
