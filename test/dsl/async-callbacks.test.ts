import { expect, test } from 'vitest'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { string } from '../../src/codec/value-codecs.ts'
import type { RecordContext } from '../../src/dsl/operators/process.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Stream } from '../../src/dsl/stream.ts'
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
])('an async callback of %s is refused, since no commit would wait for it', async (_, build, message) => {
  const failure = await failureOf(build)
  expect(failure).toMatch(message)
  expect(failure).toMatch(/^StreamsError: PROCESSING_FAILED: .*could be lost, or done twice; work without async/)
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
    /at in-0 offset 0: the mapper of map must return \[key, value\]/,
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
])('an invalid result stops the application, naming the operator: %s', async (_, build, message) => {
  expect(await failureOf(build)).toMatch(message)
})
