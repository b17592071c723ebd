import type { Topic } from '../codec/topic.ts'
import { printLine } from '../base/logger.ts'
import { shown } from '../base/shown.ts'
import type { Declared } from '../codec/schema.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import type { Processor } from '../streams/processor/processor.ts'
import { sinkPartitioner } from '../streams/topology/sink-partitioner.ts'
import { checkBranchesOf, checkFunction, checkInstance, checkKeep, checkStores, checkTopic } from './arguments.ts'
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
 * A stream of records, as it has been described so far. Every method adds a node to the plan and returns a new handle;
 * nothing runs yet. Callbacks take `(value, key)` and must not change the value. Kafka: `KStream`.
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
   * Keeps the records for which `predicate` holds; a type guard narrows the type of the value. Keys do not change, so no
   * repartitioning is needed.
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
   * Replaces key and value. The key counts as changed, so a later aggregation or join repartitions the stream first.
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
   * Replaces the value. Keys do not change. Returning undefined is an error, and null is a tombstone. As with every callback,
   * an exception in the mapper stops the application, and nothing of the record is committed.
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
   * Replaces each record with any number of `[key, value]` pairs. The key counts as changed, so a later aggregation or join
   * repartitions the stream first.
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
   * Replaces each value with any number of values under the same key. Keys do not change.
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
   * Replaces the key, which counts as changed: a later aggregation or join repartitions the stream first.
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
   * Calls `action` with each record and passes the record on. Keys do not change. After a crash, `action` may see a
   * record again.
   * @example orders.peek((order) => logger.info(order.id))
   */
  peek(action: (value: V, key: K) => void, options: Named = {}): Stream<K, V> {
    return this.#keeping('peek', options, action, peekSupplier(untyped(action)))
  }

  /**
   * Calls `action` with each record; the stream ends here. After a crash, `action` may see a record again.
   * @example alerts.foreach((alert) => pager.send(alert))
   */
  foreach(action: (value: V, key: K) => void, options: Named = {}): void {
    this.#keeping('foreach', options, action, foreachSupplier(untyped(action)))
  }

  /**
   * Prints each record as `[label]: key, value`; the stream ends here. `label` is the name of the node by default, and `write`
   * takes each line; by default it goes to standard output.
   * @example counts.toStream().print({ label: 'counts' })
   */
  print(options: Named & { readonly label?: string; readonly write?: (line: string) => void } = {}): void {
    checkOptions('print', options, { ...namedOptionNames, label: true, write: true })
    const { label, write = printLine } = options
    checkFunction('print', 'write', write)
    this.#operator('print', options, {
      supplier: (node) => printSupplier(label ?? node, write),
      readsKey: true,
      readsValue: true,
      changesKey: false,
      changesValue: false,
    })
  }

  /**
   * One stream with the records of both, in the order in which they arrive. The key counts as changed if it has changed in
   * either of them.
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
   * Splits the stream into named branches. A record goes to the first branch whose predicate holds, otherwise to the branch
   * named by `rest`; without one it is dropped. Keys do not change. Throws TOPOLOGY_INVALID for names such as `1`, because
   * objects do not keep their order. Kafka: `split` with `branch`.
   * @example const { large, small } = orders.split({ large: (order) => order.total > 100 }, { rest: 'small' })
   */
  split<B extends { readonly [branch: string]: (value: V, key: K) => boolean }, R extends string = never>(
    branches: B,
    options: Named & { readonly rest?: R } = {},
  ): { readonly [Branch in Extract<keyof B, string> | R]: Stream<K, V> } {
    checkOptions('split', options, { ...namedOptionNames, rest: true })
    checkBranchesOf('split', branches)
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
    // Built from exactly the names that the type lists.
    return Object.fromEntries(streams) as { readonly [Branch in Extract<keyof B, string> | R]: Stream<K, V> }
  }

  /**
   * Runs a processor of your own on each record, with access to the named stores. `supplier` returns a new one for each task.
   * The key counts as changed; use `processValues` if it stays the same.
   * @example readings.process(() => new Alarm(), { name: 'alarm', stores: [lastAlarms] })
   */
  process<K2, V2>(
    supplier: () => RecordProcessor<K, V, K2, V2>,
    options: Named & { readonly stores?: readonly (StoreRef<unknown> | string)[] } = {},
  ): Stream<K2, V2> {
    checkOptions('process', options, { ...namedOptionNames, stores: true })
    checkFunction('process', 'the supplier', supplier)
    const { stores = [] } = options
    checkStores('process', stores)
    return this.#operator('process', options, {
      supplier: (node) => processSupplier(node, supplier),
      stores: stores.map(storeName),
      readsKey: true,
      readsValue: true,
      changesKey: true,
      changesValue: true,
    })
  }

  /**
   * Runs a processor of your own that forwards values under the key of their record. `supplier` returns a new one for each
   * task. Keys do not change.
   * @example events.processValues(() => new Deduplicate(), { name: 'deduplicate', stores: [seen] })
   */
  processValues<V2>(
    supplier: () => ValueProcessor<K, V, V2>,
    options: Named & { readonly stores?: readonly (StoreRef<unknown> | string)[] } = {},
  ): Stream<K, V2> {
    checkOptions('processValues', options, { ...namedOptionNames, stores: true })
    checkFunction('processValues', 'the supplier', supplier)
    const { stores = [] } = options
    checkStores('processValues', stores)
    return this.#operator('process-values', options, {
      supplier: (node) => processValuesSupplier(node, supplier),
      stores: stores.map(storeName),
      readsKey: true,
      readsValue: true,
      changesKey: false,
      changesValue: true,
    })
  }

  /**
   * Groups by the existing key. If it has changed since the source, the following aggregation repartitions the stream.
   * Records with a null key are dropped. Keys other than strings, numbers, bigints, booleans and tuples of these need `{
   * key: schema }`.
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
   * Groups by a new key; the following aggregation repartitions the stream. Records with a null key are dropped. Keys other
   * than strings, numbers, bigints, booleans and tuples of these need `{ key: schema }`.
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
   * Writes the stream to a topic that belongs to the application and reads it back, so that every record is in the
   * partition of its key, or in the one that `partitioner` chooses, for a join with a topic that is partitioned in the
   * same way. Records with a null key are dropped, unless they reach a left or outer join of streams or a left join with
   * a table, which take them.
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
      throw new StreamsError(
        'CONFIG_INVALID',
        `repartition: partitions is a whole number from 1 on, not ${shown(partitions)}`,
      )
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
   * A table of the newest value per key. Null deletes a row; records with a null key are dropped and counted. If the key has
   * changed since the source, the stream is repartitioned first.
   * @example payments.toTable({ name: 'last-payment' })
   */
  toTable<O extends ToTableOptions & { readonly key?: KeySource<K> }>(
    options: O,
  ): Keyed<K, O, Table<K, NonNullable<V>, Extract<V, null>>> {
    const given: ToTableOptions = options
    checkOptions('toTable', given, toTableOptionNames)
    const { key, value, emit, keep = 'always' } = given
    const kept = tableStorePlan(given)
    checkKeep(kept.name, keep)
    const id = this.#plan.append({
      kind: 'table-source',
      parent: this.#id,
      name: kept.name,
      emit: emitOf(kept.name, emit),
      store: kept,
      sourceTopic: null,
      isKept: keep === 'always',
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
   * Joins records of two streams that have the same key and are close in time: the other record's time must lie in
   * `[time - before, time + after]`, where a length that is left out is 0. Each such pair makes one result, as soon as its
   * second record arrives, with the later of the two timestamps. A stream may be joined with itself. Keys do not change. Both
   * topics must be partitioned alike, or the topology is refused with NOT_COPARTITIONED; a stream whose key has changed is
   * repartitioned first. Records with a null key or value are dropped and counted. Kafka: `KStream.join` with `JoinWindows`.
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
   * Like {@link join}, but a record of this stream that finds no partner is joined with null once stream time has passed the
   * end of its window and grace; a record without a key is joined with null at once. Such results have the timestamp of the
   * record.
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
   * Like {@link leftJoin}, but for the records of both streams: either value may be null, but never both.
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
   * Joins each record with the current row of its key in a table; without such a row there is no result. Changes of the table
   * alone make no results. Keys do not change. Both topics must be partitioned alike, or the topology is refused with
   * NOT_COPARTITIONED; if the key of the stream has changed, the join needs a name, and the stream is repartitioned first.
   * Records with a null key or value are dropped and counted. Kafka: `KStream.join` with a `KTable`.
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
   * Like {@link joinTable}, but a record that finds no row, or has no key, is joined with null.
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
   * Joins each record with the row of a global table whose key `selectKey` returns; without such a row there is no
   * result. Keys do not change, and the stream need not be partitioned like the table. Records with a null value or a
   * null selected key are dropped and counted. Kafka: `KStream.join` with a `GlobalKTable`.
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
   * Like {@link joinGlobalTable}, but a record that finds no row, or whose selected key is null, is joined with null.
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
   * Writes the stream to a topic, keeping timestamps and headers. The partition is the one that the topic's partitioner,
   * or `partitioner`, chooses. Values are not validated again, because the compiler has checked them; but a null for a
   * topic that does not declare tombstones stops the application. To write to several topics, give `choose`, which
   * returns the name of one of them for each record. Kafka: `to`, with a `TopicNameExtractor`.
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
    if (choose !== undefined) checkFunction('to', 'choose', choose)
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
    const rows = Table.idIn('joinTable', table, this.#plan)
    return new Stream(this.#plan, this.#plan.append(streamTableJoinPlan(type, this.#id, rows, joiner, options)))
  }

  #joinGlobalTable<R>(
    type: GlobalJoinPlan['type'],
    table: GlobalTable<unknown, unknown>,
    selectKey: (...values: never[]) => unknown,
    joiner: (...values: never[]) => R,
    options: Named,
  ): Stream<K, R> {
    const rows = GlobalTable.idIn('joinGlobalTable', table, this.#plan)
    const plan = globalJoinPlan(type, this.#id, rows, { selectKey, joiner }, options)
    return new Stream(this.#plan, this.#plan.append(plan))
  }

  /** The number of another stream's node, if it belongs to the same plan. */
  static #idIn(call: string, stream: Stream<unknown, unknown>, plan: Plan): PlanId {
    checkInstance(call, Stream, stream)
    if (stream.#plan === plan) return stream.#id
    throw new StreamsError('TOPOLOGY_INVALID', 'the streams are of different builders; build each topology from one')
  }

  /** An operator that leaves key and value unchanged. */
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

/** The plan is not typed: from here on, a callback receives whatever the nodes before it forward. */
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
    // Objects list such names first, whatever the order in the program, but the first matching branch must win.
    if (/^\d+$/.test(name))
      throw new StreamsError('TOPOLOGY_INVALID', `split: a branch cannot be called ${name}; begin with a letter`)
  }
}
