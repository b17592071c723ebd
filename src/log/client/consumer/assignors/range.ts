import type { GroupAssignor } from '../../../api/assignor.ts'
import type { TopicPartition } from '../../../api/record.ts'
import { inOrder } from './member-order.ts'

/**
 * Assigns each member a contiguous range of partitions per topic; the first members get one more if the count is not
 * divisible. Topics with equal partition counts are divided in the same way, so that one member gets partitions that
 * belong together. Kafka: `RangeAssignor`.
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
