import { assert } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
import type { GroupMetadata } from '../api/group-metadata.ts'
import type { GroupOptions, Membership } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import type { GroupCoordinator } from '../group/group-coordinator.ts'
import type {
  GroupAnswer,
  JoinAnswer,
  JoinRequest,
  MemberName,
  SyncAnswer,
  SyncRequest,
} from '../group/group-requests.ts'
import type { Catalog } from './catalog.ts'

/**
 * Who is in which group. A group is either an application's or its consumers':
 *
 * - *An application* (Streams, through the seam) is the one member of its group and has all partitions: it shares its work
 *   out itself. A second member is GROUP_IN_USE. Its generation carries the incarnation of the log in its upper bits
 *   and counts up below, so that a later one is always higher; what was prepared under an older one is FENCED.
 * - *Consumers*, of this process or over the wire, share their partitions by Kafka's protocol: `group/`.
 */
export class Groups {
  readonly #catalog: Catalog
  readonly #coordinator: GroupCoordinator
  readonly #applications = new Map<string, Membership>()
  #joins = 0

  constructor(catalog: Catalog, coordinator: GroupCoordinator) {
    this.#catalog = catalog
    this.#coordinator = coordinator
  }

  get coordinator(): GroupCoordinator {
    return this.#coordinator
  }

  /** An application joins as the one member of its group. */
  joinAlone(options: GroupOptions, incarnation: number): Membership {
    const { group, topics } = options
    if (this.#applications.has(group) || this.#coordinator.hasMembers(group))
      throw new LogError('GROUP_IN_USE', `group ${group} has a member already; close it first`, { group })
    const assigned: TopicPartition[] = []
    for (const name of topics) {
      const topic = this.#catalog.topic(name)
      if (topic === undefined)
        throw new LogError(
          'UNKNOWN_TOPIC',
          `group ${group} subscribes to ${name}, which does not exist: create it first`,
          {
            topic: name,
          },
        )
      for (const partition of topic.partitions) assigned.push(partition.at)
    }
    const generation = this.#nextGeneration(incarnation)
    const membership: Membership = {
      group,
      generation,
      assigned,
      leave: () => {
        // A membership that was left may not take a later one with it.
        if (this.#applications.get(group) === membership) this.#applications.delete(group)
        return Promise.resolve()
      },
    }
    this.#applications.set(group, membership)
    return membership
  }

  #nextGeneration(incarnation: number): number {
    assert(this.#joins < joinsPerIncarnation, `applications joined ${this.#joins} times since the log was opened`)
    return incarnation * joinsPerIncarnation + this.#joins++
  }

  /** The application that is in this group. */
  application(group: string): Membership | undefined {
    return this.#applications.get(group)
  }

  join(request: JoinRequest): GroupAnswer<JoinAnswer> {
    const { group } = request
    if (this.#applications.has(group))
      throw new LogError(
        'GROUP_IN_USE',
        `group ${group} belongs to an application that is running: close it, or use another group`,
        { group },
      )
    return this.#coordinator.join(request)
  }

  sync(request: SyncRequest): GroupAnswer<SyncAnswer> {
    return this.#coordinator.sync(request)
  }

  heartbeat(from: GroupMetadata): void {
    this.#coordinator.heartbeat(from)
  }

  leave(group: string, member: MemberName): void {
    this.#coordinator.leave(group, member)
  }

  hasMembers(group: string): boolean {
    return this.#applications.has(group) || this.#coordinator.hasMembers(group)
  }

  get names(): readonly string[] {
    return [...this.#applications.keys(), ...this.#coordinator.names]
  }

  /**
   * Throws unless offsets may be committed in this name: FENCED where an application has the group, else as Kafka's
   * members expect it (UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS).
   */
  checkCommit(from: GroupMetadata): void {
    if (this.#applications.has(from.group)) this.checkGeneration(from.group, from.generation)
    else this.#coordinator.checkCommit(from)
  }

  /** The same for offsets that a transaction carries: they may come while a rebalance completes. */
  checkTransactionalCommit(from: GroupMetadata): void {
    if (this.#applications.has(from.group)) this.checkGeneration(from.group, from.generation)
    else this.#coordinator.checkTransactionalCommit(from)
  }

  /** Throws FENCED unless the generation is the application's, or -1 where the group has no member at all. */
  checkGeneration(group: string, generation: number): void {
    const current = this.#applications.get(group)?.generation ?? -1
    const consumers = this.#coordinator.hasMembers(group)
    if (generation === current && !consumers) return
    const state = consumers ? 'has consumers' : current < 0 ? 'has no member' : `is at generation ${current}`
    throw new LogError(
      'FENCED',
      `group ${group} ${state}, the commit comes from generation ${generation}; join again and start from the committed offsets`,
      { group, generation, current },
    )
  }
}

/**
 * An incarnation is a leader epoch, and thus of 31 bits: with these 22 a generation is an integer that is exact. It never
 * gets into Kafka's 32 bits: what an application commits carries it only to this log, and as a varint.
 */
const joinsPerIncarnation = 2 ** 22
