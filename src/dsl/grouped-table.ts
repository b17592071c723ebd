import type { Declared, OutputOf } from '../codec/schema.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { checkFunction, checkFunctions } from './arguments.ts'
import {
  storeOptionNames,
  aggregationOptionNames,
  reductionOptionNames,
  type StoreOptions,
  type TableAggregation,
  type TableReduction,
} from './options.ts'
import type { Plan } from './plan/plan.ts'
import type { GroupingPlan, PlanId } from './plan/plan-node.ts'
import type { TableAggregatePlan } from './plan/table-plan.ts'
import { emitOf, tableStorePlan } from './table-store.ts'
import type { Table } from './table.ts'

/** Creates the handle of a table. It is passed as a function, because tables create groups and groups create tables. */
export type NewTable = <K, V, N>(plan: Plan, id: PlanId) => Table<K, V, N>

/**
 * A table whose rows are grouped, ready to be aggregated. When a row changes, its old value is subtracted and its new value is
 * added. Kafka: `KGroupedTable`.
 */
export class GroupedTable<out K, out V> {
  readonly #plan: Plan
  readonly #parent: PlanId
  readonly #grouping: GroupingPlan
  readonly #group: (value: unknown, key: unknown) => unknown
  readonly #newTable: NewTable

  /** Made by `Table.groupBy`. */
  constructor(
    plan: Plan,
    parent: PlanId,
    grouping: GroupingPlan,
    group: (value: unknown, key: unknown) => unknown,
    newTable: NewTable,
  ) {
    this.#plan = plan
    this.#parent = parent
    this.#grouping = grouping
    this.#group = group
    this.#newTable = newTable
  }

  /**
   * Counts the rows of each group. A group that has lost its last row stays, with a count of 0.
   * @example users.groupBy((user) => user.region).count({ name: 'users-by-region' })
   */
  count(options: StoreOptions): Table<K, number, never> {
    checkOptions('count', options, storeOptionNames)
    return this.#append(options, undefined, {
      aggregate: 'count',
      initial: undefined,
      add: undefined,
      subtract: undefined,
    })
  }

  /**
   * Combines the values of each group, two at a time; the first is taken as it is. `subtract` removes a value again.
   * @example shops.groupBy((shop) => shop.town).reduce({ name: 'sales', add: (a, b) => a + b, subtract: (a, b) => a - b })
   */
  reduce(options: StoreOptions & TableReduction<V, K>): Table<K, V> {
    checkOptions('reduce', options, { ...storeOptionNames, ...reductionOptionNames })
    checkFunctions(options.name, options, 'add', 'subtract')
    return this.#append(options, options.value, {
      aggregate: 'reduce',
      initial: undefined,
      add: (reduced: V, value: V, key: K) => options.add(reduced, value, key),
      subtract: (reduced: V, value: V, key: K) => options.subtract(reduced, value, key),
    })
  }

  /**
   * Folds the values of each group into an aggregate of another type; `subtract` undoes what `add` did. Returning null deletes
   * the row of the group.
   * @example orders.groupBy((order) => order.customer).aggregate({
   *   name: 'open-amounts',
   *   value: z.number(),
   *   initial: () => 0,
   *   add: (sum, order) => sum + order.amount,
   *   subtract: (sum, order) => sum - order.amount,
   * })
   */
  aggregate<VD extends Declared>(
    options: StoreOptions & TableAggregation<VD, OutputOf<VD>, V, K>,
  ): Table<K, NonNullable<OutputOf<VD>>> {
    checkOptions('aggregate', options, { ...storeOptionNames, ...aggregationOptionNames })
    const { initial, add, subtract, value } = options
    return this.#append(options, value, { aggregate: 'aggregate', initial, add, subtract })
  }

  #append<A, N>(
    options: StoreOptions,
    value: Declared | undefined,
    how: {
      readonly aggregate: TableAggregatePlan['aggregate']
      readonly initial: (() => unknown) | undefined
      readonly add: ((aggregate: never, value: never, key: never) => unknown) | undefined
      readonly subtract: ((aggregate: never, value: never, key: never) => unknown) | undefined
    },
  ): Table<K, A, N> {
    const { aggregate, initial, add, subtract } = how
    if (aggregate === 'aggregate') {
      checkFunction(options.name, 'initial', initial)
      checkFunction(options.name, 'add', add)
      checkFunction(options.name, 'subtract', subtract)
    }
    const store = tableStorePlan({ ...options, value })
    const id = this.#plan.append({
      kind: 'table-aggregate',
      parent: this.#parent,
      grouping: this.#grouping,
      group: this.#group,
      aggregate,
      initial,
      add: add as TableAggregatePlan['add'],
      subtract: subtract as TableAggregatePlan['subtract'],
      emit: emitOf(store.name, options.emit),
      store,
    })
    return this.#newTable(this.#plan, id)
  }
}
