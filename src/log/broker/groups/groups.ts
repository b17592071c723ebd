import { assert } from '../../../base/assert.ts'
import { LogError } from '../../api/errors.ts'
import type { GroupMetadata } from '../../api/group-metadata.ts'
import type { GroupOptions, Membership } from '../../api/log.ts'
import type { TopicPartition } from '../../api/record.ts'
import type { GroupCoordinator } from '../../group/group-coordinator.ts'
import type {
  GroupAnswer,
  JoinAnswer,
  JoinRequest,
  MemberName,
  SyncAnswer,
  SyncRequest,
} from '../../group/group-requests.ts'
import type { Catalog } from '../topics/catalog.ts'

/**
 * Membership of groups. A group belongs either to an application or to consumers:
 *
 * - *An application* (Streams, through `log/api`) is the only member of its group and has all partitions; it
 *   distributes its work itself. A second member gets GROUP_IN_USE. Its generation has the log's incarnation in the
 *   upper bits and a counter below, so that a later generation is always higher; commits prepared under an older one
 *   get FENCED.
 * - *Consumers*, in this process or over the wire, share their partitions by Kafka's protocol: see `group/`.
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

  /** Joins an application as the only member of its group. */
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
          `group ${group} subscribes to ${name}, which does not exist: create it first, with log.admin.ensureTopics, or correct the name`,
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
        // Leaving an old membership must not end a newer one.
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

  /** The application that is the member of this group. */
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
   * Throws unless offsets may be committed in this name: FENCED if an application has the group, otherwise the errors
   * that Kafka's members expect (UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS).
   */
  checkCommit(from: GroupMetadata): void {
    if (this.#applications.has(from.group)) this.checkGeneration(from.group, from.generation)
    else this.#coordinator.checkCommit(from)
  }

  /** Like `checkCommit`, for offsets in a transaction: they are also accepted while a rebalance completes. */
  checkTransactionalCommit(from: GroupMetadata): void {
    if (this.#applications.has(from.group)) this.checkGeneration(from.group, from.generation)
    else this.#coordinator.checkTransactionalCommit(from)
  }

  /** Throws FENCED unless the generation is the application's, or -1 for a group without any members. */
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
 * An incarnation is a leader epoch and has 31 bits, so with these 22 bits a generation is still an exact integer. It
 * does not have to fit into Kafka's 32 bits: it only appears in what an application commits to this log, where it is a
 * varint.
 */
const joinsPerIncarnation = 2 ** 22
