import type { GroupAssignor } from '../../api/assignor.ts'
import type { TopicPartition } from '../../api/record.ts'
import { inOrder } from './member-order.ts'

/**
 * Topic by topic, each member gets a run of neighbouring partitions; the first members get one more where it does not
 * divide. Topics with equal partitions are cut alike, so that one member has what belongs together. Kafka: `RangeAssignor`.
 */
export const rangeAssignor: GroupAssignor = {
  name: 'range',
  cooperative: false,
  assign(members, partitions) {
    const ordered = inOrder(members)
    const assigned = new Map(ordered.map(({ memberId }): [string, TopicPartition[]] => [memberId, []]))
    for (const [topic, count] of partitions) {
      const readers = ordered.filter(({ topics }) => topics.includes(topic))
      if (readers.length === 0) continue
      const least = Math.floor(count / readers.length)
      const withMore = count % readers.length
      let next = 0
      for (const [index, { memberId }] of readers.entries()) {
        const end = next + least + (index < withMore ? 1 : 0)
        for (; next < end; next++) assigned.get(memberId)?.push({ topic, partition: next })
      }
    }
    return assigned
  },
}
