import type { SinkNode, SourceNode, TopologyNode } from '../topology/node.ts'

/**
 * Whether anybody reads a source's keys, or its values. What nobody reads is not decoded: it travels as
 * {@link undecoded}, and a sink of the same codec copies its bytes.
 */
export interface Demand {
  readonly key: boolean
  readonly value: boolean
}

/** Stands for a key or value that is there and that nobody decoded. Never null, so null stays null. */
export const undecoded: unique symbol = Symbol('undecoded')

/**
 * Follows the records of a source through the nodes: a node that reads its input asks for it, a node that changes the
 * key (or value) hides the source's from all below it. What has to be validated, or is read for its time, is decoded.
 */
export function demandOf(source: SourceNode, children: (name: string) => readonly TopologyNode[]): Demand {
  return { key: readsKey(source, children), value: readsValue(source, children) }
}

function readsKey(source: SourceNode, children: (name: string) => readonly TopologyNode[]): boolean {
  if (source.key.validate !== undefined) return true
  if (source.timestamp !== undefined && source.timestampOfValue !== true) return true
  return reaches(source.name, children, (node) => {
    if (node.kind === 'sink') return sinkReadsKey(node, source)
    return node.kind === 'processor' && node.readsKey
      ? true
      : node.kind === 'processor' && node.changesKey
        ? false
        : null
  })
}

function readsValue(source: SourceNode, children: (name: string) => readonly TopologyNode[]): boolean {
  if (source.value.validate !== undefined || source.timestamp !== undefined) return true
  return reaches(source.name, children, (node) => {
    if (node.kind === 'sink') return sinkReadsValue(node, source)
    return node.kind === 'processor' && node.readsValue
      ? true
      : node.kind === 'processor' && node.changesValue
        ? false
        : null
  })
}

/** True if a node answers true on a path on which none before it answered false. */
function reaches(
  from: string,
  children: (name: string) => readonly TopologyNode[],
  answer: (node: TopologyNode) => boolean | null,
): boolean {
  const seen = new Set<string>()
  const open = [from]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    for (const node of children(name)) {
      if (seen.has(node.name)) continue
      seen.add(node.name)
      const found = answer(node)
      if (found === true) return true
      if (found === null) open.push(node.name)
    }
  }
  return false
}

function sinkReadsKey(sink: SinkNode, source: SourceNode): boolean {
  return readsBoth(sink) || sink.partitionKey !== undefined || sink.key.codec.id !== source.key.codec.id
}

function sinkReadsValue(sink: SinkNode, source: SourceNode): boolean {
  return readsBoth(sink) || sink.value.validate !== undefined || sink.value.codec.id !== source.value.codec.id
}

function readsBoth(sink: SinkNode): boolean {
  return typeof sink.topic !== 'string' || sink.partitioner !== undefined || sink.key.validate !== undefined
}
