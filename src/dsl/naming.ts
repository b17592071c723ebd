import { StreamsError } from '../streams/errors.ts'

/**
 * Names of nodes. A name from the user is used as it is. Otherwise a node is named after its kind or topic, with a
 * number from the second one on, so that describe() reads like the program. State never depends on such numbers: the
 * user names stores, aggregates and repartition topics.
 */
export class NodeNames {
  readonly #taken = new Set<string>()

  /** Returns the user's name, or the first free one of `fallback`, `fallback-2`, `fallback-3` and so on. */
  pick(given: string | undefined, fallback: string): string {
    if (given !== undefined) {
      if (this.#taken.has(given)) {
        throw new StreamsError('TOPOLOGY_INVALID', `there are two operators named ${given}; rename one`, {
          name: given,
        })
      }
      this.#taken.add(given)
      return given
    }
    let name = fallback
    for (let count = 2; this.#taken.has(name); count++) name = `${fallback}-${count}`
    this.#taken.add(name)
    return name
  }
}

/** The node of a branch of the split with that name. */
export function branchNode(split: string, branch: string): string {
  return `${split}-${branch}`
}

/** The method for an operator, as errors name it: `filterNot` for `filter-not`. */
export function methodOf(operator: string): string {
  return operator.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}
