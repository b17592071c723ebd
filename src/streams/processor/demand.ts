import { presence } from '../../codec/presence-codec.ts'
import { isWindowedCodec } from '../../codec/windowed-codec.ts'
import type { ProcessorNode, SinkNode, SourceNode, TopologyNode } from '../topology/node.ts'

/**
 * Whether any node reads the keys of a source, or its values. What no node reads is not decoded: it is forwarded as
 * `undecoded`, and a sink with the same codec copies its bytes.
 */
export interface Demand {
  readonly key: boolean
  readonly value: boolean
}

/**
 * Follows the records of a source through the nodes. A node that reads its input needs it decoded; a node that changes
 * the key (or value) hides the source's one from all nodes below. Keys and values that are validated, or from which the
 * timestamp is extracted, are always decoded.
 */
export function demandOf(source: SourceNode, children: (name: string) => readonly TopologyNode[]): Demand {
  return { key: readsKey(source, children), value: readsValue(source, children) }
}

/**
 * Whether any node below `node` reads its keys in a form other than the bytes of the codec with that id. In contrast to
 * the keys of a source, these bytes do not belong to the current record, so only sinks can copy them.
 */
export function readsKeysOf(
  node: string,
  codecId: string,
  children: (name: string) => readonly TopologyNode[],
): boolean {
  return reaches(node, children, (child) => {
    if (child.kind === 'sink') return sinkReadsKey(child, codecId)
    if (child.kind === 'source') return null
    return child.readsKey ? true : child.changesKey ? false : null
  })
}

function readsKey(source: SourceNode, children: (name: string) => readonly TopologyNode[]): boolean {
  if (source.key.validate !== undefined) return true
  if (source.timestamp !== undefined && source.timestampOfValue !== true) return true
  return reaches(source.name, children, (node) => {
    if (node.kind === 'sink') return sinkReadsKey(node, source.key.codec.id)
    if (node.kind === 'source') return null
    return node.readsKey && !fitsKeyBytes(node, source) ? true : node.changesKey ? false : null
  })
}

/**
 * Whether a node distinguishes keys by their bytes. If so, keys that are not decoded must still be checked to be
 * decodable.
 */
export function takesKeyBytes(source: SourceNode, children: (name: string) => readonly TopologyNode[]): boolean {
  return reaches(source.name, children, (node) => {
    if (node.kind !== 'processor') return null
    return node.keyBytesOf !== undefined ? true : node.changesKey ? false : null
  })
}

/**
 * Bytes can stand for a key only if they have the codec that the node expects, and if that codec can check which bytes
 * are keys.
 */
function fitsKeyBytes({ keyBytesOf }: ProcessorNode, { key: { codec } }: SourceNode): boolean {
  return keyBytesOf === codec.id && codec.check !== undefined
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

/** True if some node answers true on a path on which no earlier node answered false. */
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

function sinkReadsKey(sink: SinkNode, codecId: string): boolean {
  // The partition of a windowed key is computed from its first bytes, without decoding it.
  const partitionsByKey = sink.partitionKey !== undefined && !isWindowedCodec(sink.key.codec)
  return readsBoth(sink) || partitionsByKey || sink.key.codec.id !== codecId
}

function sinkReadsValue(sink: SinkNode, source: SourceNode): boolean {
  const { codec, validate } = sink.value
  return readsBoth(sink) || validate !== undefined || (codec !== presence && codec.id !== source.value.codec.id)
}

function readsBoth(sink: SinkNode): boolean {
  return typeof sink.topic !== 'string' || sink.partitioner !== undefined || sink.key.validate !== undefined
}
