import type { TopologyNode } from './node.ts'
import type { SubTopology, Topology } from './topology.ts'

/**
 * A topology as text, in the layout of Kafka's `Topology.describe()`, so that tools which draw that output can draw
 * ours.
 * @example console.log(describeTopology(builder.build()))
 */
export function describeTopology(topology: Topology): string {
  const children = childrenOf(topology)
  const lines = ['Topologies:']
  for (const part of topology.subTopologies) {
    lines.push(`   Sub-topology: ${part.id}`)
    for (const node of nodesOf(topology, part)) lines.push(...nodeLines(node, children.get(node.name) ?? []))
    lines.push('')
  }
  for (const { name, topic } of topology.globalTables) {
    lines.push(`   Global table: ${name} (topic: ${topic})`, '')
  }
  return `${lines.join('\n')}\n`
}

/** A topology as plain data for JSON: the same facts, and in addition the properties of stores and topics. */
export function topologyToJson(topology: Topology): TopologyJson {
  const children = childrenOf(topology)
  return {
    subTopologies: topology.subTopologies.map((part) => ({
      id: part.id,
      nodes: nodesOf(topology, part).map((node) => nodeJson(node, children.get(node.name) ?? [])),
      stores: part.stores.map((store) => ({
        name: store.name,
        ...store.shape,
        engine: store.engine,
        logged: store.logged,
        ...(store.sourceTopic === undefined ? {} : { sourceTopic: store.sourceTopic }),
        emit: store.emit,
        keyCodec: store.key.id,
        valueCodec: store.value.id,
        ...(store.schema === undefined ? {} : { schema: store.schema }),
      })),
      copartitioned: part.copartitioned,
    })),
    ...(topology.globalTables.length === 0
      ? {}
      : {
          globalTables: topology.globalTables.map(({ name, topic, key, value }) => ({
            name,
            topic,
            keyCodec: key.codec.id,
            valueCodec: value.codec.id,
          })),
        }),
    topics: [...topology.declaredTopics, ...topology.undeclaredTopics].map((topic) => ({ ...topic })),
    internalTopics: topology.internalTopics.map((topic) => ({ ...topic })),
  }
}

export interface TopologyJson {
  readonly subTopologies: readonly {
    readonly id: number
    readonly nodes: readonly NodeJson[]
    readonly stores: readonly { readonly [field: string]: unknown }[]
    readonly copartitioned: readonly (readonly string[])[]
  }[]
  readonly globalTables?: readonly { readonly [field: string]: unknown }[]
  readonly topics: readonly { readonly [field: string]: unknown }[]
  readonly internalTopics: readonly { readonly [field: string]: unknown }[]
}

export interface NodeJson {
  readonly name: string
  readonly kind: TopologyNode['kind']
  readonly topics?: readonly string[]
  readonly stores?: readonly string[]
  readonly globals?: readonly string[]
  readonly keyCodec?: string
  readonly valueCodec?: string
  /** Present for a sink whose partitioner has an id. */
  readonly partitioner?: string
  readonly predecessors: readonly string[]
  readonly successors: readonly string[]
}

function nodeJson(node: TopologyNode, successors: readonly string[]): NodeJson {
  const { name, kind } = node
  if (kind === 'processor') {
    const globals = node.globals === undefined ? {} : { globals: node.globals }
    return { name, kind, stores: node.stores, ...globals, predecessors: node.parents, successors }
  }
  const codecs = { keyCodec: node.key.codec.id, valueCodec: node.value.codec.id }
  const predecessors = kind === 'source' ? [] : node.parents
  const id = kind === 'sink' ? node.partitioner?.id : undefined
  const partitioner = id === undefined ? {} : { partitioner: id }
  return { name, kind, topics: node.topics, ...codecs, ...partitioner, predecessors, successors }
}

function nodeLines(node: TopologyNode, children: readonly string[]): string[] {
  const next = `      --> ${children.length === 0 ? 'none' : children.join(', ')}`
  if (node.kind === 'source') return [`    Source: ${node.name} (topics: [${node.topics.join(', ')}])`, next]
  const previous = `      <-- ${node.parents.join(', ')}`
  if (node.kind === 'processor') {
    return [`    Processor: ${node.name} (stores: [${node.stores.join(', ')}])`, next, previous]
  }
  const target = typeof node.topic === 'string' ? `topic: ${node.topic}` : `topics: [${node.topics.join(', ')}]`
  return [`    Sink: ${node.name} (${target})`, previous]
}

/** The nodes of a part in the order in which they were added. */
function nodesOf(topology: Topology, part: SubTopology): readonly TopologyNode[] {
  const names = new Set(part.order)
  return topology.nodes.filter((node) => names.has(node.name))
}

function childrenOf(topology: Topology): ReadonlyMap<string, readonly string[]> {
  const children = new Map<string, string[]>()
  for (const node of topology.nodes) {
    if (node.kind === 'source') continue
    for (const parent of node.parents) {
      const known = children.get(parent)
      if (known === undefined) children.set(parent, [node.name])
      else known.push(node.name)
    }
  }
  return children
}
