import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { SinkPartitioner } from '../../streams/topology/sink-partitioner.ts'
import type { GroupingPlan, PlanId } from './plan-node.ts'

/** The output of a plan node. */
export interface Flow {
  /** The node of the topology that forwards the records. */
  readonly node: string
  /** The codec of the key at its source; null if the program created a new key. */
  readonly key: KeyCodec<unknown> | null
  readonly value: Codec<unknown> | null
  /** Whether the key may no longer match the partition, so that an aggregation has to repartition first. */
  readonly keyChanged: boolean
}

/** Inserts a repartition topic with that name before a plan node. */
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
