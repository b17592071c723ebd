export {
  type FedRecord,
  type FeedCounts,
  fromObservable,
  type FromObservableOptions,
  type ObservableFeed,
  type OverflowPolicy,
} from './from-observable.ts'
export { type ReadFrom, toObservable, type ToObservableOptions } from './to-observable.ts'
export { type ObservedStreams, phasesOf } from './phases-of.ts'
export { metricsOf, type MeasuredStreams, type MetricsOfOptions } from './metrics-of.ts'
