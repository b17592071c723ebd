import type { Clock, Timer } from '../../../base/clock.ts'
import type { GroupAssignor } from '../../api/assignor.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { TopicPartition } from '../../api/record.ts'
import type { Broker } from '../../broker/broker.ts'
import { consumerProtocolType, decodeAssignment, encodeSubscription } from '../../group/consumer-protocol.ts'
import type { JoinAnswer, JoinRequest } from '../../group/group-requests.ts'
import { inProcessHost } from '../../group/group.ts'
import { assignGroup } from './group-leader.ts'

/**
 * One consumer's membership in its group: it joins, syncs, sends heartbeats, and knows when the consumer has to join
 * again. The consumer itself handles what follows from an assignment (positions, listeners, commits), inside `poll`.
 *
 * ```
 *               begin            joined, synced
 *   outside ─────────► joining ─────────────────► inside
 *     ▲  ▲                │ ▲                       │ │
 *     │  └────────────────┘ └───────────────────────┘ │
 *     │      refused           begin: `mustJoin`      │
 *     └───────────────────────────────────────────────┘
 *       expelled, or silent for `maxPollIntervalMs`: `isLost`
 * ```
 *
 * - Once begun, joining and syncing proceed in the background. Only `poll` begins them, because partitions may have to
 *   be given up first.
 * - The member stays alive while its consumer polls: `maxPollIntervalMs` after the last poll it leaves the group, so
 *   that the other members get its partitions. One timer serves both heartbeats and this limit.
 * - Members of this process share their event loop with the coordinator. Code that blocks it stops the heartbeats and
 *   the coordinator alike, so no member is expelled because of it; it only delays all of them. See docs/groups.md.
 */
export class GroupMembership {
  readonly #parts: GroupMembershipParts
  #phase: 'outside' | 'joining' | 'inside' = 'outside'
  #memberId = ''
  #generation = -1
  #lastMember: GroupMetadata | null = null
  #mustJoin = true
  #isLost = false
  #failure: unknown = null
  /** The assignment that the consumer has not taken yet. */
  #assignment: readonly TopicPartition[] | null = null
  #joinedTopics: readonly string[] = []
  /** Only for the leader: the partition counts of all topics of the group, as they were when it made the assignment. */
  #assignedTopics: ReadonlyMap<string, number> | null = null
  #catalogRevision = -1
  #attempt = 0
  #waitsForMembers = false
  #stage: { readonly promise: Promise<void>; readonly resolve: () => void } = Promise.withResolvers<void>()
  #timer: Timer | null = null
  #offClose: (() => void) | null = null
  #beatDue = 0

  constructor(parts: GroupMembershipParts) {
    this.#parts = parts
  }

  get metadata(): GroupMetadata {
    const { group, groupInstanceId } = this.#parts
    return { group, generation: this.#generation, memberId: this.#memberId, groupInstanceId }
  }

  /**
   * The identity with which it was last in the group, or null before it first joined. A consumer that was expelled uses
   * it for its commits: without an identity it would pass for a client that never joined, and a transaction would
   * accept its offsets.
   */
  get lastMember(): GroupMetadata | null {
    return this.#generation >= 0 ? this.metadata : this.#lastMember
  }

  /**
   * Whether the protocol is cooperative. That takes cooperative assignors only: in doubt it gives up more rather than
   * less.
   */
  get isCooperative(): boolean {
    return this.#parts.assignors.every(({ cooperative }) => cooperative)
  }

  /** Whether it has a generation, that is, has joined and was not expelled since. */
  get hasGeneration(): boolean {
    return this.#generation >= 0
  }

  /** Whether it has to join (again), after the consumer has given up the partitions that it must not keep. */
  get mustJoin(): boolean {
    return this.#mustJoin && this.#phase !== 'joining'
  }

  /** Whether it is joining and waits only for the log, not for other members. */
  get isSettling(): boolean {
    return this.#phase === 'joining' && !this.#waitsForMembers
  }

  /** Whether it is joining. It may already be in the next generation without having received the answer. */
  get isJoining(): boolean {
    return this.#phase === 'joining'
  }

  /** Resolves when joining has advanced by a step. */
  get progress(): Promise<void> {
    return this.#stage.promise
  }

  /** Whether there is an assignment, a loss or a failure to take. */
  get hasNews(): boolean {
    return this.#assignment !== null || this.#isLost || this.#failure !== null
  }

  /** Whether it was expelled and the consumer has not taken note of it yet. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** Whether it was expelled; true only once. Other members may have its partitions by now. */
  takeLost(): boolean {
    const lost = this.#isLost
    this.#isLost = false
    return lost
  }

  takeAssignment(): readonly TopicPartition[] | null {
    const assignment = this.#assignment
    this.#assignment = null
    return assignment
  }

  /**
   * Why joining failed; returned once. FENCED_INSTANCE_ID is kept, because two members of one instance id would keep
   * fencing each other.
   */
  takeFailure(): unknown {
    const failure = this.#failure
    if (!(failure instanceof LogError && failure.code === 'FENCED_INSTANCE_ID')) this.#failure = null
    return failure
  }

  /** Joins, or joins again, with the partitions that it still owns. Continues in the background. */
  begin(owned: readonly TopicPartition[]): void {
    const { broker, topics } = this.#parts
    this.#mustJoin = false
    this.#joinedTopics = topics()
    this.#catalogRevision = broker.catalogRevision
    this.#assignment = null
    this.#phase = 'joining'
    this.#attempt += 1
    const attempt = this.#attempt
    this.#schedule()
    try {
      const asked = broker.groups.join(this.#request(owned))
      this.#memberId = asked.memberId
      this.#waitsForMembers = asked.waitsForMembers
      asked.answer.then(
        (answer) => this.#joined(attempt, answer),
        (error: unknown) => this.#refused(attempt, error),
      )
    } catch (error) {
      this.#refused(attempt, error)
    }
  }

  #request(owned: readonly TopicPartition[]): JoinRequest {
    const { group, groupInstanceId, clientId, assignors, sessionTimeoutMs, maxPollIntervalMs } = this.#parts
    const topics = this.#joinedTopics
    const generation = this.#generation
    return {
      group,
      memberId: this.#memberId,
      groupInstanceId,
      clientId,
      clientHost: inProcessHost,
      protocolType: consumerProtocolType,
      protocols: assignors.map((assignor) => ({
        name: assignor.name,
        metadata: encodeSubscription({ topics, userData: assignor.userData?.(topics) ?? null, owned, generation }),
      })),
      sessionTimeoutMs,
      rebalanceTimeoutMs: maxPollIntervalMs,
      requireMemberId: false,
      // The member looks in the next turn, not inside the change.
      onChange: () => this.#parts.wake(),
    }
  }

  async #joined(attempt: number, joined: JoinAnswer): Promise<void> {
    if (attempt !== this.#attempt) return
    this.#generation = joined.generation
    this.#lastMember = this.metadata
    try {
      const asked = this.#parts.broker.groups.sync({
        ...this.metadata,
        protocolType: joined.protocolType,
        protocol: joined.protocol,
        assignments: this.#assignmentsOf(joined),
      })
      this.#waitsForMembers = asked.waitsForMembers
      this.#goOn()
      const { assignment } = await asked.answer
      if (attempt !== this.#attempt) return
      this.#assignment = decodeAssignment(assignment).partitions
      this.#phase = 'inside'
      this.#goOn()
    } catch (error) {
      this.#refused(attempt, error)
    }
  }

  #assignmentsOf(joined: JoinAnswer): ReadonlyMap<string, Uint8Array> {
    this.#assignedTopics = null
    if (joined.leader !== joined.memberId || joined.skipAssignment) return noAssignments
    const { assignors, broker } = this.#parts
    const assignor = assignors.find(({ name }) => name === joined.protocol)
    if (assignor === undefined)
      throw new LogError(
        'INCONSISTENT_GROUP_PROTOCOL',
        `the group chose ${joined.protocol}, which this member does not have: give all members an assignor in common`,
      )
    this.#catalogRevision = broker.catalogRevision
    const made = assignGroup(assignor, joined.members, (topic) => broker.topic(topic)?.partitions)
    this.#assignedTopics = made.topics
    return made.assignments
  }

  #refused(attempt: number, error: unknown): void {
    if (attempt !== this.#attempt) return
    this.#phase = 'outside'
    this.#mustJoin = true
    if (!this.#isOver(error)) {
      // A member that cannot make the assignment it was asked for would only block the group.
      this.#leaveGroup()
      this.#failure = error
    }
    this.#goOn()
  }

  #goOn(): void {
    this.#stage.resolve()
    this.#stage = Promise.withResolvers<void>()
    this.#parts.wake()
  }

  /** Applies the coordinator's error to the membership. Returns false if the error is not about membership. */
  #isOver(error: unknown): boolean {
    const code = error instanceof LogError ? error.code : null
    if (code === 'REBALANCE_IN_PROGRESS') {
      if (this.#phase === 'inside') this.#mustJoin = true
      return true
    }
    if (code !== 'UNKNOWN_MEMBER_ID' && code !== 'ILLEGAL_GENERATION') return false
    // Joining has succeeded and its answer is on the way: the member is in the new generation, with all partitions it
    // still has.
    if (code === 'ILLEGAL_GENERATION' && this.#phase === 'joining') return true
    this.#lose()
    // After ILLEGAL_GENERATION its member id is still known to the group; only its generation is over.
    if (code === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
    return true
  }

  #lose(): void {
    this.#phase = 'outside'
    this.#attempt += 1
    this.#generation = -1
    this.#assignment = null
    this.#isLost = true
    this.#mustJoin = true
    this.#goOn()
  }

  /**
   * Whether it is in the generation that assigned its partitions. That is false once it was expelled, even if it does
   * not know it yet, and while it joins the next generation, which may be formed without it.
   */
  isStillInside(): boolean {
    if (this.#phase === 'inside' && !this.#parts.broker.groups.coordinator.isClosed) this.#beat()
    return this.#phase === 'inside' && this.#assignment === null
  }

  /** Sends a heartbeat and applies the answer to its state, and checks whether the topics to read have changed. */
  look(): void {
    if (this.#phase === 'inside') this.#beat()
    this.#watchTopics()
  }

  #beat(): void {
    const { broker, clock, heartbeatIntervalMs } = this.#parts
    this.#beatDue = clock.monotonic() + heartbeatIntervalMs
    try {
      broker.groups.heartbeat(this.metadata)
    } catch (error) {
      if (!this.#isOver(error)) {
        this.#lose()
        this.#failure = error
      }
    }
  }

  /**
   * Joins again if other topics match, or (checked by the leader for all members) a topic of the group has more
   * partitions.
   */
  #watchTopics(): void {
    const { broker, topics } = this.#parts
    if (this.#phase !== 'inside' || broker.catalogRevision === this.#catalogRevision) return
    this.#catalogRevision = broker.catalogRevision
    const grown = [...(this.#assignedTopics ?? [])].some(([topic, count]) => broker.topic(topic)?.partitions !== count)
    if (grown || topics() !== this.#joinedTopics) this.#mustJoin = true
  }

  /** Whether the next heartbeat is due or overdue. */
  get isBeatDue(): boolean {
    return this.#phase === 'inside' && this.#parts.clock.monotonic() >= this.#beatDue
  }

  #schedule(): void {
    const { coordinator } = this.#parts.broker.groups
    if (this.#timer !== null || coordinator.isClosed) return
    // Once the log is closed there is nothing to do any more, and the timer would keep the process alive: also that of
    // a consumer that was fenced or expelled.
    this.#offClose ??= coordinator.onClose(() => this.#stopTimer())
    const { clock, heartbeatIntervalMs } = this.#parts
    this.#beatDue = clock.monotonic() + heartbeatIntervalMs
    this.#timer = clock.setTimer(this.#untilNext(), () => {
      this.#timer = null
      this.#tick()
    })
  }

  #stopTimer(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#offClose?.()
    this.#offClose = null
  }

  #untilNext(): number {
    const { clock, heartbeatIntervalMs, maxPollIntervalMs, busySince } = this.#parts
    const since = busySince()
    if (since === null) return heartbeatIntervalMs
    const untilTooLate = since + maxPollIntervalMs - clock.monotonic()
    return untilTooLate <= 0 ? heartbeatIntervalMs : Math.min(heartbeatIntervalMs, untilTooLate)
  }

  #tick(): void {
    const { clock, busySince, maxPollIntervalMs, groupInstanceId } = this.#parts
    const since = busySince()
    if (since !== null && clock.monotonic() - since >= maxPollIntervalMs) {
      // A static member does not leave: it may poll again before its session ends.
      if (groupInstanceId === null && this.#phase !== 'outside') {
        this.#leaveGroup()
        this.#lose()
        this.#memberId = ''
      }
    } else {
      this.look()
      if (this.#mustJoin || this.#isLost || this.#failure !== null) this.#parts.wake()
    }
    this.#schedule()
  }

  /** Topics that it reads were deleted or created anew under the same name: the group has to assign again. */
  topicsGone(): void {
    if (this.#phase === 'inside') this.#mustJoin = true
  }

  /** The consumer has given up the partitions that the assignment took away: another rebalance can now assign them. */
  gaveUp(): void {
    if (this.isCooperative) this.#mustJoin = true
  }

  /** Handles a refused commit, which may mean that the membership is over. Returns true if it was about membership. */
  commitRefused(error: unknown): boolean {
    return this.#isOver(error)
  }

  /**
   * Leaves the group for good. A static member only stops sending heartbeats, so that it can return to its partitions.
   */
  leave(): void {
    this.#attempt += 1
    this.#stopTimer()
    if (this.#parts.groupInstanceId === null) this.#leaveGroup()
    this.#phase = 'outside'
    this.#generation = -1
    this.#assignment = null
    // A poll may be waiting for the answer, which is ignored from now on.
    this.#goOn()
  }

  #leaveGroup(): void {
    const { broker, group, groupInstanceId } = this.#parts
    if (this.#memberId === '') return
    try {
      broker.groups.leave(group, { memberId: this.#memberId, groupInstanceId })
    } catch (error) {
      // It was no longer in the group, so there is nothing to leave.
      if (!(error instanceof LogError)) throw error
    }
    this.#memberId = ''
  }
}

export interface GroupMembershipParts {
  readonly broker: Broker
  readonly clock: Clock
  readonly group: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly assignors: readonly GroupAssignor[]
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly maxPollIntervalMs: number
  /** The topics to read; the same array while nothing has changed. */
  readonly topics: () => readonly string[]
  /** The (monotonic) time since which user code has been running without polling; null while the consumer polls. */
  readonly busySince: () => number | null
  /** Wakes a waiting poll, because something needs attention. */
  readonly wake: () => void
}

const noAssignments: ReadonlyMap<string, Uint8Array> = new Map()
