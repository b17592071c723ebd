import type { Offset } from '../api/record.ts'
import type { TopicInfo } from '../api/topic.ts'
import { baseOffsetOf, maxTimestampOf, nextOffset } from '../format/record-batch.ts'
import type { CheckpointState, PartitionState, PendingDeletion, SegmentState } from '../journal/checkpoint.ts'
import type { BatchPart, EntryPart, SegmentsReplacedPart } from '../journal/entry.ts'
import { PartitionSegments } from './partition-segments.ts'
import { producedBatch } from './produced-batch.ts'

/**
 * What checkpoint and journal together say of the log: which topics, partitions and segments there are, and which deletions
 * are to be carried out. It follows from the entries alone and touches no file; `recoverStorage` makes the files so.
 */
export class ReplayLedger {
  readonly topics: Map<string, TopicInfo> = new Map()
  readonly partitions: Map<string, PartitionSegments> = new Map()
  readonly deletions: PendingDeletion[] = []
  /** Batches that the journal brings for each partition, whether they still count or not. */
  readonly batches: Map<string, number> = new Map()
  readonly #now: number

  /** `checkpoint`: the newest valid one, null before the first; `now`: when replayed batches count as appended. */
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

  /** Whether the batch's segment is part of the log still. */
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

  /** As the next checkpoint should say it. */
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
      // Summed when the file has its place.
      checksum: sumLater,
      // The entry does not say how far the pass had come in it.
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
  /** Of every partition that holds or held a batch. */
  readonly partitions: readonly PartitionState[]
  /** Still to be carried out, as soon as two checkpoints in a row have them. */
  readonly deletions: readonly PendingDeletion[]
}

/** Stands for a checksum that is taken when the file has its place. */
export const sumLater: number = -1

/** What a partition goes by here. */
export function partitionKey(topicId: string, partition: number): string {
  return `${topicId}/${partition}`
}
