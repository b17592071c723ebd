import { unreachable } from '../../base/assert.ts'
import type { PlanId, PlanNode } from './plan-node.ts'

/**
 * The plan nodes upstream of a join that accepts records without a key: a left join with a table or a global table, or
 * a left or outer join of streams (Kafka's KIP-962). Repartition topics upstream of such a join keep null keys, however
 * far away the join is; all others drop them. Operators in between that cannot handle null keys drop and count them, as
 * everywhere.
 *
 * Only the path of the stream counts: rows of a table have keys, so nothing is kept for the table side of a join.
 */
export function keptNullKeys(nodes: readonly PlanNode[]): ReadonlySet<PlanId> {
  const kept = new Set<PlanId>()
  for (let id = nodes.length - 1; id >= 0; id--) {
    const node = nodes[id] as PlanNode
    if (letsNullKeysThrough(node)) kept.add(id)
    if (kept.has(id)) for (const parent of recordsFrom(node)) kept.add(parent)
  }
  return kept
}

function letsNullKeysThrough(node: PlanNode): boolean {
  if (node.kind === 'stream-join') return node.type !== 'inner'
  return (node.kind === 'stream-table-join' || node.kind === 'global-join') && node.type === 'left'
}

/** The nodes whose records reach this node. */
function recordsFrom(node: PlanNode): readonly PlanId[] {
  switch (node.kind) {
    case 'operator':
      return node.parents
    case 'branch':
    case 'repartition':
    case 'aggregate':
    case 'sink':
    case 'table-source':
    case 'table-operator':
    case 'table-aggregate':
      return [node.parent]
    case 'stream-join':
    case 'table-join':
      return [node.left, node.right]
    case 'stream-table-join':
    case 'global-join':
      return [node.stream]
    case 'source':
    case 'global-table':
      return []
    default:
      return unreachable(node)
  }
}
