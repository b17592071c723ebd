import type { Declared, OutputOf } from '../codec/schema.ts'
import type { Windowed, WindowKind, Windows } from '../codec/windowed-codec.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import { aggregatePlan } from './aggregation.ts'
import { checkFunction, checkFunctions } from './arguments.ts'
import {
  aggregationOptionNames,
  reductionOptionNames,
  windowStoreOptionNames,
  type Aggregation,
  type Reduction,
  type WindowStoreOptions,
} from './options.ts'
import type { Plan } from './plan/plan.ts'
import type { GroupingPlan, PlanId } from './plan/plan-node.ts'
import type { NewStream } from './table.ts'
import { Table } from './table.ts'

/** Sessions also need to know how to merge two aggregates, because a record may connect two sessions. */
export type Merge<Kind, A, K> = Kind extends 'session' ? { readonly merge: (left: A, right: A, key: K) => A } : unknown

/** Sessions are deleted when they merge; time windows are not. */
export type Deleted<Kind> = Kind extends 'session' ? null : never

/**
 * A grouped stream, divided into windows. A record that arrives after the end of its window plus grace, in stream time, is
 * dropped and counted (a session also waits for its gap). Records with a null key are dropped. As in Kafka, null values reach
 * the aggregator, except with sliding windows. When a record extends a session, the session becomes another row: a tombstone
 * for the old row is forwarded first, so a topic that it is written to must declare `tombstones: true`.
 */
export class WindowedStream<out K, out V, Kind extends WindowKind> {
  readonly #plan: Plan
  readonly #parent: PlanId
  readonly #grouping: GroupingPlan
  readonly #windows: Windows<Kind>
  readonly #newStream: NewStream

  /** Made by `windowedBy`. */
  constructor(plan: Plan, parent: PlanId, grouping: GroupingPlan, windows: Windows<Kind>, newStream: NewStream) {
    this.#plan = plan
    this.#parent = parent
    this.#grouping = grouping
    this.#newStream = newStream
    this.#windows = windows
  }

  /**
   * Counts the records of each key and window, without decoding their values.
   * @example grouped.windowedBy(tumbling('1m')).count({ name: 'per-minute', emit: 'final' })
   */
  count(options: WindowStoreOptions): Table<Windowed<K, Kind>, number, Deleted<Kind>> {
    checkOptions('count', options, windowStoreOptionNames)
    return this.#append(options, { aggregate: 'count' })
  }

  /**
   * Combines the values of each key and window, two at a time; the first value is taken as it is.
   * @example grouped.windowedBy(tumbling('1h')).reduce({ name: 'highest', add: (left, right) => Math.max(left, right) })
   */
  reduce(options: WindowStoreOptions & Reduction<V, K>): Table<Windowed<K, Kind>, V, Deleted<Kind>> {
    checkOptions('reduce', options, { ...windowStoreOptionNames, ...reductionOptionNames })
    checkFunctions(options.name, options, 'add')
    return this.#append(options, {
      aggregate: 'reduce',
      add: (reduced: V, value: V, key: K) => options.add(reduced, value, key),
      value: options.value,
    })
  }

  /**
   * Folds the values of each key and window into an aggregate of another type. Sessions also need `merge`, which makes one
   * aggregate of two.
   * @example grouped.windowedBy(tumbling('1h')).aggregate({
   *   name: 'paths', value: z.array(z.string()), initial: () => [], add: (paths, view) => [...paths, view.path],
   * })
   */
  aggregate<VD extends Declared>(
    options: WindowStoreOptions & Aggregation<VD, OutputOf<VD>, V, K> & Merge<Kind, OutputOf<VD>, K>,
  ): Table<Windowed<K, Kind>, OutputOf<VD>, Deleted<Kind>> {
    checkOptions<WindowStoreOptions>('aggregate', options, { ...windowStoreOptionNames, ...aggregationOptionNames })
    const { initial, add, value } = options
    const { merge } = options as { readonly merge?: (left: OutputOf<VD>, right: OutputOf<VD>, key: K) => OutputOf<VD> }
    if (this.#windows.kind === 'session' && typeof merge !== 'function') {
      throw new StreamsError(
        'CONFIG_INVALID',
        `${options.name}: a record can join two sessions, so aggregate needs { merge }, which makes one aggregate of two`,
        { store: options.name },
      )
    }
    if (merge !== undefined) checkFunction(options.name, 'merge', merge)
    return this.#append(options, { aggregate: 'aggregate', initial, add, merge, value })
  }

  #append<A>(
    store: WindowStoreOptions,
    how: Parameters<typeof aggregatePlan>[0]['how'],
  ): Table<Windowed<K, Kind>, A, Deleted<Kind>> {
    const node = aggregatePlan({
      parent: this.#parent,
      grouping: this.#grouping,
      store,
      how,
      windows: this.#windows,
    })
    return new Table(this.#plan, this.#plan.append(node), this.#newStream)
  }
}
