import { LogError } from '../../api/errors.ts'
import type { OffsetEntry } from '../../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../../api/record.ts'
import type { GroupOffsetState } from '../../journal/checkpoint.ts'

/**
 * The committed offsets of every group, as far as they are promoted. The records in `__consumer_offsets` are the
 * history, this is the current state. Checkpoints contain it, so that opening only reads the records after the
 * checkpoint.
 */
export class GroupOffsets {
  readonly #groups = new Map<string, Map<string, GroupOffsetState>>()

  /** `recordOffset` is the base offset of the batch with this commit in `__consumer_offsets`. */
  set(group: string, entry: OffsetEntry, committedAt: number, recordOffset: Offset): void {
    let offsets = this.#groups.get(group)
    if (offsets === undefined) {
      offsets = new Map()
      this.#groups.set(group, offsets)
    }
    const { at, offset, leaderEpoch, metadata } = entry
    offsets.set(partitionName(at), { group, at, offset, leaderEpoch, metadata, committedAt, recordOffset })
  }

  /** The base offset of the batch with the group's offset; -1 if there is none. */
  recordOffset(group: string, at: TopicPartition): Offset {
    return this.#groups.get(group)?.get(partitionName(at))?.recordOffset ?? -1
  }

  delete(group: string, at: TopicPartition): void {
    const offsets = this.#groups.get(group)
    if (offsets === undefined) return
    offsets.delete(partitionName(at))
    if (offsets.size === 0) this.#groups.delete(group)
  }

  /** Every offset of a topic, in all groups; they are removed when the topic is deleted. */
  ofTopic(topic: string): readonly GroupOffsetState[] {
    return this.states().filter((state) => state.at.topic === topic)
  }

  /** The offsets in the order of `at`; partitions without a committed offset are left out. */
  get(group: string, at: readonly TopicPartition[]): readonly OffsetEntry[] {
    const offsets = this.#groups.get(group)
    if (offsets === undefined) return []
    const found: OffsetEntry[] = []
    for (const place of at) {
      const state = offsets.get(partitionName(place))
      if (state === undefined) continue
      found.push({ at: state.at, offset: state.offset, leaderEpoch: state.leaderEpoch, metadata: state.metadata })
    }
    return found
  }

  statesOf(group: string): readonly GroupOffsetState[] {
    return [...(this.#groups.get(group)?.values() ?? [])]
  }

  /** All committed offsets of the group. */
  of(group: string): readonly OffsetEntry[] {
    return this.statesOf(group)
  }

  get groups(): readonly string[] {
    return [...this.#groups.keys()]
  }

  states(): readonly GroupOffsetState[] {
    return [...this.#groups.values()].flatMap((offsets) => [...offsets.values()])
  }
}

/** Kafka's `offset.metadata.max.bytes`. */
export const offsetMetadataBytesMax = 4096

/** Throws INVALID_RECORD for an entry that Kafka would not accept. */
export function checkOffsetEntry(group: string, entry: OffsetEntry): void {
  const place = `group ${group}, partition ${partitionName(entry.at)}`
  if (!Number.isSafeInteger(entry.offset) || entry.offset < 0)
    throw new LogError('INVALID_RECORD', `${place}: ${entry.offset} is not an offset: use an integer of 0 or more`, {
      group,
      ...entry,
    })
  const size = Buffer.byteLength(entry.metadata)
  if (size <= offsetMetadataBytesMax) return
  throw new LogError(
    'INVALID_RECORD',
    `${place}: ${size} bytes of metadata, at most ${offsetMetadataBytesMax} are allowed: shorten it`,
    { group, at: entry.at, size },
  )
}
