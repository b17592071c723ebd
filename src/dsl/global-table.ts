import { StreamsError } from '../streams/errors.ts'
import { checkInstance } from './arguments.ts'
import type { Plan } from './plan/plan.ts'
import type { PlanId } from './plan/plan-node.ts'

/**
 * A table that every task has in full, so that streams can join it by any key without being partitioned like it. Its rows are
 * the newest records per key of its topic. It is read before the application runs, and updated between two commits. Kafka:
 * `GlobalKTable`.
 */
export class GlobalTable<out K, out V> {
  readonly #plan: Plan
  readonly #id: PlanId
  /** Only a type; never there. */
  declare readonly '~row'?: () => [K, V]

  /** Made by `StreamsBuilder.globalTable`. */
  constructor(plan: Plan, id: PlanId) {
    this.#plan = plan
    this.#id = id
  }

  /** The number of a table's node in a plan, for the streams that join it in `call`. */
  static idIn(call: string, table: GlobalTable<unknown, unknown>, plan: Plan): PlanId {
    checkInstance(call, GlobalTable, table)
    if (table.#plan === plan) return table.#id
    throw new StreamsError(
      'TOPOLOGY_INVALID',
      'stream and table are of different builders; build each topology from one',
    )
  }
}
