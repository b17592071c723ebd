/**
 * Who commits offsets, as a group's member knows itself: `consumer.groupMetadata()` gives it, and whoever commits in the
 * member's name (a transaction) hands it on, so that the group refuses what a member prepared that it has replaced since.
 * Kafka: `ConsumerGroupMetadata`.
 */
export interface GroupMetadata {
  readonly group: string
  /** The group's generation when the partitions were assigned; -1 without membership (partitions chosen by hand). */
  readonly generation: number
  /** Empty without membership. */
  readonly memberId: string
  /** Kafka's `group.instance.id`; null unless the member is static. */
  readonly groupInstanceId: string | null
}
