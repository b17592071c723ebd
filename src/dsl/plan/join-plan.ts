import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { StoreSpec } from '../../streams/topology/node.ts'
import type { JoinWindow } from '../join-window.ts'
import type { PlanId } from './plan-node.ts'

/** A join of two streams: pairs of records with the same key and nearby times. */
export interface StreamJoinPlan {
  readonly kind: 'stream-join'
  /** Left: records of the left stream are also emitted without a partner. Outer: those of both streams are. */
  readonly type: 'inner' | 'left' | 'outer'
  readonly left: PlanId
  readonly right: PlanId
  readonly name: string
  readonly window: JoinWindow
  readonly joiner: (left: unknown, right: unknown, key: unknown) => unknown
  readonly engine: StoreSpec['engine']
  readonly logged: boolean
  /** If absent, the codecs of the joined streams are used. */
  readonly key: KeyCodec<unknown> | undefined
  readonly leftValue: Codec<unknown> | undefined
  readonly rightValue: Codec<unknown> | undefined
}
