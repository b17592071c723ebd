import type { AssignorMember, GroupAssignor } from '../../api/assignor.ts'
import { LogError } from '../../api/errors.ts'
import { partitionName, type TopicPartition } from '../../api/record.ts'
import { decodeSubscription, encodeAssignment } from '../../group/consumer-protocol.ts'
import type { JoinedMember } from '../../group/group-requests.ts'
import { currentOwners } from './assignors/cooperative-sticky.ts'
import { allPartitions } from './assignors/member-order.ts'

/**
 * Makes the assignment of a group, as its leader, from the subscriptions of its members.
 *
 * - An assignment is checked before it is sent: each partition at most once, to a member that reads its topic.
 * - Cooperative: a partition that another member still owns is left out of this round. Its owner sees that the
 *   partition is not assigned to it any more, gives it up and joins again; only then the partition is assigned to the
 *   new owner. So a partition never has two owners, whatever the assignor returns.
 */
export function assignGroup(
  assignor: GroupAssignor,
  joined: readonly JoinedMember[],
  partitionsOf: (topic: string) => number | undefined,
): { readonly assignments: ReadonlyMap<string, Uint8Array>; readonly topics: ReadonlyMap<string, number> } {
  const members = joined.map(({ memberId, groupInstanceId, metadata }): AssignorMember => {
    const { topics, owned, generation, userData } = decodeSubscription(metadata)
    return { memberId, groupInstanceId, topics, owned, generation, userData }
  })
  const topics = new Map<string, number>()
  for (const topic of new Set(members.flatMap((member) => member.topics))) {
    const count = partitionsOf(topic)
    if (count !== undefined) topics.set(topic, count)
  }
  const assigned = assignor.assign(members, topics)
  check(assignor, members, topics, assigned)
  const owners = assignor.cooperative ? currentOwners(members, allPartitions(members, topics)) : noOwners
  const assignments = new Map<string, Uint8Array>()
  for (const [index, { memberId }] of members.entries()) {
    const partitions = (assigned.get(memberId) ?? []).filter((at) => {
      const owner = owners.get(partitionName(at))
      return owner === undefined || owner === index
    })
    assignments.set(memberId, encodeAssignment({ partitions, userData: null }))
  }
  return { assignments, topics }
}

const noOwners: ReadonlyMap<string, number> = new Map()

function check(
  assignor: GroupAssignor,
  members: readonly AssignorMember[],
  topics: ReadonlyMap<string, number>,
  assigned: ReadonlyMap<string, readonly TopicPartition[]>,
): void {
  const refuse = (why: string): LogError =>
    new LogError('INVALID_ASSIGNMENT', `assignor ${assignor.name}: ${why}; correct its assign`, { name: assignor.name })
  const byId = new Map(members.map((member) => [member.memberId, member]))
  const given = new Set<string>()
  for (const [memberId, partitions] of assigned) {
    const member = byId.get(memberId)
    if (member === undefined) throw refuse(`${memberId} is not in the group`)
    for (const at of partitions) {
      const name = partitionName(at)
      if (given.has(name)) throw refuse(`${name} is given twice`)
      given.add(name)
      if (!member.topics.includes(at.topic)) throw refuse(`${memberId} gets ${name} and does not read ${at.topic}`)
      if (at.partition >= 0 && at.partition < (topics.get(at.topic) ?? 0)) continue
      throw refuse(`${name} does not exist`)
    }
  }
}
