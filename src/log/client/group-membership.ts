import type { Clock, Timer } from '../../base/clock.ts'
import type { GroupAssignor } from '../api/assignor.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { TopicPartition } from '../api/record.ts'
import type { Broker } from '../broker/broker.ts'
import { consumerProtocolType, decodeAssignment, encodeSubscription } from '../group/consumer-protocol.ts'
import { inProcessHost } from '../group/group.ts'
import type { JoinAnswer, JoinRequest } from '../group/group-requests.ts'
import { assignGroup } from './group-leader.ts'

/**
 * One consumer's part in its group: joins, syncs, gives signs of life, and knows when it has to join again. What follows
 * from an assignment (positions, listeners, commits) is the consumer's business, inside `poll`.
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
 * - The two rounds run on by themselves once begun; only beginning is up to `poll`, because partitions may have to be given
 *   up first.
 * - It is alive while its owner polls: `maxPollIntervalMs` after the last poll it leaves by itself, so that the others get
 *   what it has. One timer does both, heartbeats and that.
 * - Members of this process share their event loop with the coordinator. Code that blocks it stops the heartbeats and the
 *   coordinator alike, so nobody is expelled for it; it only delays everybody. See docs/groups.md.
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
  /** What was assigned and not taken note of yet. */
  #assignment: readonly TopicPartition[] | null = null
  #joinedTopics: readonly string[] = []
  /** As leader: partitions of every topic of the group, as they were when it made the assignment. */
  #assignedTopics: ReadonlyMap<string, number> | null = null
  #catalogRevision = -1
  #attempt = 0
  #waitsForMembers = false
  #stage: { readonly promise: Promise<void>; readonly resolve: () => void } = Promise.withResolvers<void>()
  #timer: Timer | null = null
  #beatDue = 0

  constructor(parts: GroupMembershipParts) {
    this.#parts = parts
  }

  get metadata(): GroupMetadata {
    const { group, groupInstanceId } = this.#parts
    return { group, generation: this.#generation, memberId: this.#memberId, groupInstanceId }
  }

  /**
   * Who it was when it was last in. Whoever was expelled speaks in this name: without one it would pass for somebody who
   * never joined, and a transaction would take its offsets. Null before it first joined.
   */
  get lastMember(): GroupMetadata | null {
    return this.#generation >= 0 ? this.metadata : this.#lastMember
  }

  /** Cooperative if all its assignors are: in doubt it gives up more rather than less. */
  get isCooperative(): boolean {
    return this.#parts.assignors.every(({ cooperative }) => cooperative)
  }

  /** Whether it ever got a generation that it was not expelled from. */
  get hasGeneration(): boolean {
    return this.#generation >= 0
  }

  /** It has to join (again), after giving up what it must not keep meanwhile. */
  get mustJoin(): boolean {
    return this.#mustJoin && this.#phase !== 'joining'
  }

  /** The log is at work for it; nobody else has to do anything. */
  get isSettling(): boolean {
    return this.#phase === 'joining' && !this.#waitsForMembers
  }

  /** It has asked to be in the next generation, and perhaps is, without having heard of it. */
  get isJoining(): boolean {
    return this.#phase === 'joining'
  }

  /** Resolves when the round under way has come further. */
  get progress(): Promise<void> {
    return this.#stage.promise
  }

  /** Whether there is something to take: an assignment, a loss, a failure. */
  get hasNews(): boolean {
    return this.#assignment !== null || this.#isLost || this.#failure !== null
  }

  /** It was expelled, and nobody has taken note of it. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** Whether it was expelled, once: what it had may be somebody else's by now. */
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

  /** Why joining failed, once; whoever was fenced by another member of its instance id stays so, or the two would fight. */
  takeFailure(): unknown {
    const failure = this.#failure
    if (!(failure instanceof LogError && failure.code === 'FENCED_INSTANCE_ID')) this.#failure = null
    return failure
  }

  /** Joins, or joins again, with what it still has; goes on in the background. */
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
      onChange: () => this.#look(),
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
      throw new LogError('INCONSISTENT_GROUP_PROTOCOL', `the group chose ${joined.protocol}, which is not here`)
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
      // Nobody is helped by a member that cannot make the assignment it was asked for.
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

  /** What the coordinator's answer means for the membership; false where it means that something else is wrong. */
  #isOver(error: unknown): boolean {
    const code = error instanceof LogError ? error.code : null
    if (code === 'REBALANCE_IN_PROGRESS') {
      if (this.#phase === 'inside') this.#mustJoin = true
      return true
    }
    if (code !== 'UNKNOWN_MEMBER_ID' && code !== 'ILLEGAL_GENERATION') return false
    // The round is over and its answer on the way: it is in the new generation, with all that it still has.
    if (code === 'ILLEGAL_GENERATION' && this.#phase === 'joining') return true
    this.#lose()
    // With its member id it is still known; only its generation has passed.
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
   * Whether it is in the generation that gave it what it has: not once it was expelled, whether it has heard of it or not, and
   * not while it joins the next one, which may be over without it.
   */
  isStillInside(): boolean {
    if (this.#phase === 'inside' && !this.#parts.broker.groups.coordinator.isClosed) this.#beat()
    return this.#phase === 'inside' && this.#assignment === null
  }

  /** Learns how things stand: a sign of life whose answer tells. Throws what is not about membership. */
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

  /** Other topics match, or (the leader looks for all) a topic of the group has more partitions. */
  #watchTopics(): void {
    const { broker, topics } = this.#parts
    if (this.#phase !== 'inside' || broker.catalogRevision === this.#catalogRevision) return
    this.#catalogRevision = broker.catalogRevision
    const grown = [...(this.#assignedTopics ?? [])].some(([topic, count]) => broker.topic(topic)?.partitions !== count)
    if (grown || topics() !== this.#joinedTopics) this.#mustJoin = true
  }

  /** The group has changed, says the coordinator: look after it in the next turn, not inside the change. */
  #look(): void {
    // The log is closed: nothing is to be done any more, and a timer would keep the process alive.
    if (this.#parts.broker.groups.coordinator.isClosed) {
      this.#timer?.cancel()
      this.#timer = null
    }
    this.#parts.wake()
  }

  /** The next heartbeat is due, or was missed. */
  get isBeatDue(): boolean {
    return this.#phase === 'inside' && this.#parts.clock.monotonic() >= this.#beatDue
  }

  #schedule(): void {
    if (this.#timer !== null || this.#parts.broker.groups.coordinator.isClosed) return
    const { clock, heartbeatIntervalMs } = this.#parts
    this.#beatDue = clock.monotonic() + heartbeatIntervalMs
    this.#timer = clock.setTimer(this.#untilNext(), () => {
      this.#timer = null
      this.#tick()
    })
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
      // A static member keeps silent instead: it may still be back before its session ends.
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

  /** Topics that it reads are gone, or are others of the same name: the group has to share anew. */
  topicsGone(): void {
    if (this.#phase === 'inside') this.#mustJoin = true
  }

  /** It has given up what the assignment did not leave it: others may have it, which takes another rebalance. */
  gaveUp(): void {
    if (this.isCooperative) this.#mustJoin = true
  }

  /** The coordinator refused a commit: the membership may be over. True if it was about that. */
  commitRefused(error: unknown): boolean {
    return this.#isOver(error)
  }

  /** Leaves for good; a static member only falls silent, so that it may come back to what it had. */
  leave(): void {
    this.#attempt += 1
    this.#timer?.cancel()
    this.#timer = null
    if (this.#parts.groupInstanceId === null) this.#leaveGroup()
    this.#phase = 'outside'
    this.#generation = -1
    this.#assignment = null
    // A poll may be waiting for the round that nobody takes note of any more.
    this.#goOn()
  }

  #leaveGroup(): void {
    const { broker, group, groupInstanceId } = this.#parts
    if (this.#memberId === '') return
    try {
      broker.groups.leave(group, { memberId: this.#memberId, groupInstanceId })
    } catch (error) {
      // It was not in any more: then there is nothing to leave.
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
  /** Since when (monotonic) user code has had the consumer to itself; null while it polls. */
  readonly busySince: () => number | null
  /** Something has to be looked after: a waiting poll goes on. */
  readonly wake: () => void
}

const noAssignments: ReadonlyMap<string, Uint8Array> = new Map()
