export { StreamsBuilder } from './streams-builder.ts'
export type { OwnStoreOptions, StoreSessions, StoreWindow } from './streams-builder.ts'
export { Stream } from './stream.ts'
export { Table } from './table.ts'
export { GlobalTable } from './global-table.ts'
export { GroupedStream } from './grouped-stream.ts'
export { GroupedTable } from './grouped-table.ts'
export { WindowedStream } from './windowed-stream.ts'
export { hopping, sessions, sliding, tumbling } from './windows.ts'
export type { Duration } from '../base/duration.ts'
export type { GroupingOf, Keyed, KeyNeedsASchema, KeySource, PlainKey } from './key-needs-a-schema.ts'
export type {
  Aggregation,
  Consumed,
  GlobalTableOptions,
  Grouping,
  Named,
  Produced,
  Reduction,
  Repartitioned,
  StoreOptions,
  TableAggregation,
  StreamJoined,
  TableJoined,
  TableOptions,
  TableReduction,
  TableSourceOptions,
  TableStore,
  ToTableOptions,
  WindowStoreOptions,
} from './options.ts'
export type {
  ForwardedRecord,
  ProcessingContext,
  RecordContext,
  RecordProcessor,
  StoreRef,
  StreamRecord,
  ValueContext,
  ValueProcessor,
} from './operators/process.ts'
