import type { PlanId, PlanNode } from './plan-node.ts'
import type { TableJoinPlan, TableOperatorPlan } from './table-plan.ts'

/** What nodes downstream require of each table. */
export interface TableDemand {
  /** Tables whose changes must contain the old value. */
  readonly old: ReadonlySet<PlanId>
  /** Tables whose rows must be readable by key. */
  readonly rows: ReadonlySet<PlanId>
}

/**
 * Visits the plan in the order of the calls and passes demands up to the nearest table that has a store, which can
 * satisfy both. So rows are kept, and values computed twice, only if necessary, as in Kafka Streams. The order matters
 * only for filters: as in Kafka, they use what is available at the time of their call.
 */
export function tableDemand(nodes: readonly PlanNode[]): TableDemand {
  const demand = new Demand(nodes)
  for (const [id, node] of nodes.entries()) demand.declare(id, node)
  return demand
}

class Demand implements TableDemand {
  readonly old = new Set<PlanId>()
  readonly rows = new Set<PlanId>()
  readonly #nodes: readonly PlanNode[]

  constructor(nodes: readonly PlanNode[]) {
    this.#nodes = nodes
  }

  declare(id: PlanId, node: PlanNode): void {
    switch (node.kind) {
      case 'table-aggregate':
        this.#askOld(node.parent)
        return
      case 'stream-table-join':
        this.#askRows(node.table)
        return
      case 'table-operator':
        // A filter requires old values only if they are available anyway. It then forwards nothing for rows that stay
        // filtered out.
        if (node.operator === 'map-values' || !this.#knowsOld(node.parent)) return
        this.#askOld(node.parent)
        this.#askOld(id)
        return
      case 'table-join':
        this.#askRows(node.left)
        this.#askRows(node.right)
        // A side that may stay without a partner has to know whether its row existed before. As in Kafka, no other side
        // is asked, so a filter on the right of a left join forwards deletions of rows that never passed.
        if (node.type !== 'inner') this.#askOld(node.left)
        if (node.type === 'outer') this.#askOld(node.right)
        return
      // Nodes that require nothing of a table.
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
        return
    }
  }

  #askOld(id: PlanId): void {
    if (this.old.has(id)) return
    this.old.add(id)
    const node = this.#nodes[id] as PlanNode
    // A join with a store reads old values from there. But in Kafka it asks its sides for theirs, and what a filter
    // forwards depends on whether it was asked.
    const parents = node.kind === 'table-join' ? parentsOf(node) : this.#computedFrom(id)
    for (const parent of parents) this.#askOld(parent)
  }

  #askRows(id: PlanId): void {
    if (this.rows.has(id)) return
    this.rows.add(id)
    for (const parent of this.#computedFrom(id)) this.#askRows(parent)
  }

  /** Whether a table can provide old values already, without keeping rows just for that. */
  #knowsOld(id: PlanId): boolean {
    const node = this.#nodes[id] as PlanNode
    if (node.kind === 'table-source') return node.isKept || this.old.has(id) || this.rows.has(id)
    if (node.kind === 'table-operator') return node.store !== undefined || this.#knowsOld(node.parent)
    return true
  }

  /** The tables from which a table without a store is computed. */
  #computedFrom(id: PlanId): readonly PlanId[] {
    const node = this.#nodes[id] as PlanNode
    if (node.kind !== 'table-operator' && node.kind !== 'table-join') return []
    if (node.store !== undefined) return []
    return parentsOf(node)
  }
}

function parentsOf(node: TableOperatorPlan | TableJoinPlan): readonly PlanId[] {
  return node.kind === 'table-operator' ? [node.parent] : [node.left, node.right]
}
