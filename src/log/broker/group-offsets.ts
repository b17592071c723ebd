import { LogError } from '../api/errors.ts'
import type { OffsetEntry } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { GroupOffsetState } from '../journal/checkpoint.ts'

/**
 * What every group has committed, as far as it is promoted. The records in `__consumer_offsets` are its log, this is its
 * present; checkpoints keep it, so that opening reads only the records behind the checkpoint.
 */
export class GroupOffsets {
  readonly #groups = new Map<string, Map<string, GroupOffsetState>>()

  /** `recordOffset` is that of its batch in `__consumer_offsets`. */
  set(group: string, entry: OffsetEntry, committedAt: number, recordOffset: Offset): void {
    let offsets = this.#groups.get(group)
    if (offsets === undefined) {
      offsets = new Map()
      this.#groups.set(group, offsets)
    }
    const { at, offset, leaderEpoch, metadata } = entry
    offsets.set(partitionName(at), { group, at, offset, leaderEpoch, metadata, committedAt, recordOffset })
  }

  /** Where the batch with the group's offset stands; -1 without one. */
  recordOffset(group: string, at: TopicPartition): Offset {
    return this.#groups.get(group)?.get(partitionName(at))?.recordOffset ?? -1
  }

  delete(group: string, at: TopicPartition): void {
    const offsets = this.#groups.get(group)
    if (offsets === undefined) return
    offsets.delete(partitionName(at))
    if (offsets.size === 0) this.#groups.delete(group)
  }

  /** Every offset of a topic, in all groups: what goes when the topic is deleted. */
  ofTopic(topic: string): readonly GroupOffsetState[] {
    return this.states().filter((state) => state.at.topic === topic)
  }

  /** In the order asked for; partitions without a committed offset are left out. */
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

  /** All that the group has committed. */
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

/** Throws INVALID_RECORD for what Kafka would refuse to keep. */
export function checkOffsetEntry(group: string, entry: OffsetEntry): void {
  const place = `group ${group}, partition ${partitionName(entry.at)}`
  if (!Number.isSafeInteger(entry.offset) || entry.offset < 0)
    throw new LogError('INVALID_RECORD', `${place}: the offset ${entry.offset} is none: use an integer of 0 or more`, {
      group,
      ...entry,
    })
  const size = Buffer.byteLength(entry.metadata)
  if (size <= offsetMetadataBytesMax) return
  throw new LogError(
    'INVALID_RECORD',
    `${place}: ${size} bytes of metadata, at most ${offsetMetadataBytesMax} are kept: say it in less`,
    { group, at: entry.at, size },
  )
}
