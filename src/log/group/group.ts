import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { Lifecycle } from '../../base/lifecycle.ts'
import { LogError } from '../api/errors.ts'
import { noBytes } from '../api/record.ts'
import { consumerProtocolType, decodeSubscription } from './consumer-protocol.ts'
import { groupTransitions, type GroupPhase } from './group-lifecycle.ts'
import { GroupMember, waiting } from './group-member.ts'
import { encodeGroupRecord, type GroupRecord } from './group-record.ts'
import type { GroupAnswer, JoinAnswer, JoinRequest, MemberName, SyncAnswer, SyncRequest } from './group-requests.ts'
import { GroupTimer } from './group-timer.ts'

/**
 * One consumer group: its members, its generation, its rebalances. Kafka's classic protocol.
 *
 * - Everything happens in one turn of the event loop; only the record of an assignment is awaited, and what comes back
 *   from that wait is checked against generation and phase.
 * - A generation has one leader and one assignment. The assignment is in the log before a member gets it: after a crash
 *   the group stands where its members believe it stands.
 * - The generation only grows, over restarts too.
 * - A member that waits for an answer does not die; every other one does `sessionTimeoutMs` after it was last heard.
 * - A static member (`groupInstanceId`) keeps its place until its session ends, whatever happens to its process.
 */
export class Group {
  readonly name: string
  readonly #parts: GroupParts
  readonly #lifecycle: Lifecycle<GroupPhase>
  readonly #timer: GroupTimer
  readonly #members = new Map<string, GroupMember>()
  readonly #static = new Map<string, GroupMember>()
  /** Ids given out with MEMBER_ID_REQUIRED and not used yet, and when (monotonic) they lapse. */
  readonly #pendingIds = new Map<string, number>()
  #generation: number
  #protocolType: string | null
  #protocol: string | null
  #leader: string | null
  /** Wall clock. */
  #phaseSince: number
  /** When (monotonic) the present round of a rebalance is over, finished or not. */
  #roundEnds = Infinity
  /** The first rebalance of an empty group waits for company, and longer while some arrives. */
  #initial: { newcomers: boolean; endsAtMost: number } | null = null
  #assigning = false

  constructor(name: string, parts: GroupParts, restored: GroupRecord | null = null) {
    this.name = name
    this.#parts = parts
    this.#timer = new GroupTimer(parts.clock, (lateMs) => this.#look(lateMs))
    this.#generation = restored?.generation ?? 0
    this.#protocolType = restored === null || restored.protocolType === '' ? null : restored.protocolType
    const members = (restored?.members ?? []).filter(mayComeBack)
    for (const member of members) this.#restore(member, restored?.protocol ?? '')
    const alive = members.length > 0
    this.#protocol = alive ? (restored?.protocol ?? null) : null
    this.#leader = this.#members.has(restored?.leader ?? '') ? (restored?.leader ?? null) : null
    // Members of this process died with it: their group is empty since now, as far as anybody can know.
    const asWritten = members.length === (restored?.members.length ?? 0)
    this.#phaseSince = asWritten && restored !== null ? restored.phaseSince : parts.clock.now()
    this.#lifecycle = new Lifecycle(`group ${name}`, groupTransitions, alive ? 'stable' : 'empty')
    this.#lifecycle.onChange(() => (this.#phaseSince = parts.clock.now()))
    if (alive && !asWritten) this.#prepareRebalance()
    this.#arm()
  }

  #restore(record: GroupRecord['members'][number], protocol: string): void {
    const protocols = [{ name: protocol, metadata: record.metadata }]
    const member = new GroupMember(record.memberId, { ...record, protocols })
    member.assignment = record.assignment
    this.#add(member)
    this.#heard(member)
  }

  get phase(): GroupPhase {
    return this.#lifecycle.phase
  }

  get generation(): number {
    return this.#generation
  }

  get protocolType(): string | null {
    return this.#protocolType
  }

  get protocol(): string | null {
    return this.#protocol
  }

  get leader(): string | null {
    return this.#leader
  }

  get phaseSince(): number {
    return this.#phaseSince
  }

  get members(): readonly GroupMember[] {
    return [...this.#members.values()]
  }

  /** Whether anybody is in it, or has been given an id to join with. */
  get isWanted(): boolean {
    return this.#members.size > 0 || this.#pendingIds.size > 0
  }

  /** Topics that a member reads; null where the group does not speak Kafka's consumer protocol. */
  get subscribed(): ReadonlySet<string> | null {
    if (this.#protocolType !== consumerProtocolType) return null
    const topics = new Set<string>()
    try {
      for (const member of this.#members.values())
        for (const { metadata } of member.protocols)
          for (const topic of decodeSubscription(metadata).topics) topics.add(topic)
    } catch {
      // It says `consumer` and means something else: then nobody knows what it reads.
      return null
    }
    return topics
  }

  // Joining

  join(request: JoinRequest): GroupAnswer<JoinAnswer> {
    this.#checkProtocols(request)
    const { memberId, groupInstanceId } = request
    if (memberId === '') return groupInstanceId === null ? this.#joinNew(request) : this.#joinStatic(request)
    if (this.#pendingIds.delete(memberId)) return this.#admit(memberId, request)
    return this.#rejoin(this.#known(request), request)
  }

  #checkProtocols({ group, protocolType, protocols }: JoinRequest): void {
    const refuse = (why: string): LogError =>
      new LogError('INCONSISTENT_GROUP_PROTOCOL', `group ${group}: ${why}`, { group, protocolType })
    if (protocolType === '' || protocols.length === 0) throw refuse('a member has to name its protocols')
    if (this.#members.size === 0) return
    if (protocolType !== this.#protocolType)
      throw refuse(`its members are of type ${this.#protocolType}, the new one is of type ${protocolType}`)
    const common = this.#commonProtocols()
    if (protocols.some(({ name }) => common.has(name))) return
    throw refuse(
      `its members have ${[...common].join(', ')} in common, the new one only offers ${protocols.map(({ name }) => name).join(', ')}`,
    )
  }

  #joinNew(request: JoinRequest): GroupAnswer<JoinAnswer> {
    this.#checkRoom()
    const memberId = `${request.clientId}-${this.#parts.newId()}`
    if (!request.requireMemberId) return this.#admit(memberId, request)
    this.#pendingIds.set(memberId, this.#monotonic() + request.sessionTimeoutMs)
    this.#arm()
    throw new LogError('MEMBER_ID_REQUIRED', `group ${this.name}: join again as ${memberId}`, {
      group: this.name,
      memberId,
    })
  }

  #joinStatic(request: JoinRequest): GroupAnswer<JoinAnswer> {
    const instance = request.groupInstanceId ?? ''
    const memberId = `${instance}-${this.#parts.newId()}`
    const before = this.#static.get(instance)
    if (before !== undefined) return this.#replace(before, memberId, request)
    this.#checkRoom()
    return this.#admit(memberId, request)
  }

  #checkRoom(): void {
    const count = this.#members.size + this.#pendingIds.size
    if (count < this.#parts.membersMax) return
    throw new LogError(
      'GROUP_MAX_SIZE_REACHED',
      `group ${this.name} has ${count} members, it may have ${this.#parts.membersMax}: raise groupMembersMax`,
      { group: this.name, count },
    )
  }

  #admit(memberId: string, request: JoinRequest): GroupAnswer<JoinAnswer> {
    const member = new GroupMember(memberId, request)
    this.#protocolType = request.protocolType
    this.#add(member)
    if (this.#initial !== null) this.#initial.newcomers = true
    return this.#park(member, newcomerWaitMs)
  }

  #add(member: GroupMember): void {
    this.#members.set(member.memberId, member)
    if (member.groupInstanceId !== null) this.#static.set(member.groupInstanceId, member)
  }

  /** A member that joined anew under its instance id: it goes on where the other process stopped. */
  #replace(member: GroupMember, memberId: string, request: JoinRequest): GroupAnswer<JoinAnswer> {
    const { name } = this
    const fenced = new LogError(
      'FENCED_INSTANCE_ID',
      `group ${name}: another member has joined as instance ${request.groupInstanceId}`,
      { group: name, memberId: member.memberId, groupInstanceId: request.groupInstanceId },
    )
    member.join?.reject(fenced)
    member.sync?.reject(fenced)
    member.join = null
    member.sync = null
    const { onChange } = member
    const readsTheSame = sameTopics(member.metadataOf(this.#protocol), request, this.#protocol)
    // In its old place, so that the order of the members stays.
    const members = [...this.#members.values()]
    if (this.#leader === member.memberId) this.#leader = memberId
    member.memberId = memberId
    member.update(request)
    this.#members.clear()
    for (const each of members) this.#members.set(each.memberId, each)
    onChange()
    this.#heard(member)
    if (!this.#lifecycle.is('stable') || !readsTheSame || this.#chooseProtocol() !== this.#protocol)
      return this.#park(member)
    // The assignment stands. Crash here: the record still has the old id, under which nobody answers any more; the
    // member joins once more by its instance id.
    const generation = this.#generation
    const isLeader = this.#leader === memberId
    const answer = this.#write().then(() => this.#joinAnswer(member, { generation, skipAssignment: isLeader }))
    answer.catch(() => {})
    return { memberId, answer, waitsForMembers: false }
  }

  #rejoin(member: GroupMember, request: JoinRequest): GroupAnswer<JoinAnswer> {
    const unchanged = member.says(request.protocols)
    const mayKeep =
      this.#lifecycle.is('completingRebalance') ||
      (this.#lifecycle.is('stable') && member.memberId !== this.#leader && this.#members.has(this.#leader ?? ''))
    member.update(request)
    if (!mayKeep || !unchanged) return this.#park(member)
    // It missed the answer, nothing else: it gets it once more.
    this.#heard(member)
    const answer = Promise.resolve(this.#joinAnswer(member, { generation: this.#generation, skipAssignment: false }))
    return { memberId: member.memberId, answer, waitsForMembers: false }
  }

  #park(member: GroupMember, waitMsMax = Infinity): GroupAnswer<JoinAnswer> {
    const superseded = new LogError('REBALANCE_IN_PROGRESS', `group ${this.name}: the member has joined once more`)
    member.join?.reject(superseded)
    member.join = waiting()
    const { promise } = member.join
    member.deadline = this.#monotonic() + waitMsMax
    if (this.#lifecycle.is('preparingRebalance')) this.#joinIfComplete()
    else this.#prepareRebalance()
    this.#arm()
    return { memberId: member.memberId, answer: promise, waitsForMembers: member.join !== null }
  }

  // Rebalancing

  #prepareRebalance(): void {
    const now = this.#monotonic()
    for (const member of this.#members.values()) {
      member.mustSync = false
      if (member.sync === null) continue
      member.sync.reject(this.#rebalancing())
      member.sync = null
      this.#heard(member)
    }
    this.#assigning = false
    const timeoutMs = this.#rebalanceTimeoutMs()
    const delayMs = Math.min(this.#parts.initialRebalanceDelayMs, timeoutMs)
    const first = this.#lifecycle.is('empty') && delayMs > 0
    this.#initial = first ? { newcomers: false, endsAtMost: now + timeoutMs } : null
    this.#roundEnds = now + (first ? delayMs : timeoutMs)
    this.#lifecycle.to('preparingRebalance')
    for (const member of this.#members.values()) if (member.join === null) member.onChange()
    this.#joinIfComplete()
    this.#arm()
  }

  #joinIfComplete(): void {
    if (!this.#lifecycle.is('preparingRebalance')) return
    const all = [...this.#members.values()].every(({ join }) => join !== null)
    if (this.#members.size === 0 || (all && this.#pendingIds.size === 0 && this.#initial === null)) this.#joinEnds()
  }

  /** The time for joining is up. */
  #roundOver(): void {
    const now = this.#monotonic()
    if (!this.#lifecycle.is('preparingRebalance')) return this.#syncOver()
    const initial = this.#initial
    if (initial !== null && initial.newcomers && now < initial.endsAtMost) {
      initial.newcomers = false
      this.#roundEnds = Math.min(now + this.#parts.initialRebalanceDelayMs, initial.endsAtMost)
      return
    }
    this.#initial = null
    const late = [...this.#members.values()].filter(({ join, groupInstanceId }) => join === null && !groupInstanceId)
    for (const member of late) this.#remove(member, 'did not join the rebalance in time')
    if (this.#members.size > 0 && [...this.#members.values()].every(({ join }) => join === null)) {
      // Only static members that are not here: their sessions decide.
      this.#roundEnds = now + this.#rebalanceTimeoutMs()
      return
    }
    this.#joinEnds()
  }

  #joinEnds(): void {
    this.#generation += 1
    this.#initial = null
    if (this.#members.size === 0) {
      this.#protocol = null
      this.#leader = null
      this.#roundEnds = Infinity
      this.#lifecycle.to('empty')
      // Crash here: the group comes back with the members it had; they died with the process or their sessions end.
      this.#write().catch(() => {})
      return
    }
    this.#protocol = this.#chooseProtocol()
    const joined = [...this.#members.values()].filter(({ join }) => join !== null)
    if (!joined.some(({ memberId }) => memberId === this.#leader)) this.#leader = joined[0]?.memberId ?? null
    this.#roundEnds = this.#monotonic() + this.#rebalanceTimeoutMs()
    this.#lifecycle.to('completingRebalance')
    for (const member of joined) {
      const answer = this.#joinAnswer(member, { generation: this.#generation, skipAssignment: false })
      member.mustSync = true
      this.#heard(member)
      member.join?.resolve(answer)
      member.join = null
    }
  }

  #joinAnswer(member: GroupMember, how: { readonly generation: number; readonly skipAssignment: boolean }): JoinAnswer {
    const isLeader = member.memberId === this.#leader
    return {
      ...how,
      memberId: member.memberId,
      leader: this.#leader ?? '',
      protocolType: this.#protocolType ?? '',
      protocol: this.#protocol ?? '',
      members: isLeader
        ? [...this.#members.values()].map((each) => ({
            memberId: each.memberId,
            groupInstanceId: each.groupInstanceId,
            metadata: each.metadataOf(this.#protocol),
          }))
        : [],
    }
  }

  // Syncing

  sync(request: SyncRequest): GroupAnswer<SyncAnswer> {
    const member = this.#known(request)
    this.#checkGeneration(request)
    const { protocolType, protocol } = request
    if ((protocolType ?? this.#protocolType) !== this.#protocolType || (protocol ?? this.#protocol) !== this.#protocol)
      throw new LogError(
        'INCONSISTENT_GROUP_PROTOCOL',
        `group ${this.name} is at ${this.#protocolType} with ${this.#protocol}, the member at ${protocolType} with ${protocol}`,
        { group: this.name },
      )
    const { memberId } = member
    if (this.#lifecycle.is('preparingRebalance')) throw this.#rebalancing()
    member.mustSync = false
    if (this.#lifecycle.is('stable')) {
      this.#heard(member)
      return { memberId, answer: Promise.resolve(this.#syncAnswer(member)), waitsForMembers: false }
    }
    member.sync?.reject(new LogError('REBALANCE_IN_PROGRESS', `group ${this.name}: the member has synced once more`))
    member.sync = waiting()
    const { promise } = member.sync
    member.deadline = Infinity
    if (memberId === this.#leader && !this.#assigning) this.#assign(request.assignments)
    this.#arm()
    return { memberId, answer: promise, waitsForMembers: !this.#assigning }
  }

  #assign(assignments: ReadonlyMap<string, Uint8Array>): void {
    this.#assigning = true
    const generation = this.#generation
    for (const member of this.#members.values()) member.assignment = assignments.get(member.memberId) ?? noBytes
    // Crash here: the generation was never in force, nobody has its assignment. The next one has a higher number, because
    // this one's members, who might have used it, are asked to join again.
    this.#write().then(
      () => this.#assigned(generation),
      (error: unknown) => this.#assignFailed(generation, error),
    )
  }

  #assigned(generation: number): void {
    // Meanwhile another rebalance may have begun.
    if (generation !== this.#generation || !this.#lifecycle.is('completingRebalance')) return
    this.#assigning = false
    this.#lifecycle.to('stable')
    // A member that has not come for its assignment is still waited for, but by nobody else.
    if (![...this.#members.values()].some(({ mustSync }) => mustSync)) this.#roundEnds = Infinity
    for (const member of this.#members.values()) {
      if (member.sync === null) continue
      this.#heard(member)
      member.sync.resolve(this.#syncAnswer(member))
      member.sync = null
    }
    this.#arm()
  }

  #assignFailed(generation: number, error: unknown): void {
    if (generation !== this.#generation || !this.#lifecycle.is('completingRebalance')) return
    for (const member of this.#members.values()) {
      member.sync?.reject(error)
      member.sync = null
    }
    this.#prepareRebalance()
  }

  #syncAnswer(member: GroupMember): SyncAnswer {
    return {
      protocolType: this.#protocolType ?? '',
      protocol: this.#protocol ?? '',
      assignment: member.assignment,
    }
  }

  /** Members that were told of the generation and never came for their assignment hold nobody up any longer. */
  #syncOver(): void {
    this.#roundEnds = Infinity
    const late = [...this.#members.values()].filter(({ mustSync }) => mustSync)
    if (late.length === 0) return
    for (const member of late) this.#remove(member, 'did not ask for its assignment in time')
    this.#prepareRebalance()
  }

  // Living and leaving

  heartbeat(from: MemberName & { readonly generation: number }): void {
    const member = this.#known(from)
    this.#checkGeneration(from)
    this.#heard(member)
    if (this.#lifecycle.is('preparingRebalance')) throw this.#rebalancing()
  }

  /** By member id, or by instance id alone (an administrator removes a static member). */
  leave(from: MemberName): void {
    if (this.#pendingIds.delete(from.memberId)) {
      this.#joinIfComplete()
      return
    }
    const instance = from.groupInstanceId === null ? undefined : this.#static.get(from.groupInstanceId)
    const member = from.memberId === '' && instance !== undefined ? instance : this.#known(from)
    this.#remove(member, 'has left')
    this.#removed()
  }

  #remove(member: GroupMember, why: string): void {
    const { memberId, groupInstanceId } = member
    this.#members.delete(memberId)
    if (groupInstanceId !== null) this.#static.delete(groupInstanceId)
    const gone = this.#unknown(memberId, why)
    member.join?.reject(gone)
    member.sync?.reject(gone)
    member.join = null
    member.sync = null
    member.onChange()
  }

  /** After members were removed: the others share anew what they had. */
  #removed(): void {
    if (this.#lifecycle.is('preparingRebalance')) this.#joinIfComplete()
    else if (this.#lifecycle.is('stable', 'completingRebalance')) this.#prepareRebalance()
    this.#arm()
  }

  /**
   * Throws unless offsets may be committed in this member's name: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID,
   * ILLEGAL_GENERATION, or REBALANCE_IN_PROGRESS while the assignment is being made. Counts as a sign of life.
   */
  checkCommit(from: MemberName & { readonly generation: number }): void {
    if (from.generation < 0 && this.#lifecycle.is('empty')) return
    const member = this.#known(from)
    this.#checkGeneration(from)
    if (this.#lifecycle.is('completingRebalance')) throw this.#rebalancing()
    this.#heard(member)
  }

  /** The same for offsets in a transaction, which may also come while the assignment is being made. */
  checkTransactionalCommit(from: MemberName & { readonly generation: number }): void {
    const named = from.memberId !== '' || from.groupInstanceId !== null || from.generation >= 0
    if (!named) return
    this.#known(from)
    this.#checkGeneration(from)
  }

  /** The group is over: deleted, or expired. Only an empty one. */
  end(): void {
    this.#lifecycle.to('dead')
    this.#timer.stop()
  }

  /** The log is closing: nobody is told anything any more. */
  stop(): void {
    const closed = new LogError('CLOSED', 'the log is closed')
    for (const member of this.#members.values()) {
      member.join?.reject(closed)
      member.sync?.reject(closed)
      member.join = null
      member.sync = null
      member.onChange()
    }
    this.#timer.stop()
  }

  // What the rest is made of

  #known({ memberId, groupInstanceId }: MemberName): GroupMember {
    if (groupInstanceId !== null) {
      const named = this.#static.get(groupInstanceId)
      if (named === undefined) throw this.#unknown(memberId, `and instance ${groupInstanceId} are not known`)
      if (named.memberId !== memberId)
        throw new LogError(
          'FENCED_INSTANCE_ID',
          `group ${this.name}: instance ${groupInstanceId} is member ${named.memberId}, not ${memberId}`,
          { group: this.name, memberId, groupInstanceId },
        )
      return named
    }
    const member = this.#members.get(memberId)
    if (member === undefined) throw this.#unknown(memberId, 'is not known; it may have been silent for too long')
    return member
  }

  #unknown(memberId: string, why: string): LogError {
    return new LogError('UNKNOWN_MEMBER_ID', `group ${this.name}: member ${memberId || '(none)'} ${why}; join again`, {
      group: this.name,
      memberId,
    })
  }

  #checkGeneration({ generation, memberId }: { readonly generation: number; readonly memberId: string }): void {
    if (generation === this.#generation) return
    throw new LogError(
      'ILLEGAL_GENERATION',
      `group ${this.name} is at generation ${this.#generation}, member ${memberId} at ${generation}; join again`,
      { group: this.name, memberId, generation, current: this.#generation },
    )
  }

  #rebalancing(): LogError {
    return new LogError('REBALANCE_IN_PROGRESS', `group ${this.name} is rebalancing: join again`, { group: this.name })
  }

  #commonProtocols(): ReadonlySet<string> {
    const members = [...this.#members.values()]
    const names = members[0]?.protocols.map(({ name }) => name) ?? []
    return new Set(names.filter((name) => members.every(({ protocols }) => protocols.some((p) => p.name === name))))
  }

  /** Of what all can do, what most like best. */
  #chooseProtocol(): string {
    const common = this.#commonProtocols()
    const votes = new Map<string, number>()
    for (const member of this.#members.values()) {
      const vote = member.voteFor(common)
      if (vote !== undefined) votes.set(vote, (votes.get(vote) ?? 0) + 1)
    }
    const [chosen] = [...votes].sort((left, right) => right[1] - left[1])
    assert(chosen !== undefined, `group ${this.name} has let in members without a protocol in common`)
    return chosen[0]
  }

  #rebalanceTimeoutMs(): number {
    let longest = 0
    for (const { rebalanceTimeoutMs } of this.#members.values()) longest = Math.max(longest, rebalanceTimeoutMs)
    return longest
  }

  #write(): Promise<void> {
    const record = encodeGroupRecord({
      protocolType: this.#protocolType ?? '',
      generation: this.#generation,
      protocol: this.#protocol,
      leader: this.#leader,
      phaseSince: this.#parts.clock.now(),
      members: this.members.map((member) => member.record(this.#protocol)),
    })
    return this.#parts.write(this.name, record)
  }

  // Time

  #monotonic(): number {
    return this.#parts.clock.monotonic()
  }

  #heard(member: GroupMember): void {
    member.deadline = this.#monotonic() + member.sessionTimeoutMs
  }

  #arm(): void {
    let next = this.#roundEnds
    for (const { deadline } of this.#members.values()) next = Math.min(next, deadline)
    for (const deadline of this.#pendingIds.values()) next = Math.min(next, deadline)
    this.#timer.at(next)
  }

  #look(lateMs: number): void {
    // While the event loop stood still nobody could be heard: who is alive gets the time to say so.
    if (lateMs > 0) {
      const now = this.#monotonic()
      for (const member of this.#members.values())
        member.deadline = Math.max(member.deadline, now + member.sessionTimeoutMs / 2)
      for (const [memberId, deadline] of this.#pendingIds) this.#pendingIds.set(memberId, deadline + lateMs)
      this.#roundEnds += lateMs
      return this.#arm()
    }
    const now = this.#monotonic()
    for (const [memberId, deadline] of this.#pendingIds) if (deadline <= now) this.#pendingIds.delete(memberId)
    const dead = [...this.#members.values()].filter(({ deadline }) => deadline <= now)
    for (const member of dead) this.#remove(member, 'was silent for longer than its session timeout')
    if (dead.length > 0) this.#removed()
    else this.#joinIfComplete()
    if (this.#roundEnds <= now) this.#roundOver()
    this.#arm()
  }
}

export interface GroupParts {
  readonly clock: Clock
  /** An id that was never given out before. */
  readonly newId: () => string
  /** Resolves when the record of the group is written; null deletes it. */
  readonly write: (group: string, record: Uint8Array | null) => Promise<void>
  readonly initialRebalanceDelayMs: number
  readonly membersMax: number
}

/** The host of members of this process; a wire client's host is its address. */
export const inProcessHost = 'in-process'

/** Kafka: a new member waits no longer than this for its first answer, because its request may be gone. */
const newcomerWaitMs = 300_000

/** A dynamic member of this process has ended with it; a static one may return, a remote one may never have noticed. */
function mayComeBack(member: GroupRecord['members'][number]): boolean {
  return member.groupInstanceId !== null || member.clientHost !== inProcessHost
}

/** Whether a returning static member still reads what it read: else its old assignment would be wrong for it. */
function sameTopics(before: Uint8Array, request: JoinRequest, protocol: string | null): boolean {
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
