import type { Codec } from '../../codec/codec.ts'
import { taggedKey } from '../../codec/key-codecs.ts'
import { unmatchedCodec } from '../../codec/unmatched-codec.ts'
import { msgpack } from '../../codec/value-codecs.ts'
import type { StoreShape } from '../../streams/topology/node.ts'
import { joinRetentionMs } from '../join-window.ts'
import { mergeSupplier } from '../operators/merge.ts'
import { streamJoinSideSupplier } from '../operators/stream-join-side.ts'
import type { TableHost } from './compile-tables.ts'
import { checkEqualWindows } from './equal-windows.ts'
import type { Flow } from './flow.ts'
import type { StreamJoinPlan } from './join-plan.ts'
import type { PlanId } from './plan-node.ts'

/**
 * A join of two streams: a node and a store for each side, and a node that merges their results. A side whose key has
 * changed goes through a repartition topic first. Both sides name both stores, so all their sources belong to one task
 * and must be co-partitioned, which is checked as for every store.
 */
export function compileStreamJoin(
  host: Pick<TableHost, 'builder' | 'names' | 'flow' | 'through'>,
  id: PlanId,
  plan: StreamJoinPlan,
): Flow {
  const { builder, names } = host
  const { name, type, window, joiner } = plan
  const [givenLeft, givenRight] = [host.flow(plan.left), host.flow(plan.right)]
  checkEqualWindows(name, givenLeft, givenRight)
  const key = keyCodecOf(plan, givenLeft, givenRight)
  const throughTopic = (given: Flow, side: 'left' | 'right'): Flow => {
    if (!given.keyChanged) return given
    const value = side === 'left' ? plan.leftValue : plan.rightValue
    return host.through(id, given, `${name}-${side}`, { name, key, value }, {})
  }
  const left = throughTopic(givenLeft, 'left')
  const right = plan.left === plan.right ? left : throughTopic(givenRight, 'right')
  const stores = storeNames(plan)
  const shape: StoreShape = Object.freeze({ kind: 'join', retentionMs: joinRetentionMs(window) })
  const values = {
    left: plan.leftValue ?? left.value ?? msgpack,
    right: plan.rightValue ?? right.value ?? msgpack,
  }
  const { engine, logged } = plan
  const store = { engine, logged, emit: 'update' } as const
  builder.addStore({ ...store, name: stores.left, shape, key: left.key ?? key, value: values.left })
  builder.addStore({ ...store, name: stores.right, shape, key: right.key ?? key, value: values.right })
  if (type !== 'inner') {
    const value = unmatchedCodec(values.left, values.right) as Codec<unknown>
    builder.addStore({ ...store, name: stores.unmatched, shape: unmatchedShape, key: left.key ?? key, value })
  }
  const node = names.pick(name, '')
  const parents = (['left', 'right'] as const).map((side) => {
    const isLeft = side === 'left'
    const own = names.pick(`${node}-${side}`, '')
    builder.addProcessor({
      name: own,
      parents: [isLeft ? left.node : right.node],
      stores: type === 'inner' ? [stores.left, stores.right] : [stores.left, stores.right, stores.unmatched],
      supplier: streamJoinSideSupplier({
        join: node,
        isLeft,
        own: stores[side],
        other: stores[isLeft ? 'right' : 'left'],
        beforeMs: isLeft ? window.beforeMs : window.afterMs,
        afterMs: isLeft ? window.afterMs : window.beforeMs,
        joiner,
        unmatched:
          type === 'inner'
            ? null
            : {
                store: stores.unmatched,
                ofOwn: isLeft || type === 'outer',
                ofOther: !isLeft || type === 'outer',
                graceMs: window.graceMs,
              },
      }),
      // Records that waited are emitted under their own key.
      changesKey: type !== 'inner',
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

/** Kafka's names, after the name of the join. */
function storeNames({ name, type }: StreamJoinPlan): {
  readonly left: string
  readonly right: string
  readonly unmatched: string
} {
  return {
    left: `${name}${type === 'outer' ? '-outer' : ''}-this-join-store`,
    right: `${name}${type === 'inner' ? '' : '-outer'}-other-join-store`,
    unmatched: `${name}-${type}-shared-join-store`,
  }
}

const unmatchedShape: StoreShape = Object.freeze({ kind: 'unmatched' })

/**
 * A side whose key has changed gets the codec of the other side. If both keys have changed, the declared codec is used,
 * or else the built-in one.
 */
function keyCodecOf(plan: StreamJoinPlan, left: Flow, right: Flow): NonNullable<Flow['key']> {
  if (!left.keyChanged && left.key !== null) return left.key
  if (!right.keyChanged && right.key !== null) return right.key
  return plan.key ?? left.key ?? right.key ?? taggedKey
}
