import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import { checkFunction, checkStore } from './arguments.ts'
import { groupingPlan } from './grouping.ts'
import { joinWindow } from './join-window.ts'
import {
  namedOptionNames,
  streamJoinedOptionNames,
  tableJoinedOptionNames,
  type Named,
  type StreamJoined,
  type TableJoined,
} from './options.ts'
import type { StreamJoinPlan } from './plan/join-plan.ts'
import type { PlanId } from './plan/plan-node.ts'
import type { GlobalJoinPlan, StreamTableJoinPlan } from './plan/table-plan.ts'

/*
 * The plan nodes of a stream's joins, with their options checked and defaults filled in. Callbacks are of any types:
 * the previous nodes decide which types flow.
 */

type Callback<R = unknown> = (...values: never[]) => R

/** `right` returns the other stream's node, or throws in the name of the call. */
export function streamJoinPlan(
  type: StreamJoinPlan['type'],
  left: PlanId,
  right: (call: string) => PlanId,
  joiner: Callback,
  options: StreamJoined,
): StreamJoinPlan {
  checkOptions('join', options, streamJoinedOptionNames)
  const { name, engine = 'lmdb', changelog = true, key, value, otherValue } = options
  if (typeof name !== 'string') {
    throw new StreamsError('CONFIG_INVALID', 'a join of streams needs { name }, by which its state is found again')
  }
  checkFunction(`join ${name}`, 'the joiner', joiner)
  checkStore(`join ${name}`, options)
  return {
    kind: 'stream-join',
    type,
    left,
    right: right(`join ${name}`),
    name,
    window: joinWindow(options),
    joiner: joiner as StreamJoinPlan['joiner'],
    engine,
    logged: changelog,
    key: groupingPlan({ name, ...(key === undefined ? {} : { key }) }).key,
    leftValue: groupingPlan(value === undefined ? {} : { value }).value,
    rightValue: groupingPlan(otherValue === undefined ? {} : { value: otherValue }).value,
  }
}

export function streamTableJoinPlan(
  type: StreamTableJoinPlan['type'],
  stream: PlanId,
  table: PlanId,
  joiner: Callback,
  options: TableJoined,
): StreamTableJoinPlan {
  checkOptions('joinTable', options, tableJoinedOptionNames)
  const { name, value } = options
  checkFunction('joinTable', 'the joiner', joiner)
  return {
    kind: 'stream-table-join',
    type,
    stream,
    table,
    name,
    value: groupingPlan(value === undefined ? {} : { value }).value,
    joiner: joiner as StreamTableJoinPlan['joiner'],
  }
}

export function globalJoinPlan(
  type: GlobalJoinPlan['type'],
  stream: PlanId,
  table: PlanId,
  callbacks: { readonly selectKey: Callback; readonly joiner: Callback },
  options: Named,
): GlobalJoinPlan {
  checkOptions('joinGlobalTable', options, namedOptionNames)
  const { selectKey, joiner } = callbacks
  checkFunction('joinGlobalTable', 'what selects the key', selectKey)
  checkFunction('joinGlobalTable', 'the joiner', joiner)
  return {
    kind: 'global-join',
    type,
    stream,
    table,
    name: options.name,
    rowKey: selectKey as GlobalJoinPlan['rowKey'],
    joiner: joiner as GlobalJoinPlan['joiner'],
  }
}
