import type { Topic } from '../codec/topic.ts'
import { printLine } from '../base/logger.ts'
import type { Declared } from '../codec/schema.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import type { Processor } from '../streams/processor/processor.ts'
import { sinkPartitioner } from '../streams/topology/sink-partitioner.ts'
import { checkFunction, checkInstance, checkTopic } from './arguments.ts'
import { readsOf } from './callback-parameters.ts'
import { GroupedStream } from './grouped-stream.ts'
import { groupingPlan } from './grouping.ts'
import { GlobalTable } from './global-table.ts'
import type { GroupingOf, Keyed, KeySource } from './key-needs-a-schema.ts'
import { branchNode, methodOf } from './naming.ts'
import { branchSupplier } from './operators/branch.ts'
import { filterSupplier } from './operators/filter.ts'
import { flatMapSupplier } from './operators/flat-map.ts'
import { flatMapValuesSupplier } from './operators/flat-map-values.ts'
import { foreachSupplier } from './operators/foreach.ts'
import { mapSupplier } from './operators/map.ts'
import { mapValuesSupplier } from './operators/map-values.ts'
import { mergeSupplier } from './operators/merge.ts'
import { peekSupplier } from './operators/peek.ts'
import { printSupplier } from './operators/print.ts'
import type { RecordProcessor, StoreRef, ValueProcessor } from './operators/process.ts'
import { processSupplier, processValuesSupplier } from './operators/process.ts'
import { selectKeySupplier } from './operators/select-key.ts'
import {
  groupingOptionNames,
  namedOptionNames,
  producedOptionNames,
  repartitionedOptionNames,
  toTableOptionNames,
  type Grouping,
  type Named,
  type Produced,
  type Repartitioned,
  type StreamJoined,
  type TableJoined,
  type ToTableOptions,
} from './options.ts'
import type { StreamJoinPlan } from './plan/join-plan.ts'
import type { Plan } from './plan/plan.ts'
import type { OperatorPlan, PlanId } from './plan/plan-node.ts'
import type { GlobalJoinPlan, StreamTableJoinPlan } from './plan/table-plan.ts'
import { globalJoinPlan, streamJoinPlan, streamTableJoinPlan } from './stream-joins.ts'
import { emitOf, tableStorePlan } from './table-store.ts'
import { Table, type NewStream } from './table.ts'

/**
 * A stream of records, as described so far. Every method adds a node to the plan and returns a new handle; nothing
 * runs. Callbacks are `(value, key)`; values are immutable.
 */
export class Stream<out K, out V> {
  readonly #plan: Plan
  readonly #id: PlanId

  /** Made by `StreamsBuilder` and by other handles. */
  constructor(plan: Plan, id: PlanId) {
    this.#plan = plan
    this.#id = id
  }

  /**
   * Keeps the records for which `predicate` holds; a type guard narrows the value. Keys do not change, so no
   * repartitioning follows.
   * @example orders.filter((order) => order.total > 100)
   */
  filter<W extends V>(predicate: (value: V, key: K) => value is W, options?: Named): Stream<K, W>
  filter(predicate: (value: V, key: K) => boolean, options?: Named): Stream<K, V>
  filter(predicate: (value: V, key: K) => boolean, options: Named = {}): Stream<K, V> {
    return this.#keeping('filter', options, predicate, filterSupplier(untyped(predicate), true))
  }

  /**
   * Drops the records for which `predicate` holds. Keys do not change.
   * @example orders.filterNot((order) => order.cancelled)
   */
  filterNot(predicate: (value: V, key: K) => boolean, options: Named = {}): Stream<K, V> {
    return this.#keeping('filter-not', options, predicate, filterSupplier(untyped(predicate), false))
  }

  /**
   * Replaces key and value. The key counts as changed: an aggregation repartitions first.
   * @example orders.map((order) => [order.customer, order.total])
   */
  map<K2, V2>(mapper: (value: V, key: K) => readonly [K2, V2], options: Named = {}): Stream<K2, V2> {
    return this.#named('map', options, {
      supplier: (node) => mapSupplier(node, untyped(mapper)),
      ...readsOf('map', mapper),
      changesKey: true,
      changesValue: true,
    })
  }

  /**
   * Replaces the value. Keys do not change. Undefined is an error; null is a tombstone. What the mapper throws stops the
   * application, as with every callback, and nothing of the record is committed.
   * @example orders.mapValues((order) => order.total)
   */
  mapValues<W>(mapper: (value: V, key: K) => W, options: Named = {}): Stream<K, W> {
    return this.#named('map-values', options, {
      supplier: (node) => mapValuesSupplier(node, untyped(mapper)),
      ...readsOf('mapValues', mapper),
      changesKey: false,
      changesValue: true,
    })
  }

  /**
   * Replaces each record by any number of `[key, value]` pairs. The key counts as changed.
   * @example orders.flatMap((order) => order.lines.map((line) => [line.article, line.count]))
   */
  flatMap<K2, V2>(mapper: (value: V, key: K) => Iterable<readonly [K2, V2]>, options: Named = {}): Stream<K2, V2> {
    return this.#named('flat-map', options, {
      supplier: (node) => flatMapSupplier(node, untyped(mapper)),
      ...readsOf('flatMap', mapper),
      changesKey: true,
      changesValue: true,
    })
  }

  /**
   * Replaces each value by any number of values under the same key. Keys do not change.
   * @example lines.flatMapValues((line) => line.split(' '))
   */
  flatMapValues<W>(mapper: (value: V, key: K) => Iterable<W>, options: Named = {}): Stream<K, W> {
    return this.#named('flat-map-values', options, {
      supplier: (node) => flatMapValuesSupplier(node, untyped(mapper)),
      ...readsOf('flatMapValues', mapper),
      changesKey: false,
      changesValue: true,
    })
  }

  /**
   * Replaces the key. It counts as changed: an aggregation repartitions first.
   * @example views.selectKey((view) => view.region)
   */
  selectKey<K2>(mapper: (value: V, key: K) => K2, options: Named = {}): Stream<K2, V> {
    return this.#named('select-key', options, {
      supplier: (node) => selectKeySupplier(node, untyped(mapper)),
      ...readsOf('selectKey', mapper),
      changesKey: true,
      changesValue: false,
    })
  }

  /**
   * Shows each record to `action` on its way. Keys do not change. After a crash an action may see a record again.
   * @example orders.peek((order) => logger.info(order.id))
   */
  peek(action: (value: V, key: K) => void, options: Named = {}): Stream<K, V> {
    return this.#keeping('peek', options, action, peekSupplier(untyped(action)))
  }

  /**
   * Shows each record to `action`; the stream ends here. After a crash an action may see a record again.
   * @example alerts.foreach((alert) => pager.send(alert))
   */
  foreach(action: (value: V, key: K) => void, options: Named = {}): void {
    this.#keeping('foreach', options, action, foreachSupplier(untyped(action)))
  }

  /**
   * Prints each record as `[label]: key, value`; the stream ends here.
   * @example counts.toStream().print({ label: 'counts' })
   */
  print(options: Named & { readonly label?: string; readonly write?: (line: string) => void } = {}): void {
    checkOptions('print', options, { ...namedOptionNames, label: true, write: true })
    this.#operator('print', options, {
      supplier: (node) => printSupplier(options.label ?? node, options.write ?? printLine),
      readsKey: true,
      readsValue: true,
      changesKey: false,
      changesValue: false,
    })
  }

  /**
   * One stream of the records of both, in the order of arrival. The key counts as changed if it is in one of them.
   * @example webOrders.merge(shopOrders)
   */
  merge<V2>(other: Stream<NoInfer<K>, V2>, options: Named = {}): Stream<K, V | V2> {
    checkOptions('merge', options, namedOptionNames)
    const node: OperatorPlan = {
      kind: 'operator',
      operator: 'merge',
      name: options.name,
      parents: [this.#id, Stream.#idIn('merge', other, this.#plan)],
      stores: [],
      supplier: mergeSupplier,
      readsKey: false,
      readsValue: false,
      changesKey: false,
      changesValue: false,
    }
    return new Stream(this.#plan, this.#plan.append(node))
  }

  /**
   * One stream per branch: a record goes to the first whose predicate holds, else to the branch named by `rest`, else
   * nowhere. Keys do not change. Throws TOPOLOGY_INVALID for names that objects put out of order, such as `1`. Kafka:
   * `split` with `branch`.
   * @example const { large, small } = orders.split({ large: (order) => order.total > 100 }, { rest: 'small' })
   */
  split<B extends { readonly [branch: string]: (value: V, key: K) => boolean }, R extends string = never>(
    branches: B,
    options: Named & { readonly rest?: R } = {},
  ): { readonly [Branch in Extract<keyof B, string> | R]: Stream<K, V> } {
    checkOptions('split', options, { ...namedOptionNames, rest: true })
    const names = Object.keys(branches)
    const { rest } = options
    checkBranches(names, rest)
    const predicates = names.map((name) => ({ name, predicate: untyped(branches[name] as Predicate<V, K>) }))
    const reads = names.map((name) => readsOf(`split, branch ${name}`, branches[name] as Callback<V, K>))
    const split = this.#append('split', options, {
      supplier: (node) =>
        branchSupplier(
          predicates.map(({ name, predicate }) => ({ child: branchNode(node, name), predicate })),
          rest === undefined ? null : branchNode(node, rest),
        ),
      readsKey: reads.some((each) => each.readsKey),
      readsValue: reads.some((each) => each.readsValue),
      changesKey: false,
      changesValue: false,
    })
    const all = rest === undefined ? names : [...names, rest]
    const streams = all.map((branch): [string, Stream<K, V>] => [
      branch,
      new Stream(this.#plan, this.#plan.append({ kind: 'branch', parent: split, branch })),
    ])
    // Built from the very names that the type lists.
    return Object.fromEntries(streams) as { readonly [Branch in Extract<keyof B, string> | R]: Stream<K, V> }
  }

  /**
   * Runs a processor of your own on each record, with the stores named. The key counts as changed; use `processValues`
   * if it does not.
   * @example readings.process(() => new Alarm(), { name: 'alarm', stores: [lastAlarms] })
   */
  process<K2, V2>(
    supplier: () => RecordProcessor<K, V, K2, V2>,
    options: Named & { readonly stores?: readonly (StoreRef<unknown> | string)[] } = {},
  ): Stream<K2, V2> {
    checkOptions('process', options, { ...namedOptionNames, stores: true })
    checkFunction('process', 'the supplier', supplier)
    return this.#operator('process', options, {
      supplier: (node) => processSupplier(node, supplier),
      stores: (options.stores ?? []).map(storeName),
      readsKey: true,
      readsValue: true,
      changesKey: true,
      changesValue: true,
    })
  }

  /**
   * Runs a processor of your own that forwards values under the same key. Keys do not change.
   * @example events.processValues(() => new Deduplicate(), { name: 'deduplicate', stores: [seen] })
   */
  processValues<V2>(
    supplier: () => ValueProcessor<K, V, V2>,
    options: Named & { readonly stores?: readonly (StoreRef<unknown> | string)[] } = {},
  ): Stream<K, V2> {
    checkOptions('processValues', options, { ...namedOptionNames, stores: true })
    checkFunction('processValues', 'the supplier', supplier)
    return this.#operator('process-values', options, {
      supplier: (node) => processValuesSupplier(node, supplier),
      stores: (options.stores ?? []).map(storeName),
      readsKey: true,
      readsValue: true,
      changesKey: false,
      changesValue: true,
    })
  }

  /**
   * Groups by the key as it is. If it has changed since the source, the aggregation that follows repartitions. Null keys
   * drop out. Keys other than strings, numbers, bigints, booleans and tuples of these need `{ key: schema }`.
   * @example payments.groupByKey().count({ name: 'payments' })
   */
  groupByKey<O extends GroupingOf<K> = {}>(options?: O): Keyed<K, O, GroupedStream<NonNullable<K>, V>> {
    const grouping: Grouping = options ?? {}
    checkOptions('groupByKey', grouping, groupingOptionNames)
    return new GroupedStream<NonNullable<K>, V>(this.#plan, this.#id, groupingPlan(grouping), newStream) as Keyed<
      K,
      O,
      GroupedStream<NonNullable<K>, V>
    >
  }

  /**
   * Groups by a new key; the aggregation that follows repartitions. Null keys drop out. Keys other than strings,
   * numbers, bigints, booleans and tuples of these need `{ key: schema }`.
   * @example views.groupBy((view) => view.path).count({ name: 'views-by-path' })
   */
  groupBy<K2, O extends GroupingOf<K2> = {}>(
    mapper: (value: V, key: K) => K2,
    options?: O,
  ): Keyed<K2, O, GroupedStream<NonNullable<K2>, V>> {
    const grouping: Grouping = options ?? {}
    checkOptions('groupBy', grouping, groupingOptionNames)
    const selected = this.#append(
      'group-by',
      {},
      {
        supplier: (node) => selectKeySupplier(node, untyped(mapper)),
        ...readsOf('groupBy', mapper),
        changesKey: true,
        changesValue: false,
      },
    )
    return new GroupedStream<NonNullable<K2>, V>(this.#plan, selected, groupingPlan(grouping), newStream) as Keyed<
      K2,
      O,
      GroupedStream<NonNullable<K2>, V>
    >
  }

  /**
   * Writes the stream to a topic of the application's own and reads it back, so that every record is in the partition
   * of its key, or in the one that `partitioner` chooses: that of a topic which is joined next. Null keys drop out, unless a
   * left or outer join of streams, or a left join with a table, stands somewhere behind, which takes records without a key.
   * @example views.selectKey((view) => view.region).repartition({ name: 'by-region', partitions: 8 })
   * @example views.repartition({ name: 'views', partitioner: byRegion }).joinTable(builder.table(regions), joiner)
   */
  repartition<O extends GroupingOf<K> & Pick<Repartitioned, 'partitions'> = {}>(
    options?: O & Pick<Repartitioned<Declared, NonNullable<K>, V>, 'partitioner'>,
  ): Keyed<K, O, Stream<K, V>> {
    const given: Repartitioned<Declared, NonNullable<K>, V> = options ?? {}
    checkOptions('repartition', given, repartitionedOptionNames)
    const { partitions, partitioner } = given
    if (partitions !== undefined && !(Number.isInteger(partitions) && partitions >= 1)) {
      throw new StreamsError('CONFIG_INVALID', `repartition: partitions is a whole number from 1 on, not ${partitions}`)
    }
    const id = this.#plan.append({
      kind: 'repartition',
      parent: this.#id,
      grouping: groupingPlan(given),
      partitions,
      partitioner: sinkPartitioner(partitioner, 'repartition'),
    })
    return new Stream<K, V>(this.#plan, id) as Keyed<K, O, Stream<K, V>>
  }

  /**
   * A table of the newest value per key; null deletes a row, records with a null key are dropped, counted. If the key has
   * changed since the source, the stream is repartitioned first.
   * @example payments.toTable({ name: 'last-payment' })
   */
  toTable<O extends ToTableOptions & { readonly key?: KeySource<K> }>(
    options: O,
  ): Keyed<K, O, Table<K, NonNullable<V>, Extract<V, null>>> {
    const given: ToTableOptions = options
    checkOptions('toTable', given, toTableOptionNames)
    const { key, value, emit } = given
    const kept = tableStorePlan(given)
    const id = this.#plan.append({
      kind: 'table-source',
      parent: this.#id,
      name: kept.name,
      emit: emitOf(kept.name, emit),
      store: kept,
      sourceTopic: null,
      isKept: true,
      grouping: groupingPlan({
        name: kept.name,
        ...(key === undefined ? {} : { key }),
        ...(value === undefined ? {} : { value }),
      }),
    })
    return new Table<K, NonNullable<V>, Extract<V, null>>(this.#plan, id, newStream) as Keyed<
      K,
      O,
      Table<K, NonNullable<V>, Extract<V, null>>
    >
  }

  /**
   * Joins records of two streams that have the same key and lie near in time: the other record's time is in
   * `[time - before, time + after]`. Every such pair makes one result, as soon as its second record comes, with the later
   * timestamp; a stream may be joined with itself. Keys do not change; both topics must be partitioned alike, and a stream
   * whose key has changed is repartitioned first. Null keys and values are dropped, counted. Lengths left out
   * are 0; topics that are partitioned differently are refused with NOT_COPARTITIONED. Kafka: `JoinWindows`.
   * @example views.join(orders, (view, order) => ({ path: view.path, total: order.total }), { name: 'bought', after: '1h' })
   */
  join<V2, R>(
    other: Stream<NoInfer<K>, V2>,
    joiner: (value: NonNullable<V>, other: NonNullable<V2>, key: NonNullable<K>) => R,
    options: StreamJoined,
  ): Stream<K, R> {
    return this.#joinStream('inner', other, joiner, options)
  }

  /**
   * As {@link join}, and a record of this stream that finds no partner is joined with null, once stream time has passed
   * the end of its window and grace; one without a key at once. Such results have the record's own timestamp.
   * @example views.leftJoin(orders, (view, order) => ({ path: view.path, bought: order !== null }), { name: 'bought', after: '1h' })
   */
  leftJoin<V2, R>(
    other: Stream<NoInfer<K>, V2>,
    joiner: (value: NonNullable<V>, other: NonNullable<NoInfer<V2>> | null, key: K) => R,
    options: StreamJoined,
  ): Stream<K, R> {
    return this.#joinStream('left', other, joiner, options)
  }

  /**
   * As {@link leftJoin}, for the records of both streams: one of the two values may be null, never both.
   * @example sent.outerJoin(received, (out, back) => ({ out, back }), { name: 'answers', after: '30s', grace: '5s' })
   */
  outerJoin<V2, R>(
    other: Stream<NoInfer<K>, V2>,
    joiner: (value: NonNullable<V> | null, other: NonNullable<NoInfer<V2>> | null, key: K) => R,
    options: StreamJoined,
  ): Stream<K, R> {
    return this.#joinStream('outer', other, joiner, options)
  }

  /**
   * Joins each record with the table's row of its key, as the row is now; without one nothing leaves. Changes of the
   * table make no result. Keys do not change; both topics must be partitioned alike, or the key has changed and the join
   * has a name: then the stream is repartitioned first. Null keys and values are dropped, counted. Topics
   * that are partitioned differently are refused with NOT_COPARTITIONED. Kafka: `KStream.join` with a `KTable`.
   * @example orders.joinTable(users, (order, user) => ({ ...order, region: user.region }))
   */
  joinTable<V2, R>(
    table: Table<NoInfer<K>, V2, unknown>,
    joiner: (value: NonNullable<V>, row: V2, key: K) => R,
    options: TableJoined = {},
  ): Stream<K, R> {
    return this.#joinTable('inner', table, joiner, options)
  }

  /**
   * As {@link joinTable}, but a record without a row is joined with null; so is one without a key.
   * @example orders.leftJoinTable(users, (order, user) => ({ ...order, region: user?.region ?? 'unknown' }))
   */
  leftJoinTable<V2, R>(
    table: Table<NoInfer<K>, V2, unknown>,
    joiner: (value: NonNullable<V>, row: NoInfer<V2> | null, key: K) => R,
    options: TableJoined = {},
  ): Stream<K, R> {
    return this.#joinTable('left', table, joiner, options)
  }

  /**
   * Joins each record with the row of a global table whose key `selectKey` names; without one nothing leaves. Keys do not
   * change and need not be partitioned like the table. Null values and null selected keys are dropped, counted. Kafka:
   * `KStream.join` with a `GlobalKTable`.
   * @example views.joinGlobalTable(pages, (view) => view.path, (view, page) => ({ ...view, title: page.title }))
   */
  joinGlobalTable<K2, V2, R>(
    table: GlobalTable<K2, V2>,
    selectKey: (value: NonNullable<V>, key: K) => NoInfer<K2> | null,
    joiner: (value: NonNullable<V>, row: V2, key: K, rowKey: K2) => R,
    options: Named = {},
  ): Stream<K, R> {
    return this.#joinGlobalTable('inner', table, selectKey, joiner, options)
  }

  /**
   * As {@link joinGlobalTable}, but a record without a row is joined with null; so is one whose selected key is null.
   * @example views.leftJoinGlobalTable(pages, (view) => view.path, (view, page) => ({ ...view, title: page?.title ?? '' }))
   */
  leftJoinGlobalTable<K2, V2, R>(
    table: GlobalTable<K2, V2>,
    selectKey: (value: NonNullable<V>, key: K) => NoInfer<K2> | null,
    joiner: (value: NonNullable<V>, row: NoInfer<V2> | null, key: K, rowKey: K2 | null) => R,
    options: Named = {},
  ): Stream<K, R> {
    return this.#joinGlobalTable('left', table, selectKey, joiner, options)
  }

  /**
   * Writes the stream to a topic, with the stream's timestamps and headers, into partitions as the topic declares or
   * `partitioner` says; typed, so not validated again. A null for a topic that does not declare it stops the application.
   * Several topics need `choose`, which gives the name of one of them per record. Kafka: `to`, with a `TopicNameExtractor`.
   * @example totals.to(totalsTopic)
   * @example orders.to([euOrders, usOrders], { choose: (order) => (order.eu ? 'eu-orders' : 'us-orders') })
   */
  to(topic: Topic<unknown, unknown, K, V>, options?: Produced<K, V>): void
  to(
    topics: readonly Topic<unknown, unknown, K, V>[],
    options: Produced<K, V> & { readonly choose: (value: V, key: K) => string },
  ): void
  to(
    topics: Topic<unknown, unknown, K, V> | readonly Topic<unknown, unknown, K, V>[],
    options: Produced<K, V> & { readonly choose?: (value: V, key: K) => string } = {},
  ): void {
    checkOptions('to', options, { ...producedOptionNames, choose: true })
    const { choose, partitioner } = options
    const all = isList(topics) ? topics : [topics]
    for (const topic of all) checkTopic('to', topic)
    if (isList(topics) && choose === undefined) {
      throw new StreamsError('TOPOLOGY_INVALID', 'to([...]) needs { choose }, which names the topic of each record')
    }
    const chooseOf = choose as ((value: unknown, key: unknown) => string) | undefined
    this.#plan.append({
      kind: 'sink',
      name: options.name,
      parent: this.#id,
      topics: all,
      choose: chooseOf === undefined ? undefined : (key, value) => chooseOf(value, key),
      partitioner: sinkPartitioner(partitioner, 'to'),
    })
  }

  #joinStream<R>(
    type: StreamJoinPlan['type'],
    other: Stream<unknown, unknown>,
    joiner: (...values: never[]) => R,
    options: StreamJoined,
  ): Stream<K, R> {
    const right = (call: string): PlanId => Stream.#idIn(call, other, this.#plan)
    return new Stream(this.#plan, this.#plan.append(streamJoinPlan(type, this.#id, right, joiner, options)))
  }

  #joinTable<R>(
    type: StreamTableJoinPlan['type'],
    table: Table<unknown, unknown, unknown>,
    joiner: (...values: never[]) => R,
    options: TableJoined,
  ): Stream<K, R> {
    const rows = Table.idIn(table, this.#plan)
    return new Stream(this.#plan, this.#plan.append(streamTableJoinPlan(type, this.#id, rows, joiner, options)))
  }

  #joinGlobalTable<R>(
    type: GlobalJoinPlan['type'],
    table: GlobalTable<unknown, unknown>,
    selectKey: (...values: never[]) => unknown,
    joiner: (...values: never[]) => R,
    options: Named,
  ): Stream<K, R> {
    const rows = GlobalTable.idIn(table, this.#plan)
    const plan = globalJoinPlan(type, this.#id, rows, { selectKey, joiner }, options)
    return new Stream(this.#plan, this.#plan.append(plan))
  }

  /** The number of another stream's node, if it belongs to that plan. */
  static #idIn(call: string, stream: Stream<unknown, unknown>, plan: Plan): PlanId {
    checkInstance(call, Stream, stream)
    if (stream.#plan === plan) return stream.#id
    throw new StreamsError('TOPOLOGY_INVALID', 'the streams are of different builders; build each topology from one')
  }

  /** An operator that lets key and value through as they are. */
  #keeping<W>(operator: string, options: Named, callback: Callback<V, K>, supplier: () => Processor): Stream<K, W> {
    return this.#named(operator, options, {
      supplier: () => supplier,
      ...readsOf(methodOf(operator), callback),
      changesKey: false,
      changesValue: false,
    })
  }

  /** For operators whose only option is a name. */
  #named<K2, V2>(operator: string, options: Named, does: OperatorPart): Stream<K2, V2> {
    checkOptions(methodOf(operator), options, namedOptionNames)
    return this.#operator(operator, options, does)
  }

  #operator<K2, V2>(operator: string, options: Named, does: OperatorPart): Stream<K2, V2> {
    return new Stream(this.#plan, this.#append(operator, options, does))
  }

  #append(operator: string, options: Named, does: OperatorPart): PlanId {
    return this.#plan.append({
      kind: 'operator',
      operator,
      name: options.name,
      parents: [this.#id],
      ...does,
      stores: does.stores ?? [],
    })
  }
}

const newStream: NewStream = (plan, id) => new Stream(plan, id)

type Callback<V, K> = (value: V, key: K) => unknown
type Predicate<V, K> = (value: V, key: K) => boolean
type OperatorPart = Pick<OperatorPlan, 'supplier' | 'readsKey' | 'readsValue' | 'changesKey' | 'changesValue'> &
  Partial<Pick<OperatorPlan, 'stores'>>

/** The types end where the plan begins: from here on a callback takes what the nodes before it forward. */
function untyped<V, K, R>(callback: (value: V, key: K) => R): (value: unknown, key: unknown) => R {
  return callback as (value: unknown, key: unknown) => R
}

function isList<T>(topics: T | readonly T[]): topics is readonly T[] {
  return Array.isArray(topics)
}

function storeName(store: StoreRef<unknown> | string): string {
  return typeof store === 'string' ? store : store.name
}

function checkBranches(names: readonly string[], rest: string | undefined): void {
  for (const name of names) {
    if (name === rest)
      throw new StreamsError('TOPOLOGY_INVALID', `split: rest is the name of a branch of its own, not ${name}`)
    // Objects list such names first, whatever the order in the program; and the first match wins.
    if (/^\d+$/.test(name))
      throw new StreamsError('TOPOLOGY_INVALID', `split: a branch cannot be called ${name}; begin with a letter`)
  }
}
