import type { OffsetEntry } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import type { TransactionalOffsetsState } from '../journal/checkpoint.ts'
import type { GroupOffsets } from './group-offsets.ts'

/**
 * Offsets that open transactions have brought to their groups: committed for nobody before the transaction is. Their
 * records stand in `__consumer_offsets`; the marker there decides, here as in recovery.
 *
 * - What is promoted is what a checkpoint keeps. What is only sequenced matters where a topic is deleted: its offsets must
 *   go wherever they are on their way.
 * - The newest record of a partition wins, as in Kafka: one that was committed plainly after the transaction's stays, and
 *   what was deleted after it is not brought back: a topic that was made again under its name is another topic.
 */
export class TransactionalOffsets {
  readonly #offsets: GroupOffsets
  readonly #promoted = new Map<number, TransactionalOffsetsState[]>()
  readonly #sequenced = new Map<number, { readonly group: string; readonly at: TopicPartition }[]>()

  constructor(offsets: GroupOffsets, states: readonly TransactionalOffsetsState[] = []) {
    this.#offsets = offsets
    for (const state of states) this.add(state)
  }

  /** The record with the offsets has its place. */
  sequenced(producerId: number, group: string, entries: readonly OffsetEntry[]): void {
    const places = entries.map(({ at }) => ({ group, at }))
    listOf(this.#sequenced, producerId).push(...places)
  }

  /** The record with the offsets is promoted, or was found by recovery. */
  add(state: TransactionalOffsetsState): void {
    listOf(this.#promoted, state.producerId).push(state)
  }

  /** A tombstone has its place: what is on its way before it will not count. */
  deleting(group: string, at: TopicPartition): void {
    for (const [producerId, places] of this.#sequenced)
      this.#sequenced.set(
        producerId,
        places.filter(
          (place) => place.group !== group || place.at.topic !== at.topic || place.at.partition !== at.partition,
        ),
      )
  }

  /** The tombstone is promoted, or was found by recovery. */
  forget(group: string, at: TopicPartition): void {
    const stays = (entry: OffsetEntry): boolean => entry.at.topic !== at.topic || entry.at.partition !== at.partition
    for (const [producerId, states] of this.#promoted) {
      if (!states.some((state) => state.group === group && !state.entries.every(stays))) continue
      const left = states
        .map((state) => (state.group === group ? { ...state, entries: state.entries.filter(stays) } : state))
        .filter(({ entries }) => entries.length > 0)
      if (left.length > 0) this.#promoted.set(producerId, left)
      else this.#promoted.delete(producerId)
    }
  }

  /** The producer's transaction has ended. Offsets of topics that have gone meanwhile are nobody's any more. */
  end(producerId: number, outcome: 'commit' | 'abort', isTopic: (name: string) => boolean): void {
    const states = this.#promoted.get(producerId)
    this.#promoted.delete(producerId)
    this.#sequenced.delete(producerId)
    if (states === undefined || outcome === 'abort') return
    for (const { group, entries, committedAt, recordOffset } of states)
      for (const entry of entries)
        if (isTopic(entry.at.topic) && this.#offsets.recordOffset(group, entry.at) < recordOffset)
          this.#offsets.set(group, entry, committedAt, recordOffset)
  }

  /** Whether a transaction that is open may yet change what the group has committed there. */
  isUnstable(group: string, topic: string, partition: number): boolean {
    for (const states of this.#promoted.values())
      for (const state of states)
        if (state.group === group && state.entries.some(({ at }) => at.topic === topic && at.partition === partition))
          return true
    for (const places of this.#sequenced.values())
      for (const { group: of, at } of places)
        if (of === group && at.topic === topic && at.partition === partition) return true
    return false
  }

  /** Where transactions that have not ended, or whose end is on its way, bring offsets to. */
  get places(): readonly { readonly group: string; readonly at: TopicPartition }[] {
    const promoted = [...this.#promoted.values()]
      .flat()
      .flatMap(({ group, entries }) => entries.map(({ at }) => ({ group, at })))
    return [...promoted, ...[...this.#sequenced.values()].flat()]
  }

  states(): readonly TransactionalOffsetsState[] {
    return [...this.#promoted.values()].flat()
  }
}

function listOf<T>(map: Map<number, T[]>, producerId: number): T[] {
  let list = map.get(producerId)
  if (list === undefined) {
    list = []
    map.set(producerId, list)
  }
  return list
}
