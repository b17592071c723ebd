import type { Declared } from '../codec/schema.ts'
import type { WindowKind, Windows } from '../codec/windowed-codec.ts'
import { StreamsError } from '../streams/errors.ts'
import type { EmitPolicy } from '../streams/topology/node.ts'
import type { Duration } from '../base/duration.ts'
import { checkFunction, checkStore } from './arguments.ts'
import { readsArgument } from './callback-parameters.ts'
import { durationMs } from './duration.ts'
import { storedValue } from './stored-value.ts'
import { isSliding } from './windows.ts'
import type { AggregatePlan, GroupingPlan, PlanId } from './plan/plan-node.ts'

/** The plan node of a count, reduce or aggregate, with its options checked and defaults filled in. */
export function aggregatePlan(of: {
  readonly parent: PlanId
  readonly grouping: GroupingPlan
  readonly store: {
    readonly name: string
    readonly engine?: 'lmdb' | 'memory'
    readonly emit?: EmitPolicy
    readonly changelog?: boolean
    readonly retention?: Duration
  }
  readonly how: {
    readonly aggregate: AggregatePlan['aggregate']
    readonly initial?: () => unknown
    // Callbacks of any types: the previous nodes decide which types flow.
    readonly add?: (aggregate: never, value: never, key: never) => unknown
    readonly merge?: ((left: never, right: never, key: never) => unknown) | undefined
    readonly value?: Declared | undefined
  }
  readonly windows: Windows<WindowKind> | undefined
}): AggregatePlan {
  const { store, how, windows } = of
  if (typeof store.name !== 'string') {
    throw new StreamsError('CONFIG_INVALID', `${how.aggregate} needs { name }, by which its state is found again`)
  }
  if (how.aggregate === 'aggregate') {
    checkFunction(store.name, 'initial', how.initial)
    checkFunction(store.name, 'add', how.add)
  }
  checkStore(store.name, store)
  const emit = store.emit ?? 'commit'
  if (emit !== 'commit' && emit !== 'update' && emit !== 'final') {
    throw new StreamsError(
      'CONFIG_INVALID',
      `${store.name}: emit is 'commit', 'update' or 'final', not ${String(emit)}`,
      {
        store: store.name,
      },
    )
  }
  if (emit === 'final' && windows === undefined) {
    throw new StreamsError(
      'CONFIG_INVALID',
      `${store.name}: emit 'final' waits for a window to close, and there is none; use windowedBy, or emit 'commit' or 'update'`,
      { store: store.name },
    )
  }
  const stored = how.value === undefined ? undefined : storedValue(how.value, store.name)
  return {
    kind: 'aggregate',
    parent: of.parent,
    grouping: of.grouping,
    aggregate: how.aggregate,
    initial: how.initial,
    add: how.add as AggregatePlan['add'],
    merge: how.merge as AggregatePlan['merge'],
    readsKey: how.aggregate !== 'count' && takesKey(store),
    store: Object.freeze({
      name: store.name,
      engine: store.engine ?? 'lmdb',
      emit,
      logged: store.changelog ?? true,
      value: stored?.value,
      schema: stored?.schema,
    }),
    windows:
      windows === undefined
        ? undefined
        : Object.freeze({
            ...windows,
            retentionMs: retentionOf(store.name, windows, store.retention),
          }),
  }
}

/** Whether a callback of the options uses the key, which comes after two values. */
function takesKey(options: object): boolean {
  return ['add', 'merge'].some((name) => {
    const callback: unknown = Reflect.get(options, name)
    return typeof callback === 'function' && readsArgument(callback as (...values: never[]) => unknown, 2)
  })
}

/**
 * How long rows are kept. Windows and sessions are needed as long as they accept records; a sliding window is also
 * needed while another one may begin in it.
 */
function retentionOf(store: string, windows: Windows<WindowKind>, retention: Duration | undefined): number {
  const least = (isSliding(windows) ? 2 * windows.sizeMs : windows.sizeMs) + windows.graceMs
  const retentionMs = retention === undefined ? least : durationMs(retention, `the retention of ${store}`)
  if (retentionMs < least) {
    const length = isSliding(windows) ? 'twice the size' : windows.kind === 'session' ? 'gap' : 'size'
    throw new StreamsError(
      'CONFIG_INVALID',
      `${store}: a retention of ${retentionMs} ms would forget ${windows.kind === 'session' ? 'sessions' : 'windows'} that still take records; ${length} and grace together are ${least} ms`,
      { store, retentionMs, least },
    )
  }
  return retentionMs
}
