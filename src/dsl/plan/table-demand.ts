import type { PlanId, PlanNode } from './plan-node.ts'

/** What is asked of each table by those after it. */
export interface TableDemand {
  /** Its changes must tell the old value. */
  readonly old: ReadonlySet<PlanId>
  /** Its rows must be readable by key. */
  readonly rows: ReadonlySet<PlanId>
}

/**
 * Goes through the plan from its end and passes demands up, to the nearest table that has a store: that one can answer
 * both. So only what is needed is kept, and only what is needed is computed twice, as in Kafka Streams.
 */
export function tableDemand(nodes: readonly PlanNode[]): TableDemand {
  const old = new Set<PlanId>()
  const rows = new Set<PlanId>()
  for (let id = nodes.length - 1; id >= 0; id--) {
    const node = nodes[id] as PlanNode
    switch (node.kind) {
      case 'table-aggregate':
        old.add(node.parent)
        break
      case 'stream-table-join':
        rows.add(node.table)
        break
      case 'table-operator':
        // A filter asks only where the answer is there anyway: then it keeps silent about rows that were out and stay out.
        if (node.operator !== 'map-values' && (node.store !== undefined || knowsOld(nodes, node.parent))) old.add(id)
        if (node.store !== undefined) break
        if (old.has(id)) old.add(node.parent)
        if (rows.has(id)) rows.add(node.parent)
        break
      case 'table-join':
        for (const side of [node.left, node.right]) {
          rows.add(side)
          // A side that may stay without a partner has to know whether its row was there before.
          if (node.type !== 'inner' || (old.has(id) && node.store === undefined)) old.add(side)
        }
        break
      // Nodes that ask nothing of a table.
      case 'source':
      case 'table-source':
      case 'global-table':
      case 'global-join':
      case 'operator':
      case 'branch':
      case 'aggregate':
      case 'repartition':
      case 'stream-join':
      case 'sink':
        break
    }
  }
  return { old, rows }
}

/** Whether a table can tell old values without keeping rows for that alone. */
function knowsOld(nodes: readonly PlanNode[], id: PlanId): boolean {
  const node = nodes[id] as PlanNode
  if (node.kind === 'table-source') return node.isKept
  if (node.kind === 'table-operator') return node.store !== undefined || knowsOld(nodes, node.parent)
  return true
}
