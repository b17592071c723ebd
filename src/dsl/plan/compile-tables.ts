import { assert, unreachable } from '../../base/assert.ts'
import { changeCodec } from '../../codec/change-codec.ts'
import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import { taggedKey } from '../../codec/key-codecs.ts'
import { long, msgpack } from '../../codec/value-codecs.ts'
import { StreamsError } from '../../streams/errors.ts'
import type { StoreSpec } from '../../streams/topology/node.ts'
import type { TopologyBuilder } from '../../streams/topology/topology-builder.ts'
import { readsArgument } from '../callback-parameters.ts'
import type { NodeNames } from '../naming.ts'
import { mergeSupplier } from '../operators/merge.ts'
import { streamTableJoinSupplier } from '../operators/stream-table-join.ts'
import { tableAggregateSupplier, tableFolds, tableGroupBySupplier } from '../operators/table-aggregate.ts'
import { rowFilter, rowMapper, tableOperatorSupplier, tableStoreSupplier } from '../operators/table-operator.ts'
import {
  computedRows,
  joinedRows,
  sessionRows,
  storedRows,
  windowedRows,
  type TableRows,
} from '../operators/table-rows.ts'
import { tableSourceSupplier } from '../operators/table-source.ts'
import { joinOf, tableJoinSideSupplier } from '../operators/table-table-join.ts'
import { checkEqualWindows } from './equal-windows.ts'
import type { Flow, Through } from './flow.ts'
import type { GroupingPlan, PlanId, PlanNode } from './plan-node.ts'
import { tableDemand, type TableDemand } from './table-demand.ts'
import type {
  GlobalJoinPlan,
  GlobalTablePlan,
  StreamTableJoinPlan,
  TableAggregatePlan,
  TableJoinPlan,
  TableOperatorPlan,
  TablePlan,
  TableSourcePlan,
  TableStorePlan,
} from './table-plan.ts'

/** What the compilation of tables needs from that of the whole program. */
export interface TableHost {
  readonly nodes: readonly PlanNode[]
  readonly builder: TopologyBuilder
  readonly names: NodeNames
  flow(id: PlanId): Flow
  through: Through
}

/**
 * The part of the compiler for tables. It decides which tables keep their rows ({@link tableDemand}) and how rows that
 * are not kept are read. It adds a repartition topic before a join whose stream has changed its key, and before every
 * aggregation of a table.
 */
export class TableCompilation {
  readonly #host: TableHost
  readonly #demand: TableDemand
  readonly #rows = new Map<PlanId, TableRows>()
  /** Grouped tables, by the grouping that named them. */
  readonly #groups = new Map<GroupingPlan, Flow>()

  constructor(host: TableHost) {
    this.#host = host
    this.#demand = tableDemand(host.nodes)
  }

  compile(id: PlanId, node: TablePlan): Flow | null {
    switch (node.kind) {
      case 'table-source':
        return this.#source(id, node)
      case 'table-operator':
        return this.#operator(id, node)
      case 'table-join':
        return this.#join(id, node)
      case 'table-aggregate':
        return this.#aggregate(id, node)
      case 'stream-table-join':
        return this.#streamJoin(id, node)
      case 'global-table':
        this.#global(node)
        return null
      case 'global-join':
        return this.#globalJoin(node)
      default:
        return unreachable(node)
    }
  }

  #source(id: PlanId, plan: TableSourcePlan): Flow {
    const { builder, names } = this.#host
    const given = this.#host.flow(plan.parent)
    const parent = given.keyChanged ? this.#host.through(id, given, plan.name, plan.grouping, {}) : given
    const key = parent.key ?? taggedKey
    const value = plan.store.value ?? parent.value ?? msgpack
    const needsOld = this.#demand.old.has(id)
    const keeps = plan.isKept || needsOld || this.#demand.rows.has(id)
    if (keeps) this.#keep(id, plan.store, key, value, plan.emit, plan.sourceTopic)
    const node = names.pick(plan.name, '')
    builder.addProcessor({
      name: node,
      parents: [parent.node],
      stores: keeps ? [plan.store.name] : [],
      supplier: tableSourceSupplier({ store: keeps ? plan.store.name : null, emit: plan.emit, needsOld }),
      // The store accepts keys as bytes, and at a commit it emits its own. Null keys are recognized without decoding.
      readsKey: keeps,
      ...(keeps ? { keyBytesOf: key.id } : {}),
      changesKey: keeps && plan.emit === 'commit',
    })
    return { node, key, value, keyChanged: false }
  }

  #operator(id: PlanId, plan: TableOperatorPlan): Flow {
    const { builder, names } = this.#host
    const parent = this.#host.flow(plan.parent)
    const { operator, callback, store } = plan
    const node = names.pick(plan.name ?? store?.name, `table-${operator}`)
    const compute =
      operator === 'map-values'
        ? rowMapper(node, callback)
        : rowFilter(callback as (value: unknown, key: unknown) => boolean, operator === 'filter')
    const value = operator === 'map-values' ? (store?.value ?? null) : parent.value
    if (store === undefined) {
      if (this.#demand.rows.has(id)) this.#rows.set(id, computedRows(this.#rowsOf(plan.parent), compute))
    } else {
      this.#keep(id, store, parent.key ?? taggedKey, store.value ?? value ?? msgpack, 'update')
    }
    builder.addProcessor({
      name: node,
      parents: [parent.node],
      stores: store === undefined ? [] : [store.name],
      supplier: tableOperatorSupplier({
        compute,
        store: store?.name ?? null,
        needsOld: this.#demand.old.has(id),
        skipsNothing: operator !== 'map-values',
      }),
    })
    return { ...parent, node, value }
  }

  #join(id: PlanId, plan: TableJoinPlan): Flow {
    const { builder, names } = this.#host
    const { type, joiner, store } = plan
    const [left, right] = [this.#host.flow(plan.left), this.#host.flow(plan.right)]
    const node = names.pick(plan.name ?? store?.name, `${type}-join`)
    checkEqualWindows(node, left, right)
    const combine = joinOf(node, type, joiner)
    const [leftRows, rightRows] = [this.#rowsOf(plan.left), this.#rowsOf(plan.right)]
    const needsOld = this.#demand.old.has(id) && store === undefined
    const side = (isLeft: boolean): string => {
      const other = isLeft ? rightRows : leftRows
      const name = names.pick(`${node}-${isLeft ? 'left' : 'right'}`, '')
      builder.addProcessor({
        name,
        parents: [isLeft ? left.node : right.node],
        // Both sides name the stores of both: rows with the same key are joined there, so their topics must be
        // co-partitioned.
        stores: [...new Set([...leftRows.stores, ...rightRows.stores])],
        supplier: tableJoinSideSupplier({ other, isLeft, type, combine, needsOld }),
      })
      return name
    }
    const parents = [side(true), side(false)]
    const key = left.key ?? right.key
    if (store === undefined) {
      const joined = { left: leftRows, right: rightRows, needsLeft: type !== 'outer', combine }
      if (this.#demand.rows.has(id)) this.#rows.set(id, joinedRows(joined))
    } else {
      this.#keep(id, store, key ?? taggedKey, store.value ?? msgpack, 'update')
    }
    builder.addProcessor({
      name: node,
      parents,
      stores: store === undefined ? [] : [store.name],
      supplier: store === undefined ? mergeSupplier() : tableStoreSupplier(store.name),
    })
    return { node, key, value: store?.value ?? null, keyChanged: false }
  }

  #aggregate(id: PlanId, plan: TableAggregatePlan): Flow {
    const { builder, names } = this.#host
    const grouped = this.#grouped(id, plan)
    const key = grouped.key ?? taggedKey
    const { store, emit } = plan
    const value = plan.aggregate === 'count' ? long : (store.value ?? this.#host.flow(plan.parent).value ?? msgpack)
    this.#keep(id, store, key, value, emit)
    const node = names.pick(store.name, '')
    builder.addProcessor({
      name: node,
      parents: [grouped.node],
      stores: [store.name],
      supplier: tableAggregateSupplier({ store: store.name, emit, ...tableFolds(store.name, plan) }),
    })
    return { node, key, value, keyChanged: false }
  }

  #grouped(id: PlanId, plan: TableAggregatePlan): Flow {
    const { builder, names } = this.#host
    const { grouping } = plan
    const shared = grouping.name === undefined ? undefined : this.#groups.get(grouping)
    if (shared !== undefined) return shared
    const parent = this.#host.flow(plan.parent)
    const key = grouping.key ?? taggedKey
    const node = names.pick(undefined, `${grouping.name ?? plan.store.name}-group-by`)
    builder.addProcessor({
      name: node,
      parents: [parent.node],
      supplier: tableGroupBySupplier(node, plan.group, key),
    })
    const value = changeCodec(grouping.value ?? parent.value ?? msgpack) as Codec<unknown>
    const flow = this.#host.through(
      id,
      { node, key: null, value: null, keyChanged: true },
      grouping.name ?? plan.store.name,
      { name: grouping.name, key, value },
      {},
    )
    if (grouping.name !== undefined) this.#groups.set(grouping, flow)
    return flow
  }

  #streamJoin(id: PlanId, plan: StreamTableJoinPlan): Flow {
    const { builder, names } = this.#host
    const table = this.#host.flow(plan.table)
    const isLeft = plan.type === 'left'
    const rows = this.#rowsOf(plan.table)
    const stream = this.#atTable(id, plan, this.#host.flow(plan.stream), table, rows)
    const node = names.pick(plan.name, isLeft ? 'left-join-table' : 'join-table')
    checkEqualWindows(node, stream, table)
    builder.addProcessor({
      name: node,
      parents: [stream.node],
      stores: rows.stores,
      supplier: streamTableJoinSupplier({ node, rows, joiner: plan.joiner, isLeft, rowKey: null }),
      ...(rows.keyBytesOf === undefined || readsArgument(plan.joiner, 2) ? {} : { keyBytesOf: rows.keyBytesOf }),
      changesKey: false,
    })
    return { ...stream, node, value: null }
  }

  /**
   * Returns the stream, repartitioned if necessary so that its records are in the same task as the rows of their keys.
   */
  #atTable(id: PlanId, plan: StreamTableJoinPlan, stream: Flow, table: Flow, rows: TableRows): Flow {
    if (!stream.keyChanged) return stream
    const { name } = plan
    if (name === undefined) {
      throw new StreamsError(
        'TOPOLOGY_INVALID',
        `the stream that joins the table ${rows.stores.join()} has a new key, so it goes through a repartition topic; give the join a { name }, by which that topic is found after a restart`,
        { stores: rows.stores },
      )
    }
    const key = table.key ?? stream.key ?? taggedKey
    return this.#host.through(id, stream, name, { name, key, value: plan.value }, {})
  }

  #global(plan: GlobalTablePlan): void {
    this.#host.builder.addGlobalTable({ name: plan.name, topic: plan.topic, skipsInvalid: plan.skipsInvalid })
  }

  #globalJoin(plan: GlobalJoinPlan): Flow {
    const { builder, names, nodes } = this.#host
    const table = nodes[plan.table]
    assert(table?.kind === 'global-table', `plan node ${plan.table} is not a global table`)
    const stream = this.#host.flow(plan.stream)
    const isLeft = plan.type === 'left'
    const node = names.pick(plan.name, isLeft ? 'left-join-global-table' : 'join-global-table')
    builder.addProcessor({
      name: node,
      parents: [stream.node],
      globals: [table.name],
      supplier: streamTableJoinSupplier({
        node,
        rows: storedRows(table.name, table.topic.key.codec.id),
        joiner: plan.joiner,
        isLeft,
        rowKey: plan.rowKey,
      }),
      changesKey: false,
    })
    return { ...stream, node, value: null }
  }

  /** How to read the rows of a table that is already compiled. Those of an aggregation are in its own store. */
  #rowsOf(id: PlanId): TableRows {
    const known = this.#rows.get(id)
    if (known !== undefined) return known
    const node = this.#host.nodes[id]
    assert(node?.kind === 'aggregate', `plan node ${id} is not a table, or its rows were not requested`)
    const { name } = node.store
    if (node.windows === undefined) return storedRows(name, (this.#host.flow(id).key ?? taggedKey).id)
    return node.windows.kind === 'session' ? sessionRows(name) : windowedRows(name)
  }

  #keep(
    id: PlanId,
    store: TableStorePlan,
    key: KeyCodec<unknown>,
    value: Codec<unknown>,
    emit: StoreSpec['emit'],
    sourceTopic: AnyTopic | null = null,
  ): void {
    this.#rows.set(id, storedRows(store.name, key.id))
    this.#host.builder.addStore({
      name: store.name,
      shape: Object.freeze({ kind: 'keyValue' }),
      engine: store.engine,
      key,
      value: sourceTopic === null ? value : validated(value, sourceTopic),
      logged: store.logged,
      ...(sourceTopic === null ? {} : { sourceTopic: sourceTopic.name }),
      emit,
      ...(store.schema === undefined ? {} : { schema: store.schema }),
    })
  }
}

/** If the rows are the topic's own bytes, the defaults of its schema are filled in when they are read. */
function validated(codec: Codec<unknown>, { value }: AnyTopic): Codec<unknown> {
  const { validate } = value
  if (validate === undefined) return codec
  return Object.freeze({
    id: codec.id,
    write: (given, to) => codec.write(given, to),
    read: (bytes, start, end) => validate(codec.read(bytes, start, end)),
  } satisfies Codec<unknown>)
}
