import type { Clock } from '../../base/clock.ts'
import { LogError } from '../api/errors.ts'
import type { Isolation } from '../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumedPartition } from './consumed-partition.ts'
import { resolveReset, type CheckedReset } from './offset-reset.ts'

/**
 * Where a consumer starts to read a partition that nobody has sought in.
 *
 * - At the group's committed offset; without one, and where the log no longer has it, as `autoOffsetReset` says.
 * - While a transaction may still move the committed offset, nobody knows: whoever started then might do again what it has
 *   done.
 *
 * It reads no records and commits nothing.
 */
export class StartOffsets {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #group: string | undefined
  readonly #isolation: Isolation
  readonly #autoOffsetReset: CheckedReset

  constructor(parts: {
    readonly broker: Broker
    readonly clock: Clock
    readonly group: string | undefined
    readonly isolation: Isolation
    readonly autoOffsetReset: CheckedReset
  }) {
    this.#broker = parts.broker
    this.#clock = parts.clock
    this.#group = parts.group
    this.#isolation = parts.isolation
    this.#autoOffsetReset = parts.autoOffsetReset
  }

  /** Where partitions start that nobody has sought in: at the committed offset, or as the reset says. */
  resolve(partitions: readonly ConsumedPartition[]): void {
    if (partitions.length === 0) return
    const at = partitions.map((partition) => partition.at)
    const committed = new Map<string, Offset>()
    if (this.#group !== undefined)
      for (const entry of this.#broker.committedOffsets(this.#group, at))
        committed.set(partitionName(entry.at), entry.offset)
    for (const partition of partitions)
      partition.startAt(committed.get(partitionName(partition.at)) ?? this.#resetOf(partition.at))
  }

  /** A transaction may still move the group's offset: whoever started now might do again what it has done. */
  isUnstable(at: TopicPartition): boolean {
    return this.#group !== undefined && this.#broker.hasUnstableOffset(this.#group, at)
  }

  /** Moves partitions whose offset the log does not have any more, if there is a reset. */
  moveIntoRange(partitions: AssignedPartitions, error: unknown): boolean {
    if (!(error instanceof LogError) || error.code !== 'OFFSET_OUT_OF_RANGE' || this.#autoOffsetReset === 'none')
      return false
    let any = false
    const places = partitions.places
    const bounds = this.#broker.bounds(places, this.#isolation)
    const ends = this.#broker.bounds(places, 'durable')
    for (const [index, { at, start, end }] of bounds.entries()) {
      const partition = partitions.of(at)
      // Within a transaction that is not decided it waits where it is.
      if (partition.fetchAt >= start && partition.fetchAt <= Math.max(end, ends[index]?.end ?? end)) continue
      partition.moveTo(Math.min(end, Math.max(start, this.#resetOf(at))))
      any = true
    }
    partitions.moved ||= any
    return any
  }

  #resetOf(at: TopicPartition): Offset {
    const how = { reset: this.#autoOffsetReset, isolation: this.#isolation, now: this.#clock.now() }
    return resolveReset(this.#broker, at, this.#group === undefined ? how : { ...how, group: this.#group })
  }
}
