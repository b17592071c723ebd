import { toStreamSupplier } from './operators/to-stream.ts'
import type { Named } from './options.ts'
import type { Plan } from './plan/plan.ts'
import type { PlanId } from './plan/plan-node.ts'
import type { Stream } from './stream.ts'

/** Makes the handle of a stream. Handed down, because streams make tables and tables make streams. */
export type NewStream = <K, V>(plan: Plan, id: PlanId) => Stream<K, V>

/**
 * A table: the newest value per key, kept in a store and changed record by record. N is null where rows can be deleted
 * and never where they cannot.
 */
export class Table<out K, out V, out N = null> {
  readonly #plan: Plan
  readonly #id: PlanId
  readonly #newStream: NewStream
  /** Only a type; never there. */
  declare readonly '~row'?: () => [K, V, N]

  /** Made by aggregations. */
  constructor(plan: Plan, id: PlanId, newStream: NewStream) {
    this.#plan = plan
    this.#id = id
    this.#newStream = newStream
  }

  /**
   * The stream of the table's new values, null where a row was deleted. Keys do not change.
   * @example counts.toStream().to(countsTopic)
   */
  toStream(options: Named = {}): Stream<K, V | N> {
    const id = this.#plan.append({
      kind: 'operator',
      operator: 'to-stream',
      name: options.name,
      parents: [this.#id],
      stores: [],
      supplier: toStreamSupplier,
      readsKey: false,
      readsValue: true,
      changesKey: false,
      changesValue: true,
    })
    return this.#newStream(this.#plan, id)
  }
}
