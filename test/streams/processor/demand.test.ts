import { describe, expect, test } from 'vitest'
import { longKey, stringKey } from '../../../src/codec/key-codecs.ts'
import type { KeyCodec } from '../../../src/codec/codec.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { sessions, tumbling } from '../../../src/dsl/windows.ts'
import { demandOf, takesKeyBytes, type Demand } from '../../../src/streams/processor/demand.ts'
import type { TopologyNode } from '../../../src/streams/topology/node.ts'

type Extract = (value: string, key: string, recordTime: number, partitionTime: number) => number

/** The demand on a source whose records are passed on unread, or read by value, or by key and value. */
function demand(timestamp: Extract | null, reads: 'nothing' | 'value' | 'key' = 'nothing'): Demand {
  const builder = new StreamsBuilder()
  const declared = { key: stringKey, value: string }
  const words = builder.stream(topic('in', timestamp === null ? declared : { ...declared, timestamp }))
  const out = topic('out', declared)
  if (reads === 'nothing') words.to(out)
  else if (reads === 'value') words.filter((value) => value !== '').to(out)
  else words.filter((_value, key) => key !== '').to(out)
  return demandIn(builder).demand
}

/** The demand on the first source. */
function demandIn(builder: StreamsBuilder): { readonly demand: Demand; readonly takesBytes: boolean } {
  const { nodes } = builder.build()
  const childrenOf = (name: string): readonly TopologyNode[] =>
    nodes.filter((node) => node.kind !== 'source' && node.parents.includes(name))
  const source = nodes.find((node) => node.kind === 'source')
  if (source?.kind !== 'source') throw new Error('there is no source')
  return { demand: demandOf(source, childrenOf), takesBytes: takesKeyBytes(source, childrenOf) }
}

describe('a source', () => {
  test('decodes only what an operator reads', () => {
    expect(demand(null)).toEqual({ key: false, value: false })
    expect(demand(null, 'value')).toEqual({ key: false, value: true })
    expect(demand(null, 'key')).toEqual({ key: true, value: true })
  })

  test('decodes no value of which only the presence is written', () => {
    const builder = new StreamsBuilder()
    const words = builder.stream(topic('in', { key: stringKey, value: string }))
    words.groupBy(() => 'all').count({ name: 'counts' })

    expect(demandIn(builder).demand).toEqual({ key: false, value: false })
  })

  test('decodes no key for a timestamp extractor that takes only the value', () => {
    expect(demand((value) => Number(value))).toEqual({ key: false, value: true })
    expect(demand(({ length }) => length)).toEqual({ key: false, value: true })
  })

  test('decodes the key for a timestamp extractor that takes it, or may take it', () => {
    const both = { key: true, value: true }
    expect(demand((_value, key) => Number(key))).toEqual(both)
    expect(demand((...all) => Number(all[1]))).toEqual(both)
    expect(demand((value, key = value) => Number(key))).toEqual(both)
    expect(
      demand(function extract(_value: string) {
        // oxlint-disable-next-line prefer-rest-params
        return Number(arguments[1])
      }),
    ).toEqual(both)
  })
})

describe('a count by key', () => {
  function counted(key: KeyCodec<string> | KeyCodec<number>, emit: 'commit' | 'update'): ReturnType<typeof demandIn> {
    const builder = new StreamsBuilder()
    builder
      .stream(topic('in', { key: key as KeyCodec<string>, value: string }))
      .groupByKey()
      .windowedBy(tumbling('1m'))
      .count({ name: 'counts', emit })
    return demandIn(builder)
  }

  test('takes keys as bytes if their codec can check bytes', () => {
    expect(counted(stringKey, 'commit')).toEqual({ demand: { key: false, value: false }, takesBytes: true })
    expect(counted(longKey, 'commit').demand.key).toBe(true)
  })

  test('is treated like other aggregations: only callbacks that take the key make it decoded', () => {
    const folded = (add: (all: string, value: string, key: string) => string): boolean => {
      const builder = new StreamsBuilder()
      const words = builder.stream(topic('in', { key: stringKey, value: string })).groupByKey()
      words.windowedBy(tumbling('1m')).reduce({ name: 'reduced', add, emit: 'final' })
      words.windowedBy(sessions('1m')).aggregate({ name: 'a', value: string, initial: () => '', add, merge: add })
      return demandIn(builder).demand.key
    }

    expect(folded((all, value) => all + value)).toBe(false)
    expect(folded((all, value, key) => all + value + key)).toBe(true)
    expect(folded((...all) => all[2])).toBe(true)
  })

  test('decodes the keys if it emits every update', () => {
    expect(counted(stringKey, 'update').demand.key).toBe(true)
  })
})

describe('a join with a table', () => {
  type Joiner = (value: string, row: string, key: string) => string

  function joined(joiner: Joiner, given: { readonly key?: KeyCodec<never>; readonly emit?: 'update' } = {}): Demand {
    const builder = new StreamsBuilder()
    const key: KeyCodec<string> = given.key ?? stringKey
    const words = builder.stream(topic('in', { key, value: string }))
    const rows = words.filter((value) => value !== '').toTable({ name: 'rows', emit: given.emit ?? 'commit' })
    words.joinTable(rows, joiner).to(topic('out', { key, value: string }))
    return demandIn(builder).demand
  }

  test('takes keys as bytes, and so does the table', () => {
    expect(joined((value, row) => value + row).key).toBe(false)
    expect(joined((value, row) => value + row, { emit: 'update' }).key).toBe(false)
  })

  test('decodes the keys if its joiner takes them, or may, or if the codec cannot check bytes', () => {
    expect(joined((value, row, key) => value + row + key).key).toBe(true)
    expect(joined((...all) => all[2]).key).toBe(true)
    expect(joined((value, row) => value + row, { key: longKey as KeyCodec<never> }).key).toBe(true)
  })

  test('decodes the keys if the rows are computed by a mapper that takes them', () => {
    const builder = new StreamsBuilder()
    const words = builder.stream(topic('in', { key: stringKey, value: string }))
    const rows = words.toTable({ name: 'rows' }).mapValues((value, key) => value + key)
    words.joinTable(rows, (value, row) => value + row).to(topic('out', { key: stringKey, value: string }))

    expect(demandIn(builder).demand.key).toBe(true)
  })

  test('decodes the keys if the table forwards each update to an operator that reads them', () => {
    const builder = new StreamsBuilder()
    const words = builder.stream(topic('in', { key: stringKey, value: string }))
    words
      .toTable({ name: 'rows', emit: 'update' })
      .toStream()
      .foreach((_value, key) => void key)

    expect(demandIn(builder).demand.key).toBe(true)
  })
})
