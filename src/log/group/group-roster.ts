import { LogError } from '../api/errors.ts'
import type { GroupMember } from './group-member.ts'
import type { MemberName } from './group-requests.ts'

/**
 * The members of a group: by member id, static members also by instance id, and the ids that were given out but have
 * not been used yet.
 *
 * - An instance id belongs to one member at a time; a request with that instance id and another member id is fenced.
 * - Members keep the order in which they joined; a static member that returns keeps its position.
 * - A member that is removed is notified: the answers it waits for are rejected, and its `onChange` is called.
 *
 * It decides nothing about rebalances: the group decides what a change of members means.
 */
export class GroupRoster {
  readonly #group: string
  readonly #members = new Map<string, GroupMember>()
  readonly #static = new Map<string, GroupMember>()
  /** Ids given out with MEMBER_ID_REQUIRED and not used yet, with the monotonic time at which they expire. */
  readonly #pendingIds = new Map<string, number>()

  constructor(group: string) {
    this.#group = group
  }

  /** The members in the order in which they joined, as a copy: members may be removed during iteration. */
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

  /**
   * The member that sent the request. Throws UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID if another member has taken its
   * instance id.
   */
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

  /** Gives a member another id without changing its position. */
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

  /** Notes an id that was given out, which may be used to join before `until` (monotonic). */
  expect(memberId: string, until: number): void {
    this.#pendingIds.set(memberId, until)
  }

  /** Whether this id was given out and has not been used yet; it counts as used from now on. */
  takeExpected(memberId: string): boolean {
    return this.#pendingIds.delete(memberId)
  }

  /** Drops the given-out ids that have expired. */
  lapseExpected(now: number): void {
    for (const [memberId, until] of this.#pendingIds) if (until <= now) this.#pendingIds.delete(memberId)
  }

  /** Extends the expiry of given-out ids by a time during which nobody could join. */
  extendExpected(byMs: number): void {
    for (const [memberId, until] of this.#pendingIds) this.#pendingIds.set(memberId, until + byMs)
  }

  /** The monotonic time at which the first member or given-out id expires, unless there are signs of life. */
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
