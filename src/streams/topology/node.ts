import type { Codec, KeyCodec } from '../../codec/codec.ts'
import type { TopicConfig } from '../../log/api/topic.ts'
import type { Processor } from '../processor/processor.ts'
import type { SinkPartitioner } from './sink-partitioner.ts'

/**
 * The nodes of a topology: plain frozen data, connected by names. A topology says what runs, not how: tasks make
 * processors from it, `describe` prints it, and two topologies can be compared.
 */
export type TopologyNode = SourceNode | ProcessorNode | SinkNode

export interface SourceNode {
  readonly kind: 'source'
  readonly name: string
  readonly topics: readonly string[]
  /** Whether the application creates and owns the topic, as a repartition topic. */
  readonly internal: boolean
  readonly key: BoundaryCodec<unknown> & { readonly codec: KeyCodec<unknown> }
  readonly value: BoundaryCodec<unknown>
  /**
   * The record's event time, from its value and key; if absent, the record's own timestamp. `partitionTime` is the
   * highest time seen in the partition, -1 at first. A record with a negative result is dropped and counted.
   */
  readonly timestamp?: (value: unknown, key: unknown, recordTime: number, partitionTime: number) => number
  /** Whether the extractor uses only the value. */
  readonly timestampOfValue?: boolean
  readonly onInvalid: InvalidRecordPolicy
}

/** How the bytes of a source, or of a sink, are read and written. */
export interface BoundaryCodec<T> {
  readonly codec: Codec<T>
  /** Checks a decoded value and returns it, possibly with defaults filled in. Absent if nothing has to be checked. */
  readonly validate?: (value: unknown) => T
  /** Whether null is refused. This needs no decoding, and is checked even if `validate` is absent. */
  readonly refusesNull?: boolean
}

/** What happens to a record that cannot be decoded or does not fit its schema. */
export type InvalidRecordPolicy =
  { readonly kind: 'fail' } | { readonly kind: 'skip' } | { readonly kind: 'deadLetter'; readonly topic: string }

export interface ProcessorNode {
  readonly kind: 'processor'
  readonly name: string
  readonly parents: readonly string[]
  /** Names of the stores that it has access to. */
  readonly stores: readonly string[]
  /** Names of the global tables that it may read. */
  readonly globals?: readonly string[]
  /** Makes the processor of one task. */
  readonly supplier: () => Processor
  /** False if only the presence of the key or value matters, so that it need not be decoded for this node. */
  readonly readsKey: boolean
  readonly readsValue: boolean
  /** Id of a codec. Keys encoded with it may be passed as bytes, because the node only compares keys. */
  readonly keyBytesOf?: string
  /** True if the forwarded key or value is not that of the input, so that children do not need the source's one. */
  readonly changesKey: boolean
  readonly changesValue: boolean
}

export interface SinkNode {
  readonly kind: 'sink'
  readonly name: string
  readonly parents: readonly string[]
  /** A topic, or a function that chooses one of `topics` per record. */
  readonly topic: string | ((key: unknown, value: unknown) => string)
  readonly topics: readonly string[]
  readonly internal: boolean
  readonly key: BoundaryCodec<unknown> & { readonly codec: KeyCodec<unknown> }
  readonly value: BoundaryCodec<unknown>
  /** Chooses the partition of a record; if absent, murmur2 of the key's bytes, or sticky without a key. */
  readonly partitioner?: SinkPartitioner
  /**
   * Returns the part of the key that the partition is computed from, if it is not the whole key: a windowed key is
   * partitioned by its inner key, as by Kafka's WindowedStreamPartitioner.
   */
  readonly partitionKey?: (key: unknown) => { readonly codec: KeyCodec<unknown>; readonly key: unknown }
  /** Whether records with a null key are dropped silently, as for Kafka's repartition topics. */
  readonly dropsNullKeys: boolean
}

/** A state store as declared. Its engine and its layout are chosen when a task opens it. */
export interface StoreSpec {
  readonly name: string
  readonly shape: StoreShape
  readonly engine: 'lmdb' | 'memory'
  readonly key: KeyCodec<unknown>
  readonly value: Codec<unknown>
  /** False if the store has no changelog, so that it is lost with its directory. */
  readonly logged: boolean
  /**
   * The source topic whose records are the rows, so that it serves as the changelog. It is read up to the offset that
   * the task has committed.
   */
  readonly sourceTopic?: string
  /** When downstream nodes see changes of the store's rows. */
  readonly emit: EmitPolicy
  /** Fingerprints of the versions of the value's schema. A store that was written with other versions is refused. */
  readonly schema?: string
}

/** A topic of which every task has all rows in memory. Its name is also that of its store. */
export interface GlobalTableSpec {
  readonly name: string
  readonly topic: string
  readonly key: SourceNode['key']
  readonly value: BoundaryCodec<unknown>
  readonly timestamp?: SourceNode['timestamp']
  /** Whether an invalid record is dropped and counted; otherwise it stops the application. */
  readonly skipsInvalid: boolean
}

export type StoreShape =
  | { readonly kind: 'keyValue' }
  /**
   * Sliding windows are stored differently from tumbling and hopping ones, so one kind cannot use the rows of the
   * other.
   */
  | { readonly kind: 'window'; readonly sizeMs: number; readonly retentionMs: number; readonly isSliding?: true }
  /** The rows of one side of a stream-stream join. */
  | { readonly kind: 'join'; readonly retentionMs: number }
  /** The records of a left or outer join that have not found a partner yet. */
  | { readonly kind: 'unmatched' }
  /**
   * Sessions by key, end and start. In the last `unlistedMs` of the retention, a session can still be found but is not
   * listed.
   */
  | { readonly kind: 'session'; readonly retentionMs: number; readonly unlistedMs?: number }

export type EmitPolicy = 'commit' | 'update' | 'final'

/** A topic that the application creates for itself. */
export interface InternalTopic {
  /** Without the prefix of the application: the full name is `<application>-<name>`. */
  readonly name: string
  readonly role: 'repartition' | 'changelog'
  /** If absent, as many as the co-partitioned sources have. */
  readonly partitions?: number
  readonly config: Partial<TopicConfig>
}
