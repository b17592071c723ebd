import type { Clock } from '../../base/clock.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { OffsetEntry } from '../api/log.ts'
import { partitionName } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import { carryDelayMsMax, type CommitCarrier } from './commit-carrier.ts'
import type { ConsumedPartition } from './consumed-partition.ts'
import type { GroupMembership } from './group-membership.ts'

/**
 * The commits of one consumer: in whose name, and when without being asked.
 *
 * - A commit carries the member's id and generation, so that who has lost its partitions cannot commit for them.
 * - Automatic commits come every `intervalMs`, if anything was done since, and whenever partitions are given up. Where the
 *   group refuses one the records come again, and nobody hears of it.
 * - With a carrier a commit also writes what came of the records that it covers, see {@link CommitCarrier}; something that
 *   waits for it makes a commit due, automatic or not.
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
  readonly #carrier: CommitCarrier | null
  readonly #openCount: () => number
  #committedAt: number
  /** When (monotonic) something that a commit did not take along is tried again. */
  #carriedNotBefore = -Infinity

  constructor(parts: {
    readonly broker: Broker
    readonly clock: Clock
    readonly group: string | undefined
    /** 0: no automatic commits. */
    readonly intervalMs: number
    readonly partitions: AssignedPartitions
    readonly membership: () => GroupMembership | null
    readonly carrier: CommitCarrier | null
    /** Records that are with a listener. */
    readonly openCount: () => number
  }) {
    this.#broker = parts.broker
    this.#clock = parts.clock
    this.#group = parts.group
    this.#intervalMs = parts.group === undefined ? 0 : parts.intervalMs
    this.#partitions = parts.partitions
    this.#membership = parts.membership
    this.#carrier = parts.carrier
    this.#openCount = parts.openCount
    this.#committedAt = parts.clock.monotonic()
  }

  get isAutomatic(): boolean {
    return this.#intervalMs > 0
  }

  /** When (monotonic) the next commit is due without being asked for; Infinity while there is nothing to commit. */
  get nextDue(): number {
    const carried = this.#carriedDue
    if (!this.isAutomatic || !this.#partitions.list.some(({ hasProgress }) => hasProgress)) return carried
    return Math.min(carried, this.#committedAt + this.#intervalMs)
  }

  /** When (monotonic) what waits for a commit has waited long enough: with nothing more to come, at once. */
  get #carriedDue(): number {
    if (this.#carrier === null || this.#carrier.waitingCount === 0) return Infinity
    const since = this.#openCount() === 0 ? -Infinity : this.#carrier.waitingSince + carryDelayMsMax
    return Math.max(since, this.#carriedNotBefore)
  }

  /** Records that are done and wait for a commit that writes what came of them. */
  get carriedCount(): number {
    return this.#carrier?.waitingCount ?? 0
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
    const now = this.#clock.monotonic()
    const isDue = this.isAutomatic && now - this.#committedAt >= this.#intervalMs
    if (isDue || now >= this.#carriedDue) await this.commitProgress()
  }

  /** Automatic commits ask nobody: where the group refuses, the records come again, to whoever has the partitions then. */
  async commitProgress(): Promise<void> {
    this.#committedAt = this.#clock.monotonic()
    let carried = 0
    try {
      carried = await this.commit(this.progressOf(this.#partitions.list.filter(({ hasProgress }) => hasProgress)))
    } catch (error) {
      // That another one has its instance id, the next poll says.
      const isFenced = error instanceof LogError && error.code === 'FENCED_INSTANCE_ID'
      if (!isFenced && this.#membership()?.commitRefused(error) !== true) throw error
    }
    // Nothing went along: a record before it is not done, or the group refused. Both take a while.
    if (carried === 0 && this.carriedCount > 0) this.#carriedNotBefore = this.#clock.monotonic() + carryDelayMsMax
  }

  /** What may be committed of them. A topic that was deleted has no offsets any more, and takes none from the others. */
  progressOf(partitions: readonly ConsumedPartition[]): readonly OffsetEntry[] {
    const live = partitions.filter(({ at }) => this.#broker.topic(at.topic) !== undefined)
    return live.map((partition) => partition.progress())
  }

  /** Resolves with how many records had waited for it. */
  async commit(offsets: readonly OffsetEntry[]): Promise<number> {
    if (offsets.length === 0) return 0
    let carried = 0
    const from = this.metadata()
    const { group, generation, memberId, groupInstanceId } = from
    try {
      // Without its generation it would pass for somebody who never joined, which an empty group allows.
      if (this.#membership() !== null && generation < 0) throw noMember(group)
      if (this.#carrier !== null) carried = await this.#carrier.commit(offsets, from)
      else await this.#broker.commitOffsets(group, generation, offsets, { memberId, groupInstanceId })
    } catch (error) {
      const membership = this.#membership()
      const isJoining = membership?.isJoining === true && error instanceof LogError
      if (isJoining && error.code === 'ILLEGAL_GENERATION') throw rebalancing(group, error)
      membership?.commitRefused(error)
      throw error
    }
    for (const { at, offset } of offsets) this.#partitions.get(partitionName(at))?.committed(offset)
    return carried
  }
}

/** The group has gone on to the generation that the member is joining: it keeps what it has, and commits in that one. */
function rebalancing(group: string, cause: LogError): LogError {
  return new LogError(
    'REBALANCE_IN_PROGRESS',
    `group ${group} is rebalancing: poll, then commit again`,
    { group },
    { cause },
  )
}

function noMember(group: string): LogError {
  return new LogError(
    'UNKNOWN_MEMBER_ID',
    `the consumer is not in group ${group} (any more): poll, which joins again, and start from the committed offsets`,
    { group },
  )
}
