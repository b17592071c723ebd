import type { TopicPartition } from './record.ts'

/**
 * Assigns the partitions of a group to its members. The group's leader runs it with the data that every member sent;
 * all members of a group need one assignor in common. Kafka: `ConsumerPartitionAssignor`.
 *
 * It must be deterministic, and must give each partition to at most one member, which must subscribe to its topic. An
 * assignment that breaks these rules is refused, and the leader's poll fails with INVALID_ASSIGNMENT.
 */
export interface GroupAssignor {
  /** The name on which members agree. Kafka's own are `range`, `roundrobin` and `cooperative-sticky`. */
  readonly name: string
  /**
   * Whether members keep reading the partitions they keep while the group rebalances. A partition that moves is then
   * given up first, and taken over in a second round. Otherwise every member gives up everything before each rebalance
   * (Kafka: eager).
   */
  readonly cooperative: boolean
  /** Data from this member for the leader's assignor. Default: none. */
  userData?(topics: readonly string[]): Uint8Array | null
  /**
   * Returns the partitions of each member, by member id. `partitions` contains the number of partitions of every
   * existing topic that a member reads.
   */
  assign(
    members: readonly AssignorMember[],
    partitions: ReadonlyMap<string, number>,
  ): ReadonlyMap<string, readonly TopicPartition[]>
}

/** A member of a group, from an assignor's point of view. */
export interface AssignorMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly string[]
  /** The partitions it has and has not given up; none under eager rebalancing. */
  readonly owned: readonly TopicPartition[]
  /** The generation in which it got the partitions it owns; -1 if it does not say. */
  readonly generation: number
  readonly userData: Uint8Array | null
}
