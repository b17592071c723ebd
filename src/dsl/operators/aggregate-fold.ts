import { undefinedResult } from './undefined-result.ts'

/** What an aggregation does with a value: count it, reduce it with what is there, or add it to an aggregate. */
export interface AggregateOptions {
  readonly store: string
  readonly kind: 'count' | 'reduce' | 'aggregate'
  readonly initial?: () => unknown
  readonly add?: (aggregate: unknown, value: unknown, key: unknown) => unknown
  readonly emit: 'commit' | 'update' | 'final'
}

/** The next aggregate from the last one (null: there is none) and a value. */
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

function checked(result: unknown, store: string, callback: string): unknown {
  if (result === undefined) throw undefinedResult(store, callback)
  return result
}
