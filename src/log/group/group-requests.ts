/**
 * Requests of members and the coordinator's answers: Kafka's JoinGroup, SyncGroup and LeaveGroup as plain values. The
 * wire server builds them from requests, the embedded consumer directly.
 */
export interface JoinRequest {
  readonly group: string
  /** Empty for a new member. */
  readonly memberId: string
  /** Kafka's `group.instance.id`, which makes the member static; null for a dynamic member. */
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocolType: string
  /** The protocols that the member supports, the preferred one first, each with the member's metadata for it. */
  readonly protocols: readonly GroupProtocol[]
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /**
   * Whether a new dynamic member is answered with MEMBER_ID_REQUIRED first, so that a lost answer leaves no ghost
   * member (KIP-394).
   */
  readonly requireMemberId: boolean
  /**
   * Called when the member has to check its membership: members in this process learn of a rebalance at once, all
   * others with their next heartbeat. It is called while the group is changing, so it must only take note.
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
  /** Only filled for the leader. */
  readonly members: readonly JoinedMember[]
  /** The leader has returned and the assignment is still valid, so it syncs without a new one. */
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
  /** Null if the member does not say (older clients). */
  readonly protocolType: string | null
  readonly protocol: string | null
  /** From the leader: the assignment of each member, by member id. Empty from all others. */
  readonly assignments: ReadonlyMap<string, Uint8Array>
}

export interface SyncAnswer {
  readonly protocolType: string
  readonly protocol: string
  readonly assignment: Uint8Array
}

/** An answer that the member may have to wait for. */
export interface GroupAnswer<T> {
  readonly memberId: string
  readonly answer: Promise<T>
  /** Whether the answer waits for other members; otherwise it only waits for the log's own write. */
  readonly waitsForMembers: boolean
}

/** The name that a member uses in its requests. */
export interface MemberName {
  readonly memberId: string
  readonly groupInstanceId: string | null
}
