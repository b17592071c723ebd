import type { OffsetEntry } from '../../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../../api/record.ts'
import type { TransactionalOffsetsState } from '../../journal/checkpoint.ts'
import type { GroupOffsets } from '../groups/group-offsets.ts'

/**
 * Offsets in open transactions: they do not take effect before the transaction is committed. Their records are in
 * `__consumer_offsets`, and the marker in that topic decides, both here and in recovery.
 *
 * - For each transaction, group and partition only the newest offset is kept, because it is the one that will take
 *   effect.
 * - Checkpoints contain promoted offsets only. Those that are merely sequenced matter when a topic is deleted: its
 *   offsets must be deleted even while they are in flight.
 * - The newest record of a partition wins, as in Kafka: a plain commit after the transaction's record stays, and an
 *   offset that was deleted after it is not brought back, because a topic that was created again under the same name is
 *   a different topic.
 */
export class TransactionalOffsets {
  readonly #offsets: GroupOffsets
  /** By producer id, then by {@link placeName}. */
  readonly #promoted = new Map<number, Map<string, PromotedOffset>>()
  readonly #sequenced = new Map<number, Map<string, OffsetPlace>>()

  constructor(offsets: GroupOffsets, states: readonly TransactionalOffsetsState[] = []) {
    this.#offsets = offsets
    for (const state of states) this.add(state)
  }

  /** Notes that the record with the offsets has been sequenced. */
  sequenced(producerId: number, group: string, entries: readonly OffsetEntry[]): void {
    const places = placesOf(this.#sequenced, producerId)
    for (const { at } of entries) places.set(placeName(group, at), { group, at })
  }

  /** Notes that the record with the offsets has been promoted, or was found by recovery. */
  add({ producerId, group, entries, committedAt, recordOffset }: TransactionalOffsetsState): void {
    const kept = placesOf(this.#promoted, producerId)
    for (const entry of entries) {
      const name = placeName(group, entry.at)
      // The map is in the order of the records, even when one replaces another.
      kept.delete(name)
      kept.set(name, { group, at: entry.at, entry, committedAt, recordOffset })
    }
  }

  /** Notes that a tombstone has been sequenced: offsets in flight before it will not take effect. */
  deleting(group: string, at: TopicPartition): void {
    remove(this.#sequenced, placeName(group, at))
  }

  /** Notes that the tombstone has been promoted, or was found by recovery. */
  forget(group: string, at: TopicPartition): void {
    remove(this.#promoted, placeName(group, at))
  }

  /** Ends the producer's transaction. Offsets of topics that have been deleted in the meantime are dropped. */
  end(producerId: number, outcome: 'commit' | 'abort', isTopic: (name: string) => boolean): void {
    const kept = this.#promoted.get(producerId)
    this.#promoted.delete(producerId)
    this.#sequenced.delete(producerId)
    if (kept === undefined || outcome === 'abort') return
    for (const { group, entry, committedAt, recordOffset } of kept.values())
      if (isTopic(entry.at.topic) && this.#offsets.recordOffset(group, entry.at) < recordOffset)
        this.#offsets.set(group, entry, committedAt, recordOffset)
  }

  /** Whether an open transaction may still change the group's committed offset of the partition. */
  isUnstable(group: string, topic: string, partition: number): boolean {
    if (this.#promoted.size === 0 && this.#sequenced.size === 0) return false
    const name = placeName(group, { topic, partition })
    for (const kept of this.#promoted.values()) if (kept.has(name)) return true
    for (const places of this.#sequenced.values()) if (places.has(name)) return true
    return false
  }

  /**
   * The groups and partitions for which transactions carry offsets, if they have not ended or their end is still in
   * flight. May contain duplicates.
   */
  get places(): readonly OffsetPlace[] {
    return [...this.#promoted.values(), ...this.#sequenced.values()].flatMap((places) => [...places.values()])
  }

  /** The offsets in the form that a checkpoint keeps: what is left of each record. */
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

/** Topic names contain no slash, but group names may. */
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

/**
 * Groups the offsets by record. A record belongs to one group; the group and the offset in its partition identify it.
 */
function statesOf(producerId: number, kept: readonly PromotedOffset[]): readonly TransactionalOffsetsState[] {
  const byRecord = Map.groupBy(kept, ({ group, recordOffset }) => `${recordOffset}/${group}`)
  return [...byRecord.values()].flatMap((of) => {
    const [first] = of
    if (first === undefined) return []
    const { group, committedAt, recordOffset } = first
    return [{ producerId, group, entries: of.map(({ entry }) => entry), committedAt, recordOffset }]
  })
}
