import type { ProcessorNode, SinkNode, SourceNode, StoreSpec, TopologyNode } from './node.ts'
import type { SubTopology } from './topology.ts'

/**
 * Cuts a graph into its connected parts: nodes are connected by parents and by shared stores. Parts are numbered in the
 * order of their first nodes, so adding to the end of a program does not renumber the parts before it.
 */
export function subTopologiesOf(nodes: readonly TopologyNode[], stores: readonly StoreSpec[]): readonly SubTopology[] {
  const groups = new DisjointNames()
  for (const node of nodes) {
    groups.add(node.name)
    if (node.kind === 'source') continue
    for (const parent of node.parents) groups.join(parent, node.name)
    if (node.kind === 'processor') for (const store of node.stores) groups.join(storeName(store), node.name)
  }
  const parts = new Map<string, TopologyNode[]>()
  for (const node of nodes) {
    const root = groups.rootOf(node.name)
    const part = parts.get(root)
    if (part === undefined) parts.set(root, [node])
    else part.push(node)
  }
  return Object.freeze([...parts.values()].map((part, id) => subTopology(id, part, stores)))
}

function subTopology(id: number, nodes: readonly TopologyNode[], all: readonly StoreSpec[]): SubTopology {
  const sources = nodes.filter((node): node is SourceNode => node.kind === 'source')
  const processors = nodes.filter((node): node is ProcessorNode => node.kind === 'processor')
  const sinks = nodes.filter((node): node is SinkNode => node.kind === 'sink')
  const names = new Set(processors.flatMap((processor) => processor.stores))
  const stores = all.filter((store) => names.has(store.name))
  return Object.freeze({
    id,
    order: Object.freeze(nodes.map(({ name }) => name)),
    sources: Object.freeze(sources),
    processors: Object.freeze(processors),
    sinks: Object.freeze(sinks),
    stores: Object.freeze(stores),
    copartitioned: copartitionedTopics(nodes, stores),
  })
}

/**
 * For each store, the topics that reach it. The rows of a key are in one place only if all of these topics put the key
 * into the partition with the same number. Groups that share a topic are merged.
 */
function copartitionedTopics(
  nodes: readonly TopologyNode[],
  stores: readonly StoreSpec[],
): readonly (readonly string[])[] {
  const reaching = topicsReaching(nodes)
  const topics = new DisjointNames()
  for (const store of stores) {
    const together = nodes
      .filter((node) => node.kind === 'processor' && node.stores.includes(store.name))
      .flatMap((node) => [...(reaching.get(node.name) ?? [])])
    const first = together[0]
    if (first === undefined) continue
    for (const topic of together) topics.join(first, topic)
  }
  return Object.freeze(
    topics
      .groups()
      .filter((group) => group.length > 1)
      .map((group) => Object.freeze(group)),
  )
}

/** For each node, the topics whose records can reach it. Parents come before children in `nodes`. */
function topicsReaching(nodes: readonly TopologyNode[]): ReadonlyMap<string, ReadonlySet<string>> {
  const reaching = new Map<string, Set<string>>()
  for (const node of nodes) {
    const topics =
      node.kind === 'source' ? node.topics : node.parents.flatMap((name) => [...(reaching.get(name) ?? [])])
    reaching.set(node.name, new Set(topics))
  }
  return reaching
}

/** A name that no node can have, because names of nodes contain no space. */
function storeName(store: string): string {
  return `store ${store}`
}

/** Union-find over names. Groups keep the order of their first members. */
class DisjointNames {
  readonly #parents = new Map<string, string>()

  add(name: string): void {
    if (!this.#parents.has(name)) this.#parents.set(name, name)
  }

  join(left: string, right: string): void {
    this.add(left)
    this.add(right)
    const [leftRoot, rightRoot] = [this.rootOf(left), this.rootOf(right)]
    if (leftRoot !== rightRoot) this.#parents.set(rightRoot, leftRoot)
  }

  rootOf(name: string): string {
    let at = name
    for (let parent = this.#parents.get(at); parent !== undefined && parent !== at; parent = this.#parents.get(at)) {
      at = parent
    }
    return at
  }

  groups(): string[][] {
    const groups = new Map<string, string[]>()
    for (const name of this.#parents.keys()) {
      const root = this.rootOf(name)
      const group = groups.get(root)
      if (group === undefined) groups.set(root, [name])
      else group.push(name)
    }
    return [...groups.values()]
  }
}
