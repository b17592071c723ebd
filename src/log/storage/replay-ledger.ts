import type { Offset } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import { baseOffsetOf, maxTimestampOf, nextOffset } from '../format/record-batch.ts'
import type { CheckpointState, PartitionState, PendingDeletion, SegmentState } from '../journal/checkpoint.ts'
import type { BatchPart, EntryPart, SegmentsReplacedPart } from '../journal/entry.ts'
import { PartitionSegments } from './partition-segments.ts'
import { producedBatch } from './producers/produced-batch.ts'

/**
 * The state of the log according to checkpoint and journal: its topics, partitions and segments, and the deletions to
 * carry out. It follows from the entries alone and touches no file; `recoverStorage` brings the files in line with it.
 */
export class ReplayLedger {
  readonly topics: Map<string, TopicInfo> = new Map()
  readonly partitions: Map<string, PartitionSegments> = new Map()
  readonly deletions: PendingDeletion[] = []
  /** Number of batches that the journal contains for each partition, including those that do not count any more. */
  readonly batches: Map<string, number> = new Map()
  readonly #now: number

  /** `checkpoint`: the newest valid one, null before the first; `now`: the append time noted for replayed batches. */
  constructor(checkpoint: LedgerStart | null, now: number) {
    this.#now = now
    for (const topic of checkpoint?.topics ?? []) this.topics.set(topic.id, topic)
    for (const state of checkpoint?.partitions ?? []) {
      this.partitions.set(partitionKey(state.topicId, state.partition), new PartitionSegments(state))
    }
    this.deletions.push(...(checkpoint?.deletions ?? []))
  }

  note(part: EntryPart): void {
    switch (part.kind) {
      case 'batch':
        return this.#append(part)
      case 'topicCreated': {
        const { topicId: id, name, partitions, config } = part
        this.topics.set(id, { id, name, partitions, config })
        return
      }
      case 'topicConfig': {
        const topic = this.topics.get(part.topicId)
        if (topic !== undefined) this.topics.set(part.topicId, { ...topic, config: part.config })
        return
      }
      case 'partitionsAdded': {
        const topic = this.topics.get(part.topicId)
        if (topic !== undefined) this.topics.set(part.topicId, { ...topic, partitions: part.partitions })
        return
      }
      case 'topicDeleted':
        return this.#deleteTopic(part.topicId)
      case 'logStart': {
        if (!this.topics.has(part.topicId)) return
        const bases = this.#partition(part).logStartMoved(part.offset)
        if (bases.length > 0) this.deletions.push({ topicId: part.topicId, partition: part.partition, bases })
        return
      }
      case 'segmentsReplaced':
        return this.#replace(part)
      case 'incarnation':
        return
    }
  }

  /** Whether the batch's segment is still part of the log. */
  isLive(part: BatchPart): boolean {
    const partition = this.partitions.get(partitionKey(part.topicId, part.partition))
    return partition?.hasSegment(part.segmentBase) ?? false
  }

  /** Bases of segments that are waiting to be unlinked or swapped, by partition. */
  pendingBases(): ReadonlyMap<string, ReadonlySet<Offset>> {
    const pending = new Map<string, Set<Offset>>()
    for (const { topicId, partition, bases = [] } of this.deletions) {
      const key = partitionKey(topicId, partition)
      const known = pending.get(key)
      if (known === undefined) pending.set(key, new Set(bases))
      else for (const base of bases) known.add(base)
    }
    return pending
  }

  /** The state for the next checkpoint. */
  state(): LedgerState {
    return {
      topics: [...this.topics.values()],
      partitions: [...this.partitions.values()].map((partition) => partition.state()),
      deletions: this.deletions,
    }
  }

  #append(part: BatchPart): void {
    const key = partitionKey(part.topicId, part.partition)
    this.batches.set(key, (this.batches.get(key) ?? 0) + 1)
    if (!this.topics.has(part.topicId)) return
    this.#partition(part).appended({
      baseOffset: baseOffsetOf(part.bytes, 0),
      nextOffset: nextOffset(part.bytes, 0),
      leaderEpoch: part.leaderEpoch,
      maxTimestamp: maxTimestampOf(part.bytes, 0),
      segmentBase: part.segmentBase,
      filePosition: part.filePosition,
      bytes: part.bytes.length,
      appendedAt: this.#now,
      produced: producedBatch(part.bytes, 0),
    })
  }

  #deleteTopic(topicId: string): void {
    const topic = this.topics.get(topicId)
    if (topic === undefined) return
    this.topics.delete(topicId)
    for (let partition = 0; partition < topic.partitions; partition++) {
      this.partitions.delete(partitionKey(topicId, partition))
      this.deletions.push({ topicId, partition })
    }
  }

  #replace(part: SegmentsReplacedPart): void {
    const partition = this.partitions.get(partitionKey(part.topicId, part.partition))
    const bases = new Set(part.oldBases)
    const old = partition?.segments.filter(({ base }) => bases.has(base)) ?? []
    if (partition === undefined || old.length === 0) return
    const segment: SegmentState = {
      base: part.newBase,
      bytes: part.newBytes,
      firstAppendAt: Math.min(...old.map(({ firstAppendAt }) => firstAppendAt)),
      lastAppendAt: Math.max(...old.map(({ lastAppendAt }) => lastAppendAt)),
      // A bound is enough: it only lets a lookup by time skip the segment.
      maxTimestamp: Math.max(...old.map(({ maxTimestamp }) => maxTimestamp)),
      // Computed once the file has been checked.
      checksum: sumLater,
      // The entry does not say how far the pass had come in the segment.
      dirtyFrom: part.newBase,
    }
    if (!partition.replaced({ oldBases: part.oldBases, segment })) return
    this.deletions.push({ topicId: part.topicId, partition: part.partition, bases: part.oldBases })
  }

  #partition(part: { readonly topicId: string; readonly partition: number }): PartitionSegments {
    const key = partitionKey(part.topicId, part.partition)
    let partition = this.partitions.get(key)
    if (partition === undefined) {
      partition = PartitionSegments.empty(part.topicId, part.partition)
      this.partitions.set(key, partition)
    }
    return partition
  }
}

export type LedgerStart = Pick<CheckpointState, 'topics' | 'partitions' | 'deletions'>

export interface LedgerState {
  readonly topics: readonly TopicInfo[]
  /** Every partition that has or had a batch. */
  readonly partitions: readonly PartitionState[]
  /** Still to be carried out, as soon as two consecutive checkpoints contain them. */
  readonly deletions: readonly PendingDeletion[]
}

/** Placeholder for a checksum that is computed once the file has been checked. */
export const sumLater: number = -1

/** The key under which this folder's maps store a partition. */
export function partitionKey(topicId: string, partition: number): string {
  return `${topicId}/${partition}`
}
