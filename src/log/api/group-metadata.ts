/**
 * The name under which a group's member commits offsets. `consumer.groupMetadata()` returns it, and code that commits
 * in the member's name (a transaction) passes it on, so that the group refuses commits prepared by a member that has
 * been replaced since. Kafka: `ConsumerGroupMetadata`.
 */
export interface GroupMetadata {
  readonly group: string
  /** The group's generation when the partitions were assigned; -1 without membership (manually assigned partitions). */
  readonly generation: number
  /** Empty without membership. */
  readonly memberId: string
  /** Kafka's `group.instance.id`; null unless the member is static. */
  readonly groupInstanceId: string | null
}
