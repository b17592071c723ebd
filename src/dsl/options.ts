import type { Declared, Writable } from '../codec/schema.ts'
import type { AnyTopic } from '../codec/topic.ts'
import type { StreamPartitioner } from '../streams/topology/sink-partitioner.ts'
import type { Duration } from '../base/duration.ts'
import type { OptionNames } from '../base/option-names.ts'

/** A name for the operator, by which errors, metrics and saved state find it. Default: its kind and a number. */
export interface Named {
  readonly name?: string
}

export const namedOptionNames: OptionNames<Named> = { name: true }

/** How a source treats what does not fit. */
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

/** How a stream is written. */
export interface Produced<K, V> extends Named {
  /**
   * Partition of a record, a whole number below `partitions`. One with an id is remembered with the topic, and the same id
   * elsewhere counts as the same rule; a function alone is known only within the program. A topic that declares its
   * partitioner needs none here and takes no other. Default: the topic's, else murmur2 of the key's bytes, as Kafka's
   * clients have it; sticky without a key. Kafka's `Produced.withStreamPartitioner`.
   * @example totals.to(totalsTopic, { partitioner: { id: 'by-region', partition: (key, _value, n) => key.region % n } })
   */
  readonly partitioner?: StreamPartitioner<K, V>
}

export const producedOptionNames: OptionNames<Produced<never, never>> = { ...namedOptionNames, partitioner: true }

/** How records get to the partition of their key, where the key has changed. */
export interface Grouping<KD extends Declared = Declared> {
  /**
   * Name of the repartition topic, `<application>-<name>-repartition`, made only if the key has changed. Aggregations
   * of one named grouping share it. Default: the name of the store, a topic for each.
   */
  readonly name?: string
  /** Schema or codec of the key. Needed unless it is a string, number, bigint, boolean or a tuple of these. */
  readonly key?: KD
  /** Codec of the values on the way. Default: that of the source if the value is still its own, else msgpack. */
  readonly value?: Declared
}

export const groupingOptionNames: OptionNames<Grouping> = { name: true, key: true, value: true }

/** A repartition that is asked for. */
export interface Repartitioned<KD extends Declared = Declared, K = never, V = never> extends Grouping<KD> {
  /** Partitions of the topic. Default: as many as the part of the topology that writes it, or as it is co-partitioned with. */
  readonly partitions?: number
  /**
   * Partition of a record on the topic, as for `to`: what a join with a topic that declares a partitioner takes. Default:
   * murmur2 of the key. Another one than before is refused at the start: state lies in the partitions of the former.
   */
  readonly partitioner?: StreamPartitioner<K, V>
}

export const repartitionedOptionNames: OptionNames<Repartitioned> = {
  ...groupingOptionNames,
  partitions: true,
  partitioner: true,
}

/** A store of an aggregation. */
export interface StoreOptions {
  /** Name of the store and, with `-changelog`, of its topic. State is found again by it. */
  readonly name: string
  /** Where rows are kept: on disk by LMDB (default) or in memory. */
  readonly engine?: 'lmdb' | 'memory'
  /**
   * `commit` (default): the newest value per key and commit. `update`: every update. What leaves at a commit is of times
   * before it, which in a backfill are long past: to join the stream of it in time with one that was not held back, use
   * `update`, or a grace that covers what a commit takes in.
   */
  readonly emit?: 'commit' | 'update'
  /** False: no changelog; the state is lost with its directory. Default true. Kafka's `withLoggingDisabled`. */
  readonly changelog?: boolean
}

export const storeOptionNames: OptionNames<StoreOptions> = { name: true, engine: true, emit: true, changelog: true }

/** A store of windows. */
export interface WindowStoreOptions extends Omit<StoreOptions, 'emit'> {
  /** As for other stores, or `final`: one result per window and key, when the window has closed. */
  readonly emit?: 'commit' | 'update' | 'final'
  /** How long rows are kept after the start of their window, in stream time. Default and least: size + grace. */
  readonly retention?: Duration
}

export const windowStoreOptionNames: OptionNames<WindowStoreOptions> = { ...storeOptionNames, retention: true }

/** `aggregate`: `initial` makes an empty aggregate, `add` returns a new one, never undefined. */
export interface Aggregation<VD extends Declared, A, V, K> {
  /** Schema or codec of the aggregate. Stored values carry the schema's version, see `versions`. */
  readonly value: VD & Writable<VD>
  readonly initial: () => A
  readonly add: (aggregate: A, value: V, key: K) => A
}

/** `reduce`: `add` joins the reduced value so far and a new one. */
export interface Reduction<V, K> {
  // A method, which the compiler compares both ways: else a grouped stream could not stand for one of wider values.
  add(reduced: V, value: V, key: K): V
  /** Schema or codec of the reduced value. Default: the codec of the source if the value is still its own, else msgpack. */
  readonly value?: Declared
}

/** `reduce` of a grouped table: `subtract` takes a value out of the reduced one again. */
export interface TableReduction<V, K> extends Reduction<V, K> {
  subtract(reduced: V, value: V, key: K): V
}

/** `aggregate` of a grouped table: `subtract` undoes what `add` did with a value. */
export interface TableAggregation<VD extends Declared, A, V, K> extends Aggregation<VD, A, V, K> {
  readonly subtract: (aggregate: A, value: V, key: K) => A
}

/** One reduction may serve for streams and tables, of which only tables call `subtract`. */
export const reductionOptionNames: OptionNames<TableReduction<never, never>> = {
  add: true,
  value: true,
  subtract: true,
}

/** The same with aggregations: `merge` is called for sessions alone. */
export const aggregationOptionNames: OptionNames<
  TableAggregation<Declared, never, never, never> & { readonly merge: unknown }
> = { value: true, initial: true, add: true, merge: true, subtract: true }

/** A store for the rows of a table that an operator makes. Kafka's `Materialized`. */
export interface TableStore extends Omit<StoreOptions, 'emit'> {
  /** Schema or codec of the values. Default: that of the source if the value is still its own, else msgpack. */
  readonly value?: Declared
}

export const tableStoreOptionNames: OptionNames<TableStore> = { name: true, engine: true, changelog: true, value: true }

/** An operator or join that makes a table. */
export interface TableOptions extends Named {
  /** Keeps the rows in a store, so that they can be asked for. Default: not kept; computed where they are needed. */
  readonly store?: TableStore
}

export const tableOptionNames: OptionNames<TableOptions> = { ...namedOptionNames, store: true }

/** A topic that is read as a table. */
export interface TableSourceOptions extends Partial<Omit<StoreOptions, 'changelog'>>, Pick<Consumed, 'onInvalid'> {
  /**
   * True (default): the store has a changelog, `<application>-<store>-changelog`. `source`: the topic itself is it, so
   * nothing is written twice; for topics that keep every record. False: the rows are lost with their directory. Kafka's
   * `reuse.ktable.source.topics`.
   */
  readonly changelog?: boolean | 'source'
  /**
   * Name of the table and its store, which then can be asked. Default: `<topic>-table`, and rows are kept only if
   * something downstream needs them.
   */
  readonly name?: string
}

export const tableSourceOptionNames: OptionNames<TableSourceOptions> = { ...storeOptionNames, onInvalid: true }

/** A stream that becomes a table. */
export interface ToTableOptions<KD extends Declared = Declared> extends StoreOptions {
  /** Schema or codec of the key, where it has changed and is none that needs no declaration. */
  readonly key?: KD
  /** Schema or codec of the values. Default: that of the source if the value is still its own, else msgpack. */
  readonly value?: Declared
}

export const toTableOptionNames: OptionNames<ToTableOptions> = { ...storeOptionNames, key: true, value: true }

/** A topic of which every task has all rows. */
export interface GlobalTableOptions {
  /** Name of the table and its store, by which it can be asked. Default: `<topic>-table`. */
  readonly name?: string
  /** A record that does not fit: `fail` (default) stops the application, `skip` drops it, counted. */
  readonly onInvalid?: 'fail' | 'skip'
}

export const globalTableOptionNames: OptionNames<GlobalTableOptions> = { name: true, onInvalid: true }

/** A join of a stream with a table. */
export interface TableJoined extends Named {
  /**
   * Name of the join, and of its repartition topic `<application>-<name>-repartition`: needed where the stream's key has
   * changed.
   */
  readonly name?: string
  /** Codec of the stream's values on that way. Default: that of the source if the value is still its own, else msgpack. */
  readonly value?: Declared
}

export const tableJoinedOptionNames: OptionNames<TableJoined> = { ...namedOptionNames, value: true }

/**
 * A join of two streams: which records are near enough in time, how long late ones are waited for, and where the records
 * of both sides are kept meanwhile. Kafka's `JoinWindows` and `StreamJoined`.
 */
export interface StreamJoined {
  /**
   * Name of the join, of its stores (`<name>-this-join-store` and so on) and of its repartition topics
   * (`<application>-<name>-left-repartition`). State is found again by it.
   */
  readonly name: string
  /** The other record is at most so much older or newer; stands for `before` and `after` of the same length. */
  readonly within?: Duration
  /** How much older than this stream's record the other one may be. Default 0 where `after` is given. May be negative. */
  readonly before?: Duration
  /** How much newer than this stream's record the other one may be. Default 0 where `before` is given. May be negative. */
  readonly after?: Duration
  /**
   * How long, in stream time, a window stays open after its end for records that are late: rows are kept for at least
   * before + after + grace, and results without a partner leave only then. Default 0.
   */
  readonly grace?: Duration
  /** Schema or codec of the key, where it has changed on both sides and is none that needs no declaration. */
  readonly key?: Declared
  /** Codec of this stream's values in store and repartition topic. Default: that of the source if the value is still its own, else msgpack. */
  readonly value?: Declared
  /** The same for the other stream's values. */
  readonly otherValue?: Declared
  /** Where rows are kept: on disk by LMDB (default) or in memory. */
  readonly engine?: 'lmdb' | 'memory'
  /** False: no changelogs; the rows are lost with their directory. Default true. */
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
