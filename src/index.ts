// The public API, name by name; a test snapshots it. No code here.
export { Streams, type StreamsOptions } from './application.ts'
export {
  type Codec,
  bytes,
  bytesKey,
  CodecError,
  type CodecErrorCode,
  type Identity,
  json,
  type KeyCodec,
  long,
  longKey,
  msgpack,
  number,
  type Schema,
  string,
  stringKey,
  taggedKey,
  type Topic,
  topic,
  type TopicOptions,
  versions,
  type Windowed,
  windowed,
  type WindowKind,
  type Windows,
} from './codec/index.ts'
export {
  type Aggregation,
  type Consumed,
  type Duration,
  type ForwardedRecord,
  GroupedStream,
  type Grouping,
  type GroupingOf,
  hopping,
  type Keyed,
  type KeyNeedsASchema,
  type KeySource,
  type Named,
  type OwnStoreOptions,
  type PlainKey,
  type ProcessingContext,
  type Produced,
  type RecordContext,
  type RecordProcessor,
  type Reduction,
  type Repartitioned,
  sessions,
  type StoreOptions,
  type StoreRef,
  type StoreWindow,
  Stream,
  type StreamRecord,
  StreamsBuilder,
  Table,
  tumbling,
  type ValueContext,
  type ValueProcessor,
  WindowedStream,
  type WindowStoreOptions,
} from './dsl/index.ts'
export {
  Admin,
  type CleanupPolicy,
  type CommitRecord,
  Consumer,
  type ConsumerOptions,
  type ConsumerRecord,
  decodeCommitRecord,
  EmbeddedLog,
  type Header,
  type Isolation,
  type Log,
  LogError,
  type LogErrorCode,
  logErrorCodes,
  openLog,
  type OpenLogOptions,
  Producer,
  type ProducerOptions,
  type TopicConfig,
  type TopicInfo,
  type TopicPartition,
} from './log/index.ts'
export type { StreamsConfig } from './streams/config.ts'
export { StreamsError, type StreamsErrorCode, streamsErrorCodes } from './streams/errors.ts'
export type { Processor, ProcessorContext, RecordOrigin } from './streams/processor/processor.ts'
export type { RestoreProgress } from './streams/runtime/restore.ts'
export type { StoreQuery } from './streams/runtime/store-query.ts'
export type { KeyValueStore, WindowStore } from './streams/store/key-value-store.ts'
export type { StreamsPhase } from './streams/streams-lifecycle.ts'
export type { StreamsMetrics } from './streams/streams.ts'
export { describeTopology, topologyToJson } from './streams/topology/describe.ts'
export { TopologyBuilder } from './streams/topology/topology-builder.ts'
export type { Topology } from './streams/topology/topology.ts'
