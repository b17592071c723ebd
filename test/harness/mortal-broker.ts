import type { GroupMetadata } from '../../src/log/api/group-metadata.ts'
import type { OffsetEntry } from '../../src/log/api/log.ts'
import type { Broker } from '../../src/log/broker/broker.ts'
import type { Groups } from '../../src/log/broker/groups/groups.ts'

/** What a client asked to be committed, and in whose name. */
export interface AskedCommit {
  readonly from: GroupMetadata
  readonly offsets: readonly OffsetEntry[]
}

/**
 * A broker as one process sees it, until that process dies: then nothing it asks for is done, and nothing answered. With
 * `onCommit`, every commit of offsets is shown before it is asked for; what that returns is called with the outcome.
 */
export function mortal(
  broker: Broker,
  onCommit: (asked: AskedCommit) => (error: unknown) => void = () => () => {},
): { readonly broker: Broker; readonly die: () => void } {
  let dead = false
  const never = new Promise<never>(() => {})
  const groups = asDeadAnswers<Groups>(broker.groups, () => dead, {
    join: () => ({ memberId: '', answer: never, waitsForMembers: true }),
    sync: () => ({ memberId: '', answer: never, waitsForMembers: true }),
    heartbeat: () => {},
    leave: () => {},
  })
  const commitOffsets: Broker['commitOffsets'] = async (group, generation, offsets, member) => {
    if (dead) await never
    const from = { group, generation, memberId: '', groupInstanceId: null, ...member }
    const answered = onCommit({ from, offsets })
    try {
      await broker.commitOffsets(group, generation, offsets, member)
    } catch (error) {
      answered(error)
      throw error
    }
    answered(null)
  }
  const own = asDeadAnswers<Broker>(broker, () => dead, {}, { groups, commitOffsets })
  return { broker: own, die: () => void (dead = true) }
}

function asDeadAnswers<T extends object>(
  living: T,
  isDead: () => boolean,
  dead: { readonly [name: string]: () => unknown },
  instead: { readonly [name: string]: unknown } = {},
): T {
  return new Proxy(living, {
    get(target, name: string) {
      if (name in instead) return instead[name]
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...given: unknown[]): unknown =>
        isDead() && dead[name] !== undefined ? dead[name]() : Reflect.apply(value, target, given)
    },
  })
}
