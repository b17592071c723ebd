import { LogError } from '../api/errors.ts'
import type { GroupOptions, Membership } from '../api/log.ts'
import type { TopicPartition } from '../api/record.ts'
import type { Catalog } from './catalog.ts'

/**
 * Which groups have a member. Here a group has at most one, and it gets all partitions: rebalancing is Kafka's answer to
 * several. Membership lives in memory, because members live in this process and end with it.
 *
 * A generation is never given out twice, not even across restarts: it carries the incarnation of the log in its upper
 * bits. What was prepared under an older one is FENCED.
 */
export class Groups {
  readonly #catalog: Catalog
  readonly #members = new Map<string, number>()
  #joins = 0

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  join(options: GroupOptions, incarnation: number): Membership {
    const { group, topics } = options
    if (this.#members.has(group))
      throw new LogError('GROUP_IN_USE', `group ${group} has a member already; close it first`, { group })
    const assigned: TopicPartition[] = []
    for (const name of topics) {
      const topic = this.#catalog.topic(name)
      if (topic === undefined)
        throw new LogError('UNKNOWN_TOPIC', `group ${group} subscribes to ${name}, which does not exist`, {
          topic: name,
        })
      for (const partition of topic.partitions) assigned.push(partition.at)
    }
    this.#joins += 1
    const generation = incarnation * joinsPerIncarnation + (this.#joins % joinsPerIncarnation)
    this.#members.set(group, generation)
    return {
      group,
      generation,
      assigned,
      leave: () => {
        // A membership that was left may not take a later one with it.
        if (this.#members.get(group) === generation) this.#members.delete(group)
        return Promise.resolve()
      },
    }
  }

  get names(): Iterable<string> {
    return this.#members.keys()
  }

  /** Throws FENCED unless the generation is the member's, or -1 where there is none (Kafka's simple consumers). */
  checkGeneration(group: string, generation: number): void {
    const current = this.#members.get(group) ?? -1
    if (generation === current) return
    const state = current < 0 ? 'has no member' : `is at generation ${current}`
    throw new LogError(
      'FENCED',
      `group ${group} ${state}, the commit comes from generation ${generation}; join again and start from the committed offsets`,
      { group, generation, current },
    )
  }
}

/** Kafka's generations are 32 bits: this leaves room for two million openings of the log. */
const joinsPerIncarnation = 1024
