/**
 * What members ask of the coordinator and what it answers: Kafka's JoinGroup, SyncGroup and LeaveGroup as plain values.
 * The wire server fills them from requests, the embedded consumer makes them itself.
 */
export interface JoinRequest {
  readonly group: string
  /** Empty for a new member. */
  readonly memberId: string
  /** Kafka's `group.instance.id`: the member is static. */
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocolType: string
  /** What the member can do, what it likes best first, each with what it has to say under it. */
  readonly protocols: readonly GroupProtocol[]
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** Answer a new dynamic member with MEMBER_ID_REQUIRED first, so that a lost answer leaves no ghost (KIP-394). */
  readonly requireMemberId: boolean
  /**
   * Called when the member has to look after its membership: members of this process hear of a rebalance at once, all
   * others with their next heartbeat. Called while the group changes: it only takes note.
   */
  readonly onChange?: () => void
}

export interface GroupProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

export interface JoinAnswer {
  readonly generation: number
  readonly memberId: string
  readonly leader: string
  readonly protocolType: string
  readonly protocol: string
  /** Only the leader gets them. */
  readonly members: readonly JoinedMember[]
  /** The leader came back and the assignment stands: it syncs without making another. */
  readonly skipAssignment: boolean
}

export interface JoinedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Uint8Array
}

export interface SyncRequest {
  readonly group: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generation: number
  /** Null where the member does not say (older clients). */
  readonly protocolType: string | null
  readonly protocol: string | null
  /** From the leader: who gets what. Empty from all others. */
  readonly assignments: ReadonlyMap<string, Uint8Array>
}

export interface SyncAnswer {
  readonly protocolType: string
  readonly protocol: string
  readonly assignment: Uint8Array
}

/** An answer that may have to wait. */
export interface GroupAnswer<T> {
  readonly memberId: string
  readonly answer: Promise<T>
  /** Whether it waits for other members; if not, only for the log's own write. */
  readonly waitsForMembers: boolean
}

/** A member as it names itself in requests. */
export interface MemberName {
  readonly memberId: string
  readonly groupInstanceId: string | null
}
