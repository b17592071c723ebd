import { StreamsError } from '../errors.ts'
import type { SourceNode } from './node.ts'
import type { Topology } from './topology.ts'

/**
 * Topics that reach the same store must put equal keys into partitions of equal number. That takes equal counts and
 * equal key bytes; where either differs, lookups would silently find nothing, so it is an error that names both.
 */
export function checkCopartitioned(topology: Topology, partitions: ReadonlyMap<string, number>): void {
  for (const part of topology.subTopologies) {
    const sources = new Map(part.sources.flatMap((source) => source.topics.map((topic) => [topic, source])))
    for (const group of part.copartitioned) {
      const first = group[0]
      if (first === undefined) continue
      for (const other of group.slice(1)) {
        checkCounts(first, other, partitions)
        checkCodecs(first, other, sources)
      }
    }
  }
}

/**
 * The same as far as it can be told from the program alone: declared numbers of partitions, key codecs, and partitioners
 * of the sinks that write such a topic. What topics have on the log is checked when the application starts.
 */
export function checkCopartitionedAsDeclared(topology: Topology): void {
  const partitions = new Map(topology.declaredTopics.map((spec) => [spec.name, spec.partitions]))
  for (const { name, partitions: count } of topology.internalTopics)
    if (count !== undefined) partitions.set(name, count)
  for (const part of topology.subTopologies) {
    const sources = new Map(part.sources.flatMap((source) => source.topics.map((topic) => [topic, source])))
    for (const group of part.copartitioned) {
      for (const [index, first] of group.entries()) {
        for (const other of group.slice(index + 1)) {
          if (partitions.has(first) && partitions.has(other)) checkCounts(first, other, partitions)
          checkCodecs(first, other, sources)
          checkPartitioners(first, other, topology)
        }
      }
    }
  }
}

/** A partitioner of one's own puts keys elsewhere than everybody else does. */
function checkPartitioners(left: string, right: string, topology: Topology): void {
  const [leftOnes, rightOnes] = [partitionersOf(left, topology), partitionersOf(right, topology)]
  const all = new Set([...leftOnes, ...rightOnes])
  if (all.size === 0 || (all.size === 1 && leftOnes.size === 1 && rightOnes.size === 1)) return
  const own = leftOnes.size > 0 ? left : right
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `${own} is written with a partitioner of its own, so ${left} and ${right}, which meet in one store, have equal keys in different partitions; call repartition() on the stream of ${own}, or write both with the same partitioner`,
    { topics: [left, right] },
  )
}

function partitionersOf(topic: string, topology: Topology): ReadonlySet<unknown> {
  const sinks = topology.subTopologies.flatMap((part) => part.sinks)
  return new Set(
    sinks.flatMap((sink) =>
      sink.partitioner !== undefined && sink.topics.includes(topic) ? [sink.partitioner as unknown] : [],
    ),
  )
}

function checkCounts(left: string, right: string, partitions: ReadonlyMap<string, number>): void {
  const [leftCount, rightCount] = [partitions.get(left), partitions.get(right)]
  if (leftCount === rightCount) return
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `${left} has ${leftCount} partitions and ${right} has ${rightCount}, but they meet in one store; call repartition() on one of them, or give both the same number`,
    { topics: [left, right], partitions: [leftCount, rightCount] },
  )
}

function checkCodecs(left: string, right: string, sources: ReadonlyMap<string, SourceNode>): void {
  const leftId = sources.get(left)?.key.codec.id
  const rightId = sources.get(right)?.key.codec.id
  if (leftId === rightId) return
  throw new StreamsError(
    'NOT_COPARTITIONED',
    `the keys of ${left} are written by the codec "${leftId}" and those of ${right} by "${rightId}", but they meet in one store, where equal keys must have equal bytes; call repartition() on one of them with the other's key`,
    { topics: [left, right], codecs: [leftId, rightId] },
  )
}
