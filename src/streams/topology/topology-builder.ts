import type { AnyTopic } from '../../codec/topic.ts'
import { isWindowedCodec } from '../../codec/windowed-codec.ts'
import type { TopicConfig, TopicSpec } from '../../log/api/topic.ts'
import { checkOptions } from '../checked-options.ts'
import { StreamsError } from '../errors.ts'
import type { Processor } from '../processor/processor.ts'
import type {
  BoundaryCodec,
  GlobalTableSpec,
  InternalTopic,
  InvalidRecordPolicy,
  SinkNode,
  SourceNode,
  StoreSpec,
  TopologyNode,
} from './node.ts'
import { subTopologiesOf } from './subtopologies.ts'
import type { Topology, UndeclaredTopic } from './topology.ts'
import { validateNode, validateTopology } from './validate.ts'
import { idOfSinks } from './copartitioning.ts'
import { changelogTopic } from './internal-topics.ts'
import { partitionerOfSink, ruleText, sinkPartitioner, type StreamPartitioner } from './sink-partitioner.ts'

/**
 * Builds a topology node by node, parents before children. The DSL compiles to it; use it directly for graphs that the
 * DSL cannot express. Nodes that share a store belong to one task.
 * @example
 * new TopologyBuilder()
 *   .addSource({ name: 'orders', topic: orders })
 *   .addProcessor({ name: 'large', parents: ['orders'], supplier: () => new LargeOrders() })
 *   .addSink({ name: 'out', parents: ['large'], topic: largeOrders })
 *   .build()
 */
export class TopologyBuilder {
  readonly #nodes = new Map<string, TopologyNode>()
  readonly #stores = new Map<string, StoreSpec>()
  readonly #topics = new Map<string, AnyTopic>()
  /** Topics of which only the name is known, such as dead-letter topics. */
  readonly #namedTopics = new Set<string>()
  readonly #internalTopics = new Map<string, InternalTopic>()
  readonly #globalTables = new Map<string, GlobalTableSpec>()

  /**
   * Reads a topic. Bytes are decoded and checked once, here; `onInvalid` decides what happens to records that do not
   * fit.
   */
  addSource(options: {
    readonly name: string
    readonly topic: AnyTopic
    readonly onInvalid?: InvalidRecordPolicy
  }): this {
    checkOptions('addSource', options, { name: true, topic: true, onInvalid: true })
    const { name, topic } = options
    const onInvalid = options.onInvalid ?? { kind: 'fail' }
    this.#declare(topic)
    if (onInvalid.kind === 'deadLetter') this.#namedTopics.add(onInvalid.topic)
    const source: SourceNode = {
      kind: 'source',
      name,
      topics: Object.freeze([topic.name]),
      internal: false,
      key: keyBoundary(topic),
      value: valueBoundary(topic),
      ...(topic.timestamp === undefined
        ? {}
        : { timestamp: topic.timestamp, timestampOfValue: topic.timestampOfValue === true }),
      onInvalid,
    }
    return this.addNode(source)
  }

  /** Runs a processor, one instance per task. By default it counts as reading and changing both key and value. */
  addProcessor(options: {
    readonly name: string
    readonly parents: readonly string[]
    readonly stores?: readonly string[]
    readonly globals?: readonly string[]
    readonly supplier: () => Processor
    readonly readsKey?: boolean
    readonly readsValue?: boolean
    readonly keyBytesOf?: string
    readonly changesKey?: boolean
    readonly changesValue?: boolean
  }): this {
    checkOptions('addProcessor', options, {
      name: true,
      parents: true,
      stores: true,
      globals: true,
      supplier: true,
      readsKey: true,
      readsValue: true,
      keyBytesOf: true,
      changesKey: true,
      changesValue: true,
    })
    return this.addNode({
      kind: 'processor',
      name: options.name,
      parents: Object.freeze([...options.parents]),
      stores: Object.freeze([...(options.stores ?? [])]),
      ...(options.globals === undefined ? {} : { globals: Object.freeze([...options.globals]) }),
      supplier: options.supplier,
      readsKey: options.readsKey ?? true,
      readsValue: options.readsValue ?? true,
      ...(options.keyBytesOf === undefined ? {} : { keyBytesOf: options.keyBytesOf }),
      changesKey: options.changesKey ?? true,
      changesValue: options.changesValue ?? true,
    })
  }

  /**
   * Writes to a topic. The partition is chosen as the topic declares; `partitioner` is for topics that declare nothing.
   * Windowed keys are partitioned by their inner key.
   */
  addSink(options: {
    readonly name: string
    readonly parents: readonly string[]
    readonly topic: AnyTopic
    readonly partitioner?: StreamPartitioner<unknown, unknown>
  }): this {
    checkOptions('addSink', options, { name: true, parents: true, topic: true, partitioner: true })
    const { topic, ...sink } = options
    return this.addSinkOf({ ...sink, topics: [topic], choose: null })
  }

  /** Writes each record to one of `topics`, which `choose` returns by name. All of them must have the same codecs. */
  addSinkOf(options: {
    readonly name: string
    readonly parents: readonly string[]
    readonly topics: readonly AnyTopic[]
    readonly choose: ((key: unknown, value: unknown) => string) | null
    readonly partitioner?: StreamPartitioner<unknown, unknown>
  }): this {
    checkOptions('addSinkOf', options, { name: true, parents: true, topics: true, choose: true, partitioner: true })
    const { name, topics } = options
    const first = topics[0]
    if (first === undefined) throw new StreamsError('TOPOLOGY_INVALID', `sink ${name}: give at least one topic`)
    for (const topic of topics) {
      this.#declare(topic)
      if (topic.key.codec.id === first.key.codec.id && topic.value.codec.id === first.value.codec.id) continue
      throw new StreamsError(
        'TOPOLOGY_INVALID',
        `sink ${name} chooses between ${first.name} and ${topic.name}, which are written by different codecs; use branch and one sink each`,
        { sink: name, topics: topics.map((each) => each.name) },
      )
    }
    const codec = first.key.codec
    const partitioner = partitionerOfSink(name, sinkPartitioner(options.partitioner, `sink ${name}`), topics)
    return this.addNode({
      kind: 'sink',
      name,
      parents: Object.freeze([...options.parents]),
      topic: options.choose ?? first.name,
      topics: Object.freeze(topics.map((topic) => topic.name)),
      internal: false,
      // Typed streams are not validated again when they are written. But programs without type checks must not write a
      // null that the topic's readers refuse.
      key: Object.freeze({ codec, ...(topics.some(({ key }) => key.allowsNull) ? {} : { refusesNull: true }) }),
      value: Object.freeze({
        codec: first.value.codec,
        ...(topics.some(({ value }) => value.allowsNull) ? {} : { refusesNull: true }),
      }),
      ...(partitioner === undefined ? {} : { partitioner }),
      ...(isWindowedCodec(codec) ? { partitionKey: innerKey(codec.inner.codec) } : {}),
      dropsNullKeys: false,
    })
  }

  /** Declares a store. Connect it by naming it in `stores` of the processors that use it. */
  addStore(store: StoreSpec): this {
    if (this.#stores.has(store.name)) {
      throw new StreamsError('TOPOLOGY_INVALID', `there are two stores named ${store.name}; rename one`, {
        store: store.name,
      })
    }
    this.#stores.set(store.name, Object.freeze(store))
    return this
  }

  /** Adds a topic of which every task has all rows. Name it in `globals` of the processors that read it. */
  addGlobalTable(options: { readonly name: string; readonly topic: AnyTopic; readonly skipsInvalid?: boolean }): this {
    checkOptions('addGlobalTable', options, { name: true, topic: true, skipsInvalid: true })
    const { name, topic, skipsInvalid = false } = options
    if (this.#globalTables.has(name)) {
      throw new StreamsError('TOPOLOGY_INVALID', `there are two global tables named ${name}; rename one`, { name })
    }
    this.#declare(topic)
    this.#globalTables.set(
      name,
      Object.freeze({
        name,
        topic: topic.name,
        key: keyBoundary(topic),
        value: valueBoundary(topic),
        ...(topic.timestamp === undefined ? {} : { timestamp: topic.timestamp }),
        skipsInvalid,
      }),
    )
    return this
  }

  /** Adds a topic that the application creates for itself; nodes refer to it by this short name. */
  addInternalTopic(topic: InternalTopic): this {
    if (this.#internalTopics.has(topic.name)) {
      throw new StreamsError(
        'TOPOLOGY_INVALID',
        `two operators would share the internal topic ${topic.name}; give one of them another name`,
        { topic: topic.name },
      )
    }
    this.#internalTopics.set(topic.name, Object.freeze(topic))
    return this
  }

  /** Adds a node as it is. The DSL uses this for repartition topics. */
  addNode(node: TopologyNode): this {
    validateNode(node, this.#nodes)
    this.#nodes.set(node.name, Object.freeze(node))
    return this
  }

  /** Checks the whole topology, cuts it into sub-topologies and freezes it. */
  build(): Topology {
    const nodes = [...this.#nodes.values()]
    const stores = [...this.#stores.values()]
    const globalTables = [...this.#globalTables.values()]
    validateTopology(nodes, stores, globalTables)
    const internalTopics = [
      ...this.#internalTopics.values(),
      ...stores
        .filter((store) => store.logged && store.sourceTopic === undefined)
        .map((store) => changelogTopic(store)),
    ]
    for (const { name, role } of internalTopics) {
      if (!this.#topics.has(name) && !this.#namedTopics.has(name)) continue
      throw new StreamsError(
        'TOPOLOGY_INVALID',
        `topic ${name} has the name that the application gives to a ${role} topic of its own; rename the topic, or the ${role === 'changelog' ? 'store' : 'operator'} that it is made for`,
        { topic: name },
      )
    }
    const sinks = nodes.filter((node): node is SinkNode => node.kind === 'sink')
    const declared: TopicSpec[] = []
    const undeclared: UndeclaredTopic[] = []
    for (const topic of this.#topics.values()) {
      const spec = { name: topic.name, config: configOf(topic, sinks) }
      if (topic.partitions === undefined) undeclared.push(spec)
      else declared.push({ ...spec, partitions: topic.partitions })
    }
    for (const name of this.#namedTopics) if (!this.#topics.has(name)) undeclared.push({ name })
    return Object.freeze({
      nodes: Object.freeze(nodes),
      stores: Object.freeze(stores),
      topics: Object.freeze([...this.#topics.values()]),
      declaredTopics: Object.freeze(declared),
      undeclaredTopics: Object.freeze(undeclared),
      internalTopics: Object.freeze(internalTopics),
      globalTables: Object.freeze(globalTables),
      subTopologies: subTopologiesOf(nodes, stores),
    })
  }

  #declare(topic: AnyTopic): void {
    const known = this.#topics.get(topic.name)
    if (known === undefined) {
      this.#topics.set(topic.name, topic)
      return
    }
    if (known === topic) return
    const differences = [
      known.key.codec.id === topic.key.codec.id ? '' : `key codecs ${known.key.codec.id} and ${topic.key.codec.id}`,
      known.value.codec.id === topic.value.codec.id
        ? ''
        : `value codecs ${known.value.codec.id} and ${topic.value.codec.id}`,
      known.partitioner?.id === topic.partitioner?.id
        ? ''
        : `partitioners ${ruleText(known.partitioner?.id)} and ${ruleText(topic.partitioner?.id)}`,
      known.partitions === topic.partitions ? '' : `partitions ${known.partitions} and ${topic.partitions}`,
    ].filter((text) => text !== '')
    if (differences.length === 0) return
    throw new StreamsError(
      'TOPOLOGY_INVALID',
      `topic ${topic.name} is declared twice, with ${differences.join(' and ')}; declare it once and use that`,
      { topic: topic.name },
    )
  }
}

function configOf(topic: AnyTopic, sinks: readonly SinkNode[]): Partial<TopicConfig> {
  const partitioner = topic.partitioner?.id ?? idOfSinks(topic.name, sinks)
  return {
    ...topic.config,
    keyCodec: topic.key.codec.id,
    valueCodec: topic.value.codec.id,
    ...(partitioner === undefined ? {} : { partitioner }),
  }
}

function keyBoundary(topic: AnyTopic): SourceNode['key'] {
  const { codec, validate, allowsNull } = topic.key
  return Object.freeze({
    codec,
    ...(validate === undefined ? {} : { validate }),
    ...(allowsNull ? {} : { refusesNull: true }),
  })
}

function valueBoundary(topic: AnyTopic): BoundaryCodec<unknown> {
  const { codec, validate, allowsNull } = topic.value
  return Object.freeze({
    codec,
    ...(validate === undefined ? {} : { validate }),
    ...(allowsNull ? {} : { refusesNull: true }),
  })
}

/** As in Kafka's WindowedStreamPartitioner, all windows of a key are in the partition of the key. */
export function innerKey(codec: SinkNode['key']['codec']): NonNullable<SinkNode['partitionKey']> {
  return (key) => ({ codec, key: innerOf(key) })
}

function innerOf(key: unknown): unknown {
  return typeof key === 'object' && key !== null && 'key' in key ? key.key : key
}
