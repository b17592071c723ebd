import type { Clock } from '../../base/clock.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import { partitionName } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { GroupMembership } from './group-membership.ts'

/**
 * The commits of one consumer: in whose name, and when without being asked.
 *
 * - A commit carries the member's id and generation, so that who has lost its partitions cannot commit for them.
 * - Automatic commits come every `intervalMs`, if anything was done since, and whenever partitions are given up. Where the
 *   group refuses one the records come again, and nobody hears of it.
 *
 * What may be committed of a partition the partition knows.
 */
export class ConsumerCommits {
  readonly #broker: Broker
  readonly #clock: Clock
  readonly #group: string | undefined
  readonly #intervalMs: number
  readonly #partitions: AssignedPartitions
  readonly #membership: () => GroupMembership | null
  #committedAt: number

  constructor(parts: {
    readonly broker: Broker
    readonly clock: Clock
    readonly group: string | undefined
    /** 0: no automatic commits. */
    readonly intervalMs: number
    readonly partitions: AssignedPartitions
    readonly membership: () => GroupMembership | null
  }) {
    this.#broker = parts.broker
    this.#clock = parts.clock
    this.#group = parts.group
    this.#intervalMs = parts.group === undefined ? 0 : parts.intervalMs
    this.#partitions = parts.partitions
    this.#membership = parts.membership
    this.#committedAt = parts.clock.monotonic()
  }

  get isAutomatic(): boolean {
    return this.#intervalMs > 0
  }

  /** When (monotonic) the next automatic commit is due; Infinity while there is nothing to commit. */
  get nextDue(): number {
    if (!this.isAutomatic || !this.#partitions.list.some(({ hasProgress }) => hasProgress)) return Infinity
    return this.#committedAt + this.#intervalMs
  }

  /** Throws INVALID_CONFIG for a consumer without a group. */
  get group(): string {
    if (this.#group === undefined)
      throw new LogError('INVALID_CONFIG', 'the consumer has no group: give one in its options')
    return this.#group
  }

  /** In whose name commits are made. */
  metadata(): GroupMetadata {
    const { group } = this
    return this.#membership()?.metadata ?? { group, generation: -1, memberId: '', groupInstanceId: null }
  }

  async commitIfDue(): Promise<void> {
    if (!this.isAutomatic) return
    if (this.#clock.monotonic() - this.#committedAt < this.#intervalMs) return
    await this.commitProgress()
  }

  /** Automatic commits ask nobody: where the group refuses, the records come again, to whoever has the partitions then. */
  async commitProgress(): Promise<void> {
    this.#committedAt = this.#clock.monotonic()
    try {
      await this.commit(
        this.#partitions.list.filter((partition) => partition.hasProgress).map((partition) => partition.progress()),
      )
    } catch (error) {
      if (this.#membership()?.commitRefused(error) !== true) throw error
    }
  }

  async commit(offsets: readonly OffsetEntry[]): Promise<void> {
    if (offsets.length === 0) return
    const { group, generation, memberId, groupInstanceId } = this.metadata()
    try {
      // Without its generation it would pass for somebody who never joined, which an empty group allows.
      if (this.#membership() !== null && generation < 0) throw noMember(group)
      await this.#broker.commitOffsets(group, generation, offsets, { memberId, groupInstanceId })
    } catch (error) {
      this.#membership()?.commitRefused(error)
      throw error
    }
    for (const { at, offset } of offsets) this.#partitions.get(partitionName(at))?.committed(offset)
  }
}

function noMember(group: string): LogError {
  return new LogError(
    'UNKNOWN_MEMBER_ID',
    `the consumer is not in group ${group} (any more): poll, which joins again, and start from the committed offsets`,
    { group },
  )
}
