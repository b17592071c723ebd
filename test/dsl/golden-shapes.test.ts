import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import type { Topic } from '../../src/codec/topic.ts'
import { string } from '../../src/codec/value-codecs.ts'
import { GroupedStream } from '../../src/dsl/grouped-stream.ts'
import { Stream } from '../../src/dsl/stream.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { Table } from '../../src/dsl/table.ts'
import { WindowedStream } from '../../src/dsl/windowed-stream.ts'
import { hopping } from '../../src/dsl/windows.ts'
import { internalTopicName } from '../../src/streams/topology/internal-topics.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { keyFunction, pairsFunction, predicate, valueFunction, valuesFunction } from '../harness/golden-functions.ts'
import type { Key, Value } from '../harness/golden-functions.ts'

/** How the real Kafka Streams cuts a topology, as recorded. Node names and ids are Kafka's and do not count. */
interface Shape {
  readonly name: string
  readonly title: string
  readonly topology: readonly Operation[]
  readonly shape?: {
    readonly subTopologies: readonly {
      readonly sourceTopics: readonly string[]
      readonly sinkTopics: readonly string[]
      readonly repartitionSourceTopics: readonly string[]
      readonly changelogTopics: readonly string[]
      readonly stores: readonly string[]
    }[]
    readonly copartitionGroups: readonly (readonly string[])[]
  }
  readonly buildError?: { readonly type: string; readonly message: string }
}

interface Operation {
  readonly op: string
  readonly as?: string
  readonly [field: string]: unknown
}

const folder = fileURLToPath(new URL('../golden/topologies', import.meta.url))
const shapes = readdirSync(folder).map((file): Shape => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')))

describe('topologies are cut as Kafka Streams cuts them', () => {
  for (const recorded of shapes) {
    test(recorded.title, () => {
      if (recorded.buildError !== undefined) {
        expect(() => buildOf(recorded.topology)).toThrow(/CONFIG_INVALID|TOPOLOGY_INVALID/)
        return
      }
      const topology = buildOf(recorded.topology)

      expect(partsOf(topology)).toEqual(
        recorded.shape?.subTopologies.map((part) => ({
          sourceTopics: part.sourceTopics.toSorted(),
          sinkTopics: part.sinkTopics.toSorted(),
          repartitionSourceTopics: part.repartitionSourceTopics.toSorted(),
          changelogTopics: part.changelogTopics.toSorted(),
          stores: part.stores.toSorted(),
        })),
      )
      // We also group what meets in a store without a join, which Kafka lets pass unchecked.
      const groups = topology.subTopologies.flatMap((part) =>
        part.copartitioned.map((group) => group.toSorted().join()),
      )
      for (const group of recorded.shape?.copartitionGroups ?? []) expect(groups).toContain(group.toSorted().join())
    })
  }
})

function partsOf(topology: Topology): unknown {
  const full = (name: string, internal: boolean): string => (internal ? internalTopicName('golden', name) : name)
  return topology.subTopologies.map((part) => ({
    sourceTopics: part.sources.flatMap((source) => source.topics.map((name) => full(name, source.internal))).toSorted(),
    sinkTopics: part.sinks.flatMap((sink) => sink.topics.map((name) => full(name, sink.internal))).toSorted(),
    repartitionSourceTopics: part.sources
      .filter((source) => source.internal)
      .flatMap((source) => source.topics.map((name) => full(name, true)))
      .toSorted(),
    changelogTopics: part.stores.map((store) => full(`${store.name}-changelog`, true)).toSorted(),
    stores: part.stores.map((store) => store.name).toSorted(),
  }))
}

type S = Stream<Key, Value>

function buildOf(operations: readonly Operation[]): Topology {
  const builder = new StreamsBuilder()
  const made = new Map<string, unknown>()
  const topics = new Map<string, Topic<Key, Value>>()
  const topicOf = (name: unknown): Topic<Key, Value> => {
    const known = topics.get(String(name))
    if (known !== undefined) return known
    const declared = topic(String(name), { key: stringKey, value: string }) as unknown as Topic<Key, Value>
    topics.set(String(name), declared)
    return declared
  }
  const of = <T>(operation: Operation, kind: new (...parts: never[]) => T, field = 'of'): T => {
    const handle = made.get(String(operation[field]))
    if (handle instanceof kind) return handle
    throw new Error(`${operation.op}: ${String(operation[field])} is no ${kind.name}`)
  }
  const stream = (operation: Operation, field = 'of'): S => of(operation, Stream, field) as S
  const text = (operation: Operation, field: string): string => String(operation[field])
  const named = (operation: Operation): { name?: string; key: typeof stringKey } => ({
    ...(operation['name'] === undefined ? {} : { name: text(operation, 'name') }),
    key: stringKey,
  })

  const run = (operation: Operation): unknown => {
    switch (operation.op) {
      case 'stream':
        return builder.stream(
          operation['topics'] === undefined
            ? topicOf(operation['topic'])
            : (operation['topics'] as string[]).map(topicOf),
        )
      case 'stateStore':
        return builder.addStore({ name: text(operation, 'name'), key: stringKey, value: string })
      case 'filter':
        return stream(operation).filter(predicate(text(operation, 'predicate')))
      case 'peek':
        return stream(operation).peek(() => undefined)
      case 'map': {
        const [key, value] = [keyFunction(text(operation, 'key')), valueFunction(text(operation, 'value'))]
        return stream(operation).map((v, k) => [key(v, k), value(v, k)])
      }
      case 'mapValues':
        return stream(operation).mapValues(valueFunction(text(operation, 'fn')))
      case 'flatMap':
        return stream(operation).flatMap(pairsFunction(text(operation, 'fn')))
      case 'flatMapValues':
        return stream(operation).flatMapValues(valuesFunction(text(operation, 'fn')))
      case 'selectKey':
        return stream(operation).selectKey(keyFunction(text(operation, 'fn')))
      case 'merge':
        return stream(operation).merge(stream(operation, 'with'))
      case 'process':
        return stream(operation).process<Key, Value>(() => ({ process: () => undefined }), {
          stores: operation['stores'] as readonly string[],
        })
      case 'groupByKey':
        return (stream(operation) as Stream<string, Value>).groupByKey(named(operation))
      case 'groupBy':
        return stream(operation).groupBy(
          keyFunction(text(operation, 'fn')) as (value: Value, key: Key) => string,
          named(operation),
        )
      case 'windowedBy': {
        const { sizeMs, advanceMs, graceMs } = operation['window'] as {
          sizeMs: number
          advanceMs: number
          graceMs: number
        }
        return of(operation, GroupedStream).windowedBy(hopping(sizeMs, { advance: advanceMs, grace: graceMs }))
      }
      case 'count': {
        const handle = made.get(String(operation['of']))
        const grouped = handle instanceof WindowedStream ? handle : of(operation, GroupedStream)
        return grouped.count({ name: text(operation, 'store') })
      }
      case 'toStream':
        return of(operation, Table).toStream()
      case 'to':
        return stream(operation).to(topicOf(operation['topic']))
      default:
        throw new Error(`no operator ${operation.op}`)
    }
  }
  for (const operation of operations) {
    const handle = run(operation)
    if (operation.as !== undefined) made.set(operation.as, handle)
  }
  return builder.build()
}
