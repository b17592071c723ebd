import type { Codec } from '../../codec/codec.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import type { StoreSpec } from '../../streams/topology/node.ts'
import type { TableJoinType } from '../operators/table-table-join.ts'
import type { GroupingPlan, PlanId } from './plan-node.ts'

/** What a program says about tables, before anything is decided. See {@link import('./plan-node.ts').PlanNode}. */
export type TablePlan =
  | TableSourcePlan
  | TableOperatorPlan
  | TableJoinPlan
  | TableAggregatePlan
  | StreamTableJoinPlan
  | GlobalTablePlan
  | GlobalJoinPlan

/** A store as requested. Codecs that are absent follow from the stream or table. */
export interface TableStorePlan {
  readonly name: string
  readonly engine: StoreSpec['engine']
  readonly logged: boolean
  readonly value: Codec<unknown> | undefined
  readonly schema: string | undefined
}

/** A table whose rows are the records of a topic or of any stream. */
export interface TableSourcePlan {
  readonly kind: 'table-source'
  readonly parent: PlanId
  readonly name: string
  readonly emit: 'commit' | 'update'
  readonly store: TableStorePlan
  /** The topic that serves as the changelog of the store; null if the store has its own. */
  readonly sourceTopic: AnyTopic | null
  /** False if the rows are kept only when something downstream needs them. */
  readonly isKept: boolean
  /** The repartition topic to use if the key has changed. */
  readonly grouping: GroupingPlan
}

/** An operator that computes each row from one of another table. */
export interface TableOperatorPlan {
  readonly kind: 'table-operator'
  readonly operator: 'filter' | 'filter-not' | 'map-values'
  readonly parent: PlanId
  readonly name: string | undefined
  readonly callback: (value: unknown, key: unknown) => unknown
  readonly store: TableStorePlan | undefined
}

export interface TableJoinPlan {
  readonly kind: 'table-join'
  readonly type: TableJoinType
  readonly left: PlanId
  readonly right: PlanId
  readonly name: string | undefined
  readonly joiner: (left: unknown, right: unknown, key: unknown) => unknown
  readonly store: TableStorePlan | undefined
}

/** An aggregation of the rows of a table under another key. */
export interface TableAggregatePlan {
  readonly kind: 'table-aggregate'
  readonly parent: PlanId
  readonly grouping: GroupingPlan
  readonly group: (value: unknown, key: unknown) => unknown
  readonly aggregate: 'count' | 'reduce' | 'aggregate'
  readonly initial: (() => unknown) | undefined
  readonly add: ((aggregate: unknown, value: unknown, key: unknown) => unknown) | undefined
  readonly subtract: ((aggregate: unknown, value: unknown, key: unknown) => unknown) | undefined
  readonly emit: 'commit' | 'update'
  readonly store: TableStorePlan
}

export interface StreamTableJoinPlan {
  readonly kind: 'stream-table-join'
  readonly type: 'inner' | 'left'
  readonly stream: PlanId
  readonly table: PlanId
  readonly name: string | undefined
  readonly value: Codec<unknown> | undefined
  readonly joiner: (value: unknown, row: unknown, key: unknown) => unknown
}

/** A topic of which every task has all rows. */
export interface GlobalTablePlan {
  readonly kind: 'global-table'
  readonly name: string
  readonly topic: AnyTopic
  readonly skipsInvalid: boolean
}

export interface GlobalJoinPlan {
  readonly kind: 'global-join'
  readonly type: 'inner' | 'left'
  readonly stream: PlanId
  readonly table: PlanId
  readonly name: string | undefined
  readonly rowKey: (value: unknown, key: unknown) => unknown
  readonly joiner: (value: unknown, row: unknown, key: unknown, rowKey: unknown) => unknown
}

const kinds: ReadonlySet<string> = new Set<TablePlan['kind']>([
  'table-source',
  'table-operator',
  'table-join',
  'table-aggregate',
  'stream-table-join',
  'global-table',
  'global-join',
])

export function isTablePlan(node: { readonly kind: string }): node is TablePlan {
  return kinds.has(node.kind)
}
