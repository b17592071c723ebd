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
