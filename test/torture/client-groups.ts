import type { Isolation } from '../../src/log/api/log.ts'
import type { AssignorName } from '../../src/log/client/consumer/consumer-options.ts'
import { isVisible, type Place, type Transaction } from './client-ledger.ts'

export interface GroupSpec {
  readonly name: string
  readonly topics: readonly string[] | RegExp
  readonly isolation: Isolation
  readonly reset: 'earliest' | 'latest'
  readonly assignors: readonly AssignorName[]
}

/**
 * What a consumer group has done: which records its members have processed, which offsets it has committed, and who
 * owned what in which generation.
 */
export class GroupLedger {
  readonly spec: GroupSpec
  readonly #fault: (text: string) => void
  readonly #processed = new Map<Place, Set<number>>()
  /** Offsets that the group may pass unprocessed: it was told to by a seek or a reset, or started behind them. */
  readonly #excused = new Map<Place, [from: number, to: number][]>()
  readonly #attempts = new Map<Place, Attempt[]>()
  readonly #claims = new Map<string, string>()
  readonly #newest = new Map<Place, { readonly generation: number; readonly owner: string }>()
  readonly #holders = new Map<Place, Holder>()
  /** Stretches that a member went through without being given a record; the outcome of transactions decides later. */
  #gaps: { readonly place: Place; readonly from: number; readonly to: number; readonly who: string }[] = []
  #era = 0

  constructor(spec: GroupSpec, fault: (text: string) => void) {
    this.spec = spec
    this.#fault = (text) => fault(`group ${spec.name}: ${text}`)
  }

  reads(topic: string): boolean {
    const { topics } = this.spec
    return topics instanceof RegExp ? topics.test(topic) : topics.includes(topic)
  }

  processed(place: Place, offset: number): void {
    const offsets = this.#processed.get(place) ?? new Set()
    this.#processed.set(place, offsets.add(offset))
  }

  excuse(place: Place, from: number, to: number): void {
    if (from >= to) return
    const ranges = this.#excused.get(place) ?? []
    ranges.push([from, to])
    this.#excused.set(place, ranges)
  }

  isDone(place: Place, offset: number): boolean {
    if (this.#processed.get(place)?.has(offset) === true) return true
    return this.#excused.get(place)?.some(([from, to]) => offset >= from && offset < to) === true
  }

  /** Visible records from the log start to this offset that nobody has processed. Compaction may remove them any time. */
  unprocessed(place: Place, start: number, end: number): readonly number[] {
    if (place.incarnation.compacts) return []
    return [...place.known]
      .filter(([offset, sent]) => offset >= start && offset < end && isVisible(sent, this.spec.isolation))
      .map(([offset]) => offset)
      .filter((offset) => !this.isDone(place, offset))
  }

  /** A member got these partitions in this generation: nobody else may have them in it. */
  claim(owner: string, generation: number, places: readonly Place[]): void {
    for (const place of places) {
      const key = `${this.#era}/${generation}/${place.name}`
      const other = this.#claims.get(key)
      if (other !== undefined && other !== owner)
        this.#fault(`${place.name} belongs to ${other} and ${owner} in generation ${generation}`)
      this.#claims.set(key, owner)
      const newest = this.#newest.get(place)
      if (newest === undefined || newest.generation < generation) this.#newest.set(place, { generation, owner })
    }
  }

  /**
   * A member takes partitions: whoever had them must have given them up, or be expelled. One that was expelled itself
   * while its listener ran takes nothing, but learns this only from its next heartbeat; its commits are refused.
   */
  take(holder: Holder, places: readonly Place[], isMember: (memberId: string) => boolean): void {
    const memberId = holder.memberId()
    if (memberId !== '' && !isMember(memberId)) return
    for (const place of places) {
      const other = this.#holders.get(place)
      if (other !== undefined && other !== holder && isMember(other.memberId()))
        this.#fault(`${holder.name} has got ${place.name}, which ${other.name} has not given up`)
      this.#holders.set(place, holder)
    }
  }

  giveUp(holder: Holder, place: Place): void {
    if (this.#holders.get(place) === holder) this.#holders.delete(place)
  }

  /** The process ended, or the group was deleted: generations may be counted anew. */
  beginEra(): void {
    this.#era++
    this.#newest.clear()
    this.#holders.clear()
  }

  /** Whether somebody else has owned the partition in a later generation. */
  isReplaced(owner: string, generation: number, place: Place): boolean {
    const newest = this.#newest.get(place)
    return newest !== undefined && newest.generation > generation && newest.owner !== owner
  }

  attempt(place: Place, offset: number | null, transaction: Transaction | null = null): Attempt {
    const attempt: Attempt = { offset, transaction, outcome: 'open' }
    const attempts = this.#attempts.get(place) ?? []
    attempts.push(attempt)
    this.#attempts.set(place, attempts)
    return attempt
  }

  /** Holds a committed offset (null: none) against what was committed and acknowledged. */
  checkCommitted(place: Place, found: number | null): void {
    const possible: (number | null)[] = []
    for (const attempt of (this.#attempts.get(place) ?? []).toReversed()) {
      const outcome = outcomeOf(attempt)
      if (outcome === 'refused') continue
      if (attempt.offset === found) return
      possible.push(attempt.offset)
      if (outcome === 'done') return this.#wrong(place, found, possible)
    }
    if (found !== null) this.#wrong(place, found, [...possible, null])
  }

  #wrong(place: Place, found: number | null, possible: readonly (number | null)[]): void {
    this.#fault(`${place.name} is committed to ${found}, it can be ${possible.join(' or ')}`)
  }

  /** Whether nothing was ever committed for the partition. */
  hasNoCommit(place: Place): boolean {
    return (this.#attempts.get(place) ?? []).every((attempt) => outcomeOf(attempt) === 'refused')
  }

  gap(place: Place, from: number, to: number, who: string): void {
    if (from < to) this.#gaps.push({ place, from, to, who })
  }

  /** `startOf`: where the partition begins now; null if it is gone. */
  checkGaps(startOf: (place: Place) => number | null): void {
    this.#gaps = this.#gaps.filter(({ place, from, to, who }) => {
      const start = startOf(place)
      if (start === null || place.incarnation.compacts) return false
      let undecided = false
      for (let offset = Math.max(from, start); offset < to; offset++) {
        const sent = place.known.get(offset)
        if (sent === undefined) continue
        if (isVisible(sent, this.spec.isolation)) this.#fault(`${who} was not given offset ${offset} of ${place.name}`)
        else if (sent.transaction?.outcome !== 'aborted') undecided = true
      }
      return undecided
    })
  }
}

/** A member that has partitions in its hands. */
export interface Holder {
  readonly name: string
  readonly memberId: () => string
}

export interface Attempt {
  /** Null: the offset was deleted. */
  readonly offset: number | null
  readonly transaction: Transaction | null
  outcome: 'open' | 'done' | 'refused'
}

function outcomeOf({ outcome, transaction }: Attempt): Attempt['outcome'] {
  if (transaction === null || outcome === 'refused') return outcome
  if (transaction.outcome === 'committed') return 'done'
  return transaction.outcome === 'aborted' ? 'refused' : 'open'
}
