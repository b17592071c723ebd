import { assert } from '../../../base/assert.ts'
import { ByteWriter } from '../../../base/bytes.ts'
import { offsetsTopic } from '../../api/internal-topics.ts'
import type { OffsetEntry } from '../../api/log.ts'
import { outgoingRecord, partitionName, type TopicPartition } from '../../api/record.ts'
import type { BatchBuilder } from '../../format/batch-builder.ts'
import { encodeGroupKey } from '../../group/group-record.ts'
import type { EntryDraft } from '../sequencer.ts'
import type { Catalog } from '../topics/catalog.ts'
import type { Partition } from '../topics/partition.ts'
import type { TransactionalOffsets } from '../transactions/transactional-offsets.ts'
import type { GroupOffsets } from './group-offsets.ts'
import type { GroupRecords } from './group-records.ts'
import { encodeOffsetKey, encodeOffsetValue, offsetsPartition } from './offset-records.ts'

/**
 * Writes committed offsets and groups: as records in `__consumer_offsets`, in the same entry as whatever they belong
 * to, and into {@link GroupOffsets} and {@link GroupRecords} when that entry is promoted.
 */
export class OffsetLog {
  readonly #catalog: Catalog
  readonly #offsets: GroupOffsets
  readonly #groups: GroupRecords
  readonly #transactional: TransactionalOffsets
  readonly #key = new ByteWriter()
  readonly #value = new ByteWriter()
  readonly #record = outgoingRecord()
  /** Offsets in flight, which are not yet in {@link GroupOffsets}. */
  readonly #pending = new Set<PendingOffset>()

  constructor(catalog: Catalog, offsets: GroupOffsets, groups: GroupRecords, transactional: TransactionalOffsets) {
    this.#transactional = transactional
    this.#catalog = catalog
    this.#offsets = offsets
    this.#groups = groups
  }

  /** Adds a commit to the draft. The builder's memory is in use until the draft has been submitted. */
  commit(draft: EntryDraft, builder: BatchBuilder, group: string, entries: readonly OffsetEntry[]): void {
    if (entries.length === 0) return
    const committedAt = draft.context.now
    for (const entry of entries) {
      this.#value.clear()
      encodeOffsetValue(this.#value, entry, committedAt)
      this.#append(builder, group, entry.at, { now: committedAt, deleted: false })
    }
    const { baseOffset } = draft.batch(this.#partitionOf(group), builder.seal())
    const pending = entries.map(({ at }) => ({ group, at }))
    for (const offset of pending) this.#pending.add(offset)
    draft.also(() => {
      for (const entry of entries) this.#offsets.set(group, entry, committedAt, baseOffset)
      for (const offset of pending) this.#pending.delete(offset)
    })
  }

  /**
   * Adds the offsets of an open transaction: records of its producer, which take effect when its commit marker is
   * written.
   */
  transactional(
    draft: EntryDraft,
    builder: BatchBuilder,
    from: { readonly producerId: number; readonly producerEpoch: number; readonly group: string },
    entries: readonly OffsetEntry[],
  ): void {
    const { group, producerId, producerEpoch } = from
    const committedAt = draft.context.now
    for (const entry of entries) {
      this.#value.clear()
      encodeOffsetValue(this.#value, entry, draft.context.now)
      this.#append(builder, group, entry.at, { now: draft.context.now, deleted: false })
    }
    const sealed = builder.seal({ transactional: true, producerId, producerEpoch })
    const { baseOffset: recordOffset } = draft.batch(this.#partitionOf(group), sealed)
    this.#transactional.sequenced(producerId, group, entries)
    draft.also(() => this.#transactional.add({ producerId, group, entries, committedAt, recordOffset }))
  }

  /** The partition with the group's records. */
  placeOf(group: string): TopicPartition {
    return this.#partitionOf(group).at
  }

  /** Every offset of a topic that exists or is in flight. */
  ofTopic(topic: string): readonly { readonly group: string; readonly at: TopicPartition }[] {
    const found = new Map<string, PendingOffset>()
    for (const { group, at } of [...this.#offsets.ofTopic(topic), ...this.#pending, ...this.#transactional.places])
      if (at.topic === topic) found.set(`${group}/${at.partition}`, { group, at })
    return [...found.values()]
  }

  /** Every group with an offset that exists or is in flight. May contain duplicates. */
  get groups(): readonly string[] {
    return [...this.#offsets.groups, ...[...this.#pending, ...this.#transactional.places].map(({ group }) => group)]
  }

  /** Every offset of a group that exists or is in flight. */
  ofGroup(name: string): readonly TopicPartition[] {
    const found = new Map<string, TopicPartition>()
    for (const { at } of this.#offsets.of(name)) found.set(partitionName(at), at)
    for (const { group, at } of [...this.#pending, ...this.#transactional.places])
      if (group === name) found.set(partitionName(at), at)
    return [...found.values()]
  }

  /** The names of partitions for which the group has a commit in flight. */
  pendingOf(name: string): ReadonlySet<string> {
    const names = new Set<string>()
    for (const { group, at } of this.#pending) if (group === name) names.add(partitionName(at))
    return names
  }

  /** Deletes offsets by writing tombstones, so that compaction removes their records too. */
  delete(draft: EntryDraft, builder: BatchBuilder, group: string, at: readonly TopicPartition[]): void {
    if (at.length === 0) return
    for (const place of at) this.#append(builder, group, place, { now: draft.context.now, deleted: true })
    draft.batch(this.#partitionOf(group), builder.seal())
    for (const place of at) this.#transactional.deleting(group, place)
    draft.also(() => {
      for (const place of at) {
        this.#offsets.delete(group, place)
        this.#transactional.forget(group, place)
      }
    })
  }

  /** Writes the group's own record; null deletes it. */
  group(draft: EntryDraft, builder: BatchBuilder, group: string, value: Uint8Array | null): void {
    const record = this.#record
    this.#key.clear()
    encodeGroupKey(this.#key, group)
    record.key = this.#key.bytes
    record.keyStart = 0
    record.keyEnd = this.#key.length
    record.value = value ?? this.#value.bytes
    record.valueStart = value === null ? -1 : 0
    record.valueEnd = value === null ? -1 : value.length
    record.timestamp = draft.context.now
    builder.append(record)
    draft.batch(this.#partitionOf(group), builder.seal())
    draft.also(() => {
      if (value === null) this.#groups.delete(group)
      else this.#groups.set(group, value)
    })
  }

  #append(
    builder: BatchBuilder,
    group: string,
    at: TopicPartition,
    options: { readonly now: number; readonly deleted: boolean },
  ): void {
    const record = this.#record
    this.#key.clear()
    encodeOffsetKey(this.#key, group, at)
    record.key = this.#key.bytes
    record.keyStart = 0
    record.keyEnd = this.#key.length
    record.value = this.#value.bytes
    record.valueStart = options.deleted ? -1 : 0
    record.valueEnd = options.deleted ? -1 : this.#value.length
    record.timestamp = options.now
    builder.append(record)
  }

  #partitionOf(group: string): Partition {
    const topic = this.#catalog.topic(offsetsTopic)
    const partition = topic?.partitions[offsetsPartition(group, topic.partitions.length)]
    assert(partition !== undefined, `${offsetsTopic} is created together with the log`)
    return partition
  }
}

interface PendingOffset {
  readonly group: string
  readonly at: TopicPartition
}
