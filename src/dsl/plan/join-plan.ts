import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { StoreSpec } from '../../streams/topology/node.ts'
import type { JoinWindow } from '../join-window.ts'
import type { PlanId } from './plan-node.ts'

/** Pairs of records of two streams that have a key in common and lie near in time. */
export interface StreamJoinPlan {
  readonly kind: 'stream-join'
  /** Left: records of the left stream also leave without a partner; outer: those of both. */
  readonly type: 'inner' | 'left' | 'outer'
  readonly left: PlanId
  readonly right: PlanId
  readonly name: string
  readonly window: JoinWindow
  readonly joiner: (left: unknown, right: unknown, key: unknown) => unknown
  readonly engine: StoreSpec['engine']
  readonly logged: boolean
  /** What is absent is decided by what flows. */
  readonly key: KeyCodec<unknown> | undefined
  readonly leftValue: Codec<unknown> | undefined
  readonly rightValue: Codec<unknown> | undefined
}
