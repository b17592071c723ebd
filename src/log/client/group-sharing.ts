import type { Clock } from '../../base/clock.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import { partitionName, type TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import type { AssignedPartitions } from './assigned-partitions.ts'
import type { ConsumedPartition } from './consumed-partition.ts'
import type { ConsumerCommits } from './consumer-commits.ts'
import type { RebalanceListener } from './consumer-options.ts'
import type { GroupMembership } from './group-membership.ts'
import type { RecordRunner } from './record-runner.ts'
import type { StartOffsets } from './start-offsets.ts'

/**
 * What a consumer does because it shares its topics with others: it takes partitions that the group gives it, and gives
 * up those that it has to.
 *
 * - Everything happens inside a poll: there the listener is called, and no record is given out meanwhile.
 * - Partitions are given up in this order: what is under way is finished, it is committed, the listener hears of it, they
 *   are gone. Only then the group is told, so that nobody else has them before.
 * - Partitions that were lost may be somebody else's already: nothing is waited for and nothing committed. Whoever leaves the
 *   group has lost what it had if it was expelled, or is in the middle of a rebalance.
 * - The listener is called as Kafka's is: `onPartitionsRevoked` begins every rebalance under an eager assignor, with nothing
 *   if there is nothing, and comes under a cooperative one only with something; `onPartitionsAssigned` ends every rebalance.
 *   What it throws the poll throws, and what was to be given up is given up all the same.
 * - A member that was too slow joins again only when the call that took too long has ended.
 * - Partitions of a topic that was deleted are lost: nobody has them any more. One that was made again under its name is
 *   another topic, which the group shares anew.
 *
 * What is said to the group, and when, is {@link GroupMembership}'s business.
 */
export class GroupSharing {
  readonly #parts: GroupSharingParts
  readonly #partitions: AssignedPartitions
  readonly #commits: ConsumerCommits
  #membership: GroupMembership | null = null
  #listener: RebalanceListener = {}
  #left: GroupMetadata | null = null
  /** By name, under which id its topics were when it got partitions of them; and when they were looked at last. */
  readonly #topicIds = new Map<string, string>()
  #catalogRevision = -1
  /** Under an eager assignor: it has given up everything for the rebalance that is under way. */
  #hasGivenUpAll = false
  /** Something other than records has to be looked after; a waiting poll was woken for it. */
  #attention = false

  constructor(parts: GroupSharingParts) {
    this.#parts = parts
    this.#partitions = parts.partitions
    this.#commits = parts.commits
  }

  get membership(): GroupMembership | null {
    return this.#membership
  }

  /** Who this consumer is, or was when it last was in the group; null where it was in none since {@link chosen}. */
  get lastMember(): GroupMetadata | null {
    return this.#membership?.lastMember ?? this.#left
  }

  /** From now on it reads these on its own. */
  chosen(at: readonly TopicPartition[]): void {
    this.#left = null
    for (const place of at) this.#noteTopic(place)
  }

  #noteTopic({ topic }: TopicPartition): void {
    this.#topicIds.set(topic, this.#parts.broker.topic(topic)?.id ?? '')
  }

  /**
   * Of partitions chosen by hand, one that will never be read: its topic was deleted before anybody knew where to start. The
   * group drops such partitions, a reader stumbles over those that it has.
   */
  get neverRead(): TopicPartition | null {
    if (this.#membership !== null) return null
    return this.#partitions.list.find((partition) => partition.unresolved && this.#isDeleted(partition))?.at ?? null
  }

  #isDeleted({ at }: ConsumedPartition): boolean {
    return this.#parts.broker.topic(at.topic)?.id !== this.#topicIds.get(at.topic)
  }

  /** The group has given this consumer up, and the next `keep` drops what it had. */
  get hasLostAll(): boolean {
    return this.#membership?.isLost === true
  }

  get needsAttention(): boolean {
    return this.#attention
  }

  /** The next `keep` has something to do. */
  callAttention(): void {
    this.#attention = true
  }

  /** From now on this member shares; the group is joined by the next `keep`. */
  begin(membership: GroupMembership, listener: RebalanceListener): void {
    this.#membership = membership
    this.#listener = listener
    this.#hasGivenUpAll = false
  }

  /** Does what the group asks of this member, as far as it needs nobody else. */
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
      // Who still sits in a call that took too long would be given up again: first that call has to end.
      const mayJoin = !this.#isOverdue
      if (membership.mustJoin && mayJoin) await this.#rejoin(membership)
      if (membership.isSettling) await membership.progress
      else if (!(membership.mustJoin && mayJoin) && !membership.hasNews && !this.#attention && !this.#topicsChanged)
        break
    }
    this.#resolveStarts()
  }

  /** Of partitions that wait for one, as soon as no transaction may move it any more. */
  #resolveStarts(): void {
    this.#partitions.resolveStarts(
      this.#partitions.list.filter(
        (partition) =>
          partition.unresolved && !this.#isDeleted(partition) && !this.#parts.starts.isUnstable(partition.at),
      ),
    )
  }

  /** Whether a poll may have failed because topics are no more. Then the next `keep` drops what it has of them. */
  noticeDeleted(): boolean {
    if (this.#membership === null || this.#deleted.length === 0) return false
    this.#catalogRevision = -1
    return true
  }

  get #deleted(): readonly ConsumedPartition[] {
    return this.#partitions.list.filter((partition) => this.#isDeleted(partition))
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
    // While others were waited for, things may have gone on.
    if (membership === this.#membership && membership.mustJoin) membership.begin(this.#partitions.places)
  }

  /** Once per rebalance, and then also where it has nothing: with this a rebalance begins. */
  async #giveUpAll(membership: GroupMembership): Promise<void> {
    if (this.#hasGivenUpAll) return
    this.#hasGivenUpAll = true
    // Whoever was expelled has lost it all, and has heard so.
    if (membership.hasGeneration) await this.#giveUp(this.#partitions.list)
  }

  /** The partitions that are the consumer's from now on. */
  async #assigned(membership: GroupMembership, at: readonly TopicPartition[]): Promise<void> {
    this.#hasGivenUpAll = false
    const names = new Set(at.map(partitionName))
    const surplus = this.#partitions.list.filter((partition) => !names.has(partitionName(partition.at)))
    const thrown: unknown[] = []
    if (surplus.length > 0) {
      await this.#giveUp(surplus).catch((error: unknown) => thrown.push(error))
      // Only now may somebody else get them.
      membership.gaveUp()
    }
    // While others were waited for, topics may have gone.
    await this.#dropDeleted(membership)
    const added = at.filter((place) => this.#partitions.get(partitionName(place)) === undefined && this.#exists(place))
    for (const place of added) {
      this.#partitions.add(place)
      this.#noteTopic(place)
    }
    this.#partitions.moved = true
    await this.#parts.call(() => this.#listener.onPartitionsAssigned?.(added))
    if (thrown.length > 0) throw thrown[0]
  }

  #exists(at: TopicPartition): boolean {
    return at.partition < (this.#parts.broker.topic(at.topic)?.partitions ?? 0)
  }

  /** In this order: what is under way is finished, it is committed, the listener hears of it, they are gone. */
  async #giveUp(partitions: readonly ConsumedPartition[]): Promise<void> {
    const going = [...partitions]
    await this.#parts.runner()?.release(new Set(going))
    if (this.#commits.isAutomatic) await this.#commits.commitProgress()
    try {
      await this.#parts.call(() => this.#listener.onPartitionsRevoked?.(going.map(({ at }) => at)))
    } finally {
      this.#partitions.drop(going)
    }
  }

  async #lost(): Promise<void> {
    await this.#drop(this.#partitions.list)
  }

  /** They are gone already: nothing is waited for. As in Kafka the listener still finds them assigned. */
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

  /** Gives up all partitions, of a group or not, and leaves the group. */
  async leave(): Promise<void> {
    const membership = this.#membership
    try {
      if (this.#commits.isAutomatic) await this.#commits.commitProgress()
      if (membership !== null && this.#partitions.list.length > 0) {
        if (membership.isStillInside())
          await this.#parts.call(() => this.#listener.onPartitionsRevoked?.(this.#partitions.places))
        else await this.#lost()
      }
    } finally {
      this.#left = membership?.lastMember ?? this.#left
      membership?.leave()
      this.#membership = null
      this.#partitions.drop(this.#partitions.list)
    }
  }
}

export interface GroupSharingParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly partitions: AssignedPartitions
  readonly starts: StartOffsets
  readonly commits: ConsumerCommits
  /** Gives records to a listener; null while there is none. */
  readonly runner: () => RecordRunner | null
  /** Since when (monotonic) the user's code has what it was given. */
  readonly busySince: () => number | null
  readonly maxPollIntervalMs: number
  readonly isOpen: () => boolean
  /** Calls the user's rebalance listener. */
  readonly call: (listener: () => void | Promise<void> | undefined) => Promise<void>
}
