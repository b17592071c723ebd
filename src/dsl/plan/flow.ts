import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { SinkPartitioner } from '../../streams/topology/sink-partitioner.ts'
import type { GroupingPlan, PlanId } from './plan-node.ts'

/** What flows out of a plan node. */
export interface Flow {
  /** The topology's node that the records come from. */
  readonly node: string
  /** The codec that the key came in by; null: the program made a new key. */
  readonly key: KeyCodec<unknown> | null
  readonly value: Codec<unknown> | null
  /** The key may no longer belong to the partition: an aggregation has to repartition first. */
  readonly keyChanged: boolean
}

/** Puts a repartition topic of that name in front of a plan node. */
export type Through = (
  before: PlanId,
  parent: Flow,
  name: string,
  grouping: GroupingPlan,
  options: {
    readonly partitions?: number | undefined
    readonly partitioner?: SinkPartitioner | undefined
  },
) => Flow
