import { StreamsError } from '../../streams/errors.ts'
import type { StoreSpec } from '../../streams/topology/node.ts'
import type { PlanId, PlanNode } from './plan-node.ts'

/** The growing plan of one builder. Handles refer to it and to the number of their node; nodes never change. */
export class Plan {
  readonly #nodes: PlanNode[] = []
  readonly #stores = new Map<string, StoreSpec>()

  append(node: PlanNode): PlanId {
    this.#nodes.push(Object.freeze(node))
    return this.#nodes.length - 1
  }

  addStore(store: StoreSpec): void {
    if (this.#stores.has(store.name)) {
      throw new StreamsError('TOPOLOGY_INVALID', `there are two stores named ${store.name}; rename one`, {
        store: store.name,
      })
    }
    this.#stores.set(store.name, Object.freeze(store))
  }

  get nodes(): readonly PlanNode[] {
    return this.#nodes
  }

  get stores(): readonly StoreSpec[] {
    return [...this.#stores.values()]
  }
}
