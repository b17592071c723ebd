import type { GroupAssignor } from '../../api/assignor.ts'
import type { TopicPartition } from '../../api/record.ts'
import { allPartitions, inOrder } from './member-order.ts'

/**
 * Deals all partitions of all topics out in turn, passing over members that do not read the topic. Kafka:
 * `RoundRobinAssignor`.
 */
export const roundRobinAssignor: GroupAssignor = {
  name: 'roundrobin',
  cooperative: false,
  assign(members, partitions) {
    const ordered = inOrder(members)
    const assigned = new Map(ordered.map(({ memberId }): [string, TopicPartition[]] => [memberId, []]))
    let turn = 0
    // Somebody reads each of them, so the search ends.
    for (const at of allPartitions(members, partitions)) {
      while (ordered[turn % ordered.length]?.topics.includes(at.topic) !== true) turn++
      assigned.get(ordered[turn % ordered.length]?.memberId ?? '')?.push(at)
      turn++
    }
    return assigned
  },
}
