import { checkTopicName, topicNameLengthMax } from '../../log/api/topic.ts'
import { isInternalTopic } from '../../log/api/internal-topics.ts'
import { shown } from '../../base/shown.ts'
import { StreamsError } from '../errors.ts'
import type { GlobalTableSpec, StoreSpec, TopologyNode } from './node.ts'

/**
 * The rules for a valid topology, each with its message. A rule is checked as soon as a node is added if later nodes
 * cannot change the result, so that the stack trace points to the line that broke it. The other rules are checked at
 * the end.
 */
export function validateNode(node: TopologyNode, before: ReadonlyMap<string, TopologyNode>): void {
  // The topics come first: the names of sources and sinks are usually made from theirs.
  if (node.kind !== 'processor') for (const topic of node.topics) checkTopic(node.name, topic, node.internal)
  checkName('node', node.name, node.kind === 'processor' ? nameLengthMax : nodeNameLengthMax)
  if (before.has(node.name)) throw invalid(`there are two nodes named ${node.name}; rename one`, { node: node.name })

  if (node.kind === 'source') {
    if (node.topics.length === 0) throw invalid(`source ${node.name} reads no topic`, { node: node.name })
    checkReadOnce(node.name, node.topics, before)
    return
  }
  if (node.parents.length === 0) {
    throw invalid(`${node.kind} ${node.name} has no parent, so no record ever reaches it`, { node: node.name })
  }
  if (new Set(node.parents).size !== node.parents.length) {
    throw invalid(`${node.kind} ${node.name} names a parent twice; it would still get each record once`, {
      node: node.name,
    })
  }
  for (const parent of node.parents) {
    const found = before.get(parent)
    if (found === undefined) {
      throw invalid(`${node.kind} ${node.name} has the parent ${parent}, which is not there; add parents first`, {
        node: node.name,
        parent,
      })
    }
    if (found.kind === 'sink') {
      throw invalid(`${node.name} cannot follow the sink ${parent}: read its topic with a source instead`, {
        node: node.name,
        parent,
      })
    }
  }
  if (node.kind === 'sink') {
    if (node.topics.length === 0) throw invalid(`sink ${node.name} writes no topic`, { node: node.name })
  }
}

/** Throws CONFIG_INVALID unless `built` is a topology: a builder is easily passed without its `build()`. */
export function checkBuilt(call: string, built: unknown): void {
  if (typeof built === 'object' && built !== null && 'subTopologies' in built) return
  throw new StreamsError(
    'CONFIG_INVALID',
    `${call}: a topology is what build() of a StreamsBuilder or TopologyBuilder made, not ${shown(built)}`,
  )
}

/** The rules that need all nodes and stores. */
export function validateTopology(
  nodes: readonly TopologyNode[],
  stores: readonly StoreSpec[],
  globalTables: readonly GlobalTableSpec[],
): void {
  checkGlobalTables(nodes, stores, globalTables)
  if (!nodes.some((node) => node.kind === 'source')) throw invalid('the topology reads no topic: it has no source', {})
  const names = new Set(stores.map((store) => store.name))
  const used = new Set<string>()
  for (const node of nodes) {
    if (node.kind !== 'processor') continue
    for (const store of node.stores) {
      used.add(store)
      if (!names.has(store)) {
        throw invalid(`processor ${node.name} uses the store ${store}, which is not there; add it with addStore`, {
          node: node.name,
          store,
        })
      }
    }
  }
  for (const store of stores) {
    checkName('store', store.name)
    checkShape(store)
    if (!used.has(store.name)) {
      throw invalid(`no processor uses the store ${store.name}; connect it or leave it out`, { store: store.name })
    }
  }
}

function checkGlobalTables(
  nodes: readonly TopologyNode[],
  stores: readonly StoreSpec[],
  globalTables: readonly GlobalTableSpec[],
): void {
  const names = new Set(globalTables.map((table) => table.name))
  for (const [index, { name, topic }] of globalTables.entries()) {
    checkName('global table', name)
    const other = globalTables.slice(0, index).find((table) => table.topic === topic)
    if (other !== undefined) {
      throw invalid(
        `topic ${topic} is read as the global tables ${other.name} and ${name}; declare one and use it twice`,
        { topic },
      )
    }
    if (stores.some((store) => store.name === name)) {
      throw invalid(`${name} is the name of a store and of a global table; rename one`, { name })
    }
    // Read by tasks as well as in full, the topic would be seen in two states at the same time.
    if (nodes.some((node) => node.kind === 'source' && node.topics.includes(topic))) {
      throw invalid(`topic ${topic} is read as the global table ${name} and by a source; read it in one way`, { topic })
    }
  }
  for (const node of nodes) {
    const unknown = node.kind === 'processor' ? node.globals?.find((name) => !names.has(name)) : undefined
    if (unknown === undefined) continue
    throw invalid(`processor ${node.name} reads the global table ${unknown}, which is not there; add it first`, {
      node: node.name,
      table: unknown,
    })
  }
}

function checkShape(store: StoreSpec): void {
  const { shape } = store
  if (shape.kind === 'session' && !(Number.isSafeInteger(shape.retentionMs) && shape.retentionMs > 0)) {
    throw invalid(
      `store ${store.name}: its retention of ${shape.retentionMs} ms must be a whole number of milliseconds, more than 0`,
      { store: store.name, retentionMs: shape.retentionMs },
    )
  }
  if (shape.kind !== 'window') return
  const { sizeMs, retentionMs } = shape
  if (Number.isSafeInteger(sizeMs) && sizeMs > 0 && Number.isSafeInteger(retentionMs) && retentionMs >= sizeMs) return
  throw invalid(
    `store ${store.name}: its retention of ${retentionMs} ms must be a whole number and at least the window's ${sizeMs} ms`,
    { store: store.name, sizeMs, retentionMs },
  )
}

/** Two sources of one topic would read it twice, possibly into different tasks. Kafka refuses this too. */
function checkReadOnce(name: string, topics: readonly string[], before: ReadonlyMap<string, TopologyNode>): void {
  for (const other of before.values()) {
    if (other.kind !== 'source') continue
    const shared = other.topics.find((topic) => topics.includes(topic))
    if (shared === undefined) continue
    throw invalid(`sources ${other.name} and ${name} both read ${shared}; let both parts follow one source`, {
      topic: shared,
    })
  }
}

function checkTopic(node: string, topic: string, internal: boolean): void {
  checkTopicName(topic)
  if (internal || !isInternalTopic(topic)) return
  throw invalid(`${node}: ${topic} belongs to the log itself; use another name`, { node, topic })
}

/** Names become part of topic and directory names, between the application's name and a suffix. */
const nameLengthMax = topicNameLengthMax - 100
/** Names of sources and sinks do not: theirs is that of a topic and a suffix. */
const nodeNameLengthMax = topicNameLengthMax + 100

function checkName(what: string, name: string, lengthMax: number = nameLengthMax): void {
  // A caller without a compiler may give anything, which a regular expression would take for its text.
  const isText = typeof name === 'string'
  if (isText && new RegExp(`^[a-zA-Z0-9._-]{1,${lengthMax}}$`).test(name) && name !== '.' && name !== '..') return
  throw invalid(
    `the ${what} name ${shown(name)}: use 1 to ${lengthMax} characters of a-z, A-Z, 0-9, '.', '_' and '-'`,
    { name },
  )
}

function invalid(message: string, values: Readonly<{ [name: string]: unknown }>): StreamsError {
  return new StreamsError('TOPOLOGY_INVALID', message, values)
}
