import { expect, test } from 'vitest'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { string } from '../../src/codec/value-codecs.ts'
import type { RecordContext, RecordProcessor } from '../../src/dsl/operators/process.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { GroupedStream } from '../../src/dsl/grouped-stream.ts'
import type { Stream } from '../../src/dsl/stream.ts'
import { sessions, tumbling } from '../../src/dsl/windows.ts'
import { StreamsHarness } from '../harness/streams-harness.ts'

const input = topic('in', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })

type Words = Stream<string, string>

/** The error that stops an application of this topology at one record. */
async function failureOf(build: (words: Words) => void): Promise<string> {
  const builder = new StreamsBuilder()
  build(builder.stream(input))
  const topology = builder.build()
  const app = await StreamsHarness.open(topology, { in: 1, out: 1 })
  await app.send('in', [['k', 'v', 1]])
  try {
    await app.start()
    await app.settle()
    return 'nothing'
  } catch (error) {
    return String(error)
  } finally {
    await app.stop().catch(() => undefined)
    await app.pump(app.harness.close())
  }
}

/** An async callback, as a caller without types or lint may pass it. */
const fails = (() => Promise.reject(new Error('nobody hears this'))) as () => never

test.each<readonly [string, (words: Words) => void, RegExp]>([
  ['foreach', (words) => words.foreach(fails), /foreach failed at in-0 offset 0: its action returned a Promise/],
  ['peek', (words) => words.peek(fails), /peek failed at in-0 offset 0: its action returned a Promise/],
  [
    'process',
    (words) => words.process(() => ({ process: fails })),
    /process failed at in-0 offset 0: process\(\) returned a Promise/,
  ],
  [
    'processValues',
    (words) => words.processValues(() => ({ process: fails })),
    /process-values failed at in-0 offset 0: process\(\) returned a Promise/,
  ],
  [
    'init',
    (words) => words.process(() => ({ init: fails, process: () => {} })),
    /process failed in init\(\): init\(\) returned a Promise/,
  ],
  [
    'a schedule',
    (words) =>
      words.process(() => ({
        init: (context) => void context.schedule({ every: 1, by: 'streamTime' }, fails),
        process: () => {},
      })),
    /process failed in a punctuation: a schedule's callback returned a Promise/,
  ],
  ['filter', (words) => words.filter(fails), /filter failed at in-0 offset 0: the predicate returned a Promise/],
  ['filterNot', (words) => words.filterNot(fails), /filter-not failed at in-0 offset 0: the predicate returned a Prom/],
  [
    'split',
    (words) => words.split({ a: fails }),
    /split failed at in-0 offset 0: the predicate of split-a returned a P/,
  ],
  ['mapValues', (words) => words.mapValues(fails), /map-values failed at in-0 offset 0: the mapper returned a Promise/],
  ['map', (words) => words.map(fails), /map failed at in-0 offset 0: the mapper returned a Promise/],
  ['a value of map', (words) => words.map((_, key) => [key, fails()]), /map failed .*: the mapper returned a Promise/],
  ['flatMap', (words) => words.flatMap(fails), /flat-map failed at in-0 offset 0: the mapper returned a Promise/],
  ['flatMapValues', (words) => words.flatMapValues(fails), /flat-map-values failed .*: the mapper returned a Promise/],
  [
    'its values',
    (words) => words.flatMapValues(() => [fails()]),
    /flat-map-values failed .*: the mapper returned a Pr/,
  ],
  ['selectKey', (words) => words.selectKey(fails), /select-key failed .*: the key selector returned a Promise/],
  [
    'groupBy',
    (words) => words.groupBy(fails).count({ name: 'n' }),
    /group-by failed .*: the key selector returned a P/,
  ],
  [
    'aggregate',
    (words) => words.groupByKey().aggregate({ name: 'n', value: string, initial: () => '', add: fails }),
    /n failed at in-0 offset 0: the aggregator returned a Promise/,
  ],
  [
    'an aggregate of windows',
    (words) =>
      words
        .groupByKey()
        .windowedBy(tumbling(9))
        .aggregate({ name: 'n', value: string, initial: fails, add: () => '' }),
    /n failed at in-0 offset 0: the initializer returned a Promise/,
  ],
  [
    'a filter of a table',
    (words) => words.toTable({ name: 't' }).filter(fails, { name: 'f' }),
    /f failed at in-0 offset 0: the predicate returned a Promise/,
  ],
  [
    'mapValues of a table',
    (words) => words.toTable({ name: 't' }).mapValues(fails, { name: 'f' }),
    /f failed at in-0 offset 0: the mapper returned a Promise/,
  ],
  [
    'a join of streams',
    (words) => words.join(words, fails, { name: 'j', within: 1 }),
    /failed at in-0 offset 0: the joiner returned a Promise/,
  ],
  [
    'a join with a table',
    (words) => words.leftJoinTable(words.toTable({ name: 't' }), fails),
    /failed at in-0 offset 0: the joiner returned a Promise/,
  ],
])('an async callback of %s is refused, since no commit would wait for it', async (_, build, message) => {
  const failure = await failureOf(build)
  expect(failure).toMatch(message)
  expect(failure).toMatch(/^StreamsError: PROCESSING_FAILED: .*could be lost, or done twice; work without async/)
})

const grouped = (words: Words): GroupedStream<string, string> => words.groupByKey()
const other = topic('other', { key: stringKey, value: string })
/** An async function, as a caller without types may pass it. */
const later = (async () => 'later') as () => never

test.each<readonly [string, (words: Words, builder: StreamsBuilder) => unknown, RegExp]>([
  ['filter', (words) => words.filter(later), /filter: what it calls is async/],
  ['mapValues', (words) => words.mapValues(later), /mapValues: what it calls is async/],
  ['flatMap', (words) => words.flatMap(async function* () {} as never), /flatMap: what it calls is async/],
  ['split', (words) => words.split({ long: later }), /split, branch long: what it calls is async/],
  ['foreach', (words) => words.foreach(later), /foreach: what it calls is async/],
  ['process', (words) => words.process(later), /process: the supplier is async/],
  ['reduce', (words) => grouped(words).reduce({ name: 'r', add: later }), /r: add is async/],
  [
    'aggregate, for its initial value',
    (words) => grouped(words).aggregate({ name: 'a', value: string, initial: later, add: String }),
    /a: initial is async/,
  ],
  [
    'aggregate, where sessions merge',
    (words) =>
      grouped(words)
        .windowedBy(sessions('1m'))
        .aggregate({ name: 's', value: string, initial: String, add: String, merge: later }),
    /s: merge is async/,
  ],
  [
    'reduce of a table',
    (words) =>
      words
        .toTable({ name: 't' })
        .groupBy((word) => word)
        .reduce({ name: 'g', add: String, subtract: later }),
    /g: subtract is async/,
  ],
  [
    'join',
    (words, builder) => words.join(builder.stream(other), later, { name: 'j', within: 1 }),
    /join j: the joiner is async/,
  ],
  ['joinTable', (words, builder) => words.joinTable(builder.table(other), later), /joinTable: the joiner is async/],
  [
    'joinGlobalTable',
    (words, builder) => words.joinGlobalTable(builder.globalTable(other), later, String),
    /joinGlobalTable: what selects the key is async/,
  ],
])('an async function in %s is refused at the call, since its Promise would be the result', (_, call, message) => {
  const builder = new StreamsBuilder()
  const words = builder.stream(input)

  expect(() => call(words, builder)).toThrow(message)
  expect(() => call(words, builder)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
})

/** A processor that calls forward() with these arguments. */
function forwarding(...given: readonly unknown[]): RecordProcessor<string, string, string, string> {
  let untyped: { forward(...all: readonly unknown[]): void }
  return {
    init: (context) => void (untyped = context as never),
    process: () => untyped.forward(...given),
  }
}

test('a processor that a supplier returns to two tasks is refused, since both would use one context', async () => {
  const shared = { process: (): void => {} }
  const builder = new StreamsBuilder()
  builder.stream(input).process(() => shared)
  const topology = builder.build()

  const one = await StreamsHarness.open(topology, { in: 1 })
  await one.start()
  await one.stop()
  await one.start()
  await one.close()

  const two = await StreamsHarness.open(topology, { in: 2 })
  await expect(two.start()).rejects.toThrow(
    /PROCESSING_FAILED: process failed in init\(\): its supplier returned one processor to the tasks 0_0 and 0_1; return a new one/,
  )
  await two.pump(two.harness.close())
})

test('forward() is allowed in process() and in schedules, and refused outside of them', async () => {
  const later: unknown[] = []
  const contexts: RecordContext<string, string>[] = []
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .process<string, string>(() => ({
      init(context) {
        contexts.push(context)
        context.schedule({ every: 10, by: 'streamTime', start: 10 }, (timestamp) =>
          context.forward({ key: 'k', value: 'scheduled', timestamp }),
        )
      },
      process: (record) => contexts[0]?.forward(record),
    }))
    .to(output)
  const topology = builder.build()
  const app = await StreamsHarness.open(topology, { in: 1, out: 1 })
  await app.start()
  await app.send('in', [['k', 'v', 11]])
  await app.settle()
  try {
    contexts[0]?.forward({ key: 'k', value: 'late', timestamp: 1 })
  } catch (error) {
    later.push(String(error))
  }
  await app.send('in', [['k', 'w', 12]])
  await app.settle()

  expect(later).toEqual([expect.stringMatching(/process forwards a record when nothing is being processed/)])
  expect((await app.read('out')).map(({ value }) => value)).toEqual(['v', 'scheduled', 'w'])
  await app.close()
})

test.each<readonly [string, (words: Words) => void, RegExp]>([
  [
    'a mapper',
    (words) => words.map(() => 5 as never),
    /at in-0 offset 0: the mapper of map must return \[key, value\], not 5/,
  ],
  [
    'a flat mapper',
    (words) => words.flatMap(() => null as never),
    /at in-0 offset 0: .*a list of \[key, value\].*not null/,
  ],
  ['values', (words) => words.flatMapValues(() => 5 as never), /at in-0 offset 0: .*a list of values.*not 5/],
  ['undefined', (words) => words.mapValues(() => undefined as never), /UNDEFINED_RESULT: at in-0 offset 0: the mapper/],
  [
    'a supplier that throws',
    (words) =>
      words.process(() => {
        throw new RangeError('no')
      }),
    /PROCESSING_FAILED: process failed when it was made: RangeError: no/,
  ],
  [
    'a supplier of nothing',
    (words) => words.process(() => undefined as never),
    /PROCESSING_FAILED: process failed when it was made: its supplier returned undefined; return .* with process\(\)/,
  ],
  [
    'a supplier of a function',
    (words) => words.processValues(() => ((): void => {}) as never),
    /PROCESSING_FAILED: process-values failed when it was made: its supplier returned a function; return .* with process/,
  ],
  [
    'a key and a value to forward()',
    (words) => words.process(() => forwarding('k', 'v')),
    /PROCESSING_FAILED: at in-0 offset 0: process forwards "k", which is not a record; give { key, value, timestamp }/,
  ],
  [
    'a record without a value to forward()',
    (words) => words.process(() => forwarding({ key: 'k', timestamp: 1 })),
    /UNDEFINED_RESULT: at in-0 offset 0: process forwards a record without a value; give one, or null for none/,
  ],
])('an invalid result stops the application, naming the operator: %s', async (_, build, message) => {
  expect(await failureOf(build)).toMatch(message)
})
