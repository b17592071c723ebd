import { taggedKey } from '../../codec/key-codecs.ts'
import { msgpack } from '../../codec/value-codecs.ts'
import type { StoreShape } from '../../streams/topology/node.ts'
import { joinRetentionMs } from '../join-window.ts'
import { mergeSupplier } from '../operators/merge.ts'
import { streamJoinSideSupplier } from '../operators/stream-join-side.ts'
import type { TableHost } from './compile-tables.ts'
import type { Flow } from './flow.ts'
import type { StreamJoinPlan } from './join-plan.ts'

/**
 * A join of two streams: a node and a store for each side, and one that brings their results together. A side whose key
 * has changed goes through a repartition topic first. Both sides name both stores, so what reaches them belongs to one
 * task and has to be partitioned alike; the check of that is the same for every store.
 */
export function compileStreamJoin(
  host: Pick<TableHost, 'builder' | 'names' | 'flow' | 'through'>,
  plan: StreamJoinPlan,
): Flow {
  const { builder, names } = host
  const { name, window, joiner } = plan
  const [givenLeft, givenRight] = [host.flow(plan.left), host.flow(plan.right)]
  const key = keyCodecOf(plan, givenLeft, givenRight)
  const throughTopic = (given: Flow, side: 'left' | 'right'): Flow => {
    if (!given.keyChanged) return given
    const value = side === 'left' ? plan.leftValue : plan.rightValue
    return host.through(given, `${name}-${side}`, { name, key, value }, {})
  }
  const left = throughTopic(givenLeft, 'left')
  const right = plan.left === plan.right ? left : throughTopic(givenRight, 'right')
  const stores = { left: `${name}-this-join-store`, right: `${name}-other-join-store` }
  const shape: StoreShape = Object.freeze({ kind: 'join', retentionMs: joinRetentionMs(window) })
  for (const side of ['left', 'right'] as const) {
    const [flow, value] = side === 'left' ? [left, plan.leftValue] : [right, plan.rightValue]
    builder.addStore({
      name: stores[side],
      shape,
      engine: plan.engine,
      key: flow.key ?? key,
      value: value ?? flow.value ?? msgpack,
      logged: plan.logged,
      emit: 'update',
    })
  }
  const node = names.pick(name, '')
  const parents = (['left', 'right'] as const).map((side) => {
    const isLeft = side === 'left'
    const own = names.pick(`${node}-${side}`, '')
    builder.addProcessor({
      name: own,
      parents: [isLeft ? left.node : right.node],
      stores: [stores.left, stores.right],
      supplier: streamJoinSideSupplier({
        join: node,
        isLeft,
        own: stores[side],
        other: stores[isLeft ? 'right' : 'left'],
        beforeMs: isLeft ? window.beforeMs : window.afterMs,
        afterMs: isLeft ? window.afterMs : window.beforeMs,
        joiner,
      }),
      changesKey: false,
    })
    return own
  })
  builder.addProcessor({
    name: node,
    parents,
    supplier: mergeSupplier(),
    readsKey: false,
    readsValue: false,
    changesKey: false,
    changesValue: false,
  })
  return { node, key: left.key, value: null, keyChanged: false }
}

/** A side whose key has changed takes the codec of the other; where both have, it is the declared one or the built-in. */
function keyCodecOf(plan: StreamJoinPlan, left: Flow, right: Flow): NonNullable<Flow['key']> {
  if (!left.keyChanged && left.key !== null) return left.key
  if (!right.keyChanged && right.key !== null) return right.key
  return plan.key ?? left.key ?? right.key ?? taggedKey
}
