import type { AssignorMember } from '../../../api/assignor.ts'
import type { TopicPartition } from '../../../api/record.ts'

/**
 * Kafka's order of members: static members by instance id first, then all others by member id, so that a static member
 * that returns with a new member id keeps its place.
 */
export function inOrder(members: readonly AssignorMember[]): readonly AssignorMember[] {
  return members.toSorted((left, right) => {
    const [a, b] = [left.groupInstanceId, right.groupInstanceId]
    if (a !== null && b !== null) return compare(a, b)
    if (a !== null || b !== null) return a !== null ? -1 : 1
    return compare(left.memberId, right.memberId)
  })
}

/** All partitions of the topics that any member reads, by topic and number. */
export function allPartitions(
  members: readonly AssignorMember[],
  partitions: ReadonlyMap<string, number>,
): readonly TopicPartition[] {
  const read = new Set(members.flatMap(({ topics }) => topics))
  const topics = [...partitions.keys()].filter((topic) => read.has(topic)).sort(compare)
  return topics.flatMap((topic) =>
    Array.from({ length: partitions.get(topic) ?? 0 }, (_, partition): TopicPartition => ({ topic, partition })),
  )
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
