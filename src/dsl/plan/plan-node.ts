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
 * number. Which codecs and repartition topics it takes is decided by `compile`.
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
  /** Kafka's word for it; the start of a generated name. */
  readonly operator: string
  readonly name: string | undefined
  readonly parents: readonly PlanId[]
  readonly stores: readonly string[]
  /** Makes the supplier for the node of that name. */
  readonly supplier: (node: string) => () => Processor
  readonly readsKey: boolean
  readonly readsValue: boolean
  readonly changesKey: boolean
  readonly changesValue: boolean
}

/** One way out of a split; the split itself is an operator. */
export interface BranchPlan {
  readonly kind: 'branch'
  readonly parent: PlanId
  readonly branch: string
}

export interface GroupingPlan {
  /** Aggregations of one grouping with a name of its own share a repartition topic. */
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
  /** With sessions: makes one aggregate of two. */
  readonly merge: ((left: unknown, right: unknown, key: unknown) => unknown) | undefined
  /** A callback takes the key. */
  readonly readsKey: boolean
  readonly store: {
    readonly name: string
    readonly engine: StoreSpec['engine']
    readonly emit: EmitPolicy
    readonly logged: boolean
    /** Absent: that of the source, if its value comes through unchanged, else msgpack. */
    readonly value: Codec<unknown> | undefined
    readonly schema: string | undefined
  }
  /** Absent: one aggregate per key. */
  readonly windows: (Windows<WindowKind> & { readonly retentionMs: number }) | undefined
}

export interface SinkPlan {
  readonly kind: 'sink'
  readonly name: string | undefined
  readonly parent: PlanId
  readonly topics: readonly AnyTopic[]
  /** Absent: the one topic. */
  readonly choose: ((key: unknown, value: unknown) => string) | undefined
  readonly partitioner: SinkPartitioner | undefined
}
