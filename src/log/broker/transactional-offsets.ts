import type { OffsetEntry } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { TransactionalOffsetsState } from '../journal/checkpoint.ts'
import type { GroupOffsets } from './group-offsets.ts'

/**
 * Offsets that open transactions have brought to their groups: committed for nobody before the transaction is. Their
 * records stand in `__consumer_offsets`; the marker there decides, here as in recovery.
 *
 * - Of a transaction, group and partition only the newest is kept: it is the one that will count.
 * - What is promoted is what a checkpoint keeps. What is only sequenced matters where a topic is deleted: its offsets must
 *   go wherever they are on their way.
 * - The newest record of a partition wins, as in Kafka: one that was committed plainly after the transaction's stays, and
 *   what was deleted after it is not brought back: a topic that was made again under its name is another topic.
 */
export class TransactionalOffsets {
  readonly #offsets: GroupOffsets
  /** By producer, then by {@link placeName}. */
  readonly #promoted = new Map<number, Map<string, PromotedOffset>>()
  readonly #sequenced = new Map<number, Map<string, OffsetPlace>>()

  constructor(offsets: GroupOffsets, states: readonly TransactionalOffsetsState[] = []) {
    this.#offsets = offsets
    for (const state of states) this.add(state)
  }

  /** The record with the offsets has its place. */
  sequenced(producerId: number, group: string, entries: readonly OffsetEntry[]): void {
    const places = placesOf(this.#sequenced, producerId)
    for (const { at } of entries) places.set(placeName(group, at), { group, at })
  }

  /** The record with the offsets is promoted, or was found by recovery. */
  add({ producerId, group, entries, committedAt, recordOffset }: TransactionalOffsetsState): void {
    const kept = placesOf(this.#promoted, producerId)
    for (const entry of entries) {
      const name = placeName(group, entry.at)
      // In the order of the records, also where one takes the place of another.
      kept.delete(name)
      kept.set(name, { group, at: entry.at, entry, committedAt, recordOffset })
    }
  }

  /** A tombstone has its place: what is on its way before it will not count. */
  deleting(group: string, at: TopicPartition): void {
    remove(this.#sequenced, placeName(group, at))
  }

  /** The tombstone is promoted, or was found by recovery. */
  forget(group: string, at: TopicPartition): void {
    remove(this.#promoted, placeName(group, at))
  }

  /** The producer's transaction has ended. Offsets of topics that have gone meanwhile are nobody's any more. */
  end(producerId: number, outcome: 'commit' | 'abort', isTopic: (name: string) => boolean): void {
    const kept = this.#promoted.get(producerId)
    this.#promoted.delete(producerId)
    this.#sequenced.delete(producerId)
    if (kept === undefined || outcome === 'abort') return
    for (const { group, entry, committedAt, recordOffset } of kept.values())
      if (isTopic(entry.at.topic) && this.#offsets.recordOffset(group, entry.at) < recordOffset)
        this.#offsets.set(group, entry, committedAt, recordOffset)
  }

  /** Whether a transaction that is open may yet change what the group has committed there. */
  isUnstable(group: string, topic: string, partition: number): boolean {
    if (this.#promoted.size === 0 && this.#sequenced.size === 0) return false
    const name = placeName(group, { topic, partition })
    for (const kept of this.#promoted.values()) if (kept.has(name)) return true
    for (const places of this.#sequenced.values()) if (places.has(name)) return true
    return false
  }

  /** Where transactions that have not ended, or whose end is on its way, bring offsets to; some may come twice. */
  get places(): readonly OffsetPlace[] {
    return [...this.#promoted.values(), ...this.#sequenced.values()].flatMap((places) => [...places.values()])
  }

  /** As a checkpoint keeps them: what is left of each record. */
  states(): readonly TransactionalOffsetsState[] {
    return [...this.#promoted].flatMap(([producerId, kept]) => statesOf(producerId, [...kept.values()]))
  }
}

interface OffsetPlace {
  readonly group: string
  readonly at: TopicPartition
}

interface PromotedOffset extends OffsetPlace {
  readonly entry: OffsetEntry
  readonly committedAt: number
  readonly recordOffset: Offset
}

/** No topic has a slash in its name: a group may. */
function placeName(group: string, at: TopicPartition): string {
  return `${partitionName(at)}/${group}`
}

function placesOf<T>(byProducer: Map<number, Map<string, T>>, producerId: number): Map<string, T> {
  let places = byProducer.get(producerId)
  if (places === undefined) {
    places = new Map()
    byProducer.set(producerId, places)
  }
  return places
}

function remove<T>(byProducer: Map<number, Map<string, T>>, name: string): void {
  for (const [producerId, places] of byProducer)
    if (places.delete(name) && places.size === 0) byProducer.delete(producerId)
}

/** A record has one group: together with its offset in the group's partition that names it. */
function statesOf(producerId: number, kept: readonly PromotedOffset[]): readonly TransactionalOffsetsState[] {
  const byRecord = Map.groupBy(kept, ({ group, recordOffset }) => `${recordOffset}/${group}`)
  return [...byRecord.values()].flatMap((of) => {
    const [first] = of
    if (first === undefined) return []
    const { group, committedAt, recordOffset } = first
    return [{ producerId, group, entries: of.map(({ entry }) => entry), committedAt, recordOffset }]
  })
}
