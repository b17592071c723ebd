import type { Declared, OutputOf } from '../codec/schema.ts'
import type { WindowKind, Windows } from '../codec/windowed-codec.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { aggregatePlan } from './aggregation.ts'
import { checkFunctions, checkWindows } from './arguments.ts'
import {
  aggregationOptionNames,
  reductionOptionNames,
  storeOptionNames,
  type Aggregation,
  type Reduction,
  type StoreOptions,
} from './options.ts'
import type { Plan } from './plan/plan.ts'
import type { GroupingPlan, PlanId } from './plan/plan-node.ts'
import type { NewStream } from './table.ts'
import { Table } from './table.ts'
import { WindowedStream } from './windowed-stream.ts'

/**
 * A stream grouped by key, ready to be aggregated. Records with a null key or value are dropped and counted. Kafka:
 * `KGroupedStream`.
 */
export class GroupedStream<out K, out V> {
  readonly #plan: Plan
  readonly #parent: PlanId
  readonly #grouping: GroupingPlan
  readonly #newStream: NewStream

  /** Made by `groupBy` and `groupByKey`. */
  constructor(plan: Plan, parent: PlanId, grouping: GroupingPlan, newStream: NewStream) {
    this.#plan = plan
    this.#parent = parent
    this.#grouping = grouping
    this.#newStream = newStream
  }

  /**
   * Counts the records of each key, without decoding their values.
   * @example views.groupBy((view) => view.path).count({ name: 'views-by-path' })
   */
  count(options: StoreOptions): Table<K, number, never> {
    checkOptions('count', options, storeOptionNames)
    return this.#append(options, { aggregate: 'count' })
  }

  /**
   * Combines the values of each key, two at a time; the first value of a key is taken as it is. Returning null deletes
   * the row.
   * @example prices.groupByKey().reduce({ name: 'highest', add: (highest, price) => Math.max(highest, price) })
   */
  reduce(options: StoreOptions & Reduction<V, K>): Table<K, V, never> {
    checkOptions('reduce', options, { ...storeOptionNames, ...reductionOptionNames })
    checkFunctions(options.name, options, 'add')
    return this.#append(options, {
      aggregate: 'reduce',
      add: (reduced: V, value: V, key: K) => options.add(reduced, value, key),
      value: options.value,
    })
  }

  /**
   * Folds the values of each key into an aggregate of another type. The schema of the aggregate gives it its type and protects
   * its store. Returning null deletes the row.
   * @example orders.groupByKey().aggregate({
   *   name: 'totals',
   *   value: z.object({ count: z.number(), sum: z.number() }),
   *   initial: () => ({ count: 0, sum: 0 }),
   *   add: (total, order) => ({ count: total.count + 1, sum: total.sum + order.price }),
   * })
   */
  aggregate<VD extends Declared>(
    options: StoreOptions & Aggregation<VD, OutputOf<VD>, V, K>,
  ): Table<K, OutputOf<VD>, never> {
    checkOptions('aggregate', options, { ...storeOptionNames, ...aggregationOptionNames })
    const { initial, add, value } = options
    return this.#append(options, { aggregate: 'aggregate', initial, add, value })
  }

  /**
   * Divides the aggregation into windows of time. Grouping and partitioning do not change; the keys of the results are
   * `{ key, start, end, kind }`. Kafka: `windowedBy`.
   * @example views.groupBy((view) => view.path).windowedBy(tumbling('1m')).count({ name: 'views-per-minute' })
   */
  windowedBy<Kind extends WindowKind>(windows: Windows<Kind>): WindowedStream<K, V, Kind> {
    checkWindows('windowedBy', windows)
    return new WindowedStream(this.#plan, this.#parent, this.#grouping, windows, this.#newStream)
  }

  #append<A>(store: StoreOptions, how: Parameters<typeof aggregatePlan>[0]['how']): Table<K, A, never> {
    const node = aggregatePlan({ parent: this.#parent, grouping: this.#grouping, store, how, windows: undefined })
    return new Table(this.#plan, this.#plan.append(node), this.#newStream)
  }
}
