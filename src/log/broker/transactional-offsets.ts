import type { OffsetEntry } from '../api/log.ts'
import type { TransactionalOffsetsState } from '../journal/checkpoint.ts'
import type { Catalog } from './catalog.ts'
import type { GroupOffsets } from './group-offsets.ts'

/**
 * Offsets that open transactions have brought to their groups, as far as it is promoted: committed for nobody before the
 * transaction is. Their records stand in `__consumer_offsets`; the marker there decides, here as in recovery.
 */
export class TransactionalOffsets {
  readonly #offsets: GroupOffsets
  readonly #byProducer = new Map<number, TransactionalOffsetsState[]>()

  constructor(offsets: GroupOffsets, states: readonly TransactionalOffsetsState[] = []) {
    this.#offsets = offsets
    for (const state of states) this.#of(state.producerId).push(state)
  }

  add(producerId: number, group: string, entries: readonly OffsetEntry[], committedAt: number): void {
    this.#of(producerId).push({ producerId, group, entries, committedAt })
  }

  #of(producerId: number): TransactionalOffsetsState[] {
    let states = this.#byProducer.get(producerId)
    if (states === undefined) {
      states = []
      this.#byProducer.set(producerId, states)
    }
    return states
  }

  /** The producer's transaction has ended. Offsets of topics that have gone meanwhile are nobody's any more. */
  end(producerId: number, outcome: 'commit' | 'abort', catalog: Catalog): void {
    const states = this.#byProducer.get(producerId)
    this.#byProducer.delete(producerId)
    if (states === undefined || outcome === 'abort') return
    for (const { group, entries, committedAt } of states)
      for (const entry of entries)
        if (catalog.topic(entry.at.topic) !== undefined) this.#offsets.set(group, entry, committedAt)
  }

  /** Whether a transaction that is open may yet change what the group has committed there. */
  isUnstable(group: string, topic: string, partition: number): boolean {
    for (const states of this.#byProducer.values())
      for (const state of states)
        if (state.group === group && state.entries.some(({ at }) => at.topic === topic && at.partition === partition))
          return true
    return false
  }

  states(): readonly TransactionalOffsetsState[] {
    return [...this.#byProducer.values()].flat()
  }
}
