import { LogError } from '../api/errors.ts'
import type { Position } from '../api/log.ts'
import { partitionName, type TopicPartition } from '../api/record.ts'
import { ConsumedPartition } from './consumed-partition.ts'
import type { ConsumerRecord } from './consumer-options.ts'
import type { DeclaredTopics } from './declared-topics.ts'
import type { StartOffsets } from './start-offsets.ts'

/**
 * The partitions that are a consumer's now.
 *
 * - They give out records in turn: each poll begins with the next one, so that none starves behind a full one.
 * - One whose start is not known yet (`unresolved`) is not read.
 * - Whatever makes the reader stand in the wrong place sets `moved`: the next fetch sends it where the partitions are.
 *
 * Who gives partitions and takes them away is not known here, nor who is told.
 */
export class AssignedPartitions {
  readonly #declared: DeclaredTopics
  readonly #starts: StartOffsets
  #list: ConsumedPartition[] = []
  readonly #byName = new Map<string, ConsumedPartition>()
  /** Which partition gives first in the next poll. */
  #first = 0
  /** The reader does not stand where the partitions do: a seek or an assignment came in between. */
  moved: boolean = false

  constructor(declared: DeclaredTopics, starts: StartOffsets) {
    this.#declared = declared
    this.#starts = starts
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

  /** Those of which so many records are with somebody. */
  full(openMax: number): readonly TopicPartition[] {
    if (openMax === Infinity) return []
    return this.#list.filter((partition) => partition.openCount >= openMax).map((partition) => partition.at)
  }

  /** Where the reader has to stand. */
  get positions(): readonly Position[] {
    return this.#list
      .filter(({ unresolved }) => !unresolved)
      .map((partition) => ({ at: partition.at, offset: partition.fetchAt }))
  }

  get(name: string): ConsumedPartition | undefined {
    return this.#byName.get(name)
  }

  /** Throws UNKNOWN_PARTITION for one that is not this consumer's. */
  of(at: TopicPartition): ConsumedPartition {
    const partition = this.#byName.get(partitionName(at))
    if (partition !== undefined) return partition
    throw new LogError('UNKNOWN_PARTITION', `${partitionName(at)} is not assigned to this consumer`, { ...at })
  }

  /**
   * Moves up to `countMax` records out of what was fetched. With `open`, they are open, and it gets their keys; no partition
   * gets more than `openMax` of them.
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

  /** Whoever has records of them is done with all. */
  completeAll(): void {
    for (const partition of this.#list) partition.completeAll()
  }

  /** What is not done comes again to whoever reads on. */
  giveBack(): void {
    for (const partition of this.#list) partition.giveBack()
    this.moved = true
  }

  /** The loop was left: what it did not see comes first when reading goes on. The record it was at stays uncommitted. */
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

  /** Finds the start of those of these that have none. */
  resolveStarts(partitions: readonly ConsumedPartition[]): void {
    if (partitions.length === 0) return
    this.#starts.resolve(partitions)
    this.moved = true
  }

  /** A new one, whose start the next poll finds. */
  add(at: TopicPartition): void {
    const partition = new ConsumedPartition(at, this.#declared.formatOf(at), 0)
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
