import { assert } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
import { consumerProtocolType, decodeSubscription } from './consumer-protocol.ts'
import type { GroupMember } from './group-member.ts'
import type { JoinRequest } from './group-requests.ts'

/**
 * What the members of a group agree on: the type of their protocol, and one of the protocols that all of them offer.
 *
 * - A member is only admitted if it has the same type as the others and at least one protocol in common with all of
 *   them, so one can always be chosen.
 * - Only the members interpret a protocol. The log only decodes Kafka's consumer protocol, to know which topics are
 *   read; if it cannot, the topics are unknown, and nothing is refused because of that.
 */

/** Throws INCONSISTENT_GROUP_PROTOCOL unless the joining member is compatible with the present ones. */
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

/** Of the protocols that all members support, the one that most of them prefer. */
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

/** The topics that members read; null if the group does not use Kafka's consumer protocol. */
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
    // The type is `consumer` but the bytes are something else, so the topics are unknown.
    return null
  }
  return topics
}

/**
 * Whether a returning static member subscribes to the same topics as before; otherwise its old assignment would be
 * wrong.
 */
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
