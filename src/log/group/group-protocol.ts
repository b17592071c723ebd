import { assert } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
import { consumerProtocolType, decodeSubscription } from './consumer-protocol.ts'
import type { GroupMember } from './group-member.ts'
import type { JoinRequest } from './group-requests.ts'

/**
 * What the members of a group agree on: the type of their protocol, and which of the protocols that all of them offer.
 *
 * - A member is only let in if it has the others' type and at least one protocol that all have: so one can always be chosen.
 * - What a protocol means is the members' business. The log only looks into Kafka's consumer protocol, to know which topics
 *   are read; where that cannot be read, nobody knows, and nothing is refused for it.
 */

/** Throws INCONSISTENT_GROUP_PROTOCOL unless this one can be a member beside those that are there. */
export function checkProtocols(
  members: readonly GroupMember[],
  groupType: string | null,
  { group, protocolType, protocols }: JoinRequest,
): void {
  const refuse = (why: string): LogError =>
    new LogError('INCONSISTENT_GROUP_PROTOCOL', `group ${group}: ${why}`, { group, protocolType })
  if (protocolType === '' || protocols.length === 0) throw refuse('a member has to name its protocols')
  if (members.length === 0) return
  if (protocolType !== groupType)
    throw refuse(`its members are of type ${groupType}, the new one is of type ${protocolType}`)
  const common = commonProtocols(members)
  if (protocols.some(({ name }) => common.has(name))) return
  throw refuse(
    `its members have ${[...common].join(', ')} in common, the new one only offers ${protocols.map(({ name }) => name).join(', ')}`,
  )
}

/** Of what all can do, what most like best. */
export function chooseProtocol(group: string, members: readonly GroupMember[]): string {
  const common = commonProtocols(members)
  const votes = new Map<string, number>()
  for (const member of members) {
    const vote = member.voteFor(common)
    if (vote !== undefined) votes.set(vote, (votes.get(vote) ?? 0) + 1)
  }
  const [chosen] = [...votes].sort((left, right) => right[1] - left[1])
  assert(chosen !== undefined, `group ${group} has let in members without a protocol in common`)
  return chosen[0]
}

function commonProtocols(members: readonly GroupMember[]): ReadonlySet<string> {
  const names = members[0]?.protocols.map(({ name }) => name) ?? []
  return new Set(names.filter((name) => members.every(({ protocols }) => protocols.some((p) => p.name === name))))
}

/** Topics that a member reads; null where the group does not speak Kafka's consumer protocol. */
export function subscribedTopics(
  members: readonly GroupMember[],
  groupType: string | null,
): ReadonlySet<string> | null {
  if (groupType !== consumerProtocolType) return null
  const topics = new Set<string>()
  try {
    for (const member of members)
      for (const { metadata } of member.protocols)
        for (const topic of decodeSubscription(metadata).topics) topics.add(topic)
  } catch {
    // It says `consumer` and means something else: then nobody knows what it reads.
    return null
  }
  return topics
}

/** Whether a returning static member still reads what it read: else its old assignment would be wrong for it. */
export function sameTopics(before: Uint8Array, request: JoinRequest, protocol: string | null): boolean {
  const now = request.protocols.find(({ name }) => name === protocol)?.metadata
  if (now === undefined) return false
  if (request.protocolType !== consumerProtocolType) return true
  try {
    const [left, right] = [before, now].map((bytes) => decodeSubscription(bytes).topics.toSorted())
    return left !== undefined && right !== undefined && left.join('\n') === right.join('\n')
  } catch {
    return true
  }
}
