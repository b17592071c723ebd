/** A record of one side, as piped. */
export interface Arrival {
  readonly side: 'left' | 'right'
  readonly key: string | null
  readonly value: string | null
  readonly time: number
}

export interface JoinCase {
  readonly type: 'inner' | 'left' | 'outer'
  readonly before: number
  readonly after: number
  readonly grace: number
}

interface Waiting {
  readonly key: string
  readonly value: string
  readonly time: number
  readonly side: Arrival['side']
}

/** `[key, left, right, time]`; null: no partner. */
export type Pair = readonly [string | null, string | null, string | null, number]

/**
 * The results of a join, record by record, computed plainly by searching lists from end to end. Kafka's rules, but a
 * late record without a partner waits out the grace.
 */
export class JoinOracle {
  readonly #case: JoinCase
  readonly #rows: { readonly [side in Arrival['side']]: { key: string; value: string; time: number }[] } = {
    left: [],
    right: [],
  }
  readonly #clocks = { left: -1, right: -1 }
  #waiting: Waiting[] = []
  #streamTime = -1
  #lookedTo = Number.POSITIVE_INFINITY

  constructor(of: JoinCase) {
    this.#case = of
  }

  take({ side, key, value, time }: Arrival): Pair[] {
    const { type, grace } = this.#case
    this.#streamTime = Math.max(this.#streamTime, time)
    const mayStayAlone = type === 'outer' || (type === 'left' && side === 'left')
    if (value !== null && key === null && mayStayAlone) return [pair(side, null, value, null, time)]
    if (value === null || key === null) return []
    const out = type !== 'inner' && time === this.#streamTime ? this.#closed(side) : []
    const partners = this.#partners(side, key, time)
    for (const partner of partners) {
      this.#waiting = this.#waiting.filter((one) => one.side === side || one.key !== key || one.time !== partner.time)
      out.push(pair(side, key, value, partner.value, Math.max(time, partner.time)))
    }
    if (partners.length === 0 && mayStayAlone) {
      if (time + this.#reach(side).after + grace < this.#streamTime) out.push(pair(side, key, value, null, time))
      else {
        this.#waiting.push({ key, value, time, side })
        this.#lookedTo = Math.min(this.#lookedTo, time)
      }
    }
    this.#clocks[side] = Math.max(this.#clocks[side], time)
    this.#rows[side].push({ key, value, time })
    return out
  }

  /** How much earlier and later the other side's record may be. */
  #reach(side: Arrival['side']): { readonly before: number; readonly after: number } {
    const { before, after } = this.#case
    return side === 'left' ? { before, after } : { before: after, after: before }
  }

  #partners(side: Arrival['side'], key: string, time: number): readonly { value: string; time: number }[] {
    const { before, after, grace } = this.#case
    const reach = this.#reach(side)
    const other = side === 'left' ? 'right' : 'left'
    const oldest = this.#clocks[other] - (Math.max(before + after, before + 1, after + 1) + grace)
    return this.#rows[other]
      .filter((row) => row.key === key && row.time > oldest)
      .filter((row) => row.time >= time - reach.before && row.time <= Math.max(0, time + reach.after))
      .toSorted((left, right) => left.time - right.time)
  }

  #closed(comes: Arrival['side']): Pair[] {
    const { grace } = this.#case
    const open = new Set<Arrival['side']>()
    const out: Pair[] = []
    const rows = new Map<string, Waiting[]>()
    for (const one of this.#waiting) {
      const name = `${String(one.time).padStart(8, '0')} ${one.side === 'left' ? 1 : 0} ${one.key}`
      rows.set(name, [...(rows.get(name) ?? []), one])
    }
    // The side of the current record decides whether to look at all: by how far that side looks ahead.
    if (this.#lookedTo + this.#reach(comes).after + grace >= this.#streamTime) return out
    this.#lookedTo = Number.POSITIVE_INFINITY
    for (const name of [...rows.keys()].toSorted()) {
      const waiting = rows.get(name) ?? []
      const { side = 'left', time = 0 } = waiting[0] ?? {}
      this.#lookedTo = time
      if (open.size === 2) break
      if (time + this.#reach(side).after + grace >= this.#streamTime) {
        open.add(side)
        continue
      }
      for (const one of waiting) out.push(pair(side, one.key, one.value, null, time))
      this.#waiting = this.#waiting.filter((one) => !waiting.includes(one))
    }
    return out
  }
}

function pair(side: Arrival['side'], key: string | null, own: string, other: string | null, time: number): Pair {
  return side === 'left' ? [key, own, other, time] : [key, other, own, time]
}
