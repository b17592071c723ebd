import type { Declared, Writable } from '../codec/schema.ts'
import type { AnyTopic } from '../codec/topic.ts'
import type { StreamPartitioner } from '../streams/topology/sink-partitioner.ts'
import type { Duration } from '../base/duration.ts'
import type { OptionNames } from '../base/option-names.ts'

/** A name for an operator. */
export interface Named {
  /** Used in errors, metrics and saved state. Default: the kind of the operator, with a number from the second one on. */
  readonly name?: string
}

export const namedOptionNames: OptionNames<Named> = { name: true }

/** How a topic is read. Kafka: `Consumed`. */
export interface Consumed extends Named {
  /**
   * A record that cannot be decoded or does not fit its schema: `fail` (default) stops the application, and the error names
   * topic, partition, offset, field and value; `skip` drops the record and counts it; a dead-letter topic takes its bytes,
   * and headers say what happened: `__millrace.errors.exception`, `-.message`, `-.topic`, `-.partition` and `-.offset`, all
   * text. The record keeps its partition, modulo their number; a dead-letter topic that does not exist is made with one.
   */
  readonly onInvalid?: 'fail' | 'skip' | { readonly deadLetter: AnyTopic | string }
}

export const consumedOptionNames: OptionNames<Consumed> = { ...namedOptionNames, onInvalid: true }

/** How a stream is written. Kafka: `Produced`. */
export interface Produced<K, V> extends Named {
  /**
   * Chooses the partition of a record, a whole number below `partitions`. The topic remembers the id of a partitioner, and
   * equal ids count as the same rule; a function alone is known only within the program. A topic that declares a partitioner
   * needs none here and accepts no other. Default: that of the topic, else murmur2 of the key's bytes, as in Kafka's clients;
   * records without a key are spread over the partitions. Kafka: `Produced.withStreamPartitioner`.
   * @example totals.to(totalsTopic, { partitioner: { id: 'by-region', partition: (key, _value, n) => key.region % n } })
   */
  readonly partitioner?: StreamPartitioner<K, V>
}

export const producedOptionNames: OptionNames<Produced<never, never>> = { ...namedOptionNames, partitioner: true }

/** How records are brought to the partition of their key if the key has changed. Kafka: `Grouped`. */
export interface Grouping<KD extends Declared = Declared> {
  /**
   * Name of the repartition topic, `<application>-<name>-repartition`, which is made only if the key has changed. All
   * aggregations of a named grouping share it. Default: the name of the store, with a topic for each aggregation.
   */
  readonly name?: string
  /** Schema or codec of the key. Needed unless it is a string, number, bigint, boolean or a tuple of these. */
  readonly key?: KD
  /**
   * Codec of the values in that topic. Default: that of the source if the value has not changed since, else msgpack. If the
   * topic is not named and serves a `count`, which reads no values, only their presence is written.
   */
  readonly value?: Declared
}

export const groupingOptionNames: OptionNames<Grouping> = { name: true, key: true, value: true }

/** Options of `repartition`. Kafka: `Repartitioned`. */
export interface Repartitioned<KD extends Declared = Declared, K = never, V = never> extends Grouping<KD> {
  /**
   * Partitions of the topic. Default: as many as the topics that it is joined with, or that it is written from.
   */
  readonly partitions?: number
  /**
   * Chooses the partition of a record, as for `to`: needed for a join with a topic that declares a partitioner. Default:
   * murmur2 of the key. An application whose partitioner has changed is refused when it starts, because its state lies in the
   * partitions that the former one chose.
   */
  readonly partitioner?: StreamPartitioner<K, V>
}

export const repartitionedOptionNames: OptionNames<Repartitioned> = {
  ...groupingOptionNames,
  partitions: true,
  partitioner: true,
}

/** The store of an aggregation. Kafka: `Materialized`. */
export interface StoreOptions {
  /** Name of the store and, with `-changelog`, of its topic. After a restart, the state is found by this name. */
  readonly name: string
  /** Where rows are kept: on disk with LMDB (default) or in memory. */
  readonly engine?: 'lmdb' | 'memory'
  /**
   * When results are forwarded. `commit` (default): the newest value per key, at each commit. `update`: every update. Results
   * that are forwarded at a commit may be much older than the records that are read next, especially in a backfill. To join
   * them in time with a stream that was not held back, use `update`, or a grace that covers the span of a commit.
   */
  readonly emit?: 'commit' | 'update'
  /** False: no changelog; the state is lost if its directory is lost. Default true. Kafka: `withLoggingDisabled`. */
  readonly changelog?: boolean
}

export const storeOptionNames: OptionNames<StoreOptions> = { name: true, engine: true, emit: true, changelog: true }

/** The store of a windowed aggregation. Kafka: `Materialized`. */
export interface WindowStoreOptions extends Omit<StoreOptions, 'emit'> {
  /**
   * As for other stores, or `final`: one result per window and key, once the window has closed. Kafka:
   * `EmitStrategy.onWindowClose`.
   */
  readonly emit?: 'commit' | 'update' | 'final'
  /**
   * How long rows are kept, in stream time, after the start of their window or the end of their session. Default and minimum:
   * size + grace, for sliding windows twice the size + grace, for sessions gap + grace.
   */
  readonly retention?: Duration
}

export const windowStoreOptionNames: OptionNames<WindowStoreOptions> = { ...storeOptionNames, retention: true }

/** How `aggregate` works: `initial` makes an empty aggregate, and `add` returns a new one, never undefined. */
export interface Aggregation<VD extends Declared, A, V, K> {
  /**
   * Schema or codec of the aggregate. Stored values carry the version of the schema, see `versions`. With a schema, use plain
   * objects and arrays: a Set, a Map or an instance of a class is not what is read back after a restart.
   */
  readonly value: VD & Writable<VD>
  readonly initial: () => A
  readonly add: (aggregate: A, value: V, key: K) => A
}

/** How `reduce` works: `add` combines the value reduced so far with a new one. */
export interface Reduction<V, K> {
  // A method, because the compiler compares those bivariantly: otherwise a grouped stream would not be assignable to one of
  // wider values.
  add(reduced: V, value: V, key: K): V
  /**
   * Schema or codec of the reduced value. Default: the codec of the source if the value has not changed since, else
   * msgpack.
   */
  readonly value?: Declared
}

/** How `reduce` of a grouped table works: `subtract` removes a value from the reduced one again. */
export interface TableReduction<V, K> extends Reduction<V, K> {
  subtract(reduced: V, value: V, key: K): V
}

/** How `aggregate` of a grouped table works: `subtract` undoes what `add` did with a value. */
export interface TableAggregation<VD extends Declared, A, V, K> extends Aggregation<VD, A, V, K> {
  readonly subtract: (aggregate: A, value: V, key: K) => A
}

/** One object may serve streams and tables, although only tables call `subtract`. */
export const reductionOptionNames: OptionNames<TableReduction<never, never>> = {
  add: true,
  value: true,
  subtract: true,
}

/** The same holds here, where `merge` is called for sessions only. */
export const aggregationOptionNames: OptionNames<
  TableAggregation<Declared, never, never, never> & { readonly merge: unknown }
> = { value: true, initial: true, add: true, merge: true, subtract: true }

/** A store for the rows of a table that results from an operator. Kafka: `Materialized`. */
export interface TableStore extends Omit<StoreOptions, 'emit'> {
  /** Schema or codec of the values. Default: that of the source if the value has not changed since, else msgpack. */
  readonly value?: Declared
}

export const tableStoreOptionNames: OptionNames<TableStore> = { name: true, engine: true, changelog: true, value: true }

/** Options of an operator or join that makes a table. */
export interface TableOptions extends Named {
  /**
   * Keeps the rows in a store, so that they can be queried. Default: rows are not kept, but computed where they are
   * needed.
   */
  readonly store?: TableStore
}

export const tableOptionNames: OptionNames<TableOptions> = { ...namedOptionNames, store: true }

/** How a topic is read as a table. */
export interface TableSourceOptions extends Partial<Omit<StoreOptions, 'changelog'>>, Pick<Consumed, 'onInvalid'> {
  /**
   * True (default): the store has a changelog, `<application>-<store>-changelog`. `source`: the topic itself serves as the
   * changelog, so that nothing is written twice; only for topics that keep every record. False: the rows are lost if their
   * directory is lost. Kafka: `reuse.ktable.source.topics`.
   */
  readonly changelog?: boolean | 'source'
  /**
   * Name of the table and its store, which can then be queried. Default: `<topic>-table`, and rows are kept only if an
   * operator downstream needs them.
   */
  readonly name?: string
}

export const tableSourceOptionNames: OptionNames<TableSourceOptions> = { ...storeOptionNames, onInvalid: true }

/** Options of `toTable`. */
export interface ToTableOptions<KD extends Declared = Declared> extends StoreOptions {
  /**
   * Schema or codec of the key. Needed if it has changed and is not a string, number, bigint, boolean or a tuple of
   * these.
   */
  readonly key?: KD
  /** Schema or codec of the values. Default: that of the source if the value has not changed since, else msgpack. */
  readonly value?: Declared
  /**
   * `always` (default): rows are kept in the store, which can be queried. `ifNeeded`: they are kept only if an operator
   * downstream needs them, for example a join. Without its rows the table does not know which keys it has, and forwards
   * a null for any key. Kafka: `toTable` with and without `Materialized`.
   */
  readonly keep?: 'always' | 'ifNeeded'
}

export const toTableOptionNames: OptionNames<ToTableOptions> = {
  ...storeOptionNames,
  key: true,
  value: true,
  keep: true,
}

/** How a topic is read as a global table. */
export interface GlobalTableOptions {
  /** Name of the table and its store, by which it can be queried. Default: `<topic>-table`. */
  readonly name?: string
  /** What happens to a record that does not fit: `fail` (default) stops the application, `skip` drops and counts it. */
  readonly onInvalid?: 'fail' | 'skip'
}

export const globalTableOptionNames: OptionNames<GlobalTableOptions> = { name: true, onInvalid: true }

/** Options of a join of a stream with a table. Kafka: `Joined`. */
export interface TableJoined extends Named {
  /**
   * Name of the join and of its repartition topic, `<application>-<name>-repartition`. Needed if the key of the stream has
   * changed.
   */
  readonly name?: string
  /** Codec of the values in that topic. Default: that of the source if the value has not changed since, else msgpack. */
  readonly value?: Declared
}

export const tableJoinedOptionNames: OptionNames<TableJoined> = { ...namedOptionNames, value: true }

/**
 * Options of a join of two streams: which records are close enough in time, how long the join waits for late records, and
 * where the records of both sides are kept meanwhile. Kafka: `JoinWindows` and `StreamJoined`.
 */
export interface StreamJoined {
  /**
   * Name of the join, of its stores (`<name>-this-join-store` and so on) and of its repartition topics
   * (`<application>-<name>-left-repartition`). After a restart, the state is found by this name.
   */
  readonly name: string
  /** How much older or newer the other record may be at most. The same as `before` and `after` of this length. */
  readonly within?: Duration
  /** How much older than this stream's record the other one may be. Default 0 where `after` is given. May be negative. */
  readonly before?: Duration
  /** How much newer than this stream's record the other one may be. Default 0 where `before` is given. May be negative. */
  readonly after?: Duration
  /**
   * How long, in stream time, a window stays open for late records after its end: rows are kept for at least before + after +
   * grace, and results without a partner are forwarded only then. Default 0.
   */
  readonly grace?: Duration
  /** Schema or codec of the key, where it has changed on both sides and is none that needs no declaration. */
  readonly key?: Declared
  /**
   * Codec of this stream's values in its store and repartition topic. Default: that of the source if the value has not
   * changed since, else msgpack.
   */
  readonly value?: Declared
  /** Codec of the other stream's values, with the same default. */
  readonly otherValue?: Declared
  /** Where rows are kept: on disk with LMDB (default) or in memory. */
  readonly engine?: 'lmdb' | 'memory'
  /** False: no changelogs; the rows are lost if their directory is lost. Default true. */
  readonly changelog?: boolean
}

export const streamJoinedOptionNames: OptionNames<StreamJoined> = {
  name: true,
  within: true,
  before: true,
  after: true,
  grace: true,
  key: true,
  value: true,
  otherValue: true,
  engine: true,
  changelog: true,
}
