import { shown } from '../../../base/shown.ts'
import { LogError } from '../../api/errors.ts'
import type { OffsetEntry } from '../../api/log.ts'
import { partitionName, type TopicPartition } from '../../api/record.ts'
import { BatchBuilder } from '../../format/batch-builder.ts'
import { consumerProtocolType, decodeAssignment, decodeSubscription } from '../../group/consumer-protocol.ts'
import type { GroupPhase } from '../../group/group-lifecycle.ts'
import type { GroupMember } from '../../group/group-member.ts'
import type { LastSections } from '../commits/last-sections.ts'
import { EntryDraft, type Sequencer } from '../sequencer.ts'
import type { Catalog } from '../topics/catalog.ts'
import type { TransactionalOffsets } from '../transactions/transactional-offsets.ts'
import type { GroupOffsets } from './group-offsets.ts'
import type { Groups } from './groups.ts'
import type { OffsetLog } from './offset-log.ts'

/**
 * Administration of groups: list, describe, delete, delete offsets, and expire the offsets of abandoned groups.
 *
 * Offsets of a group without members expire `offsetsRetentionMs` after its last member left, or after their commit if
 * it never had members. Offsets of topics that no member of an active consumer group reads expire that long after their
 * commit. An application's offsets never expire, because its stores belong to them; nor do offsets about to be replaced
 * by a new commit.
 */
export class GroupAdmin {
  readonly #parts: GroupAdminParts

  constructor(parts: GroupAdminParts) {
    this.#parts = parts
  }

  list(): readonly GroupListing[] {
    const { groups, offsetLog } = this.#parts
    const names = [...new Set([...offsetLog.groups, ...groups.names])].sort()
    return names.map((name) => this.#listing(name))
  }

  #listing(name: string): GroupListing {
    const { groups, sections } = this.#parts
    const group = groups.coordinator.get(name)
    const application = groups.application(name)
    if (application !== undefined || (sections.has(name) && (group === undefined || group.members.length === 0)))
      return {
        group: name,
        kind: 'application',
        phase: application === undefined ? 'empty' : 'stable',
        generation: application?.generation ?? -1,
        protocolType: null,
        protocol: null,
        members: application === undefined ? 0 : 1,
      }
    return {
      group: name,
      kind: group === undefined ? 'offsets' : 'consumers',
      phase: group?.phase ?? 'empty',
      generation: group?.generation ?? -1,
      protocolType: group?.protocolType ?? null,
      protocol: group?.protocol ?? null,
      members: group?.members.length ?? 0,
    }
  }

  /** Throws GROUP_ID_NOT_FOUND if there is no such group. */
  describe(name: string): GroupDescription {
    this.#checkKnown(name)
    const { groups, offsets, catalog } = this.#parts
    const group = groups.coordinator.get(name)
    const application = groups.application(name)
    const members = (group?.members ?? []).map((member) =>
      describeMember(member, group?.protocol ?? null, group?.protocolType ?? null),
    )
    const owners = new Map<string, string>()
    for (const { memberId, assigned } of members) for (const at of assigned) owners.set(partitionName(at), memberId)
    const places = new Map<string, TopicPartition>()
    for (const { at } of offsets.of(name)) places.set(partitionName(at), at)
    for (const { assigned } of [...members, ...(application === undefined ? [] : [application])])
      for (const at of assigned) places.set(partitionName(at), at)
    const committed = new Map(offsets.of(name).map((entry) => [partitionName(entry.at), entry]))
    const partitions = [...places].map(([key, at]): GroupPartition => {
      const entry = committed.get(key)
      const end = catalog.topic(at.topic)?.partitions[at.partition]?.end ?? 0
      const offset = entry?.offset ?? null
      return {
        at,
        offset,
        metadata: entry?.metadata ?? '',
        end,
        lag: offset === null ? null : Math.max(0, end - offset),
        memberId: owners.get(key) ?? null,
      }
    })
    partitions.sort(byPlace)
    return {
      ...this.#listing(name),
      leader: group?.leader ?? null,
      memberList: members,
      partitions,
    }
  }

  /** The partitions for which the group has committed an offset. Throws GROUP_ID_NOT_FOUND. */
  committedPartitions(name: string): readonly TopicPartition[] {
    this.#checkKnown(name)
    return this.#parts.offsets.of(name).map(({ at }) => at)
  }

  /**
   * Deletes a group with its offsets. Rejects with NON_EMPTY_GROUP while it has members, or with GROUP_ID_NOT_FOUND.
   */
  async delete(name: string): Promise<void> {
    this.#checkKnown(name)
    this.checkEmpty(name)
    // Includes offsets in flight, which would otherwise bring the group back.
    await this.#forget(name, this.#parts.offsetLog.ofGroup(name), true)
  }

  /**
   * Deletes offsets, also those that an open transaction carries; partitions without one are skipped. Rejects with
   * GROUP_SUBSCRIBED_TO_TOPIC if a member reads the topic, or with GROUP_ID_NOT_FOUND, UNKNOWN_TOPIC or UNKNOWN_PARTITION.
   */
  async deleteOffsets(name: string, at: readonly TopicPartition[]): Promise<void> {
    this.#checkKnown(name)
    const { catalog, groups, offsetLog } = this.#parts
    const group = groups.coordinator.get(name)
    for (const place of at) {
      catalog.partition(place)
      const { topic } = place
      const subscribed = group?.subscribed
      const read =
        groups.application(name) !== undefined ||
        (group !== undefined && group.members.length > 0 && (subscribed?.has(topic) ?? true))
      if (read)
        throw new LogError('GROUP_SUBSCRIBED_TO_TOPIC', `members of group ${name} read ${topic}: close them first`, {
          group: name,
          topic,
        })
    }
    const asked = new Set(at.map(partitionName))
    const going = offsetLog.ofGroup(name).filter((place) => asked.has(partitionName(place)))
    await this.#forget(name, going, false)
  }

  /** Throws NON_EMPTY_GROUP while the group has members. */
  checkEmpty(name: string): void {
    if (!this.#parts.groups.hasMembers(name)) return
    const { members, kind } = this.#listing(name)
    throw new LogError('NON_EMPTY_GROUP', `group ${name} has ${members} members (${kind}): close them first`, {
      group: name,
      members,
    })
  }

  /**
   * Deletes what has been kept long enough. There is one entry per group, so that after a crash either all of it is
   * deleted or none.
   */
  async expire(): Promise<void> {
    const { groups, offsetLog, offsets, sections, sequencer } = this.#parts
    for (const name of new Set([...offsets.groups, ...groups.coordinator.names])) {
      if (sequencer.failure !== null) return
      if (groups.application(name) !== undefined || sections.has(name)) continue
      const due = this.#expired(name)
      const group = groups.coordinator.get(name)
      const over = group?.phase === 'empty' && due.length === offsetLog.ofGroup(name).length
      if (due.length > 0 || over) await this.#forget(name, due, over)
    }
  }

  #expired(name: string): readonly TopicPartition[] {
    const { groups, offsetLog, offsets, offsetsRetentionMs, sequencer, transactionalOffsets } = this.#parts
    const before = sequencer.clock.now() - offsetsRetentionMs
    const group = groups.coordinator.get(name)
    // An offset that a commit in flight or an open transaction will change must not expire: the tombstone would come
    // after the new offset and delete that one.
    const pending = offsetLog.pendingOf(name)
    const entries = offsets
      .statesOf(name)
      .filter(({ at }) => !pending.has(partitionName(at)))
      .filter(({ at }) => !transactionalOffsets.isUnstable(name, at.topic, at.partition))
    if (group === undefined) return entries.filter(({ committedAt }) => committedAt <= before).map(({ at }) => at)
    if (group.phase === 'empty') return group.phaseSince <= before ? entries.map(({ at }) => at) : []
    const { subscribed } = group
    if (group.phase !== 'stable' || subscribed === null) return []
    return entries
      .filter(({ at, committedAt }) => committedAt <= before && !subscribed.has(at.topic))
      .map(({ at }) => at)
  }

  async #forget(name: string, at: readonly TopicPartition[], groupToo: boolean): Promise<void> {
    const { sequencer, offsetLog, groups } = this.#parts
    sequencer.checkWritable()
    const isGroup = groupToo && groups.coordinator.get(name) !== undefined
    if (at.length === 0 && !isGroup) return
    const draft = new EntryDraft(sequencer.placeContext())
    offsetLog.delete(draft, new BatchBuilder(), name, at)
    if (isGroup) {
      offsetLog.group(draft, new BatchBuilder(), name, null)
      // Crash here: the group comes back as a whole, with its offsets, and is deleted again later.
      groups.coordinator.remove(name)
    }
    const written = draft.outcome()
    sequencer.submit(draft)
    await written
  }

  #checkKnown(name: string): void {
    const { groups, offsetLog } = this.#parts
    if (offsetLog.ofGroup(name).length > 0 || groups.names.includes(name)) return
    throw new LogError('GROUP_ID_NOT_FOUND', `there is no group ${shown(name)}: name one that listGroups has`, {
      group: name,
    })
  }
}

export interface GroupAdminParts {
  readonly sequencer: Sequencer
  readonly catalog: Catalog
  readonly groups: Groups
  readonly offsets: GroupOffsets
  readonly offsetLog: OffsetLog
  readonly sections: LastSections
  readonly transactionalOffsets: TransactionalOffsets
  readonly offsetsRetentionMs: number
}

/** A consumer group in a list. Kafka: `kafka-consumer-groups --list --state`. */
export interface GroupListing {
  readonly group: string
  /**
   * `application`: it is used by Streams. `consumers`: it has or had members. `offsets`: it has offsets, but never had
   * members.
   */
  readonly kind: 'application' | 'consumers' | 'offsets'
  readonly phase: GroupPhase
  /** -1 if it never had a member. */
  readonly generation: number
  /** `consumer` for Kafka's consumers; null for a group that never had members. */
  readonly protocolType: string | null
  /** The assignor in use. */
  readonly protocol: string | null
  /** How many members it has. */
  readonly members: number
}

/** A consumer group with its members and how far each partition is read. Kafka: `kafka-consumer-groups --describe`. */
export interface GroupDescription extends GroupListing {
  /** The member that makes the assignments. */
  readonly leader: string | null
  readonly memberList: readonly MemberDescription[]
  /** Every partition that is assigned to a member or has a committed offset, in order. */
  readonly partitions: readonly GroupPartition[]
}

/** A member of a group and its assignment. */
export interface MemberDescription {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Null if the group does not use the consumer protocol. */
  readonly topics: readonly string[] | null
  readonly assigned: readonly TopicPartition[]
  readonly sessionTimeoutMs: number
}

/** How far a group has read a partition, and which member reads it. */
export interface GroupPartition {
  readonly at: TopicPartition
  /** The committed offset; null if there is none. */
  readonly offset: OffsetEntry['offset'] | null
  /** The text that was committed with the offset; empty if there is none. */
  readonly metadata: string
  /** One past the last offset of the partition. */
  readonly end: number
  /**
   * The distance from the committed offset to the end. At most that many records are left to read, fewer where offsets
   * have gaps.
   */
  readonly lag: number | null
  /** The member that reads it; null if none does. */
  readonly memberId: string | null
}

function describeMember(member: GroupMember, protocol: string | null, protocolType: string | null): MemberDescription {
  const { memberId, groupInstanceId, clientId, clientHost, sessionTimeoutMs } = member
  const named = { memberId, groupInstanceId, clientId, clientHost, sessionTimeoutMs }
  if (protocolType !== consumerProtocolType) return { ...named, topics: null, assigned: [] }
  try {
    const metadata = protocol === null ? member.protocols[0]?.metadata : member.metadataOf(protocol)
    return {
      ...named,
      topics: decodeSubscription(metadata ?? new Uint8Array(0)).topics,
      assigned: decodeAssignment(member.assignment).partitions,
    }
  } catch {
    // The bytes are of another kind under Kafka's protocol name, so only the member itself can be shown.
    return { ...named, topics: null, assigned: [] }
  }
}

function byPlace(left: GroupPartition, right: GroupPartition): number {
  if (left.at.topic !== right.at.topic) return left.at.topic < right.at.topic ? -1 : 1
  return left.at.partition - right.at.partition
}
