import { LogError } from '../../api/errors.ts'
import type { Position } from '../../api/log.ts'
import { partitionName, type TopicPartition } from '../../api/record.ts'
import type { DeclaredTopics } from '../declared-topics.ts'
import { ConsumedPartition } from './consumed-partition.ts'
import type { ConsumerRecord } from './consumer-options.ts'
import type { StartOffsets } from './start-offsets.ts'

/**
 * The partitions that a consumer currently reads.
 *
 * - They return records in turn: each poll begins with the next partition, so that a full one does not starve the
 *   others.
 * - A partition whose start is not known yet (`unresolved`) is not read.
 * - Any change that leaves the reader at a wrong position sets `moved`: the next fetch repositions it.
 *
 * It does not know where partitions come from or whom to notify.
 */
export class AssignedPartitions {
  readonly #declared: DeclaredTopics
  readonly #starts: StartOffsets
  readonly #topicIdOf: (topic: string) => string | undefined
  #list: ConsumedPartition[] = []
  readonly #byName = new Map<string, ConsumedPartition>()
  /** Index of the partition that the next poll begins with. */
  #first = 0
  /** The reader's positions differ from the partitions', after a seek or an assignment. */
  moved: boolean = false

  /** `topicIdOf`: the id of the topic that has this name now. */
  constructor(declared: DeclaredTopics, starts: StartOffsets, topicIdOf: (topic: string) => string | undefined) {
    this.#declared = declared
    this.#starts = starts
    this.#topicIdOf = topicIdOf
  }

  get list(): readonly ConsumedPartition[] {
    return this.#list
  }

  get places(): readonly TopicPartition[] {
    return this.#list.map((partition) => partition.at)
  }

  get paused(): readonly TopicPartition[] {
    return this.#list.filter((partition) => partition.paused).map((partition) => partition.at)
  }

  /** The partitions with at least this many open records. */
  full(openMax: number): readonly TopicPartition[] {
    if (openMax === Infinity) return []
    return this.#list.filter((partition) => partition.openCount >= openMax).map((partition) => partition.at)
  }

  /** The positions that the reader must have. */
  get positions(): readonly Position[] {
    return this.#list
      .filter(({ unresolved }) => !unresolved)
      .map((partition) => ({ at: partition.at, offset: partition.fetchAt }))
  }

  get(name: string): ConsumedPartition | undefined {
    return this.#byName.get(name)
  }

  /** Throws UNKNOWN_PARTITION if the partition is not assigned to this consumer. */
  of(at: TopicPartition): ConsumedPartition {
    const partition = this.#byName.get(partitionName(at))
    if (partition !== undefined) return partition
    throw new LogError('UNKNOWN_PARTITION', `${partitionName(at)} is not assigned to this consumer`, { ...at })
  }

  /**
   * Returns up to `countMax` fetched records. With `open`, they are open and `open` gets their keys; no partition may
   * have more than `openMax` open records.
   */
  take<K, V>(countMax: number, open: (string | null)[] | null, openMax: number): readonly ConsumerRecord<K, V>[] {
    const records: ConsumerRecord<K, V>[] = []
    const count = this.#list.length
    for (let step = 0; step < count && records.length < countMax; step++) {
      const partition = this.#list[(this.#first + step) % count] as ConsumedPartition
      const left = openMax - partition.openCount
      if (partition.paused || left <= 0) continue
      // The declared topics say that their records have these types; `take` has validated them.
      partition.take(records, Math.min(countMax, records.length + left), open)
    }
    if (count > 0) this.#first = (this.#first + 1) % count
    return records
  }

  /** Marks all open records as done. */
  completeAll(): void {
    for (const partition of this.#list) partition.completeAll()
  }

  /** Makes records that are not done be returned again. */
  giveBack(): void {
    for (const partition of this.#list) partition.giveBack()
    this.moved = true
  }

  /**
   * The caller left the loop: records that it did not see are returned first next time. The current record stays
   * uncommitted.
   */
  giveBackFrom(rest: readonly ConsumerRecord<unknown, unknown>[]): void {
    const seen = new Set<string>()
    for (const record of rest) {
      const name = partitionName(record)
      if (seen.has(name)) continue
      seen.add(name)
      this.#byName.get(name)?.rewindTo(record.offset)
    }
    this.moved = true
  }

  /** Finds the start offsets of these partitions. */
  resolveStarts(partitions: readonly ConsumedPartition[]): void {
    if (partitions.length === 0) return
    this.#starts.resolve(partitions)
    this.moved = true
  }

  /** A partition of the topic that has this name now. It is not among the assigned ones yet. */
  create(at: TopicPartition): ConsumedPartition {
    return new ConsumedPartition(at, this.#topicIdOf(at.topic) ?? '', this.#declared.formatOf(at), 0)
  }

  /** Whether the partition's topic was deleted. A topic created anew under the same name is another one. */
  isDeleted({ at, topicId }: ConsumedPartition): boolean {
    return this.#topicIdOf(at.topic) !== topicId
  }

  /** Adds a partition, whose start the next poll finds. */
  add(at: TopicPartition): void {
    const partition = this.create(at)
    partition.unresolved = true
    this.#list.push(partition)
    this.#byName.set(partitionName(at), partition)
  }

  drop(partitions: readonly ConsumedPartition[]): void {
    const going = new Set(partitions)
    this.replace(this.#list.filter((partition) => !going.has(partition)))
  }

  replace(partitions: readonly ConsumedPartition[]): void {
    const byName = new Map(partitions.map((partition) => [partitionName(partition.at), partition]))
    this.#list = [...byName.values()]
    this.#byName.clear()
    for (const [name, partition] of byName) this.#byName.set(name, partition)
    this.#first = 0
    this.moved = true
  }
}
