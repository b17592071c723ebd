import { taggedKey } from '../../codec/key-codecs.ts'
import { presence } from '../../codec/presence-codec.ts'
import { long, msgpack } from '../../codec/value-codecs.ts'
import { isWindowedCodec, windowed } from '../../codec/windowed-codec.ts'
import { assert, unreachable } from '../../base/assert.ts'
import { StreamsError } from '../../streams/errors.ts'
import type { Processor } from '../../streams/processor/processor.ts'
import { checkCopartitionedAsDeclared } from '../../streams/topology/copartitioning.ts'
import { repartitionName } from '../../streams/topology/internal-topics.ts'
import type { StoreShape } from '../../streams/topology/node.ts'
import { innerKey, TopologyBuilder } from '../../streams/topology/topology-builder.ts'
import type { Topology } from '../../streams/topology/topology.ts'
import { branchNode, NodeNames } from '../naming.ts'
import { aggregateSupplier } from '../operators/aggregate.ts'
import { mergeSupplier } from '../operators/merge.ts'
import { sessionAggregateSupplier } from '../operators/session-aggregate.ts'
import { slidingAggregateSupplier } from '../operators/sliding-aggregate.ts'
import { windowAggregateSupplier } from '../operators/window-aggregate.ts'
import { isSliding } from '../windows.ts'
import { compileStreamJoin } from './compile-joins.ts'
import { TableCompilation, type TableHost } from './compile-tables.ts'
import type { Flow, Through } from './flow.ts'
import { keptNullKeys } from './kept-null-keys.ts'
import type { Plan } from './plan.ts'
import type {
  AggregatePlan,
  BranchPlan,
  GroupingPlan,
  OperatorPlan,
  PlanId,
  PlanNode,
  RepartitionPlan,
  SinkPlan,
  SourcePlan,
} from './plan-node.ts'
import { isTablePlan, type TablePlan } from './table-plan.ts'

/**
 * Turns a plan into a topology, and decides what the program leaves open:
 *
 * - Codecs, which belong to boundaries (source, repartition, store, sink). A stream has the codec of its source as long
 *   as key or value are still those of the source. A new key gets the tagged codec and a new value msgpack, unless the
 *   program declares others.
 * - Repartitioning, which is lazy: a topic is inserted only before an aggregation of a stream whose key has changed,
 *   and by `repartition()`. Every aggregation without a grouping name gets a topic of its own; those with the same
 *   named grouping share one.
 *
 * It does not optimize: the topology does exactly what the program says.
 */
export function compile(plan: Plan): Topology {
  return new Compilation(plan).run()
}

class Compilation {
  readonly #plan: Plan
  readonly #builder = new TopologyBuilder()
  readonly #names = new NodeNames()
  readonly #flows = new Map<PlanId, Flow>()
  /** Sources by topic, because a topic is read once, however many streams begin there. */
  readonly #sources = new Map<string, { readonly node: string; readonly plan: SourcePlan }>()
  /** Repartition topics by the grouping that named them. */
  readonly #shared = new Map<GroupingPlan, Flow>()

  /** What the compilation of tables and joins needs from this one. */
  readonly #host: TableHost
  readonly #tables: TableCompilation
  readonly #keptNullKeys: ReadonlySet<PlanId>

  constructor(plan: Plan) {
    this.#plan = plan
    this.#keptNullKeys = keptNullKeys(plan.nodes)
    this.#host = {
      nodes: plan.nodes,
      builder: this.#builder,
      names: this.#names,
      flow: (id) => this.#flow(id),
      through: (...given) => this.#through(...given),
    }
    this.#tables = new TableCompilation(this.#host)
  }

  run(): Topology {
    for (const store of this.#plan.stores) this.#builder.addStore(store)
    for (const [id, node] of this.#plan.nodes.entries()) {
      const flow = isTablePlan(node) ? this.#tables.compile(id, node) : this.#compile(id, node)
      if (flow !== null) this.#flows.set(id, flow)
    }
    const topology = this.#builder.build()
    checkCopartitionedAsDeclared(topology)
    return topology
  }

  #compile(id: PlanId, node: Exclude<PlanNode, TablePlan>): Flow | null {
    switch (node.kind) {
      case 'source':
        return this.#source(node)
      case 'operator':
        return this.#operator(node)
      case 'branch':
        return this.#branch(node)
      case 'repartition':
        return this.#repartition(id, node)
      case 'aggregate':
        return this.#aggregate(id, node)
      case 'stream-join':
        return compileStreamJoin(this.#host, id, node)
      case 'sink':
        this.#sink(node)
        return null
      default:
        return unreachable(node)
    }
  }

  #flow(id: PlanId): Flow {
    const flow = this.#flows.get(id)
    assert(flow !== undefined, `plan node ${id} is used before it is compiled`)
    return flow
  }

  #source(plan: SourcePlan): Flow {
    const flows = plan.topics.map((topic): Flow => {
      const known = this.#sources.get(topic.name)
      if (known !== undefined && JSON.stringify(known.plan.onInvalid) !== JSON.stringify(plan.onInvalid)) {
        throw new StreamsError(
          'TOPOLOGY_INVALID',
          `topic ${topic.name} is read twice with different onInvalid; a topic is read only once, so give onInvalid once`,
          { topic: topic.name },
        )
      }
      if (known !== undefined && !known.plan.topics.includes(topic)) {
        // Otherwise one of the two would silently decide how bytes are decoded and checked, and which timestamp a
        // record has.
        throw new StreamsError(
          'TOPOLOGY_INVALID',
          `topic ${topic.name} is declared twice and read by both declarations; declare it once and use that`,
          { topic: topic.name },
        )
      }
      let name = known?.node
      if (name === undefined) {
        const given = plan.topics.length === 1 ? plan.name : undefined
        name = this.#names.pick(given, `${topic.name}-source`)
        this.#builder.addSource({ name, topic, onInvalid: plan.onInvalid })
        this.#sources.set(topic.name, { node: name, plan })
      }
      return { node: name, key: topic.key.codec, value: topic.value.codec, keyChanged: false }
    })
    const first = flows[0]
    if (first === undefined) throw new StreamsError('TOPOLOGY_INVALID', 'stream() needs at least one topic')
    if (flows.length === 1) return first
    return this.#merge(flows, this.#names.pick(plan.name, 'merge'))
  }

  #merge(flows: readonly Flow[], name: string): Flow {
    const flow = this.#joined(name, flows)
    this.#builder.addProcessor({
      name,
      parents: [...new Set(flows.map((each) => each.node))],
      supplier: mergeSupplier(),
      readsKey: false,
      readsValue: false,
      changesKey: false,
      changesValue: false,
    })
    return flow
  }

  /**
   * The common codecs of several streams. Keys with different codecs cannot be compared in a store, so they count as a
   * new key.
   */
  #joined(node: string, flows: readonly Flow[]): Flow {
    const [first, ...others] = flows
    const key = first?.key ?? null
    const value = first?.value ?? null
    const sameKey = others.every((each) => each.key?.id === key?.id)
    return {
      node,
      key: sameKey ? key : null,
      value: others.every((each) => each.value?.id === value?.id) ? value : null,
      keyChanged: flows.some((each) => each.keyChanged) || !sameKey,
    }
  }

  #operator(plan: OperatorPlan): Flow {
    const name = this.#names.pick(plan.name, plan.operator)
    const flow = this.#joined(
      name,
      plan.parents.map((id) => this.#flow(id)),
    )
    this.#builder.addProcessor({
      name,
      parents: [...new Set(plan.parents.map((id) => this.#flow(id).node))],
      stores: plan.stores,
      supplier: plan.supplier(name),
      readsKey: plan.readsKey,
      readsValue: plan.readsValue,
      changesKey: plan.changesKey,
      changesValue: plan.changesValue,
    })
    return {
      node: name,
      key: plan.changesKey ? null : flow.key,
      value: plan.changesValue ? null : flow.value,
      keyChanged: flow.keyChanged || plan.changesKey,
    }
  }

  #branch(plan: BranchPlan): Flow {
    const parent = this.#flow(plan.parent)
    // The split operator forwards to this name.
    const name = this.#names.pick(branchNode(parent.node, plan.branch), '')
    this.#builder.addProcessor({
      name,
      parents: [parent.node],
      supplier: mergeSupplier(),
      readsKey: false,
      readsValue: false,
      changesKey: false,
      changesValue: false,
    })
    return { ...parent, node: name }
  }

  #repartition(id: PlanId, plan: RepartitionPlan): Flow {
    const parent = this.#flow(plan.parent)
    const name = plan.grouping.name ?? this.#names.pick(undefined, 'repartition')
    return this.#through(id, parent, name, plan.grouping, {
      partitions: plan.partitions,
      partitioner: plan.partitioner,
    })
  }

  /** Inserts a repartition topic: a sink, which usually drops null keys silently, and a source that reads the topic. */
  #through(...[before, parent, given, grouping, options]: Parameters<Through>): Flow {
    const { partitions, partitioner } = options
    const topic = repartitionName(given)
    const key = grouping.key ?? parent.key ?? taggedKey
    const value = grouping.value ?? parent.value ?? msgpack
    this.#builder.addInternalTopic({
      name: topic,
      role: 'repartition',
      ...(partitions === undefined ? {} : { partitions }),
      config: Object.freeze({
        purgedWhenRead: true,
        keyCodec: key.id,
        valueCodec: value.id,
        ...(partitioner?.id === undefined ? {} : { partitioner: partitioner.id }),
      }),
    })
    this.#builder.addNode({
      kind: 'sink',
      name: this.#names.pick(`${topic}-sink`, ''),
      parents: Object.freeze([parent.node]),
      topic,
      topics: Object.freeze([topic]),
      internal: true,
      key: Object.freeze({ codec: key }),
      value: Object.freeze({ codec: value }),
      ...(partitioner === undefined ? {} : { partitioner }),
      ...(isWindowedCodec(key) ? { partitionKey: innerKey(key.inner.codec) } : {}),
      dropsNullKeys: !this.#keptNullKeys.has(before),
    })
    const source = this.#names.pick(`${topic}-source`, '')
    this.#builder.addNode({
      kind: 'source',
      name: source,
      topics: Object.freeze([topic]),
      internal: true,
      key: Object.freeze({ codec: key }),
      value: Object.freeze({ codec: value }),
      onInvalid: Object.freeze({ kind: 'fail' }),
    })
    return { node: source, key, value, keyChanged: false }
  }

  #grouped(id: PlanId, plan: AggregatePlan): Flow {
    const parent = this.#flow(plan.parent)
    const { grouping } = plan
    if (!parent.keyChanged) return checkSameKey(parent, grouping, plan.store.name)
    if (grouping.name === undefined) {
      // A topic of its own: what its only reader does not read is not written to it.
      const value = grouping.value ?? (plan.aggregate === 'count' ? presence : undefined)
      return this.#through(id, parent, plan.store.name, { ...grouping, value }, {})
    }
    const shared = this.#shared.get(grouping)
    if (shared !== undefined) return shared
    const flow = this.#through(this.#sharing(grouping), parent, grouping.name, grouping, {})
    this.#shared.set(grouping, flow)
    return flow
  }

  /** Of the aggregations that share a topic, one that needs null keys; the first one if none does. */
  #sharing(grouping: GroupingPlan): PlanId {
    const { nodes } = this.#plan
    const shares = (node: PlanNode): boolean => node.kind === 'aggregate' && node.grouping === grouping
    const keeps = nodes.findIndex((node, id) => shares(node) && this.#keptNullKeys.has(id))
    return keeps < 0 ? nodes.findIndex(shares) : keeps
  }

  #aggregate(id: PlanId, plan: AggregatePlan): Flow {
    const grouped = this.#grouped(id, plan)
    const { store, windows } = plan
    const key = grouped.key ?? taggedKey
    this.#builder.addStore({
      name: store.name,
      shape: Object.freeze(shapeOf(windows)),
      engine: store.engine,
      key,
      value: plan.aggregate === 'count' ? long : (store.value ?? grouped.value ?? msgpack),
      logged: store.logged,
      emit: store.emit,
      ...(store.schema === undefined ? {} : { schema: store.schema }),
    })
    const name = this.#names.pick(store.name, '')
    // At a commit, or when a window closes, the emitted keys come from the store. With `update`, it is the key of the
    // record.
    const emitsOwnKeys = store.emit === 'commit' || (store.emit === 'final' && windows !== undefined)
    const takesBytes = emitsOwnKeys && !plan.readsKey
    this.#builder.addProcessor({
      name,
      parents: [grouped.node],
      stores: [store.name],
      supplier: supplierOf(plan),
      readsKey: true,
      readsValue: plan.aggregate !== 'count',
      ...(takesBytes ? { keyBytesOf: key.id } : {}),
      // Results are also emitted at commits, when there is no current record whose bytes could be copied.
      changesKey: true,
      changesValue: true,
    })
    return { node: name, key: windows === undefined ? key : windowed(key, windows), value: null, keyChanged: false }
  }

  #sink(plan: SinkPlan): void {
    const parent = this.#flow(plan.parent)
    const first = plan.topics[0]
    this.#builder.addSinkOf({
      name: this.#names.pick(plan.name, `${first?.name ?? ''}-sink`),
      parents: [parent.node],
      topics: plan.topics,
      choose: plan.choose ?? null,
      ...(plan.partitioner === undefined ? {} : { partitioner: plan.partitioner.given }),
    })
  }
}

function shapeOf(windows: AggregatePlan['windows']): StoreShape {
  if (windows === undefined) return { kind: 'keyValue' }
  const { kind, sizeMs, retentionMs } = windows
  if (kind !== 'session')
    return { kind: 'window', sizeMs, retentionMs, ...(isSliding(windows) ? { isSliding: true } : {}) }
  // As in Kafka, a session still accepts a record exactly at its end plus gap and grace, and is emitted after that
  // under `final`. So it must still be found then, although the store no longer lists it.
  return { kind, retentionMs: retentionMs + 1, unlistedMs: 1 }
}

function supplierOf({ aggregate, initial, add, merge, store, windows }: AggregatePlan): () => Processor {
  const options = {
    store: store.name,
    kind: aggregate,
    ...(initial === undefined ? {} : { initial }),
    ...(add === undefined ? {} : { add }),
    emit: store.emit,
  }
  if (windows === undefined) return aggregateSupplier(options)
  const { sizeMs, advanceMs, graceMs } = windows
  if (windows.kind === 'session') {
    return sessionAggregateSupplier({ ...options, ...(merge === undefined ? {} : { merge }), gapMs: sizeMs, graceMs })
  }
  if (isSliding(windows)) return slidingAggregateSupplier({ ...options, sizeMs, graceMs })
  return windowAggregateSupplier({ ...options, sizeMs, advanceMs, graceMs })
}

/**
 * Without a repartition topic, the rows of a key are in the partition where the source put them, so the key keeps its
 * codec: with another codec, equal keys from another source would be in another partition.
 */
function checkSameKey(parent: Flow, grouping: GroupingPlan, store: string): Flow {
  if (grouping.key === undefined || parent.key === null) return { ...parent, key: grouping.key ?? parent.key }
  if (grouping.key.id === parent.key.id) return parent
  // Windowed keys are partitioned by their inner key, which does not depend on the codec of the whole key.
  if (isWindowedCodec(parent.key)) return { ...parent, key: grouping.key }
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `${store} groups by keys in the codec "${grouping.key.id}", but their partitions are computed with the codec "${parent.key.id}" of the source; leave out key, or call repartition({ key }) first`,
    { store, codecs: [grouping.key.id, parent.key.id] },
  )
}
