import type { Clock } from '../../../base/clock.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import { partitionName, type TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumedPartition } from './consumed-partition.ts'
import type { ConsumerCommits } from './consumer-commits.ts'
import type { RebalanceListener } from './consumer-options.ts'
import type { GroupMembership } from './group-membership.ts'
import type { RecordRunner } from './record-runner.ts'
import type { StartOffsets } from './start-offsets.ts'

/**
 * The part of a consumer that shares topics with other members: it takes the partitions that the group assigns to it,
 * and gives up those that it has to.
 *
 * - Everything happens inside a poll: the listener is called there, and no record is returned meanwhile.
 * - Partitions are given up in this order: running calls are finished, progress is committed, the listener is called,
 *   the partitions are removed. Only then the group is told, so that no other member gets them before.
 * - Partitions that were lost may belong to another member already: nothing is awaited or committed for them. A
 *   consumer that leaves the group has lost its partitions if it was expelled or is in the middle of a rebalance.
 * - The listener is called as in Kafka. Under an eager assignor `onPartitionsRevoked` begins every rebalance, even with
 *   an empty list; under a cooperative one it is called only if there are partitions to give up. `onPartitionsAssigned`
 *   ends every rebalance. If a listener throws, the poll rejects with its error, and the partitions are given up all
 *   the same.
 * - A member that was too slow joins again only when the call that took too long has ended.
 * - Partitions of a deleted topic are lost: no member has them any more. A topic created anew under the same name is
 *   another topic, which the group assigns again.
 *
 * {@link GroupMembership} decides what is sent to the group and when.
 */
export class GroupSharing {
  readonly #parts: GroupSharingParts
  readonly #partitions: AssignedPartitions
  readonly #commits: ConsumerCommits
  #membership: GroupMembership | null = null
  #listener: RebalanceListener = {}
  #left: GroupMetadata | null = null
  /** The catalog's revision when the partitions were last checked for deleted topics. */
  #catalogRevision = -1
  /** The partitions for which the listener's `onPartitionsRevoked` has been called and has not ended. */
  readonly #revoking = new Set<ConsumedPartition>()
  /** Only under an eager assignor: all partitions were given up for the rebalance in progress. */
  #hasGivenUpAll = false
  /** Something other than records needs attention; a waiting poll was woken for it. */
  #attention = false

  constructor(parts: GroupSharingParts) {
    this.#parts = parts
    this.#partitions = parts.partitions
    this.#commits = parts.commits
  }

  get membership(): GroupMembership | null {
    return this.#membership
  }

  /**
   * The consumer's identity in the group now, or when it was last in it; null if it was in none since {@link chosen}.
   */
  get lastMember(): GroupMetadata | null {
    return this.#membership?.lastMember ?? this.#left
  }

  /** From now on the consumer reads partitions of its choice, without a group. */
  chosen(): void {
    this.#left = null
  }

  /**
   * A manually assigned partition that can never be read, because its topic was deleted before its start offset was
   * known; null if there is none. A group member would drop such a partition; without a group the poll reports an
   * error.
   */
  get neverRead(): TopicPartition | null {
    if (this.#membership !== null) return null
    return (
      this.#partitions.list.find((partition) => partition.unresolved && this.#partitions.isDeleted(partition))?.at ??
      null
    )
  }

  /** Whether the group has expelled this consumer. The next `keep` then drops its partitions. */
  get hasLostAll(): boolean {
    return this.#membership?.isLost === true
  }

  get needsAttention(): boolean {
    return this.#attention
  }

  /** Tells that the next `keep` has something to do. */
  callAttention(): void {
    this.#attention = true
  }

  /** From now on this consumer is a member of the group, which the next `keep` joins. */
  begin(membership: GroupMembership, listener: RebalanceListener): void {
    this.#membership = membership
    this.#listener = listener
    this.#hasGivenUpAll = false
  }

  /** Does what the group requires of this member, as far as that does not depend on other members. */
  async keep(): Promise<void> {
    const membership = this.#membership
    if (membership === null) {
      this.#attention = false
      this.#resolveStarts()
      return
    }
    for (;;) {
      await this.#dropDeleted(membership)
      if (this.#attention || membership.isBeatDue) {
        this.#attention = false
        membership.look()
      }
      if (membership.takeLost()) await this.#lost()
      const failure = membership.takeFailure()
      if (failure !== null) throw failure
      const assignment = membership.takeAssignment()
      if (assignment !== null) await this.#assigned(membership, assignment)
      if (!this.#parts.isOpen() || membership !== this.#membership) return
      // A consumer whose call is still taking too long would be expelled again: that call has to end first.
      const mayJoin = !this.#isOverdue
      if (membership.mustJoin && mayJoin) await this.#rejoin(membership)
      if (membership.isSettling) await membership.progress
      else if (!(membership.mustJoin && mayJoin) && !membership.hasNews && !this.#attention && !this.#topicsChanged)
        break
    }
    this.#resolveStarts()
  }

  /** Finds the start of partitions that have none, as soon as no open transaction may change it any more. */
  #resolveStarts(): void {
    this.#partitions.resolveStarts(
      this.#partitions.list.filter(
        (partition) =>
          partition.unresolved &&
          !this.#partitions.isDeleted(partition) &&
          !this.#parts.starts.isUnstable(partition.at),
      ),
    )
  }

  /** Whether a poll may have failed because topics were deleted. If so, the next `keep` drops their partitions. */
  noticeDeleted(): boolean {
    if (this.#membership === null || this.#deleted.length === 0) return false
    this.#catalogRevision = -1
    return true
  }

  get #deleted(): readonly ConsumedPartition[] {
    return this.#partitions.list.filter((partition) => this.#partitions.isDeleted(partition))
  }

  get #topicsChanged(): boolean {
    return this.#parts.broker.catalogRevision !== this.#catalogRevision
  }

  async #dropDeleted(membership: GroupMembership): Promise<void> {
    if (!this.#topicsChanged) return
    this.#catalogRevision = this.#parts.broker.catalogRevision
    const gone = this.#deleted
    if (gone.length === 0) return
    await this.#drop(gone)
    membership.topicsGone()
  }

  get #isOverdue(): boolean {
    const since = this.#parts.busySince()
    return since !== null && this.#parts.clock.monotonic() - since >= this.#parts.maxPollIntervalMs
  }

  async #rejoin(membership: GroupMembership): Promise<void> {
    if (!membership.isCooperative) await this.#giveUpAll(membership)
    else if (this.#commits.isAutomatic) await this.#commits.commitProgress()
    // The state may have changed during the awaited calls.
    if (membership === this.#membership && membership.mustJoin) membership.begin(this.#partitions.places)
  }

  /** Done once per rebalance, even without any partitions: it begins the rebalance. */
  async #giveUpAll(membership: GroupMembership): Promise<void> {
    if (this.#hasGivenUpAll) return
    this.#hasGivenUpAll = true
    // An expelled consumer has already lost its partitions and told the listener.
    if (membership.hasGeneration) await this.#giveUp(this.#partitions.list)
  }

  /** Applies a new assignment. */
  async #assigned(membership: GroupMembership, at: readonly TopicPartition[]): Promise<void> {
    this.#hasGivenUpAll = false
    const names = new Set(at.map(partitionName))
    const surplus = this.#partitions.list.filter((partition) => !names.has(partitionName(partition.at)))
    const thrown: unknown[] = []
    if (surplus.length > 0) {
      await this.#giveUp(surplus).catch((error: unknown) => thrown.push(error))
      // Only from now on other members may get them.
      membership.gaveUp()
    }
    // Topics may have been deleted during the awaited calls.
    await this.#dropDeleted(membership)
    // The consumer was closed meanwhile, and others may have the partitions: the listener must not be told that they are its.
    if (!this.#parts.isOpen() || membership !== this.#membership) {
      if (thrown.length > 0) throw thrown[0]
      return
    }
    const added = at.filter((place) => this.#partitions.get(partitionName(place)) === undefined && this.#exists(place))
    for (const place of added) this.#partitions.add(place)
    this.#partitions.moved = true
    await this.#parts.call(() => this.#listener.onPartitionsAssigned?.(added))
    if (thrown.length > 0) throw thrown[0]
  }

  #exists(at: TopicPartition): boolean {
    return at.partition < (this.#parts.broker.topic(at.topic)?.partitions ?? 0)
  }

  /** Order: running calls are finished, progress is committed, the listener is called, the partitions are removed. */
  async #giveUp(partitions: readonly ConsumedPartition[]): Promise<void> {
    const going = [...partitions]
    await this.#parts.runner()?.release(new Set(going))
    if (this.#commits.isAutomatic) await this.#commits.commitProgress()
    for (const partition of going) this.#revoking.add(partition)
    try {
      await this.#parts.call(() => this.#listener.onPartitionsRevoked?.(going.map(({ at }) => at)))
    } finally {
      for (const partition of going) this.#revoking.delete(partition)
      this.#partitions.drop(going)
    }
  }

  async #lost(): Promise<void> {
    await this.#drop(this.#partitions.list)
  }

  /**
   * Drops partitions that are already lost, without awaiting anything. As in Kafka, the listener still finds them
   * assigned.
   */
  async #drop(partitions: readonly ConsumedPartition[]): Promise<void> {
    if (partitions.length === 0) return
    const going = [...partitions]
    const at = going.map((partition) => partition.at)
    this.#parts.runner()?.abandon(new Set(going))
    const listener = this.#listener
    try {
      await this.#parts.call(() =>
        listener.onPartitionsLost === undefined ? listener.onPartitionsRevoked?.(at) : listener.onPartitionsLost(at),
      )
    } finally {
      this.#partitions.drop(going)
    }
  }

  /** Gives up all partitions, with or without a group, and leaves the group. */
  async leave(): Promise<void> {
    const membership = this.#membership
    try {
      if (this.#commits.isAutomatic) await this.#commits.commitProgress()
      if (membership !== null) await this.#giveUpFor(membership)
    } finally {
      this.#left = membership?.lastMember ?? this.#left
      membership?.leave()
      this.#membership = null
      this.#partitions.drop(this.#partitions.list)
    }
  }

  /** Tells the listener, unless it is being told already. */
  async #giveUpFor(membership: GroupMembership): Promise<void> {
    const left = this.#partitions.list.filter((partition) => !this.#revoking.has(partition))
    if (left.length === 0) return
    if (!membership.isStillInside()) return await this.#drop(left)
    await this.#parts.call(() => this.#listener.onPartitionsRevoked?.(left.map(({ at }) => at)))
  }
}

export interface GroupSharingParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly partitions: AssignedPartitions
  readonly starts: StartOffsets
  readonly commits: ConsumerCommits
  /** Runs the calls of a record listener; null if there is none. */
  readonly runner: () => RecordRunner | null
  /** The (monotonic) time since which the user's code has been processing records; null if it has none. */
  readonly busySince: () => number | null
  readonly maxPollIntervalMs: number
  readonly isOpen: () => boolean
  /** Calls the user's rebalance listener. */
  readonly call: (listener: () => void | Promise<void> | undefined) => Promise<void>
}
