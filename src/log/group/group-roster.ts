import { LogError } from '../api/errors.ts'
import type { GroupMember } from './group-member.ts'
import type { MemberName } from './group-requests.ts'

/**
 * Who is in a group: its members by their ids, the static ones by their instance ids too, and the ids that were given out
 * and not used yet.
 *
 * - An instance id belongs to one member at a time; who comes under it with another member id is fenced.
 * - Members keep the order in which they came; a static one that returns keeps its place.
 * - Whoever is removed hears it: what it waited for is rejected, and it is told that something has changed.
 *
 * It decides nothing about rebalances: what a change of the members means is the group's business.
 */
export class GroupRoster {
  readonly #group: string
  readonly #members = new Map<string, GroupMember>()
  readonly #static = new Map<string, GroupMember>()
  /** Ids given out with MEMBER_ID_REQUIRED and not used yet, and when (monotonic) they lapse. */
  readonly #pendingIds = new Map<string, number>()

  constructor(group: string) {
    this.#group = group
  }

  /** In the order in which they came. A copy: members may be removed while it is walked. */
  get members(): readonly GroupMember[] {
    return [...this.#members.values()]
  }

  get size(): number {
    return this.#members.size
  }

  get pendingCount(): number {
    return this.#pendingIds.size
  }

  has(memberId: string): boolean {
    return this.#members.has(memberId)
  }

  instance(groupInstanceId: string): GroupMember | undefined {
    return this.#static.get(groupInstanceId)
  }

  /** The member that speaks. Throws UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID if another has taken its instance id. */
  known({ memberId, groupInstanceId }: MemberName): GroupMember {
    if (groupInstanceId !== null) {
      const named = this.#static.get(groupInstanceId)
      if (named === undefined) throw this.#unknown(memberId, `and instance ${groupInstanceId} are not known`)
      if (named.memberId !== memberId)
        throw new LogError(
          'FENCED_INSTANCE_ID',
          `group ${this.#group}: instance ${groupInstanceId} is member ${named.memberId}, not ${memberId}`,
          { group: this.#group, memberId, groupInstanceId },
        )
      return named
    }
    const member = this.#members.get(memberId)
    if (member === undefined) throw this.#unknown(memberId, 'is not known; it may have been silent for too long')
    return member
  }

  add(member: GroupMember): void {
    this.#members.set(member.memberId, member)
    if (member.groupInstanceId !== null) this.#static.set(member.groupInstanceId, member)
  }

  /** Gives a member another id, in its old place, so that the order of the members stays. */
  rename(member: GroupMember, memberId: string): void {
    const members = this.members
    member.memberId = memberId
    this.#members.clear()
    for (const each of members) this.#members.set(each.memberId, each)
  }

  remove(member: GroupMember, why: string): void {
    const { memberId, groupInstanceId } = member
    this.#members.delete(memberId)
    if (groupInstanceId !== null) this.#static.delete(groupInstanceId)
    member.refuse(this.#unknown(memberId, why))
    member.onChange()
  }

  /** An id was given out; somebody may join with it until then (monotonic). */
  expect(memberId: string, until: number): void {
    this.#pendingIds.set(memberId, until)
  }

  /** Whether this id was given out and not used; from now on it is. */
  takeExpected(memberId: string): boolean {
    return this.#pendingIds.delete(memberId)
  }

  /** Ids that nobody came with are worth nothing from now on. */
  lapseExpected(now: number): void {
    for (const [memberId, until] of this.#pendingIds) if (until <= now) this.#pendingIds.delete(memberId)
  }

  /** Nobody could come for so long: ids are good for longer. */
  extendExpected(byMs: number): void {
    for (const [memberId, until] of this.#pendingIds) this.#pendingIds.set(memberId, until + byMs)
  }

  /** When (monotonic) the first member dies or the first id lapses, if nothing is heard. */
  get nextDeadline(): number {
    let next = Infinity
    for (const { deadline } of this.#members.values()) next = Math.min(next, deadline)
    for (const until of this.#pendingIds.values()) next = Math.min(next, until)
    return next
  }

  #unknown(memberId: string, why: string): LogError {
    const group = this.#group
    return new LogError('UNKNOWN_MEMBER_ID', `group ${group}: member ${memberId || '(none)'} ${why}; join again`, {
      group,
      memberId,
    })
  }
}
