import type { PlanId, PlanNode } from './plan-node.ts'
import type { TableJoinPlan, TableOperatorPlan } from './table-plan.ts'

/** What is asked of each table by those after it. */
export interface TableDemand {
  /** Its changes must tell the old value. */
  readonly old: ReadonlySet<PlanId>
  /** Its rows must be readable by key. */
  readonly rows: ReadonlySet<PlanId>
}

/**
 * Goes through the plan in the order of the calls and passes demands up, to the nearest table that has a store: that one
 * can answer both. So only what is needed is kept, and only what is needed is computed twice, as in Kafka Streams. The
 * order matters to filters alone: they ask what is there when they are called, as Kafka's do.
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
        // A filter asks only where the answer is there anyway: then it keeps silent about rows that were out and stay out.
        if (node.operator === 'map-values' || !this.#knowsOld(node.parent)) return
        this.#askOld(node.parent)
        this.#askOld(id)
        return
      case 'table-join':
        for (const side of [node.left, node.right]) {
          this.#askRows(side)
          // A side that may stay without a partner has to know whether its row was there before.
          if (node.type !== 'inner') this.#askOld(side)
        }
        return
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
        return
    }
  }

  #askOld(id: PlanId): void {
    if (this.old.has(id)) return
    this.old.add(id)
    for (const parent of this.#computedFrom(id)) this.#askOld(parent)
  }

  #askRows(id: PlanId): void {
    if (this.rows.has(id)) return
    this.rows.add(id)
    for (const parent of this.#computedFrom(id)) this.#askRows(parent)
  }

  /** Whether a table can tell old values by now, without keeping rows for that alone. */
  #knowsOld(id: PlanId): boolean {
    const node = this.#nodes[id] as PlanNode
    if (node.kind === 'table-source') return node.isKept || this.old.has(id) || this.rows.has(id)
    if (node.kind === 'table-operator') return node.store !== undefined || this.#knowsOld(node.parent)
    return true
  }

  /** The tables that a table without rows of its own is computed from. */
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
