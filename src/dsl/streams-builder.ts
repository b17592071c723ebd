import { keyDeclaration } from '../codec/key-choice.ts'
import type { Declared, OutputOf, Writable } from '../codec/schema.ts'
import type { AnyTopic, Topic } from '../codec/topic.ts'
import { checkOptions } from '../streams/checked-options.ts'
import { StreamsError } from '../streams/errors.ts'
import type { KeyValueStore, SessionStore, WindowStore } from '../streams/store/key-value-store.ts'
import type { InvalidRecordPolicy, StoreShape } from '../streams/topology/node.ts'
import type { Topology } from '../streams/topology/topology.ts'
import type { Duration } from '../base/duration.ts'
import type { OptionNames } from '../base/option-names.ts'
import { checkInvalidPolicy, checkStore, checkTopic } from './arguments.ts'
import { durationMs } from './duration.ts'
import type { StoreRef } from './operators/process.ts'
import { GlobalTable } from './global-table.ts'
import { groupingPlan } from './grouping.ts'
import {
  consumedOptionNames,
  globalTableOptionNames,
  tableSourceOptionNames,
  type Consumed,
  type GlobalTableOptions,
  type TableSourceOptions,
} from './options.ts'
import { compile } from './plan/compile.ts'
import { Plan } from './plan/plan.ts'
import { storedValue } from './stored-value.ts'
import { Stream } from './stream.ts'
import { emitOf, tableStorePlan } from './table-store.ts'
import { Table } from './table.ts'

/**
 * Describes a topology: streams and tables begin here, and `build()` turns the description into frozen data. Nothing
 * runs, so a module that builds a topology has no side effects and can be loaded by threads and tests. Kafka:
 * `StreamsBuilder`.
 * @example
 * const builder = new StreamsBuilder()
 * builder.stream(views).groupBy((view) => view.path).count({ name: 'views' }).toStream().to(counts)
 * const topology = builder.build()
 */
export class StreamsBuilder {
  readonly #plan = new Plan()

  /**
   * The records of a topic, or of several topics. They are decoded and validated here, once; `onInvalid` says what happens to
   * records that do not fit. Kafka: `stream`.
   * @example builder.stream(pageViews, { onInvalid: { deadLetter: 'bad-page-views' } })
   */
  stream<K, V>(
    topics: Topic<K, V, never, never> | readonly Topic<K, V, never, never>[],
    options: Consumed = {},
  ): Stream<K, V> {
    const all = isList(topics) ? [...topics] : [topics]
    for (const topic of all) checkTopic('stream', topic)
    checkOptions('stream', options, consumedOptionNames)
    const id = this.#plan.append({
      kind: 'source',
      name: options.name,
      topics: all,
      onInvalid: policyOf('stream', options.onInvalid),
    })
    return new Stream(this.#plan, id)
  }

  /**
   * A topic as a table: its newest value per key. Null deletes a row, if the topic declares `tombstones: true`; records with a
   * null key are dropped and counted. The record that arrives last wins, whatever its timestamp. Kafka: `table`.
   * @example const users = builder.table(usersTopic, { name: 'users' })
   */
  table<K, V>(
    topic: Topic<K, V, never, never>,
    options: TableSourceOptions = {},
  ): Table<NonNullable<K>, NonNullable<V>, Extract<V, null>> {
    checkTopic('table', topic)
    checkOptions('table', options, tableSourceOptionNames)
    const { onInvalid, ...store } = options
    const name = options.name ?? `${topic.name}-table`
    checkStore(name, store, { source: true })
    const parent = this.#plan.append({
      kind: 'source',
      name: undefined,
      topics: [topic],
      onInvalid: policyOf('table', onInvalid),
    })
    const id = this.#plan.append({
      kind: 'table-source',
      parent,
      name,
      emit: emitOf(name, options.emit),
      store: tableStorePlan({ ...store, name, changelog: options.changelog !== false }),
      sourceTopic: options.changelog === 'source' ? sourceChangelog(topic, onInvalid) : null,
      isKept: options.name !== undefined,
      grouping: groupingPlan({}),
    })
    return new Table(this.#plan, id, (plan, stream) => new Stream(plan, stream))
  }

  /**
   * A topic as a table that every task has in full, in memory, for joins by any key. The application starts to process once
   * the topic has been read; later records take effect between two commits. They are validated like those of other sources.
   * Kafka: `globalTable`.
   * @example const pages = builder.globalTable(pagesTopic, { name: 'pages' })
   */
  globalTable<K, V>(
    topic: Topic<K, V, never, never>,
    options: GlobalTableOptions = {},
  ): GlobalTable<NonNullable<K>, NonNullable<V>> {
    checkTopic('globalTable', topic)
    checkOptions('globalTable', options, globalTableOptionNames)
    checkInvalidPolicy('globalTable', options.onInvalid, { deadLetter: false })
    const id = this.#plan.append({
      kind: 'global-table',
      name: options.name ?? `${topic.name}-table`,
      topic,
      skipsInvalid: options.onInvalid === 'skip',
    })
    return new GlobalTable(this.#plan, id)
  }

  /**
   * Declares a store for processors of your own. Its rows are found by key; with `window`, by key and start of the
   * window; with `sessions`, by key, start and end. Name it in `process({ stores })` and get it with
   * `context.store(ref)`. Unless `changelog` is false, its rows can be restored from a changelog. Kafka: `addStateStore`.
   * @example const seen = builder.addStore({ name: 'seen', key: z.string(), value: z.number() })
   */
  addStore<KD extends Declared, VD extends Declared>(
    options: OwnStoreOptions<KD, VD> & { readonly window: StoreWindow },
  ): StoreRef<WindowStore<OutputOf<KD>, OutputOf<VD>>>
  addStore<KD extends Declared, VD extends Declared>(
    options: OwnStoreOptions<KD, VD> & { readonly sessions: StoreSessions },
  ): StoreRef<SessionStore<OutputOf<KD>, OutputOf<VD>>>
  addStore<KD extends Declared, VD extends Declared>(
    options: OwnStoreOptions<KD, VD>,
  ): StoreRef<KeyValueStore<OutputOf<KD>, OutputOf<VD>>>
  addStore<KD extends Declared, VD extends Declared>(
    options: OwnStoreOptions<KD, VD> & { readonly window?: StoreWindow; readonly sessions?: StoreSessions },
  ): StoreRef<unknown> {
    checkOptions('addStore', options, { ...ownStoreOptionNames, window: true, sessions: true })
    const { name, window, sessions } = options
    const { value, schema } = storedValue(options.value, name)
    checkStore(`store ${name}`, options)
    this.#plan.addStore({
      name,
      shape: sessions === undefined ? shapeOf(name, window) : sessionShape(name, sessions, window),
      engine: options.engine ?? 'lmdb',
      key: keyDeclaration(options.key, `key of store ${name}`).codec,
      value,
      logged: options.changelog ?? true,
      emit: 'commit',
      ...(schema === undefined ? {} : { schema }),
    })
    return Object.freeze({ name })
  }

  /**
   * Checks the description and makes the topology. Throws TOPOLOGY_INVALID or NOT_COPARTITIONED, saying which rule is broken
   * and what to do. Kafka: `build`.
   */
  build(): Topology {
    return compile(this.#plan)
  }
}

/** A store for processors of your own. */
export interface OwnStoreOptions<KD extends Declared, VD extends Declared> {
  /** Name of the store and, with `-changelog`, of its topic. After a restart, the state is found by this name. */
  readonly name: string
  /** Schema or codec of the keys. */
  readonly key: KD & Writable<KD>
  /** Schema or codec of the values. */
  readonly value: VD & Writable<VD>
  /** Where rows are kept: on disk with LMDB (default) or in memory. */
  readonly engine?: 'lmdb' | 'memory'
  /** False: no changelog; the state is lost if its directory is lost. Default true. */
  readonly changelog?: boolean
}

const ownStoreOptionNames: OptionNames<OwnStoreOptions<Declared, Declared>> = {
  name: true,
  key: true,
  value: true,
  engine: true,
  changelog: true,
}

/** Makes a store keep rows of windows, each of which has a start. Kafka: `Stores.windowStoreBuilder`. */
export interface StoreWindow {
  /** Length of the windows that rows belong to. Kafka: the window size of a window store. */
  readonly size: Duration
  /** How long rows are kept, in the time of the rows. At least the size. */
  readonly retention: Duration
}

/** Makes a store keep rows of sessions, each of which has a start and an end. Kafka: `Stores.sessionStoreBuilder`. */
export interface StoreSessions {
  /** How long sessions are kept after their end, in the time of the ends. */
  readonly retention: Duration
}

function sessionShape(store: string, sessions: StoreSessions, window: StoreWindow | undefined): StoreShape {
  if (window !== undefined) {
    throw new StreamsError('CONFIG_INVALID', `store ${store} is given window and sessions; it keeps rows in one way`, {
      store,
    })
  }
  checkOptions(`sessions of store ${store}`, sessions, { retention: true })
  const retentionMs = durationMs(sessions.retention, `the retention of store ${store}`)
  return Object.freeze({ kind: 'session', retentionMs })
}

function shapeOf(store: string, window: StoreWindow | undefined): StoreShape {
  if (window === undefined) return Object.freeze({ kind: 'keyValue' })
  checkOptions(`window of store ${store}`, window, { size: true, retention: true })
  return Object.freeze({
    kind: 'window',
    sizeMs: durationMs(window.size, `the window size of store ${store}`),
    retentionMs: durationMs(window.retention, `the retention of store ${store}`),
  })
}

function policyOf(call: string, onInvalid: Consumed['onInvalid']): InvalidRecordPolicy {
  checkInvalidPolicy(call, onInvalid, { deadLetter: true })
  if (onInvalid === undefined || onInvalid === 'fail') return Object.freeze({ kind: 'fail' })
  if (onInvalid === 'skip') return Object.freeze({ kind: 'skip' })
  checkOptions('onInvalid', onInvalid, { deadLetter: true })
  const { deadLetter } = onInvalid
  return Object.freeze({ kind: 'deadLetter', topic: typeof deadLetter === 'string' ? deadLetter : deadLetter.name })
}

function isList<T>(topics: T | readonly T[]): topics is readonly T[] {
  return Array.isArray(topics)
}

/** Returns the topic if it can be the changelog of a table, which requires that it returns every row unchanged. */
function sourceChangelog(topic: AnyTopic, onInvalid: Consumed['onInvalid']): AnyTopic {
  const { cleanupPolicy = 'delete', retentionMs = -1, retentionBytes = -1 } = topic.config
  const reason =
    cleanupPolicy !== 'delete'
      ? 'compaction takes away rows that the application has not yet seen replaced'
      : retentionMs !== -1 || retentionBytes !== -1
        ? 'its retention takes away rows that are still there'
        : topic.timestamp !== undefined
          ? 'its times come out of its records, and rows are restored with the time that a record carries'
          : onInvalid !== undefined && onInvalid !== 'fail'
            ? 'records that were passed over would become rows'
            : null
  if (reason === null) return topic
  throw new StreamsError(
    'CONFIG_INVALID',
    `topic ${topic.name} cannot be the changelog of its table: ${reason}; leave out changelog: 'source'`,
    { topic: topic.name },
  )
}
