import type { Clock } from '../../base/clock.ts'
import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import { decodeGroupRecord } from './group-record.ts'
import type { GroupAnswer, JoinAnswer, JoinRequest, MemberName, SyncAnswer, SyncRequest } from './group-requests.ts'
import { Group } from './group.ts'

/**
 * All consumer groups that have, or have had, members: join, sync, heartbeat, leave, and whether a member may commit.
 *
 * - A group exists until it is deleted, or until it has been empty for so long that its last offset expired.
 * - Errors have Kafka's names (UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, ...), because members react to them.
 * - It keeps no offsets: those are in `broker/groups/group-offsets.ts`, for groups with and without members alike.
 */
export class GroupCoordinator {
  readonly #parts: GroupCoordinatorParts
  readonly #groups = new Map<string, Group>()
  readonly #closeListeners = new Set<() => void>()
  #isClosed = false

  constructor(parts: GroupCoordinatorParts) {
    this.#parts = parts
  }

  /** Restores a group from its record. */
  restore(name: string, record: Uint8Array): void {
    this.#groups.set(name, new Group(name, this.#parts, decodeGroupRecord(record)))
  }

  join(request: JoinRequest): GroupAnswer<JoinAnswer> {
    this.#checkOpen()
    checkGroupName(request.group)
    this.#checkSessionTimeout(request)
    const known = this.#groups.get(request.group)
    if (known === undefined && request.memberId !== '') throw unknownMember(request.group, request.memberId)
    const group = known ?? new Group(request.group, this.#parts)
    try {
      return group.join(request)
    } finally {
      // A group that refused its first member is not kept.
      if (known === undefined && group.isWanted) this.#groups.set(request.group, group)
    }
  }

  #checkSessionTimeout({ group, sessionTimeoutMs }: JoinRequest): void {
    const { sessionTimeoutMsMin: min, sessionTimeoutMsMax: max } = this.#parts
    if (sessionTimeoutMs >= min && sessionTimeoutMs <= max) return
    throw new LogError(
      'INVALID_SESSION_TIMEOUT',
      `group ${group}: a session timeout of ${sessionTimeoutMs} ms, use one from ${min} to ${max} ms`,
      { group, sessionTimeoutMs, min, max },
    )
  }

  sync(request: SyncRequest): GroupAnswer<SyncAnswer> {
    return this.#of(request.group, request.memberId).sync(request)
  }

  /** Throws REBALANCE_IN_PROGRESS if the member has to join again. */
  heartbeat(from: GroupMetadata): void {
    this.#of(from.group, from.memberId).heartbeat(from)
  }

  leave(group: string, member: MemberName): void {
    this.#of(group, member.memberId).leave(member)
  }

  /**
   * Throws unless this member may commit offsets now. For a group without members, anybody may who names no generation.
   */
  checkCommit(from: GroupMetadata): void {
    const group = this.#groups.get(from.group)
    if (group !== undefined) group.checkCommit(from)
    else if (from.generation >= 0) throw noSuchGeneration(from)
  }

  checkTransactionalCommit(from: GroupMetadata): void {
    const group = this.#groups.get(from.group)
    if (group !== undefined) group.checkTransactionalCommit(from)
    else if (from.generation >= 0) throw noSuchGeneration(from)
  }

  hasMembers(name: string): boolean {
    return (this.#groups.get(name)?.members.length ?? 0) > 0
  }

  get(name: string): Group | undefined {
    return this.#groups.get(name)
  }

  get names(): readonly string[] {
    return [...this.#groups.keys()]
  }

  /** Removes an empty group. The caller deletes its record. */
  remove(name: string): void {
    this.#groups.get(name)?.end()
    this.#groups.delete(name)
  }

  /** Refuses further requests and rejects the pending ones. */
  close(): void {
    this.#isClosed = true
    for (const group of this.#groups.values()) group.stop()
    for (const listener of this.#closeListeners) listener()
    this.#closeListeners.clear()
  }

  /**
   * Calls `listener` when the coordinator closes, until the returned function is called. No group can tell those who are
   * no longer its members, because it has forgotten them.
   */
  onClose(listener: () => void): () => void {
    this.#closeListeners.add(listener)
    return () => void this.#closeListeners.delete(listener)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new LogError('CLOSED', 'the log is closed')
  }

  #of(name: string, memberId: string): Group {
    this.#checkOpen()
    checkGroupName(name)
    const group = this.#groups.get(name)
    if (group === undefined) throw unknownMember(name, memberId)
    return group
  }
}

export interface GroupCoordinatorParts {
  readonly clock: Clock
  readonly newId: () => string
  /** Resolves when the group's record is written; null deletes the record. */
  readonly write: (group: string, record: Uint8Array | null) => Promise<void>
  readonly initialRebalanceDelayMs: number
  readonly membersMax: number
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
}

/** Kafka has no such bound, but the strings in its records are limited to 32,767 bytes. */
const groupNameLengthMax = 249

export function checkGroupName(group: string): void {
  if (typeof group === 'string' && group !== '' && Buffer.byteLength(group) <= groupNameLengthMax) return
  throw new LogError(
    'INVALID_GROUP_ID',
    `${shown(group)} is not a valid group name: use 1 to ${groupNameLengthMax} bytes`,
    { group },
  )
}

function unknownMember(group: string, memberId: string): LogError {
  return new LogError('UNKNOWN_MEMBER_ID', `group ${group} has no member ${memberId || '(none)'}; join first`, {
    group,
    memberId,
  })
}

function noSuchGeneration(from: GroupMetadata): LogError {
  return new LogError(
    'ILLEGAL_GENERATION',
    `group ${from.group} has no generation, member ${from.memberId} is at ${from.generation}; join again`,
    { group: from.group, memberId: from.memberId, generation: from.generation },
  )
}
