import { checkResult } from './undefined-result.ts'

/** What an aggregation does with a value: count it, reduce it with the current result, or add it to an aggregate. */
export interface AggregateOptions {
  readonly store: string
  readonly kind: 'count' | 'reduce' | 'aggregate'
  readonly initial?: () => unknown
  readonly add?: (aggregate: unknown, value: unknown, key: unknown) => unknown
  readonly emit: 'commit' | 'update' | 'final'
}

/** Computes the next aggregate from the last one (null if there is none) and a value. */
export type Fold = (aggregate: unknown, value: unknown, key: unknown) => unknown

export function foldOf({ kind, initial, add, store }: AggregateOptions): Fold {
  if (kind === 'count') return (aggregate) => (aggregate === null ? 1 : (aggregate as number) + 1)
  if (add === undefined) throw new TypeError(`${store}: ${kind} needs a function`)
  if (kind === 'reduce') {
    return (aggregate, value, key) =>
      aggregate === null ? value : checked(add(aggregate, value, key), store, 'reducer')
  }
  if (initial === undefined) throw new TypeError(`${store}: aggregate needs an initial value`)
  return (aggregate, value, key) => {
    const before = aggregate === null ? checked(initial(), store, 'initializer') : aggregate
    return checked(add(before, value, key), store, 'aggregator')
  }
}

/** Options of an aggregation over sessions, which also has to merge two aggregates. */
export interface MergingOptions extends AggregateOptions {
  readonly merge?: (left: unknown, right: unknown, key: unknown) => unknown
}

/**
 * A session's aggregate begins with the initial one, then merges the aggregates of other sessions, then adds a value.
 */
export interface MergingFold {
  readonly initial: () => unknown
  readonly merge: (left: unknown, right: unknown, key: unknown) => unknown
  readonly add: Fold
}

export function mergingFoldOf(options: MergingOptions): MergingFold {
  const { kind, initial, add, merge, store } = options
  if (kind === 'count') {
    return {
      initial: () => 0,
      merge: (left, right) => (left as number) + (right as number),
      add: (count) => (count as number) + 1,
    }
  }
  if (kind === 'reduce') {
    const fold = foldOf(options)
    return { initial: () => null, merge: fold, add: fold }
  }
  if (initial === undefined || add === undefined) throw new TypeError(`${store}: aggregate needs initial and add`)
  if (merge === undefined) throw new TypeError(`${store}: an aggregate of sessions needs merge`)
  return {
    initial: () => checked(initial(), store, 'initializer'),
    merge: (left, right, key) => checked(merge(left, right, key), store, 'merger'),
    add: (aggregate, value, key) => checked(add(aggregate, value, key), store, 'aggregator'),
  }
}

function checked(result: unknown, store: string, callback: string): unknown {
  checkResult(result, store, callback)
  return result
}
