import { z } from 'zod'
import type { Codec, KeyCodec } from '../../src/codec/codec.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic, type Topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { windowed, type WindowKind, type Windows } from '../../src/codec/windowed-codec.ts'
import type { GlobalTable } from '../../src/dsl/global-table.ts'
import type { GroupedStream } from '../../src/dsl/grouped-stream.ts'
import type { GroupedTable } from '../../src/dsl/grouped-table.ts'
import type { ForwardedRecord, ValueProcessor } from '../../src/dsl/operators/process.ts'
import type { Stream } from '../../src/dsl/stream.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Table } from '../../src/dsl/table.ts'
import type { WindowedStream } from '../../src/dsl/windowed-stream.ts'
import { hopping, sessions, sliding, tumbling } from '../../src/dsl/windows.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import {
  combiner,
  keyFunction,
  pairsFunction,
  predicate,
  textOf,
  valueFunction,
  valuesFunction,
  type Key,
  type Value,
} from './golden-functions.ts'
import { goldenProcessor, type ProcessorSpec } from './golden-processors.ts'
import type { Operation, Scenario, ScenarioTopic } from './golden-scenario.ts'

/** Thrown if a recorded topology uses an operator that we do not have; the message is its name. */
export class UnsupportedOperator extends Error {
  override readonly name = 'UnsupportedOperator'
}

export type GoldenTopic = Topic<Key, Value>

/** The topology of a scenario in our DSL, and its topics as declared. */
export interface GoldenTopology {
  readonly topology: Topology
  readonly topics: ReadonlyMap<string, GoldenTopic>
}

/** Builds the `topology` array of a scenario. Throws what building throws, or UnsupportedOperator. */
export function goldenTopology(
  scenario: Pick<Scenario, 'topology' | 'config'> & Partial<Pick<Scenario, 'topics'>>,
  emit: 'update' | 'commit' = 'update',
): GoldenTopology {
  return new GoldenBuilder(scenario, emit).build()
}

type ValueType = ScenarioTopic['value']
/** Windows of the key, or null: a string. */
type KeyType = Windows<WindowKind> | null
type Handle =
  | { readonly kind: 'stream'; readonly it: Stream<Key, Value> }
  | { readonly kind: 'grouped'; readonly it: GroupedStream<Key, Value> }
  | {
      readonly kind: 'windowed'
      readonly it: WindowedStream<Key, Value, WindowKind>
      readonly windows: Windows<WindowKind>
      readonly final: boolean
    }
  | { readonly kind: 'table'; readonly it: Table<Key, Value> }
  | { readonly kind: 'groupedTable'; readonly it: GroupedTable<Key, Value> }
  | { readonly kind: 'globalTable'; readonly it: GlobalTable<Key, Value> }
type Typed = Handle & { readonly key: KeyType; readonly value: ValueType }

class GoldenBuilder {
  readonly #scenario: Pick<Scenario, 'topology' | 'config'> & Partial<Pick<Scenario, 'topics'>>
  readonly #emit: 'update' | 'commit'
  readonly #builder = new StreamsBuilder()
  readonly #handles = new Map<string, Typed>()
  readonly #topics = new Map<string, GoldenTopic>()
  #unnamed = 0

  constructor(
    scenario: Pick<Scenario, 'topology' | 'config'> & Partial<Pick<Scenario, 'topics'>>,
    emit: 'update' | 'commit',
  ) {
    this.#scenario = scenario
    this.#emit = emit
  }

  build(): GoldenTopology {
    const { config = {} } = this.#scenario
    for (const option of ['optimization', 'deadLetterTopic', 'ensureExplicitNames', 'upgradeFrom']) {
      if (config[option] !== undefined) throw new UnsupportedOperator(`config ${option}`)
    }
    for (const operation of this.#scenario.topology) this.#add(operation)
    const topology = this.#builder.build()
    for (const name of Object.keys(this.#scenario.topics ?? {})) this.#topic(name)
    return { topology, topics: this.#topics }
  }

  #add(operation: Operation): void {
    const { op } = operation
    switch (op) {
      case 'stream':
        this.#stream(operation)
        return
      case 'table':
        this.#table(operation)
        return
      case 'globalTable':
        this.#globalTable(operation)
        return
      case 'toTable':
        this.#toTable(operation)
        return
      case 'streamTableJoin':
        this.#streamTableJoin(operation)
        return
      case 'streamGlobalTableJoin':
        this.#streamGlobalTableJoin(operation)
        return
      case 'streamStreamJoin':
        this.#streamStreamJoin(operation)
        return
      case 'tableTableJoin':
        this.#tableTableJoin(operation)
        return
      case 'stateStore':
        this.#builder.addStore({ name: text(operation, 'name'), key: stringKey, value: codecOf(typeIn(operation)) })
        return
      case 'split':
        this.#split(operation)
        return
      case 'to':
        this.#to(operation)
        return
      case 'groupByKey':
      case 'groupBy':
        this.#group(operation)
        return
      case 'windowedBy':
        this.#windows(operation)
        return
      case 'count':
      case 'reduce':
      case 'aggregate':
        this.#aggregate(operation)
        return
      case 'toStream':
        this.#toStream(operation)
        return
      default:
        this.#operator(operation)
    }
  }

  #stream(operation: Operation): void {
    const names = (operation['topics'] as readonly string[] | undefined) ?? [text(operation, 'topic')]
    const extractor = operation['timestampExtractor'] as string | undefined
    const topics = names.map((name) => this.#topic(name, { timestamp: extractor }))
    const it = this.#builder.stream(topics, { onInvalid: this.#onInvalid })
    this.#set(operation, { kind: 'stream', it, key: null, value: this.#declared(names[0] ?? '')?.value ?? 'string' })
  }

  #operator(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind === 'table') return this.#tableOperator(operation, from)
    if (from.kind !== 'stream') throw new UnsupportedOperator(`${operation.op} of a ${from.kind}`)
    const { it: stream, value: type } = from
    const same = (it: Stream<Key, Value>): void => this.#set(operation, { ...from, it })
    const rekeyed = (it: Stream<Key, Value>, value = type): void =>
      this.#set(operation, { kind: 'stream', it, key: null, value })
    switch (operation.op) {
      case 'filter':
        return same(stream.filter(predicate(text(operation, 'predicate'))))
      case 'filterNot':
        return same(stream.filterNot(predicate(text(operation, 'predicate'))))
      case 'peek':
        return same(stream.peek(() => {}))
      case 'mapValues':
        return this.#set(operation, {
          ...from,
          it: stream.mapValues(valueFunction(text(operation, 'fn'))),
          value: typeOfValue(text(operation, 'fn'), type),
        })
      case 'flatMapValues':
        return same(stream.flatMapValues(valuesFunction(text(operation, 'fn'))))
      case 'selectKey':
        return this.#set(operation, {
          ...from,
          it: stream.selectKey(keyFunction(text(operation, 'fn'))),
          key: keyTypeOf(text(operation, 'fn'), from.key),
        })
      case 'map': {
        const key = keyFunction(text(operation, 'key'))
        const value = valueFunction(text(operation, 'value'))
        return this.#set(operation, {
          ...from,
          it: stream.map((given, its): readonly [Key, Value] => [key(given, its), value(given, its)]),
          key: keyTypeOf(text(operation, 'key'), from.key),
          value: typeOfValue(text(operation, 'value'), type),
        })
      }
      case 'flatMap':
        return rekeyed(stream.flatMap<Key, Value>(pairsFunction(text(operation, 'fn'))), 'string')
      case 'merge': {
        const other = this.#handle(text(operation, 'with'))
        if (other.kind !== 'stream') throw new UnsupportedOperator('merge with a table')
        return same(stream.merge(other.it))
      }
      case 'repartition': {
        const { name } = operation as { readonly name?: string }
        const partitions = operation['partitions'] as number | undefined
        const options = {
          ...groupingOf(from, name),
          ...(partitions === undefined ? {} : { partitions }),
        }
        return same(stream.repartition(options))
      }
      case 'process':
      case 'processValues':
        return this.#process(operation, from)
      default:
        throw new UnsupportedOperator(operation.op)
    }
  }

  #process(operation: Operation, from: Typed & { readonly kind: 'stream' }): void {
    const spec = operation['processor'] as ProcessorSpec
    const supplier = goldenProcessor(spec)
    const stores = (operation['stores'] as readonly string[] | undefined) ?? storesOf(spec)
    const name = operation['name'] as string | undefined
    const options = { stores, ...(name === undefined ? {} : { name }) }
    const it =
      operation.op === 'process'
        ? from.it.process(supplier, options)
        : from.it.processValues(() => valuesOnly(supplier()), options)
    this.#set(operation, { ...from, it, value: typeOfProcessor(spec.kind, from.value) })
  }

  #split(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind !== 'stream') throw new UnsupportedOperator(`split of a ${from.kind}`)
    const branches = operation['branches'] as readonly { readonly predicate: string; readonly as: string }[]
    const rest = operation['default'] as string | undefined
    const streams: { readonly [name: string]: Stream<Key, Value> } = from.it.split(
      Object.fromEntries(branches.map((branch) => [branch.as, predicate(branch.predicate)])),
      rest === undefined ? {} : { rest },
    )
    for (const [as, it] of Object.entries(streams)) this.#handles.set(as, { ...from, it })
  }

  #to(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind !== 'stream') throw new UnsupportedOperator(`to of a ${from.kind}`)
    const chooser = operation['topicFn'] as string | undefined
    if (chooser === undefined) {
      from.it.to(this.#topic(text(operation, 'topic'), from))
      return
    }
    const choose = keyFunction(chooser)
    const topics = (operation['topics'] as readonly string[]).map((name) => this.#topic(name, from))
    from.it.to(topics, { choose: (value, key) => textOf(choose(value, key)) })
  }

  #group(operation: Operation): void {
    const from = this.#of(operation)
    const name = operation['name'] as string | undefined
    if (from.kind === 'table') {
      if (operation['value'] !== undefined) throw new UnsupportedOperator('groupBy of a table with another value')
      const key = keyTypeOf(text(operation, 'key'), from.key)
      const it = from.it.groupBy(keyFunction(text(operation, 'key')), groupingOf({ ...from, key }, name))
      this.#set(operation, { kind: 'groupedTable', it: it, key, value: from.value })
      return
    }
    if (from.kind !== 'stream') throw new UnsupportedOperator(`groupBy of a ${from.kind}`)
    if (operation.op === 'groupByKey') {
      const it = from.it.groupByKey(groupingOf(from, name))
      this.#set(operation, { kind: 'grouped', it, key: from.key, value: from.value })
      return
    }
    const key = keyTypeOf(text(operation, 'fn'), from.key)
    const it = from.it.groupBy(keyFunction(text(operation, 'fn')), groupingOf({ ...from, key }, name))
    this.#set(operation, { kind: 'grouped', it, key, value: from.value })
  }

  #windows(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind !== 'grouped') throw new UnsupportedOperator(`windowedBy of a ${from.kind}`)
    const windows = windowsMade(operation['window'] as WindowOperand)
    const final = operation['emit'] === 'onWindowClose'
    this.#set(operation, { ...from, kind: 'windowed', it: from.it.windowedBy(windows), windows, final })
  }

  #aggregate(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind === 'groupedTable') return this.#tableAggregate(operation, from)
    if (from.kind !== 'grouped' && from.kind !== 'windowed')
      throw new UnsupportedOperator(`${operation.op} of a ${from.kind}`)
    if (from.kind === 'windowed') {
      const retention = operation['retentionMs'] as number | undefined
      const store = {
        ...this.#store(operation),
        emit: from.final ? ('final' as const) : this.#emit,
        ...(retention === undefined ? {} : { retention }),
      }
      const { table, value } = aggregateOf(operation, from.value, {
        count: () => from.it.count(store),
        reduce: (options) => from.it.reduce({ ...store, ...options }),
        aggregate: (options) => from.it.aggregate({ ...store, ...options }),
      })
      this.#set(operation, { kind: 'table', it: table, key: from.windows, value })
      return
    }
    const store = { ...this.#store(operation), emit: this.#emit }
    const { table, value } = aggregateOf(operation, from.value, {
      count: () => from.it.count(store),
      reduce: (options) => from.it.reduce({ ...store, ...options }),
      aggregate: (options) => from.it.aggregate({ ...store, ...options }),
    })
    this.#set(operation, { kind: 'table', it: table, key: from.key, value })
  }

  #store(operation: Operation): { readonly name: string; readonly changelog: boolean } {
    const name = (operation['store'] as string | undefined) ?? `unnamed-${this.#unnamed++}`
    return { name, changelog: operation['logging'] !== false }
  }

  #toStream(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind !== 'table') throw new UnsupportedOperator(`toStream of a ${from.kind}`)
    const fn = operation['fn'] as string | undefined
    const it = from.it.toStream()
    if (fn === undefined) {
      this.#set(operation, { kind: 'stream', it, key: from.key, value: from.value })
      return
    }
    const key = keyTypeOf(fn, from.key)
    this.#set(operation, { kind: 'stream', it: it.selectKey(keyFunction(fn)), key, value: from.value })
  }

  #table(operation: Operation): void {
    if (operation['versionedRetentionMs'] !== undefined) throw new UnsupportedOperator('versioned tables')
    const name = text(operation, 'topic')
    const store = operation['store'] as string | undefined
    const it = this.#builder.table(this.#topic(name), {
      emit: 'update',
      onInvalid: this.#onInvalid,
      ...(store === undefined ? {} : { name: store }),
    })
    this.#set(operation, { kind: 'table', it: it, key: null, value: this.#typeIn(name) })
  }

  #globalTable(operation: Operation): void {
    const name = text(operation, 'topic')
    const store = operation['store'] as string | undefined
    const it = this.#builder.globalTable(this.#topic(name), {
      onInvalid: this.#onInvalid,
      ...(store === undefined ? {} : { name: store }),
    })
    this.#set(operation, {
      kind: 'globalTable',
      it: it,
      key: null,
      value: this.#typeIn(name),
    })
  }

  #toTable(operation: Operation): void {
    const from = this.#of(operation)
    if (from.kind !== 'stream') throw new UnsupportedOperator(`toTable of a ${from.kind}`)
    const { key, value } = groupingOf(from, undefined)
    const keep = operation['store'] === undefined ? 'ifNeeded' : 'always'
    const it = from.it.toTable({ ...this.#store(operation), emit: 'update', key, value, keep })
    this.#set(operation, { kind: 'table', it: it, key: from.key, value: from.value })
  }

  #tableOperator(operation: Operation, from: Typed & { readonly kind: 'table' }): void {
    const made = operation.op === 'mapValues' ? typeOfValue(text(operation, 'fn'), from.value) : from.value
    const options = this.#materialized(operation, made)
    switch (operation.op) {
      case 'filter':
        return this.#set(operation, { ...from, it: from.it.filter(predicate(text(operation, 'predicate')), options) })
      case 'filterNot':
        return this.#set(operation, {
          ...from,
          it: from.it.filterNot(predicate(text(operation, 'predicate')), options),
        })
      case 'mapValues': {
        const it = from.it.mapValues(valueFunction(text(operation, 'fn')), options) as Table<Key, Value>
        return this.#set(operation, { ...from, it, value: made })
      }
      default:
        throw new UnsupportedOperator(`${operation.op} of a table`)
    }
  }

  #tableTableJoin(operation: Operation): void {
    const [left, right] = [this.#tableOf(operation, 'left'), this.#tableOf(operation, 'right')]
    const joiner = combiner(text(operation, 'joiner'))
    const value = typeOfCombined(text(operation, 'joiner'))
    const options = this.#materialized(operation, value)
    const type = text(operation, 'type')
    const it =
      type === 'inner'
        ? left.it.join(right.it, joiner, options)
        : type === 'left'
          ? left.it.leftJoin(right.it, joiner, options)
          : left.it.outerJoin(right.it, joiner, options)
    this.#set(operation, { kind: 'table', it: it, key: left.key, value })
  }

  #streamStreamJoin(operation: Operation): void {
    const [left, right] = [this.#streamOf(operation, 'left'), this.#streamOf(operation, 'right')]
    const window = operation['window'] as {
      readonly beforeMs: number
      readonly afterMs: number
      readonly graceMs: number
      readonly legacy?: boolean
    }
    if (window.legacy === true) throw new UnsupportedOperator('join windows of before 3.0')
    const joiner = combiner(text(operation, 'joiner'))
    const type = text(operation, 'type')
    const options = {
      name: ((operation['store'] ?? operation['name']) as string | undefined) ?? `unnamed-${this.#unnamed++}`,
      before: window.beforeMs,
      after: window.afterMs,
      grace: window.graceMs,
      ...groupingOf(left, undefined),
      otherValue: codecOf(right.value),
    }
    const it =
      type === 'inner'
        ? left.it.join(right.it, joiner, options)
        : type === 'left'
          ? left.it.leftJoin(right.it, joiner, options)
          : left.it.outerJoin(right.it, joiner, options)
    this.#set(operation, { ...left, it, value: typeOfCombined(text(operation, 'joiner')) })
  }

  #streamTableJoin(operation: Operation): void {
    const stream = this.#streamOf(operation, 'left')
    const table = this.#tableOf(operation, 'right')
    if (operation['graceMs'] !== undefined) throw new UnsupportedOperator('a stream-table join with grace')
    const joiner = combiner(text(operation, 'joiner'))
    const name = (operation['name'] as string | undefined) ?? `unnamed-${this.#unnamed++}`
    const options = { value: codecOf(stream.value), name }
    const it =
      operation['type'] === 'left'
        ? stream.it.leftJoinTable(table.it, joiner, options)
        : stream.it.joinTable(table.it, joiner, options)
    this.#set(operation, { ...stream, it, value: typeOfCombined(text(operation, 'joiner')) })
  }

  #streamGlobalTableJoin(operation: Operation): void {
    const stream = this.#streamOf(operation, 'left')
    const table = this.#handle(text(operation, 'right'))
    if (table.kind !== 'globalTable') throw new UnsupportedOperator(`a global join with a ${table.kind}`)
    const joiner = combiner(text(operation, 'joiner'))
    const key = keyFunction(text(operation, 'key'))
    const it =
      operation['type'] === 'left'
        ? stream.it.leftJoinGlobalTable(table.it, key, joiner)
        : stream.it.joinGlobalTable(table.it, key, joiner)
    this.#set(operation, { ...stream, it, value: typeOfCombined(text(operation, 'joiner')) })
  }

  #tableAggregate(operation: Operation, from: Typed & { readonly kind: 'groupedTable' }): void {
    const store = { ...this.#store(operation), emit: 'update' as const }
    const subtract = operation['subtract'] === undefined ? combiner('first') : combiner(text(operation, 'subtract'))
    const { table, value } = aggregateOf(operation, from.value, {
      count: () => from.it.count(store),
      reduce: (options) => from.it.reduce({ ...store, ...options, subtract }),
      aggregate: (options) => from.it.aggregate({ ...store, ...options, subtract }),
    })
    this.#set(operation, { kind: 'table', it: table, key: from.key, value })
  }

  #materialized(
    operation: Operation,
    value: ValueType,
  ): { readonly store?: { readonly name: string; readonly value: Codec<Value> } } {
    const name = operation['store'] as string | undefined
    return name === undefined ? {} : { store: { name, value: codecOf(value) } }
  }

  #streamOf(operation: Operation, field: string): Typed & { readonly kind: 'stream' } {
    const handle = this.#handle(text(operation, field))
    if (handle.kind !== 'stream') throw new UnsupportedOperator(`${operation.op} of a ${handle.kind}`)
    return handle
  }

  #tableOf(operation: Operation, field: string): Typed & { readonly kind: 'table' } {
    const handle = this.#handle(text(operation, field))
    if (handle.kind !== 'table') throw new UnsupportedOperator(`${operation.op} of a ${handle.kind}`)
    return handle
  }

  get #onInvalid(): 'skip' | 'fail' {
    return this.#scenario.config?.['onDeserializationError'] === 'continue' ? 'skip' : 'fail'
  }

  #typeIn(name: string): ValueType {
    return this.#declared(name)?.value ?? 'string'
  }

  #declared(name: string): ScenarioTopic | undefined {
    return this.#scenario.topics?.[name]
  }

  /** A topic is declared once; what the scenario does not say (shapes list no topics) comes from the stream. */
  #topic(
    name: string,
    from: { readonly key?: KeyType; readonly value?: ValueType; readonly timestamp?: string | undefined } = {},
  ): GoldenTopic {
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    const declared = this.#declared(name)
    const windows = declared === undefined ? (from.key ?? null) : windowsOf(declared)
    const made = declareTopic(name, windows, declared?.value ?? from.value ?? 'string', from.timestamp)
    this.#topics.set(name, made)
    return made
  }

  #set(operation: Operation, handle: Typed): void {
    this.#handles.set(operation.as ?? '', handle)
  }

  #of(operation: Operation): Typed {
    if (operation.of === undefined) throw new UnsupportedOperator(operation.op)
    return this.#handle(operation.of)
  }

  #handle(name: string): Typed {
    const handle = this.#handles.get(name)
    if (handle === undefined) throw new Error(`the recording names ${name} before it is made`)
    return handle
  }
}

/** Keys may be null; values are checked where they come in, as Kafka's deserializers do. */
function declareTopic(name: string, windows: KeyType, value: ValueType, extractor: string | undefined): GoldenTopic {
  const options = {
    tombstones: true as const,
    ...(extractor === undefined ? {} : { timestamp: extractorOf(extractor) }),
    ...(value === 'long'
      ? { value: z.number().int() as z.ZodType<Value, Value>, format: 'long' as const }
      : { value: z.string() as z.ZodType<Value, Value>, format: 'string' as const }),
  }
  if (windows === null) {
    return topic(name, { ...options, key: z.string().nullable() }) as unknown as GoldenTopic
  }
  return topic(name, { ...options, key: windowed(stringKey, windows) }) as unknown as GoldenTopic
}

interface WindowOperand {
  readonly type: string
  readonly sizeMs?: number
  readonly advanceMs?: number
  readonly differenceMs?: number
  readonly gapMs?: number
  readonly graceMs: number
}

function windowsMade(window: WindowOperand): Windows<WindowKind> {
  const { type, sizeMs = 0, advanceMs = 0, differenceMs = 0, gapMs = 0, graceMs: grace } = window
  switch (type) {
    case 'tumbling':
      return tumbling(sizeMs, { grace })
    case 'hopping':
      return hopping(sizeMs, { advance: advanceMs, grace })
    case 'sliding':
      return sliding(differenceMs, { grace })
    case 'session':
      return sessions(gapMs, { grace })
    default:
      throw new UnsupportedOperator(`${type} windows`)
  }
}

function windowsOf({ key, windowSizeMs }: ScenarioTopic): KeyType {
  if (key === 'string') return null
  if (key === 'sessionWindowed') return { kind: 'session', sizeMs: 0, advanceMs: 0, graceMs: 0 }
  return { kind: 'time', sizeMs: windowSizeMs ?? 0, advanceMs: windowSizeMs ?? 0, graceMs: 0 }
}

/** `valueAfter:S` and `partitionTimeOr:S`: the number behind the first S. */
function extractorOf(name: string): (value: Value, key: unknown, time: number, partitionTime: number) => number {
  const [word, separator] = [name.slice(0, name.indexOf(':')), name.slice(name.indexOf(':') + 1)]
  return (value, _key, _time, partitionTime) => {
    const text = String(value)
    const at = text.indexOf(separator)
    if (at >= 0) return Number(text.slice(at + separator.length))
    return word === 'partitionTimeOr' ? partitionTime : -1
  }
}

type Combining = (so: Value, next: Value, key: Key) => Value

function aggregateOf(
  operation: Operation,
  streamed: ValueType,
  make: {
    count(): Table<unknown, number, unknown>
    reduce(options: { readonly add: Combining; readonly value: Codec<Value> }): Table<unknown, Value, unknown>
    aggregate(options: {
      readonly initial: () => Value
      readonly add: Combining
      readonly merge: Combining
      readonly value: Codec<Value>
    }): Table<unknown, Value, unknown>
  },
): { readonly table: Table<Key, Value>; readonly value: ValueType } {
  if (operation.op === 'count') return { table: make.count() as Table<Key, Value>, value: 'long' }
  const add = combiner(text(operation, 'add'))
  if (operation.op === 'reduce') {
    return { table: make.reduce({ add, value: codecOf(streamed) }) as Table<Key, Value>, value: streamed }
  }
  const initial = operation['initial'] as Value
  const value = typeof initial === 'number' ? 'long' : 'string'
  const merger = operation['merge'] as string | undefined
  const table = make.aggregate({
    initial: () => initial,
    add,
    // Only sessions have one.
    merge: merger === undefined ? add : combiner(merger),
    value: codecOf(value),
  }) as Table<Key, Value>
  return { table, value }
}

/** In a grouping every codec is named, so that the bytes on internal topics are Kafka's. */
function groupingOf(
  from: { readonly key: KeyType; readonly value: ValueType },
  name: string | undefined,
): { readonly key: KeyCodec<Key>; readonly value: Codec<Value>; readonly name?: string } {
  const key: unknown = from.key === null ? stringKey : windowed(stringKey, from.key)
  return { key: key as KeyCodec<Key>, value: codecOf(from.value), ...(name === undefined ? {} : { name }) }
}

function codecOf(type: ValueType): Codec<Value> {
  return (type === 'long' ? long : string) as Codec<unknown> as Codec<Value>
}

function text(operation: Operation, field: string): string {
  const value = operation[field]
  if (typeof value !== 'string') throw new Error(`${operation.op} has no ${field}`)
  return value
}

function typeIn(operation: Operation): ValueType {
  return operation['value'] === 'long' ? 'long' : 'string'
}

function typeOfValue(fn: string, of: ValueType): ValueType {
  const word = fn.split(':')[0] ?? ''
  if (['length', 'parseLong', 'plus'].includes(word)) return 'long'
  return ['identity', 'toNull', 'nullIf'].includes(word) ? of : 'string'
}

/** What a joiner makes. */
function typeOfCombined(joiner: string): ValueType {
  return ['sum', 'minus', 'max', 'min', 'countUp', 'countDown'].includes(joiner) ? 'long' : 'string'
}

function keyTypeOf(fn: string, of: KeyType): KeyType {
  return fn === 'same' ? of : null
}

function typeOfProcessor(kind: string, of: ValueType): ValueType {
  if (kind === 'countInStore') return 'long'
  return ['streamTime', 'wallClock', 'recordInfo', 'fanOut', 'lookup'].includes(kind) ? 'string' : of
}

function storesOf(spec: ProcessorSpec): readonly string[] {
  return typeof spec['store'] === 'string' ? [spec['store']] : []
}

/** The same processor where it may only forward values. */
function valuesOnly(processor: ReturnType<ReturnType<typeof goldenProcessor>>): ValueProcessor<Key, Value, Value> {
  return {
    init: (context) => {
      const forwarding = Object.create(context, {
        forward: {
          value: ({ value, timestamp, headers }: ForwardedRecord<Key, Value>) =>
            context.forward(value, { timestamp, ...(headers === undefined ? {} : { headers }) }),
        },
      }) as Parameters<NonNullable<typeof processor.init>>[0]
      processor.init?.(forwarding)
    },
    process: (record) => processor.process(record),
  }
}
