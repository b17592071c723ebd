import type { AssignorMember, GroupAssignor } from '../../../api/assignor.ts'
import { partitionName, type TopicPartition } from '../../../api/record.ts'
import { allPartitions, inOrder } from './member-order.ts'

/**
 * Balances partitions while moving as few as possible: a member keeps its partitions unless it has more than its share.
 * Kafka: `CooperativeStickyAssignor`; the algorithm is our own.
 *
 * - If all members read the same topics, their counts differ by at most one, and no assignment with that property moves
 *   fewer partitions.
 * - If they do not, moving any single partition from one member to another would not make the counts more even.
 * - A partition claimed by two members belongs to the one with the newer generation, and to neither if the generations
 *   are equal.
 */
export const cooperativeStickyAssignor: GroupAssignor = {
  name: 'cooperative-sticky',
  cooperative: true,
  assign(members, partitions) {
    const ordered = inOrder(members)
    const all = allPartitions(members, partitions)
    const owners = currentOwners(ordered, all)
    const alike = new Set(ordered.map(({ topics }) => topics.toSorted().join('\n'))).size <= 1
    const shares = alike ? shareAlike(ordered, all, owners) : shareByTopics(ordered, all, owners)
    return new Map(ordered.map(({ memberId }, index) => [memberId, shares[index] ?? []]))
  },
}

/**
 * The current owner of each partition, as an index into the members. Ignores claims to topics that a member no longer
 * reads.
 */
export function currentOwners(
  members: readonly AssignorMember[],
  all: readonly TopicPartition[],
): ReadonlyMap<string, number> {
  const known = new Set(all.map(partitionName))
  const claims = new Map<string, { member: number; generation: number }>()
  for (const [member, { owned, topics, generation }] of members.entries()) {
    for (const at of owned) {
      const name = partitionName(at)
      if (!known.has(name) || !topics.includes(at.topic)) continue
      const other = claims.get(name)
      if (other === undefined || generation > other.generation) claims.set(name, { member, generation })
      else if (generation === other.generation) other.member = -1
    }
  }
  return new Map([...claims].filter(([, { member }]) => member >= 0).map(([name, { member }]) => [name, member]))
}

function shareAlike(
  members: readonly AssignorMember[],
  all: readonly TopicPartition[],
  owners: ReadonlyMap<string, number>,
): readonly TopicPartition[][] {
  const shares: TopicPartition[][] = members.map(() => [])
  const free: TopicPartition[] = []
  for (const at of all) {
    const owner = owners.get(partitionName(at))
    if (owner === undefined) free.push(at)
    else shares[owner]?.push(at)
  }
  const least = Math.floor(all.length / members.length)
  let withMore = all.length % members.length
  // The members with the most partitions keep one more: each of them saves a move.
  const byCount = members.map((_, index) => index).sort((a, b) => sizeOf(shares, b) - sizeOf(shares, a) || a - b)
  const quotas = members.map(() => least)
  for (const index of byCount) if (withMore-- > 0) quotas[index] = least + 1
  for (const [index, share] of shares.entries()) free.push(...share.splice(quotas[index] ?? least))
  let next = 0
  for (const [index, share] of shares.entries()) {
    const missing = (quotas[index] ?? least) - share.length
    share.push(...free.slice(next, next + missing))
    next += missing
  }
  return shares
}

function shareByTopics(
  members: readonly AssignorMember[],
  all: readonly TopicPartition[],
  owners: ReadonlyMap<string, number>,
): readonly TopicPartition[][] {
  const shares: TopicPartition[][] = members.map(() => [])
  const readers = new Map<string, readonly number[]>()
  for (const { topic } of all) {
    if (readers.has(topic)) continue
    readers.set(
      topic,
      [...members.entries()].filter(([, { topics }]) => topics.includes(topic)).map(([index]) => index),
    )
  }
  const free: TopicPartition[] = []
  for (const at of all) {
    const owner = owners.get(partitionName(at))
    if (owner === undefined) free.push(at)
    else shares[owner]?.push(at)
  }
  // Partitions that few members can read are assigned first; the others are distributed around them.
  free.sort((a, b) => (readers.get(a.topic)?.length ?? 0) - (readers.get(b.topic)?.length ?? 0))
  for (const at of free) shares[leastOf(shares, readers.get(at.topic) ?? [])]?.push(at)
  // Each move reduces the sum of squares, so the loop ends.
  for (let moved = true; moved;) {
    moved = false
    for (const [giver, share] of shares.entries()) {
      for (let index = share.length - 1; index >= 0; index--) {
        const at = share[index] as TopicPartition
        const taker = leastOf(shares, readers.get(at.topic) ?? [])
        if (share.length - sizeOf(shares, taker) < 2 || taker === giver) continue
        share.splice(index, 1)
        shares[taker]?.push(at)
        moved = true
      }
    }
  }
  return shares
}

function leastOf(shares: readonly (readonly TopicPartition[])[], among: readonly number[]): number {
  let least = among[0] ?? 0
  for (const index of among) if (sizeOf(shares, index) < sizeOf(shares, least)) least = index
  return least
}

function sizeOf(shares: readonly (readonly TopicPartition[])[], index: number): number {
  return shares[index]?.length ?? 0
}
