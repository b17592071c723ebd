import type { Clock } from '../../../base/clock.ts'
import { LogError } from '../../api/errors.ts'
import type { Isolation } from '../../api/log.ts'
import { partitionName, type Offset, type TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import { resolveReset, type CheckedReset } from '../offset-reset.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumedPartition } from './consumed-partition.ts'

/**
 * Determines where a consumer starts to read a partition without a seek.
 *
 * - It starts at the group's committed offset. Without one, and if the log no longer has that offset, `autoOffsetReset`
 *   decides.
 * - While a transaction may still change the committed offset, the start is unknown: a consumer that started too early
 *   might process the same records again.
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

  /** Sets the start of these partitions: the committed offset, or what `autoOffsetReset` yields. */
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

  /** Whether a transaction may still change the group's offset, so that a consumer must not start yet. */
  isUnstable(at: TopicPartition): boolean {
    return this.#group !== undefined && this.#broker.hasUnstableOffset(this.#group, at)
  }

  /**
   * Whether `resolve` would find the start now: no transaction may still change it, and there is a committed offset or a
   * reset.
   */
  isKnown(at: TopicPartition): boolean {
    if (this.isUnstable(at)) return false
    if (this.#autoOffsetReset !== 'none') return true
    return this.#group !== undefined && this.#broker.committedOffsets(this.#group, [at]).length > 0
  }

  /** Moves partitions whose offset is no longer in the log, if there is a reset. Returns whether it moved any. */
  moveIntoRange(partitions: AssignedPartitions, error: unknown): boolean {
    if (!(error instanceof LogError) || error.code !== 'OFFSET_OUT_OF_RANGE' || this.#autoOffsetReset === 'none')
      return false
    let any = false
    const places = partitions.places
    const bounds = this.#broker.bounds(places, this.#isolation)
    const ends = this.#broker.bounds(places, 'durable')
    for (const [index, { at, start, end }] of bounds.entries()) {
      const partition = partitions.of(at)
      // A position inside an open transaction is not out of range: the partition waits there.
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
