import { LogError } from '../api/errors.ts'
import type { GroupMember } from './group-member.ts'
import { encodeGroupRecord, type GroupRecord } from './group-record.ts'
import type { JoinAnswer, SyncAnswer, SyncRequest } from './group-requests.ts'

/**
 * What the members of a group were last told: the number of their generation, their leader and their protocol; and how
 * this is encoded for members and for the log.
 *
 * - The number only increases, even across restarts; only one that was not yet written at a crash is used again.
 * - A generation has one leader, and only the leader gets the list of members.
 * - A request that names another generation or another protocol is refused.
 *
 * The group decides when a generation begins and which member leads it.
 */
export class GroupGeneration {
  readonly #group: string
  number: number
  protocolType: string | null
  protocol: string | null
  leader: string | null

  /** A group that was restored without members has no leader and no agreed protocol. */
  constructor(group: string, restored: GroupRecord | null, memberIds: ReadonlySet<string>) {
    this.#group = group
    this.number = restored?.generation ?? 0
    this.protocolType = restored === null || restored.protocolType === '' ? null : restored.protocolType
    this.protocol = memberIds.size > 0 ? (restored?.protocol ?? null) : null
    this.leader = memberIds.has(restored?.leader ?? '') ? (restored?.leader ?? null) : null
  }

  /** Throws ILLEGAL_GENERATION unless the request names this generation. */
  check({ generation, memberId }: { readonly generation: number; readonly memberId: string }): void {
    if (generation === this.number) return
    throw new LogError(
      'ILLEGAL_GENERATION',
      `group ${this.#group} is at generation ${this.number}, member ${memberId} at ${generation}; join again`,
      { group: this.#group, memberId, generation, current: this.number },
    )
  }

  /** Throws INCONSISTENT_GROUP_PROTOCOL if the member syncs with another protocol. */
  checkProtocol({ protocolType, protocol }: SyncRequest): void {
    if ((protocolType ?? this.protocolType) === this.protocolType && (protocol ?? this.protocol) === this.protocol)
      return
    throw new LogError(
      'INCONSISTENT_GROUP_PROTOCOL',
      `group ${this.#group} uses ${this.protocolType} with ${this.protocol}, the member uses ${protocolType} with ${protocol}`,
      { group: this.#group },
    )
  }

  /** With `skipAssignment`, the leader need not compute a new assignment, because the old one remains valid. */
  joinAnswer(
    { memberId }: GroupMember,
    members: readonly GroupMember[],
    how: { readonly generation: number; readonly skipAssignment: boolean },
  ): JoinAnswer {
    const isLeader = memberId === this.leader
    return {
      ...how,
      memberId,
      leader: this.leader ?? '',
      protocolType: this.protocolType ?? '',
      protocol: this.protocol ?? '',
      members: isLeader
        ? members.map((each) => ({
            memberId: each.memberId,
            groupInstanceId: each.groupInstanceId,
            metadata: each.metadataOf(this.protocol),
          }))
        : [],
    }
  }

  syncAnswer({ assignment }: GroupMember): SyncAnswer {
    return { protocolType: this.protocolType ?? '', protocol: this.protocol ?? '', assignment }
  }

  /** Encodes the record from which the group can be restored. */
  encode(members: readonly GroupMember[], phaseSince: number): Uint8Array {
    return encodeGroupRecord({
      protocolType: this.protocolType ?? '',
      generation: this.number,
      protocol: this.protocol,
      leader: this.leader,
      phaseSince,
      members: members.map((member) => member.record(this.protocol)),
    })
  }
}
