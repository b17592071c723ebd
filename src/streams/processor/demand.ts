import { isWindowedCodec } from '../../codec/windowed-codec.ts'
import type { ProcessorNode, SinkNode, SourceNode, TopologyNode } from '../topology/node.ts'

/**
 * Whether anybody reads a source's keys, or its values. What nobody reads is not decoded: it travels as
 * `undecoded`, and a sink of the same codec copies its bytes.
 */
export interface Demand {
  readonly key: boolean
  readonly value: boolean
}

/**
 * Follows the records of a source through the nodes: a node that reads its input asks for it, a node that changes the
 * key (or value) hides the source's from all below it. What has to be validated, or is read for its time, is decoded.
 */
export function demandOf(source: SourceNode, children: (name: string) => readonly TopologyNode[]): Demand {
  return { key: readsKey(source, children), value: readsValue(source, children) }
}

/**
 * Whether anybody below a node reads its keys, or else takes them only as the bytes of the codec of that id. Unlike
 * those of a source they are no record's in process: only sinks copy them.
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

/** Whether somebody tells keys apart by their bytes: where they are not decoded they must yet be such as could be. */
export function takesKeyBytes(source: SourceNode, children: (name: string) => readonly TopologyNode[]): boolean {
  return reaches(source.name, children, (node) => {
    if (node.kind !== 'processor') return null
    return node.keyBytesOf !== undefined ? true : node.changesKey ? false : null
  })
}

/** Bytes stand for a key only in the codec that the node means, and if that says which bytes are keys. */
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

function sinkReadsKey(sink: SinkNode, codecId: string): boolean {
  // A windowed key is partitioned by its first bytes.
  const partitionsByKey = sink.partitionKey !== undefined && !isWindowedCodec(sink.key.codec)
  return readsBoth(sink) || partitionsByKey || sink.key.codec.id !== codecId
}

function sinkReadsValue(sink: SinkNode, source: SourceNode): boolean {
  return readsBoth(sink) || sink.value.validate !== undefined || sink.value.codec.id !== source.value.codec.id
}

function readsBoth(sink: SinkNode): boolean {
  return typeof sink.topic !== 'string' || sink.partitioner !== undefined || sink.key.validate !== undefined
}
