import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../src/codec/topic.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'

const text = { key: z.string(), value: z.string(), format: 'string' } as const
const views = topic('views', text)
const orders = topic('orders', text)

/** An argument that the compiler would refuse. */
const missing: never = undefined as never
const add = (sum: string, value: string): string => sum + value
const joined = { name: 'pairs', within: '5m' } as const

describe('an argument that the types forbid fails at the call with CONFIG_INVALID', () => {
  test.each<[string, (builder: StreamsBuilder) => unknown, RegExp]>([
    [
      'a missing topic',
      (builder) => builder.stream(missing),
      /stream: a topic is what topic\(name, ...\) made, not undefined/,
    ],
    ['a missing topic among several', (builder) => builder.stream([views, missing]), /stream: a topic is what topic/],
    ['the name of a topic instead of the topic', (builder) => builder.stream('views' as never), /not "views"/],
    ['a table without a topic', (builder) => builder.table(missing), /table: a topic/],
    ['a global table without a topic', (builder) => builder.globalTable(missing), /globalTable: a topic/],
    ['a sink without a topic', (builder) => builder.stream(views).to(missing), /to: a topic/],
    [
      'a sink with the name of a topic',
      (builder) => builder.stream(views).to('orders' as never),
      /to: a topic .* not "orders"/,
    ],
    [
      'map without a function',
      (builder) => builder.stream(views).map(missing),
      /map: what it calls is a function, not undefined/,
    ],
    [
      'filter without a function',
      (builder) => builder.stream(views).filter(null as never),
      /filter: .* a function, not null/,
    ],
    ['peek without a function', (builder) => builder.stream(views).peek(missing), /peek: .* a function/],
    [
      'flatMapValues without a function',
      (builder) => builder.stream(views).flatMapValues(missing),
      /flatMapValues: .* a function/,
    ],
    ['groupBy without a function', (builder) => builder.stream(views).groupBy(missing), /groupBy: .* a function/],
    [
      'split without a function',
      (builder) => builder.stream(views).split({ large: missing }),
      /split, branch large: .* a function/,
    ],
    [
      'process without a supplier',
      (builder) => builder.stream(views).process(missing),
      /process: the supplier is a function/,
    ],
    [
      'process with an instance of a processor',
      (builder) => builder.stream(views).process({} as never),
      /not an object/,
    ],
    ['a join without a partner', (builder) => builder.stream(views).join(missing, () => 1, joined), /is a Stream/],
    [
      'a join without a joiner',
      (builder) => builder.stream(views).join(builder.stream(orders), missing, joined),
      /join pairs: the joiner is a function/,
    ],
    [
      'a join of streams with a table',
      (builder) => builder.stream(views).join(builder.table(orders) as never, () => 1, joined),
      /join pairs: what it joins is a Stream, not a Table/,
    ],
    [
      'joinTable with a stream',
      (builder) => builder.stream(views).joinTable(builder.stream(orders) as never, () => 1),
      /joinTable: what it joins is a Table, not a Stream/,
    ],
    [
      'joinGlobalTable with a table',
      (builder) => builder.stream(views).joinGlobalTable(builder.table(orders) as never, String, () => 1),
      /joinGlobalTable: what it joins is a GlobalTable, not a Table/,
    ],
    ['merge without a stream', (builder) => builder.stream(views).merge(missing), /merge: what it joins is a Stream/],
    ['a join without a table', (builder) => builder.stream(views).joinTable(missing, () => 1), /is a Table/],
    [
      'a join with a table, without a joiner',
      (builder) => builder.stream(views).joinTable(builder.table(orders), missing),
      /joinTable: the joiner/,
    ],
    [
      'a filter of a table without a function',
      (builder) => builder.table(views).filter(missing),
      /filter of a table: .* a function/,
    ],
    [
      'a join of tables without the other table',
      (builder) => builder.table(views).join(missing, () => 1),
      /is a Table, not undefined/,
    ],
    [
      'windowedBy without windows',
      (builder) => builder.stream(views).groupByKey().windowedBy(missing),
      /windowedBy: windows are/,
    ],
    [
      'windowedBy with a duration',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .windowedBy('5m' as never),
      /not "5m"/,
    ],
    [
      'reduce without add',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .reduce({ name: 'r' } as never),
      /r: add is a function/,
    ],
    [
      'a count in an unknown engine',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .count({ name: 'c', engine: 'rocksdb' as never }),
      /c: engine is 'lmdb' or 'memory', not "rocksdb"/,
    ],
    [
      'a join in an unknown engine',
      (builder) => builder.stream(views).join(builder.stream(orders), () => 1, { ...joined, engine: 'LMDB' as never }),
      /join pairs: engine is 'lmdb' or 'memory', not "LMDB"/,
    ],
    [
      'a table in an unknown engine',
      (builder) => builder.table(views, { engine: null as never }),
      /views-table: engine is 'lmdb' or 'memory', not null/,
    ],
    [
      'a store in an unknown engine',
      (builder) => builder.addStore({ name: 'seen', key: z.string(), value: z.string(), engine: 5 as never }),
      /store seen: engine is 'lmdb' or 'memory', not a number/,
    ],
    [
      'a changelog that is neither true nor false',
      (builder) =>
        builder
          .table(views)
          .groupBy((view) => view)
          .count({ name: 'c', changelog: 'no' as never }),
      /c: changelog is true or false, not "no"/,
    ],
    [
      'the source as the changelog of a table that is read from no topic',
      (builder) => builder.stream(views).toTable({ name: 't', changelog: 'source' as never }),
      /t: changelog is true or false, not "source"/,
    ],
    [
      'rows that are kept now and then',
      (builder) => builder.stream(views).toTable({ name: 't', keep: 'sometimes' as never }),
      /t: keep is 'always' or 'ifNeeded', not "sometimes"/,
    ],
    [
      'the misspelt source as the changelog of a table',
      (builder) => builder.table(views, { changelog: 'Source' as never }),
      /views-table: changelog is true, false or 'source', not "Source"/,
    ],
    [
      'null as the grace of windows',
      () => tumbling('1m', { grace: null as never }),
      /the grace of a window is null; give whole milliseconds/,
    ],
    [
      'an object as a length of a join',
      (builder) => builder.stream(views).join(builder.stream(orders), () => 1, { name: 'j', before: {} as never }),
      /before of join j is {}; give whole milliseconds/,
    ],
    [
      'null as a length of a join',
      (builder) => builder.stream(views).join(builder.stream(orders), () => 1, { name: 'j', after: null as never }),
      /after of join j is null; give whole milliseconds/,
    ],
    [
      'aggregate without initial',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .aggregate({ name: 'a', add: () => 1, value: z.number() } as never),
      /a: initial is a function, not undefined/,
    ],
    [
      'reduce of a table without subtract',
      (builder) =>
        builder
          .table(views)
          .groupBy((view) => view)
          .reduce({ name: 't', add: () => '' } as never),
      /t: subtract is a function/,
    ],
    [
      'null as what becomes of invalid records',
      (builder) => builder.stream(views, { onInvalid: null as never }),
      /stream: onInvalid is 'fail', 'skip' or \{ deadLetter: topic \}, not null/,
    ],
    [
      'a missing dead-letter topic',
      (builder) => builder.table(views, { onInvalid: { deadLetter: missing } }),
      /deadLetter of table: a topic is what topic\(name, ...\) made, not undefined/,
    ],
    [
      'a dead-letter topic for a global table, which has none',
      (builder) => builder.globalTable(views, { onInvalid: { deadLetter: orders } as never }),
      /globalTable: onInvalid is 'fail' or 'skip', not an object of deadLetter/,
    ],
    [
      'a choice of topics that is no function',
      (builder) => builder.stream(views).to([orders], { choose: 'orders' as never }),
      /to: choose is a function, not "orders"/,
    ],
    [
      'split without branches',
      (builder) => builder.stream(views).split(missing),
      /split: branches are \{ name: predicate/,
    ],
    [
      'a missing store among those of a processor',
      (builder) => builder.stream(views).process(() => ({ process() {} }), { stores: [missing] }),
      /process: a store is its name or what addStore returned, not undefined/,
    ],
    [
      'one store instead of a list',
      (builder) => builder.stream(views).processValues(() => ({ process() {} }), { stores: 'seen' as never }),
      /processValues: stores is a list, not "seen"/,
    ],
    [
      'print into something that is no function',
      (builder) => builder.stream(views).print({ write: 5 as never }),
      /print: write is a function, not a number/,
    ],
    [
      'a symbol as the emit of a table',
      (builder) => builder.table(views, { emit: Symbol('x') as never }),
      /views-table: emit is 'commit' or 'update' .* not Symbol\(x\)/,
    ],
  ])('%s', (_, call, message) => {
    const builder = new StreamsBuilder()

    expect(() => call(builder)).toThrow(message)
    expect(() => call(new StreamsBuilder())).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

describe('a declaration of values that is neither a schema nor a codec fails with INVALID_DECLARATION', () => {
  test.each<[string, (builder: StreamsBuilder) => unknown, RegExp]>([
    [
      'of a store',
      (builder) => builder.addStore({ name: 'seen', key: z.string(), value: missing }),
      /value of store seen: give a schema, such as z.string\(\), or a codec, not undefined/,
    ],
    [
      'of an aggregation',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .reduce({ name: 'r', add, value: 'string' as never }),
      /value of store r: .* not "string"/,
    ],
    [
      'of a table',
      (builder) => builder.stream(views).toTable({ name: 't', value: 5 as never }),
      /value of store t: .* not 5/,
    ],
    [
      'of a grouping',
      (builder) => builder.stream(views).groupByKey({ name: 'g', value: null as never }),
      /value of g: .* not null/,
    ],
  ])('%s', (_, call, message) => {
    expect(() => call(new StreamsBuilder())).toThrow(message)
    expect(() => call(new StreamsBuilder())).toThrow(expect.objectContaining({ code: 'INVALID_DECLARATION' }))
  })
})

describe('a schema whose values could not be read back fails with INVALID_DECLARATION', () => {
  const visitors = z.object({ visitors: z.set(z.string()) })
  test.each<[string, (builder: StreamsBuilder) => unknown, RegExp]>([
    [
      'of an aggregation',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .aggregate({
            name: 'a',
            initial: () => ({ visitors: new Set<string>() }),
            add: (sum) => sum,
            value: visitors,
          }),
      /value of store a: the schema has, at "visitors", a Set, which is read back as an array: use z.array/,
    ],
    [
      'of a store',
      (builder) => builder.addStore({ name: 's', key: z.string(), value: z.map(z.string(), z.number()) }),
      /value of store s: the schema is a Map, which is read back as an object: use z.record/,
    ],
    [
      'of a grouping',
      (builder) => builder.stream(views).groupByKey({ name: 'g', value: visitors as never }),
      /value of g/,
    ],
    ['of a topic', () => topic('t', { key: z.string(), value: visitors }), /value of topic t: .* a Set/],
  ])('%s', (_, call, message) => {
    expect(() => call(new StreamsBuilder())).toThrow(message)
    expect(() => call(new StreamsBuilder())).toThrow(expect.objectContaining({ code: 'INVALID_DECLARATION' }))
  })
})

test('a name that is not a text is TOPOLOGY_INVALID', () => {
  const builder = new StreamsBuilder()

  builder.stream(views).filter(() => true, { name: 5 as never })

  expect(() => builder.build()).toThrow(/TOPOLOGY_INVALID: the node name 5: use 1 to 149 characters/)
})
