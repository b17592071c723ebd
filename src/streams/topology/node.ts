import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { TopicConfig } from '../../log/api/topic.ts'
import type { Processor } from '../processor/processor.ts'
import type { SinkPartitioner } from './sink-partitioner.ts'

/**
 * The nodes of a topology: plain frozen data, connected by names. A topology says what runs, never how; tasks make
 * processors from it, `describe` prints it, and two of them can be compared.
 */
export type TopologyNode = SourceNode | ProcessorNode | SinkNode

export interface SourceNode {
  readonly kind: 'source'
  readonly name: string
  readonly topics: readonly string[]
  /** Made and owned by the application: a repartition topic. */
  readonly internal: boolean
  readonly key: BoundaryCodec<unknown> & { readonly codec: KeyCodec<unknown> }
  readonly value: BoundaryCodec<unknown>
  /**
   * The record's event time from its value and key; absent: the record's own timestamp. `partitionTime` is the highest
   * time seen in the partition, -1 at first. A negative result drops the record, counted.
   */
  readonly timestamp?: (value: unknown, key: unknown, recordTime: number, partitionTime: number) => number
  /** The extractor takes the value alone. */
  readonly timestampOfValue?: boolean
  readonly onInvalid: InvalidRecordPolicy
}

/** How the bytes of a source, or of a sink, are read and written. */
export interface BoundaryCodec<T> {
  readonly codec: Codec<T>
  /** Checks a decoded value and returns it, possibly with defaults filled in. Absent where nothing has to be checked. */
  readonly validate?: (value: unknown) => T
  /** True: null does not fit. Seen without decoding, and checked also where `validate` is absent. */
  readonly refusesNull?: boolean
}

/** What happens to a record that cannot be decoded or does not fit its schema. */
export type InvalidRecordPolicy =
  { readonly kind: 'fail' } | { readonly kind: 'skip' } | { readonly kind: 'deadLetter'; readonly topic: string }

export interface ProcessorNode {
  readonly kind: 'processor'
  readonly name: string
  readonly parents: readonly string[]
  /** Names of the stores that it may use. */
  readonly stores: readonly string[]
  /** Names of the global tables that it may read. */
  readonly globals?: readonly string[]
  /** Makes the processor of one task. */
  readonly supplier: () => Processor
  /** False where only the presence of the key or value matters: then nobody decodes it for this node's sake. */
  readonly readsKey: boolean
  readonly readsValue: boolean
  /** Id of a codec whose bytes will do where it reads keys: it only tells them apart. */
  readonly keyBytesOf?: string
  /** True where what it forwards does not come from its input: children do not read the source's bytes through it. */
  readonly changesKey: boolean
  readonly changesValue: boolean
}

export interface SinkNode {
  readonly kind: 'sink'
  readonly name: string
  readonly parents: readonly string[]
  /** A topic, or the choice of one per record among `topics`. */
  readonly topic: string | ((key: unknown, value: unknown) => string)
  readonly topics: readonly string[]
  readonly internal: boolean
  readonly key: BoundaryCodec<unknown> & { readonly codec: KeyCodec<unknown> }
  readonly value: BoundaryCodec<unknown>
  /** Partition of a record; absent: murmur2 of the key's bytes, sticky without a key. */
  readonly partitioner?: SinkPartitioner
  /**
   * The codec of the bytes that the partition is computed from where it is not the whole key: a windowed key is
   * partitioned by its inner key, as Kafka's WindowedStreamPartitioner does.
   */
  readonly partitionKey?: (key: unknown) => { readonly codec: KeyCodec<unknown>; readonly key: unknown }
  /** Records with a null key are swallowed silently, as in Kafka's repartition topics. */
  readonly dropsNullKeys: boolean
}

/** A state store as declared. Engine and layout are chosen when a task opens it. */
export interface StoreSpec {
  readonly name: string
  readonly shape: StoreShape
  readonly engine: 'lmdb' | 'memory'
  readonly key: KeyCodec<unknown>
  readonly value: Codec<unknown>
  /** False: no changelog; the store is lost with its directory. */
  readonly logged: boolean
  /** The source topic whose records are the rows, so that it is the changelog: read up to what its task has committed. */
  readonly sourceTopic?: string
  /** When downstream sees what an aggregate did to it. */
  readonly emit: EmitPolicy
  /** Fingerprints of the versions of the value's schema: a store of another one is refused. */
  readonly schema?: string
}

/** A topic of which every task has all rows, in memory. Its name is also that of its store. */
export interface GlobalTableSpec {
  readonly name: string
  readonly topic: string
  readonly key: SourceNode['key']
  readonly value: BoundaryCodec<unknown>
  readonly timestamp?: SourceNode['timestamp']
  /** True: a record that does not fit is dropped, counted; else it stops the application. */
  readonly skipsInvalid: boolean
}

export type StoreShape =
  | { readonly kind: 'keyValue' }
  /** Sliding windows lie otherwise than those that tumble or hop: one kind cannot go on with the rows of the other. */
  | { readonly kind: 'window'; readonly sizeMs: number; readonly retentionMs: number; readonly isSliding?: true }
  /** The rows of one side of a stream-stream join. */
  | { readonly kind: 'join'; readonly retentionMs: number }
  /** The records of a left or outer join that have found no partner yet. */
  | { readonly kind: 'unmatched' }
  /** Sessions by key, end and start. In the last `unlistedMs` of the retention one is found, but not listed any more. */
  | { readonly kind: 'session'; readonly retentionMs: number; readonly unlistedMs?: number }

export type EmitPolicy = 'commit' | 'update' | 'final'

/** A topic that the application makes for itself. */
export interface InternalTopic {
  /** Without the application's name, which goes in front: `<application>-<name>`. */
  readonly name: string
  readonly role: 'repartition' | 'changelog'
  /** Absent: as many as the co-partitioned sources have. */
  readonly partitions?: number
  readonly config: Partial<TopicConfig>
}
