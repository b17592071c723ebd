import type { TopicPartition } from './record.ts'

/**
 * Shares the partitions of a group out to its members. The group's leader runs it, with what every member said; all
 * members of a group need one in common. Kafka: `ConsumerPartitionAssignor`.
 *
 * It must be deterministic and must give each partition to at most one member, which has to read its topic: an assignment
 * that breaks this is refused, and the leader's poll fails with INVALID_ASSIGNMENT.
 */
export interface GroupAssignor {
  /** What the members agree by. Kafka's own are `range`, `roundrobin`, `cooperative-sticky`. */
  readonly name: string
  /**
   * Whether members go on with what they keep while the group rebalances; a partition that moves is then given up first
   * and taken in a second round. Else every member gives up everything before each rebalance (Kafka: eager).
   */
  readonly cooperative: boolean
  /** What this member tells the assignor of the leader. Default nothing. */
  userData?(topics: readonly string[]): Uint8Array | null
  /** `partitions` has the number of partitions of every topic that a member reads and that exists. */
  assign(
    members: readonly AssignorMember[],
    partitions: ReadonlyMap<string, number>,
  ): ReadonlyMap<string, readonly TopicPartition[]>
}

/** A member of a group, as an assignor sees it. */
export interface AssignorMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly string[]
  /** What it has and has not given up; none under eager rebalancing. */
  readonly owned: readonly TopicPartition[]
  /** When it got what it owns; -1 where it does not say. */
  readonly generation: number
  readonly userData: Uint8Array | null
}
