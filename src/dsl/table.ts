import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import { checkFunction, checkInstance } from './arguments.ts'
import { GroupedTable } from './grouped-table.ts'
import { groupingPlan } from './grouping.ts'
import type { GroupingOf, Keyed } from './key-needs-a-schema.ts'
import { toStreamSupplier } from './operators/to-stream.ts'
import { methodOf } from './naming.ts'
import {
  groupingOptionNames,
  namedOptionNames,
  tableOptionNames,
  tableStoreOptionNames,
  type Grouping,
  type Named,
  type TableOptions,
} from './options.ts'
import type { Plan } from './plan/plan.ts'
import type { PlanId } from './plan/plan-node.ts'
import type { TableJoinPlan, TableOperatorPlan } from './plan/table-plan.ts'
import type { Stream } from './stream.ts'
import { tableStorePlan } from './table-store.ts'

/**
 * Creates the handle of a stream. It is passed as a function, because streams create tables and tables create streams.
 */
export type NewStream = <K, V>(plan: Plan, id: PlanId) => Stream<K, V>

/**
 * A table: the newest value per key, kept in a store and changed record by record. The type N is null where rows can be
 * deleted, and never where they cannot. Operators on a table see the newest value of each row; null deletes a row and never
 * reaches a callback. Their results are kept only if `store` asks for it, or if a later operator needs the rows. Kafka:
 * `KTable`.
 */
export class Table<out K, out V, out N = null> {
  readonly #plan: Plan
  readonly #id: PlanId
  readonly #newStream: NewStream
  /** Only a type; never there. */
  declare readonly '~row'?: () => [K, V, N]

  /** Made by `StreamsBuilder.table`, `toTable` and aggregations. */
  constructor(plan: Plan, id: PlanId, newStream: NewStream) {
    this.#plan = plan
    this.#id = id
    this.#newStream = newStream
  }

  /** The number of a table's node in a plan, for the streams and tables that join it in `call`. */
  static idIn(call: string, table: Table<unknown, unknown, unknown>, plan: Plan): PlanId {
    checkInstance(call, Table, table)
    if (table.#plan === plan) return table.#id
    throw new StreamsError(
      'TOPOLOGY_INVALID',
      'stream and table are of different builders; build each topology from one',
    )
  }

  /**
   * Keeps the rows for which `predicate` holds; a row that no longer passes is deleted downstream. As in Kafka, a deletion is
   * also forwarded for a row that never passed, unless the rows of this table are kept already, in a store or for an
   * earlier join. Keys do not change.
   * @example users.filter((user) => user.active)
   */
  filter<W extends V>(predicate: (value: V, key: K) => value is W, options?: TableOptions): Table<K, W>
  filter(predicate: (value: V, key: K) => boolean, options?: TableOptions): Table<K, V>
  filter(predicate: (value: V, key: K) => boolean, options: TableOptions = {}): Table<K, V> {
    return this.#operator('filter', predicate, options)
  }

  /**
   * Drops the rows for which `predicate` holds; they are deleted downstream. Keys do not change.
   * @example users.filterNot((user) => user.closed)
   */
  filterNot(predicate: (value: V, key: K) => boolean, options: TableOptions = {}): Table<K, V> {
    return this.#operator('filter-not', predicate, options)
  }

  /**
   * Replaces the value of each row. Keys do not change. Returning null deletes the row downstream. The mapper may run
   * again for the same row if an operator downstream needs its previous value, so it must depend on nothing but its
   * arguments.
   * @example users.mapValues((user) => user.region)
   */
  mapValues<W>(
    mapper: (value: V, key: K) => W,
    options: TableOptions = {},
  ): Table<K, NonNullable<W>, N | Extract<W, null>> {
    return this.#operator('map-values', mapper, options)
  }

  /**
   * The stream of the table's changes: new values, and null where a row was deleted. A topic that such a stream is written to
   * must declare `tombstones: true`. Keys do not change.
   * @example counts.toStream().to(countsTopic)
   */
  toStream(options: Named = {}): Stream<K, V | N> {
    checkOptions('toStream', options, namedOptionNames)
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

  /**
   * Groups the rows by a new key, by way of a repartition topic. When a row changes, its old value leaves its old group
   * and its new value enters the new one. Rows whose new key is null belong to no group. Keys other than strings,
   * numbers, bigints, booleans and tuples of these need `{ key: schema }`.
   * @example users.groupBy((user) => user.region).count({ name: 'users-by-region' })
   */
  groupBy<K2, O extends GroupingOf<K2> = {}>(
    mapper: (value: V, key: K) => K2,
    options?: O,
  ): Keyed<K2, O, GroupedTable<NonNullable<K2>, V>> {
    const grouping: Grouping = options ?? {}
    checkOptions('groupBy of a table', grouping, groupingOptionNames)
    checkFunction('groupBy of a table', 'the mapper', mapper)
    return new GroupedTable<NonNullable<K2>, V>(
      this.#plan,
      this.#id,
      groupingPlan(grouping),
      mapper as (value: unknown, key: unknown) => unknown,
      (plan, id) => new Table(plan, id, this.#newStream),
    ) as Keyed<K2, O, GroupedTable<NonNullable<K2>, V>>
  }

  /**
   * Joins the rows whose key is in both tables; each change on either side makes a new result, with the later of the two
   * timestamps. Keys do not change. Both topics must be partitioned alike, or the topology is refused with
   * NOT_COPARTITIONED. Kafka: `KTable.join`.
   * @example orders.join(payments, (order, payment) => ({ ...order, paid: payment.amount }))
   */
  join<V2, N2, R>(
    other: Table<NoInfer<K>, V2, N2>,
    joiner: (left: V, right: V2, key: K) => R,
    options: TableOptions = {},
  ): Table<K, NonNullable<R>, N | N2 | Extract<R, null>> {
    return this.#join('inner', other, joiner, options)
  }

  /**
   * Joins every row of this table with the row of the other table, or with null. Otherwise like {@link join}.
   * @example users.leftJoin(addresses, (user, address) => ({ ...user, city: address?.city ?? null }))
   */
  leftJoin<V2, N2, R>(
    other: Table<NoInfer<K>, V2, N2>,
    joiner: (left: V, right: NoInfer<V2> | null, key: K) => R,
    options: TableOptions = {},
  ): Table<K, NonNullable<R>, N | Extract<R, null>> {
    return this.#join('left', other, joiner, options)
  }

  /**
   * Joins every row of either table with the row of the other one, or with null. Otherwise like {@link join}.
   * @example shop.outerJoin(web, (inShop, onWeb) => (inShop ?? 0) + (onWeb ?? 0))
   */
  outerJoin<V2, N2, R>(
    other: Table<NoInfer<K>, V2, N2>,
    joiner: (left: V | null, right: NoInfer<V2> | null, key: K) => R,
    options: TableOptions = {},
  ): Table<K, NonNullable<R>, (N & N2) | Extract<R, null>> {
    return this.#join('outer', other, joiner, options)
  }

  #operator<W, M>(
    operator: TableOperatorPlan['operator'],
    callback: (value: V, key: K) => unknown,
    options: TableOptions,
  ): Table<K, W, M> {
    const call = `${methodOf(operator)} of a table`
    checkTableOptions(call, options)
    checkFunction(call, 'what it calls', callback)
    const id = this.#plan.append({
      kind: 'table-operator',
      operator,
      parent: this.#id,
      name: options.name,
      // The plan is not typed.
      callback: callback as TableOperatorPlan['callback'],
      store: options.store === undefined ? undefined : tableStorePlan(options.store),
    })
    return new Table(this.#plan, id, this.#newStream)
  }

  #join<V2, R, M>(
    type: TableJoinPlan['type'],
    other: Table<K, V2, unknown>,
    joiner: (left: V, right: V2, key: K) => unknown,
    options: TableOptions,
  ): Table<K, R, M> {
    checkTableOptions('join of tables', options)
    checkFunction('join of tables', 'the joiner', joiner)
    const id = this.#plan.append({
      kind: 'table-join',
      type,
      left: this.#id,
      right: Table.idIn('join of tables', other, this.#plan),
      name: options.name,
      joiner: joiner as TableJoinPlan['joiner'],
      store: options.store === undefined ? undefined : tableStorePlan(options.store),
    })
    return new Table(this.#plan, id, this.#newStream)
  }
}

function checkTableOptions(call: string, options: TableOptions): void {
  checkOptions(call, options, tableOptionNames)
  if (options.store !== undefined) checkOptions(`the store of ${call}`, options.store, tableStoreOptionNames)
}
