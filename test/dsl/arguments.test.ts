import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../src/codec/topic.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'

const text = { key: z.string(), value: z.string(), format: 'string' } as const
const views = topic('views', text)
const orders = topic('orders', text)

/** What the compiler would refuse. */
const missing: never = undefined as never
const joined = { name: 'pairs', within: '5m' } as const

describe('a call that is given what its types forbid says so at once', () => {
  test.each<[string, (builder: StreamsBuilder) => unknown, RegExp]>([
    ['a topic', (builder) => builder.stream(missing), /stream: a topic is what topic\(name, ...\) made, not undefined/],
    ['one of many', (builder) => builder.stream([views, missing]), /stream: a topic is what topic/],
    ['its name alone', (builder) => builder.stream('views' as never), /not "views"/],
    ['a table without one', (builder) => builder.table(missing), /table: a topic/],
    ['a global table without one', (builder) => builder.globalTable(missing), /globalTable: a topic/],
    ['a sink without one', (builder) => builder.stream(views).to(missing), /to: a topic/],
    ['a sink with a name', (builder) => builder.stream(views).to('orders' as never), /to: a topic .* not "orders"/],
    ['map', (builder) => builder.stream(views).map(missing), /map: what it calls is a function, not undefined/],
    ['filter', (builder) => builder.stream(views).filter(null as never), /filter: .* a function, not null/],
    ['peek', (builder) => builder.stream(views).peek(missing), /peek: .* a function/],
    ['flatMapValues', (builder) => builder.stream(views).flatMapValues(missing), /flatMapValues: .* a function/],
    ['groupBy', (builder) => builder.stream(views).groupBy(missing), /groupBy: .* a function/],
    ['split', (builder) => builder.stream(views).split({ large: missing }), /split, branch large: .* a function/],
    ['process', (builder) => builder.stream(views).process(missing), /process: the supplier is a function/],
    ['an instance of a processor', (builder) => builder.stream(views).process({} as never), /not an object/],
    ['a join without a partner', (builder) => builder.stream(views).join(missing, () => 1, joined), /is a Stream/],
    [
      'a join without a joiner',
      (builder) => builder.stream(views).join(builder.stream(orders), missing, joined),
      /join pairs: the joiner is a function/,
    ],
    ['merge', (builder) => builder.stream(views).merge(missing), /merge: what it joins is a Stream/],
    ['a join with no table', (builder) => builder.stream(views).joinTable(missing, () => 1), /is a Table/],
    [
      'a join with a table and no joiner',
      (builder) => builder.stream(views).joinTable(builder.table(orders), missing),
      /joinTable: the joiner/,
    ],
    ['a filter of a table', (builder) => builder.table(views).filter(missing), /filter of a table: .* a function/],
    ['a join of tables', (builder) => builder.table(views).join(missing, () => 1), /is a Table, not undefined/],
    ['windows', (builder) => builder.stream(views).groupByKey().windowedBy(missing), /windowedBy: windows are/],
    [
      'a length of time',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .windowedBy('5m' as never),
      /not "5m"/,
    ],
    [
      'reduce',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .reduce({ name: 'r' } as never),
      /r: add is a function/,
    ],
    [
      'aggregate',
      (builder) =>
        builder
          .stream(views)
          .groupByKey()
          .aggregate({ name: 'a', add: () => 1, value: z.number() } as never),
      /a: initial is a function, not undefined/,
    ],
    [
      'a reduced table',
      (builder) =>
        builder
          .table(views)
          .groupBy((view) => view)
          .reduce({ name: 't', add: () => '' } as never),
      /t: subtract is a function/,
    ],
  ])('%s', (_, call, message) => {
    const builder = new StreamsBuilder()

    expect(() => call(builder)).toThrow(message)
    expect(() => call(new StreamsBuilder())).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})
