import type { Clock } from '../../base/clock.ts'
import { Lifecycle } from '../../base/lifecycle.ts'
import { LogError } from '../api/errors.ts'
import { noBytes } from '../api/record.ts'
import { GroupDeadlines } from './group-deadlines.ts'
import { GroupGeneration } from './group-generation.ts'
import { groupTransitions, type GroupPhase } from './group-lifecycle.ts'
import { GroupMember, waiting } from './group-member.ts'
import { checkProtocols, chooseProtocol, sameTopics, subscribedTopics } from './group-protocol.ts'
import type { GroupRecord } from './group-record.ts'
import type { GroupAnswer, JoinAnswer, JoinRequest, MemberName, SyncAnswer, SyncRequest } from './group-requests.ts'
import { GroupRoster } from './group-roster.ts'

/**
 * One consumer group and its rebalances: which members are asked to join, when a round ends, and how each is answered.
 * This is Kafka's classic protocol; its phases are drawn at `GroupPhase`.
 *
 * - Everything happens within one turn of the event loop. Only the write of an assignment's record is awaited;
 *   afterwards, generation and phase are checked again.
 * - A generation has one leader and one assignment. The assignment is in the log before any member gets it, so after a
 *   crash the group is in the state that its members expect.
 * - A static member (`groupInstanceId`) keeps its place until its session ends, whatever happens to its process.
 *
 * {@link GroupRoster} knows the members, {@link GroupDeadlines} their deadlines, and {@link GroupGeneration} what they
 * were told. The group never interprets what members tell each other, and assigns nothing itself.
 */
export class Group {
  readonly name: string
  readonly #parts: GroupParts
  readonly #lifecycle: Lifecycle<GroupPhase>
  readonly #roster: GroupRoster
  readonly #deadlines: GroupDeadlines
  readonly #agreed: GroupGeneration
  /** Wall-clock time. */
  #phaseSince: number
  /** The first rebalance of an empty group waits for further members, and waits longer as long as some arrive. */
  #initial: { newcomers: boolean; endsAtMost: number } | null = null
  #assigning = false

  constructor(name: string, parts: GroupParts, restored: GroupRecord | null = null) {
    this.name = name
    this.#parts = parts
    this.#roster = new GroupRoster(name)
    this.#deadlines = new GroupDeadlines(parts.clock, this.#roster, (now) => this.#passed(now))
    const members = (restored?.members ?? []).filter(mayComeBack)
    for (const member of members) this.#restore(member, restored?.protocol ?? '')
    const alive = members.length > 0
    this.#agreed = new GroupGeneration(name, restored, new Set(members.map(({ memberId }) => memberId)))
    // Dynamic members in this process ended with it. As far as the log can know, their group has been empty since now.
    const asWritten = members.length === (restored?.members.length ?? 0)
    this.#phaseSince = asWritten && restored !== null ? restored.phaseSince : parts.clock.now()
    this.#lifecycle = new Lifecycle(`group ${name}`, groupTransitions, alive ? 'stable' : 'empty')
    this.#lifecycle.onChange(() => (this.#phaseSince = parts.clock.now()))
    if (alive && !asWritten) this.#prepareRebalance()
    this.#deadlines.arm()
  }

  #restore(record: GroupRecord['members'][number], protocol: string): void {
    const protocols = [{ name: protocol, metadata: record.metadata }]
    const member = new GroupMember(record.memberId, { ...record, protocols })
    member.assignment = record.assignment
    this.#roster.add(member)
    this.#deadlines.heard(member)
  }

  get phase(): GroupPhase {
    return this.#lifecycle.phase
  }

  get generation(): number {
    return this.#agreed.number
  }

  get protocolType(): string | null {
    return this.#agreed.protocolType
  }

  get protocol(): string | null {
    return this.#agreed.protocol
  }

  get leader(): string | null {
    return this.#agreed.leader
  }

  get phaseSince(): number {
    return this.#phaseSince
  }

  get members(): readonly GroupMember[] {
    return this.#roster.members
  }

  /** Whether it has a member, or has given out an id to join with. */
  get isWanted(): boolean {
    return this.#roster.size > 0 || this.#roster.pendingCount > 0
  }

  /** The topics that members read; null if the group does not use Kafka's consumer protocol. */
  get subscribed(): ReadonlySet<string> | null {
    return subscribedTopics(this.members, this.#agreed.protocolType)
  }

  // Joining

  join(request: JoinRequest): GroupAnswer<JoinAnswer> {
    checkProtocols(this.members, this.#agreed.protocolType, request)
    const { memberId, groupInstanceId } = request
    if (memberId === '') return groupInstanceId === null ? this.#joinNew(request) : this.#joinStatic(request)
    if (this.#roster.takeExpected(memberId)) return this.#admit(memberId, request)
    return this.#rejoin(this.#roster.known(request), request)
  }

  #joinNew(request: JoinRequest): GroupAnswer<JoinAnswer> {
    this.#checkRoom()
    const memberId = `${request.clientId}-${this.#parts.newId()}`
    if (!request.requireMemberId) return this.#admit(memberId, request)
    this.#roster.expect(memberId, this.#deadlines.now + request.sessionTimeoutMs)
    this.#deadlines.arm()
    throw new LogError('MEMBER_ID_REQUIRED', `group ${this.name}: join again as ${memberId}`, {
      group: this.name,
      memberId,
    })
  }

  #joinStatic(request: JoinRequest): GroupAnswer<JoinAnswer> {
    const instance = request.groupInstanceId ?? ''
    const memberId = `${instance}-${this.#parts.newId()}`
    const before = this.#roster.instance(instance)
    if (before !== undefined) return this.#replace(before, memberId, request)
    this.#checkRoom()
    return this.#admit(memberId, request)
  }

  #checkRoom(): void {
    const count = this.#roster.size + this.#roster.pendingCount
    if (count < this.#parts.membersMax) return
    throw new LogError(
      'GROUP_MAX_SIZE_REACHED',
      `group ${this.name} has ${count} members, it may have ${this.#parts.membersMax}: raise groupMembersMax`,
      { group: this.name, count },
    )
  }

  #admit(memberId: string, request: JoinRequest): GroupAnswer<JoinAnswer> {
    const member = new GroupMember(memberId, request)
    this.#agreed.protocolType = request.protocolType
    this.#roster.add(member)
    if (this.#initial !== null) this.#initial.newcomers = true
    return this.#park(member, newcomerWaitMs)
  }

  /** Replaces a member that has joined anew under its instance id and continues in its place. */
  #replace(member: GroupMember, memberId: string, request: JoinRequest): GroupAnswer<JoinAnswer> {
    const { name } = this
    const fenced = new LogError(
      'FENCED_INSTANCE_ID',
      `group ${name}: another member has joined as instance ${request.groupInstanceId}`,
      { group: name, memberId: member.memberId, groupInstanceId: request.groupInstanceId },
    )
    member.refuse(fenced)
    const { onChange } = member
    const readsTheSame = sameTopics(member.metadataOf(this.#agreed.protocol), request, this.#agreed.protocol)
    if (this.#agreed.leader === member.memberId) this.#agreed.leader = memberId
    this.#roster.rename(member, memberId)
    member.update(request)
    onChange()
    this.#deadlines.heard(member)
    if (
      !this.#lifecycle.is('stable') ||
      !readsTheSame ||
      chooseProtocol(this.name, this.members) !== this.#agreed.protocol
    )
      return this.#park(member)
    // The assignment remains valid. Crash here: the record still has the old member id, which no process uses any more;
    // the member joins once more by its instance id.
    const generation = this.#agreed.number
    const isLeader = this.#agreed.leader === memberId
    const answer = this.#write().then(() =>
      this.#agreed.joinAnswer(member, this.members, { generation, skipAssignment: isLeader }),
    )
    answer.catch(() => {})
    return { memberId, answer, waitsForMembers: false }
  }

  #rejoin(member: GroupMember, request: JoinRequest): GroupAnswer<JoinAnswer> {
    const unchanged = member.hasProtocols(request.protocols)
    const mayKeep =
      this.#lifecycle.is('completingRebalance') ||
      (this.#lifecycle.is('stable') &&
        member.memberId !== this.#agreed.leader &&
        this.#roster.has(this.#agreed.leader ?? ''))
    member.update(request)
    if (!mayKeep || !unchanged) return this.#park(member)
    // The member only missed the answer, so it gets the answer again.
    this.#deadlines.heard(member)
    const answer = Promise.resolve(
      this.#agreed.joinAnswer(member, this.members, { generation: this.#agreed.number, skipAssignment: false }),
    )
    return { memberId: member.memberId, answer, waitsForMembers: false }
  }

  #park(member: GroupMember, waitMsMax = Infinity): GroupAnswer<JoinAnswer> {
    const superseded = new LogError('REBALANCE_IN_PROGRESS', `group ${this.name}: the member has joined again`)
    member.join?.reject(superseded)
    member.join = waiting()
    const { promise } = member.join
    member.deadline = this.#deadlines.now + waitMsMax
    if (this.#lifecycle.is('preparingRebalance')) this.#joinIfComplete()
    else this.#prepareRebalance()
    this.#deadlines.arm()
    return { memberId: member.memberId, answer: promise, waitsForMembers: member.join !== null }
  }

  // Rebalancing

  #prepareRebalance(): void {
    const now = this.#deadlines.now
    for (const member of this.members) {
      member.mustSync = false
      if (member.sync === null) continue
      member.sync.reject(this.#rebalancing())
      member.sync = null
      this.#deadlines.heard(member)
    }
    this.#assigning = false
    const timeoutMs = this.#rebalanceTimeoutMs()
    const delayMs = Math.min(this.#parts.initialRebalanceDelayMs, timeoutMs)
    const first = this.#lifecycle.is('empty') && delayMs > 0
    this.#initial = first ? { newcomers: false, endsAtMost: now + timeoutMs } : null
    this.#deadlines.roundEnds = now + (first ? delayMs : timeoutMs)
    this.#lifecycle.to('preparingRebalance')
    for (const member of this.members) if (member.join === null) member.onChange()
    this.#joinIfComplete()
    this.#deadlines.arm()
  }

  #joinIfComplete(): void {
    if (!this.#lifecycle.is('preparingRebalance')) return
    const all = this.members.every(({ join }) => join !== null)
    if (this.#roster.size === 0 || (all && this.#roster.pendingCount === 0 && this.#initial === null)) this.#joinEnds()
  }

  /** The time for the present round is up. */
  #roundOver(): void {
    const now = this.#deadlines.now
    if (!this.#lifecycle.is('preparingRebalance')) return this.#syncOver()
    const initial = this.#initial
    if (initial !== null && initial.newcomers && now < initial.endsAtMost) {
      initial.newcomers = false
      this.#deadlines.roundEnds = Math.min(now + this.#parts.initialRebalanceDelayMs, initial.endsAtMost)
      return
    }
    this.#initial = null
    const late = this.members.filter(({ join, groupInstanceId }) => join === null && !groupInstanceId)
    for (const member of late) this.#roster.remove(member, 'did not join the rebalance in time')
    if (this.#roster.size > 0 && this.members.every(({ join }) => join === null)) {
      // Only absent static members are left; their sessions decide.
      this.#deadlines.roundEnds = now + this.#rebalanceTimeoutMs()
      return
    }
    this.#joinEnds()
  }

  #joinEnds(): void {
    this.#agreed.number += 1
    this.#initial = null
    if (this.#roster.size === 0) {
      this.#agreed.protocol = null
      this.#agreed.leader = null
      this.#deadlines.roundEnds = Infinity
      this.#lifecycle.to('empty')
      // Crash here: the group is restored with its former members; they ended with the process, or their sessions
      // expire.
      this.#write().catch(() => {})
      return
    }
    this.#agreed.protocol = chooseProtocol(this.name, this.members)
    const joined = this.members.filter(({ join }) => join !== null)
    if (!joined.some(({ memberId }) => memberId === this.#agreed.leader))
      this.#agreed.leader = joined[0]?.memberId ?? null
    this.#deadlines.roundEnds = this.#deadlines.now + this.#rebalanceTimeoutMs()
    this.#lifecycle.to('completingRebalance')
    for (const member of joined) {
      const answer = this.#agreed.joinAnswer(member, this.members, {
        generation: this.#agreed.number,
        skipAssignment: false,
      })
      member.mustSync = true
      this.#deadlines.heard(member)
      member.join?.resolve(answer)
      member.join = null
    }
  }

  // Syncing

  sync(request: SyncRequest): GroupAnswer<SyncAnswer> {
    const member = this.#roster.known(request)
    this.#agreed.check(request)
    this.#agreed.checkProtocol(request)
    const { memberId } = member
    if (this.#lifecycle.is('preparingRebalance')) throw this.#rebalancing()
    member.mustSync = false
    if (this.#lifecycle.is('stable')) {
      this.#deadlines.heard(member)
      return { memberId, answer: Promise.resolve(this.#agreed.syncAnswer(member)), waitsForMembers: false }
    }
    member.sync?.reject(new LogError('REBALANCE_IN_PROGRESS', `group ${this.name}: the member has synced again`))
    member.sync = waiting()
    const { promise } = member.sync
    member.deadline = Infinity
    if (memberId === this.#agreed.leader && !this.#assigning) this.#assign(request.assignments)
    this.#deadlines.arm()
    return { memberId, answer: promise, waitsForMembers: !this.#assigning }
  }

  #assign(assignments: ReadonlyMap<string, Uint8Array>): void {
    this.#assigning = true
    const generation = this.#agreed.number
    for (const member of this.members) member.assignment = assignments.get(member.memberId) ?? noBytes
    // Crash here: the generation never took effect and no member has its assignment. Its number is used again, which is
    // safe because its members are asked to join again first.
    this.#write().then(
      () => this.#assigned(generation),
      (error: unknown) => this.#assignFailed(generation, error),
    )
  }

  #assigned(generation: number): void {
    // Another rebalance may have begun in the meantime.
    if (generation !== this.#agreed.number || !this.#lifecycle.is('completingRebalance')) return
    this.#assigning = false
    this.#lifecycle.to('stable')
    // A member that has not asked for its assignment still has a deadline, but it holds up no other member.
    if (!this.members.some(({ mustSync }) => mustSync)) this.#deadlines.roundEnds = Infinity
    for (const member of this.members) {
      if (member.sync === null) continue
      this.#deadlines.heard(member)
      member.sync.resolve(this.#agreed.syncAnswer(member))
      member.sync = null
    }
    this.#deadlines.arm()
  }

  #assignFailed(generation: number, error: unknown): void {
    if (generation !== this.#agreed.number || !this.#lifecycle.is('completingRebalance')) return
    for (const member of this.members) {
      member.sync?.reject(error)
      member.sync = null
    }
    this.#prepareRebalance()
  }

  /** Removes members that were told of the generation but did not ask for their assignment in time. */
  #syncOver(): void {
    this.#deadlines.roundEnds = Infinity
    const late = this.members.filter(({ mustSync }) => mustSync)
    if (late.length === 0) return
    for (const member of late) this.#roster.remove(member, 'did not ask for its assignment in time')
    this.#prepareRebalance()
  }

  // Heartbeats, leaving and commits

  heartbeat(from: MemberName & { readonly generation: number }): void {
    const member = this.#roster.known(from)
    this.#agreed.check(from)
    this.#isAlive(member)
    if (this.#lifecycle.is('preparingRebalance')) throw this.#rebalancing()
  }

  /** Removes a member by its member id, or by its instance id alone (when an administrator removes a static member). */
  leave(from: MemberName): void {
    if (this.#roster.takeExpected(from.memberId)) {
      this.#joinIfComplete()
      return
    }
    const instance = from.groupInstanceId === null ? undefined : this.#roster.instance(from.groupInstanceId)
    const member = from.memberId === '' && instance !== undefined ? instance : this.#roster.known(from)
    this.#roster.remove(member, 'has left')
    this.#removed()
  }

  /** Starts a rebalance after members were removed, so that the others take over their partitions. */
  #removed(): void {
    if (this.#lifecycle.is('preparingRebalance')) this.#joinIfComplete()
    else if (this.#lifecycle.is('stable', 'completingRebalance')) this.#prepareRebalance()
    this.#deadlines.arm()
  }

  /**
   * Throws unless offsets may be committed in this member's name: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
   * ILLEGAL_GENERATION, or REBALANCE_IN_PROGRESS while the assignment is being made. Counts as a sign of life.
   */
  checkCommit(from: MemberName & { readonly generation: number }): void {
    if (from.generation < 0 && this.#lifecycle.is('empty')) return
    const member = this.#roster.known(from)
    this.#agreed.check(from)
    if (this.#lifecycle.is('completingRebalance')) throw this.#rebalancing()
    this.#isAlive(member)
  }

  /** A member that waits for an answer sends no heartbeats until it has it, so it must not get a deadline by this one. */
  #isAlive(member: GroupMember): void {
    if (member.join === null && member.sync === null) this.#deadlines.heard(member)
  }

  /** Like `checkCommit`, for offsets in a transaction: they are also accepted while the assignment is being made. */
  checkTransactionalCommit(from: MemberName & { readonly generation: number }): void {
    const named = from.memberId !== '' || from.groupInstanceId !== null || from.generation >= 0
    if (!named) return
    this.#roster.known(from)
    this.#agreed.check(from)
  }

  /** Ends an empty group that was deleted or has expired. */
  end(): void {
    this.#lifecycle.to('dead')
    this.#deadlines.stop()
  }

  /** Stops the group because the log is closing: pending requests are rejected. */
  stop(): void {
    const closed = new LogError('CLOSED', 'the log is closed')
    for (const member of this.members) {
      member.refuse(closed)
      member.onChange()
    }
    this.#deadlines.stop()
  }

  // Helpers

  #rebalancing(): LogError {
    return new LogError('REBALANCE_IN_PROGRESS', `group ${this.name} is rebalancing: join again`, { group: this.name })
  }

  #rebalanceTimeoutMs(): number {
    let longest = 0
    for (const { rebalanceTimeoutMs } of this.members) longest = Math.max(longest, rebalanceTimeoutMs)
    return longest
  }

  #write(): Promise<void> {
    return this.#parts.write(this.name, this.#agreed.encode(this.members, this.#parts.clock.now()))
  }

  /** Handles deadlines that have passed: expires ids, removes silent members, ends a round. */
  #passed(now: number): void {
    this.#roster.lapseExpected(now)
    const dead = this.members.filter(({ deadline }) => deadline <= now)
    for (const member of dead) this.#roster.remove(member, 'was silent for longer than its session timeout')
    if (dead.length > 0) this.#removed()
    else this.#joinIfComplete()
    if (this.#deadlines.roundEnds <= now) this.#roundOver()
  }
}

export interface GroupParts {
  readonly clock: Clock
  /** An id that was never given out before. */
  readonly newId: () => string
  /** Resolves when the group's record is written; null deletes the record. */
  readonly write: (group: string, record: Uint8Array | null) => Promise<void>
  readonly initialRebalanceDelayMs: number
  readonly membersMax: number
}

/** The host of members in this process; a wire client's host is its address. */
export const inProcessHost = 'in-process'

/**
 * As in Kafka, a new member waits at most this long for its first answer, because its request may have been abandoned.
 */
const newcomerWaitMs = 300_000

/**
 * Whether a restored member may return. A dynamic member in this process has ended with it; a static one may return,
 * and a remote one may not even have noticed the restart.
 */
function mayComeBack(member: GroupRecord['members'][number]): boolean {
  return member.groupInstanceId !== null || member.clientHost !== inProcessHost
}
