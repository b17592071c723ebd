import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { AnyTopic } from '../../codec/topic.ts'
import type { WindowKind, Windows } from '../../codec/windowed-codec.ts'
import type { Processor } from '../../streams/processor/processor.ts'
import type { EmitPolicy, InvalidRecordPolicy, StoreSpec } from '../../streams/topology/node.ts'
import type { SinkPartitioner } from '../../streams/topology/sink-partitioner.ts'
import type { StreamJoinPlan } from './join-plan.ts'
import type { TablePlan } from './table-plan.ts'

/**
 * What a program of the DSL says, before anything is decided: frozen nodes in the order of the calls, connected by
 * numbers. `compile` decides which codecs and repartition topics are needed.
 */
export type PlanNode =
  SourcePlan | OperatorPlan | BranchPlan | RepartitionPlan | AggregatePlan | SinkPlan | StreamJoinPlan | TablePlan

/** The number of a plan node: its place in the plan. */
export type PlanId = number

export interface SourcePlan {
  readonly kind: 'source'
  readonly name: string | undefined
  readonly topics: readonly AnyTopic[]
  readonly onInvalid: InvalidRecordPolicy
}

/** An operator that works record by record. */
export interface OperatorPlan {
  readonly kind: 'operator'
  /** Kafka's word for it; also the beginning of a generated name. */
  readonly operator: string
  readonly name: string | undefined
  readonly parents: readonly PlanId[]
  readonly stores: readonly string[]
  /** Makes the supplier for the node with that name. */
  readonly supplier: (node: string) => () => Processor
  readonly readsKey: boolean
  readonly readsValue: boolean
  readonly changesKey: boolean
  readonly changesValue: boolean
}

/** One output of a split; the split itself is an operator. */
export interface BranchPlan {
  readonly kind: 'branch'
  readonly parent: PlanId
  readonly branch: string
}

export interface GroupingPlan {
  /** Aggregations of the same grouping share a repartition topic if the grouping has a name. */
  readonly name: string | undefined
  readonly key: KeyCodec<unknown> | undefined
  readonly value: Codec<unknown> | undefined
}

export interface RepartitionPlan {
  readonly kind: 'repartition'
  readonly parent: PlanId
  readonly grouping: GroupingPlan
  readonly partitions: number | undefined
  readonly partitioner: SinkPartitioner | undefined
}

export interface AggregatePlan {
  readonly kind: 'aggregate'
  readonly parent: PlanId
  readonly grouping: GroupingPlan
  readonly aggregate: 'count' | 'reduce' | 'aggregate'
  readonly initial: (() => unknown) | undefined
  readonly add: ((aggregate: unknown, value: unknown, key: unknown) => unknown) | undefined
  /** For sessions: merges two aggregates. */
  readonly merge: ((left: unknown, right: unknown, key: unknown) => unknown) | undefined
  /** Whether a callback uses the key. */
  readonly readsKey: boolean
  readonly store: {
    readonly name: string
    readonly engine: StoreSpec['engine']
    readonly emit: EmitPolicy
    readonly logged: boolean
    /** If absent, the codec of the source if its values arrive unchanged, else msgpack. */
    readonly value: Codec<unknown> | undefined
    readonly schema: string | undefined
  }
  /** If absent, there is one aggregate per key. */
  readonly windows: (Windows<WindowKind> & { readonly retentionMs: number }) | undefined
}

export interface SinkPlan {
  readonly kind: 'sink'
  readonly name: string | undefined
  readonly parent: PlanId
  readonly topics: readonly AnyTopic[]
  /** If absent, records go to the only topic. */
  readonly choose: ((key: unknown, value: unknown) => string) | undefined
  readonly partitioner: SinkPartitioner | undefined
}
