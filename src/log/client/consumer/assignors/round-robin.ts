import type { GroupAssignor } from '../../../api/assignor.ts'
import type { TopicPartition } from '../../../api/record.ts'
import { allPartitions, inOrder } from './member-order.ts'

/**
 * Assigns all partitions of all topics to the members in turn, skipping members that do not read the topic. Kafka:
 * `RoundRobinAssignor`.
 */
export const roundRobinAssignor: GroupAssignor = {
  name: 'roundrobin',
  cooperative: false,
  assign(members, partitions) {
    const ordered = inOrder(members)
    const assigned = new Map(ordered.map(({ memberId }): [string, TopicPartition[]] => [memberId, []]))
    let turn = 0
    // Each topic is read by at least one member, so the inner loop ends.
    for (const at of allPartitions(members, partitions)) {
      while (ordered[turn % ordered.length]?.topics.includes(at.topic) !== true) turn++
      assigned.get(ordered[turn % ordered.length]?.memberId ?? '')?.push(at)
      turn++
    }
    return assigned
  },
}
