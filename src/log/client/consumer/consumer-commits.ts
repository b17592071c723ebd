import type { Clock } from '../../../base/clock.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { OffsetEntry } from '../../api/log.ts'
import { partitionName, type TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import { carryDelayMsMax, type CommitCarrier } from '../commit-carrier.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumedPartition } from './consumed-partition.ts'
import type { GroupMembership } from './group-membership.ts'

/**
 * The commits of one consumer: under which identity, and when they happen automatically.
 *
 * - A commit carries the member's id and generation, so that a consumer that has lost its partitions cannot commit for
 *   them.
 * - Automatic commits happen every `intervalMs` if there was progress, and whenever partitions are given up. If the
 *   group refuses one, the records are delivered again; the error is not reported.
 * - With a carrier, a commit also writes what resulted from the records that it covers, see {@link CommitCarrier}.
 *   Results that wait make a commit due, automatic or not.
 *
 * Each partition knows which offset may be committed.
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
  /** The earliest (monotonic) time to try again to write results that the last commit did not include. */
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
    /** Number of records that are with a listener. */
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

  /** When (monotonic) the next commit without a request is due; Infinity if there is nothing to commit. */
  get nextDue(): number {
    const carried = this.#carriedDue
    if (!this.isAutomatic || !this.#partitions.list.some(({ hasProgress }) => hasProgress)) return carried
    return Math.min(carried, this.#committedAt + this.#intervalMs)
  }

  /** When (monotonic) waiting results are due: at once if no further ones can come. */
  get #carriedDue(): number {
    if (this.#carrier === null || this.#carrier.waitingCount === 0) return Infinity
    const since = this.#openCount() === 0 ? -Infinity : this.#carrier.waitingSince + carryDelayMsMax
    return Math.max(since, this.#carriedNotBefore)
  }

  /** Number of records that are done and whose results wait for a commit. */
  get carriedCount(): number {
    return this.#carrier?.waitingCount ?? 0
  }

  /** Throws INVALID_CONFIG for a consumer without a group. */
  get group(): string {
    if (this.#group === undefined)
      throw new LogError('INVALID_CONFIG', 'the consumer has no group: give one in its options')
    return this.#group
  }

  /** The identity under which commits are made. */
  metadata(): GroupMetadata {
    const { group } = this
    return this.#membership()?.metadata ?? { group, generation: -1, memberId: '', groupInstanceId: null }
  }

  async commitIfDue(): Promise<void> {
    const now = this.#clock.monotonic()
    const isDue = this.isAutomatic && now - this.#committedAt >= this.#intervalMs
    if (isDue || now >= this.#carriedDue) await this.commitProgress()
  }

  /**
   * Commits without a request. If the group refuses, the records are delivered again, to the partitions' next owner.
   */
  async commitProgress(): Promise<void> {
    this.#committedAt = this.#clock.monotonic()
    let carried = 0
    try {
      carried = await this.commit(this.progressOf(this.#partitions.list.filter(({ hasProgress }) => hasProgress)))
    } catch (error) {
      // The next poll reports that another member has this instance id.
      const isFenced = error instanceof LogError && error.code === 'FENCED_INSTANCE_ID'
      if (!isFenced && this.#membership()?.commitRefused(error) !== true) throw error
    }
    // No results were written: an earlier record is not done, or the group refused. Either may last, so wait before
    // retrying.
    if (carried === 0 && this.carriedCount > 0) this.#carriedNotBefore = this.#clock.monotonic() + carryDelayMsMax
  }

  /**
   * The committable offsets. Deleted topics are left out: they would make the commit fail for the others too, and if the
   * name belongs to a new topic by now, its first records would never be delivered.
   */
  progressOf(partitions: readonly ConsumedPartition[]): readonly OffsetEntry[] {
    const live = partitions.filter((partition) => !this.#partitions.isDeleted(partition))
    return live.map((partition) => partition.progress())
  }

  /** Offsets of partitions that it does not read are the caller's own. */
  #checkPresent(offsets: readonly OffsetEntry[]): void {
    for (const { at } of offsets) {
      const partition = this.#partitions.get(partitionName(at))
      if (partition !== undefined && this.#partitions.isDeleted(partition)) throw ofDeleted(at)
    }
  }

  /** Resolves with the number of records whose results were waiting for it. */
  async commit(offsets: readonly OffsetEntry[]): Promise<number> {
    if (offsets.length === 0) return 0
    this.#checkPresent(offsets)
    let carried = 0
    const from = this.metadata()
    const { group, generation, memberId, groupInstanceId } = from
    try {
      // Without a generation the commit would pass for that of a client that never joined, which an empty group
      // accepts.
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

function ofDeleted(at: TopicPartition): LogError {
  return new LogError(
    'UNKNOWN_TOPIC',
    `${partitionName(at)} was read from a topic that was deleted, so its offset means nothing for a topic created anew under that name: poll, then commit what that one yields`,
    { ...at },
  )
}

/**
 * The group has moved on to the generation that the member is joining: it keeps its partitions and commits in that one.
 */
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
