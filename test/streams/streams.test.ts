import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import { z } from 'zod'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { sessions, tumbling } from '../../src/dsl/windows.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { LogError } from '../../src/log/api/errors.ts'
import type { Committer, Isolation, Log, Reader, Staged } from '../../src/log/api/log.ts'
import type { TopicPartition } from '../../src/log/api/record.ts'
import { StreamsHarness, type InputRecord, type OutputRecord } from '../harness/streams-harness.ts'

// Codecs instead of schemas: nothing is validated, so null keys and values reach the operators.
const input = topic('in', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })
const minute = tumbling('1m')
const perMinute = topic('per-minute', { key: windowed(z.string(), minute), value: long })
const counts = topic('counts', { key: z.string(), value: long })

/** Counts words per minute after a repartition, and records per key without a window. */
function wordCounts(emit: 'commit' | 'update' | 'final' = 'commit'): Topology {
  const builder = new StreamsBuilder()
  const words = builder.stream(input)
  words
    .groupBy((word) => word)
    .windowedBy(minute)
    .count({ name: 'by-minute', emit })
    .toStream()
    .to(perMinute)
  words.groupByKey().count({ name: 'by-key' }).toStream().to(counts)
  return builder.build()
}

function events(random: SeededRandom, count: number, from = 0): InputRecord[] {
  return Array.from({ length: count }, (_, index) => [
    `key-${random.below(7)}`,
    `word-${random.below(11)}`,
    from + index * 400 + random.below(400),
  ])
}

/** The last value of each key and window. */
function last(records: readonly OutputRecord[]): { readonly [key: string]: string | number | null } {
  return Object.fromEntries(
    records.map(({ key, start, value }) => [start === undefined ? key : `${key}@${start}`, value]),
  )
}

function plainWindowCounts(records: readonly InputRecord[]): { readonly [key: string]: number } {
  const found: { [key: string]: number } = {}
  for (const [, word, timestamp] of records) {
    const name = `${word}@${Math.floor(timestamp / 60_000) * 60_000}`
    found[name] = (found[name] ?? 0) + 1
  }
  return found
}

function plainCounts(records: readonly InputRecord[]): { readonly [key: string]: number } {
  const found: { [key: string]: number } = {}
  for (const [key] of records) found[key ?? ''] = (found[key ?? ''] ?? 0) + 1
  return found
}

const topics = { in: 4, 'per-minute': 3, counts: 4 }

test("counts of in-order input over four partitions equal a plain loop's, with a repartition and grace 0", async () => {
  const app = await StreamsHarness.open(wordCounts(), topics)
  const records = events(new SeededRandom(7), 3000)
  await app.send('in', records)

  await app.start()
  await app.settle()

  expect(app.runtime.metrics().dropped).toBe(0)
  expect(last(await app.read('per-minute', { value: 'long', windowed: true }))).toEqual(plainWindowCounts(records))
  expect(last(await app.read('counts', { value: 'long' }))).toEqual(plainCounts(records))
  await app.close()
})

test('after a clean restart the application continues with its state and restores nothing', async () => {
  const app = await StreamsHarness.open(wordCounts(), topics)
  const random = new SeededRandom(3)
  const records = [events(random, 500), events(random, 500, 200_000), events(random, 500, 400_000)]
  for (const part of records) {
    await app.send('in', part)
    await app.start()
    await app.settle()
    await app.stop()
  }

  const all = records.flat()
  expect(last(await app.read('per-minute', { value: 'long', windowed: true }))).toEqual(plainWindowCounts(all))
  expect(last(await app.read('counts', { value: 'long' }))).toEqual(plainCounts(all))
  expect(app.restored).toEqual([])
  await app.pump(app.harness.close())
})

test('after a crash the stores are restored from their changelogs', async () => {
  const app = await StreamsHarness.open(wordCounts(), topics, { storeFlushIntervalMs: 1_000_000 })
  const random = new SeededRandom(5)
  const before = events(random, 700)
  const after = events(random, 700, 290_000)
  await app.send('in', before)
  await app.start()
  await app.settle()

  await app.crash()
  await app.send('in', after)
  await app.start()
  await app.settle()

  expect(app.restored.length).toBeGreaterThan(0)
  const all = [...before, ...after]
  expect(last(await app.read('per-minute', { value: 'long', windowed: true }))).toEqual(plainWindowCounts(all))
  expect(last(await app.read('counts', { value: 'long' }))).toEqual(plainCounts(all))
  await app.close()
})

test('after a crash between flushes only the changelog records that a store lacks are replayed', async () => {
  const app = await StreamsHarness.open(wordCounts(), topics, { storeFlushIntervalMs: 1 })
  const random = new SeededRandom(6)
  const all: InputRecord[] = []
  await app.start()
  for (let round = 0; round < 6; round++) {
    const part = events(random, 200, round * 90_000)
    all.push(...part)
    await app.send('in', part)
    await app.settle()
    await app.harness.clock.run(5)
  }

  await app.crash()
  await app.start()
  const rest = events(random, 200, 600_000)
  await app.send('in', rest)
  await app.settle()

  for (const { offset, end, records } of app.restored) {
    expect(offset).toBe(end)
    expect(records).toBeLessThan(200)
  }
  expect(last(await app.read('counts', { value: 'long' }))).toEqual(plainCounts([...all, ...rest]))
  await app.close()
})

test.each(['ABORTED', 'OUTCOME_UNKNOWN'] as const)(
  'after a commit fails with %s, processing resumes from the previous commit with the stores as of then',
  async (code) => {
    const app = await StreamsHarness.open(wordCounts(), topics, { commitBytesMax: 3000 })
    const records = events(new SeededRandom(11), 900)
    await app.send('in', records)

    await app.start(undefined, losingCommits(app.log, [4], code))
    await app.settle()

    expect(last(await app.read('per-minute', { value: 'long', windowed: true }))).toEqual(plainWindowCounts(records))
    expect(last(await app.read('counts', { value: 'long' }))).toEqual(plainCounts(records))
    expect(app.restored.length).toBeGreaterThan(0)
    await app.close()
  },
)

test('an application that is closed when its tasks have just gone back to the last commit ends', async () => {
  const builder = new StreamsBuilder()
  builder.stream(input).groupByKey().count({ name: 'c' }).toStream().to(counts)
  const app = await StreamsHarness.open(builder.build(), { in: 1, counts: 1 })
  await app.send('in', [['a', 'x', 1]])
  let asked = 0
  const losing = losingCommits(app.log, [1], 'ABORTED')
  const log: Log = new Proxy(losing, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (name !== 'bounds' || typeof member !== 'function') return member
      // The last thing that is asked of the log before a worker runs is the ends of its inputs, as sequenced.
      return (at: readonly TopicPartition[], isolation: Isolation) => {
        if (isolation === 'sequenced' && ++asked === 2) void app.runtime.close()
        return target.bounds(at, isolation)
      }
    },
  })
  await app.start(undefined, log)

  await app.pump(app.runtime.finished())

  expect(app.runtime.phase).toBe('closed')
  expect(asked).toBe(2)
  await app.close()
})

test('tasks that lose their first commit again go back once more, and every run that was left is released', async () => {
  const app = await StreamsHarness.open(wordCounts(), topics, { commitBytesMax: 3000 })
  const records = events(new SeededRandom(17), 900)
  await app.send('in', records)
  const readers = countingReaders(losingCommits(app.log, [4, 5], 'ABORTED'))

  await app.start(undefined, readers.log)
  await app.settle()

  expect(last(await app.read('per-minute', { value: 'long', windowed: true }))).toEqual(plainWindowCounts(records))
  expect(last(await app.read('counts', { value: 'long' }))).toEqual(plainCounts(records))
  // Two runs were left, and the third one goes on.
  expect(readers.opened).toBeGreaterThanOrEqual(3)
  expect(readers.open).toBe(1)
  await app.close()
  expect(readers.open).toBe(0)
})

test('a start that fails at its last step releases the reader that it has opened', async () => {
  const app = await StreamsHarness.open(wordCounts(), topics)
  const readers = countingReaders(app.log)
  const log: Log = new Proxy(readers.log, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (name !== 'bounds' || typeof member !== 'function') return member
      // The last thing that is asked of the log before a worker runs is the ends of its inputs, as sequenced.
      return (at: readonly TopicPartition[], isolation: Isolation) =>
        isolation === 'sequenced'
          ? Promise.reject(new LogError('READ_FAILED', 'the device is gone'))
          : target.bounds(at, isolation)
    },
  })

  await expect(app.start(undefined, log)).rejects.toThrow('the device is gone')

  expect(readers.opened).toBeGreaterThan(0)
  expect(readers.open).toBe(0)
  await app.pump(app.harness.close())
})

/** A log that counts its readers. */
function countingReaders(log: Log): { readonly log: Log; readonly opened: number; readonly open: number } {
  const counts = { opened: 0, open: 0 }
  const counting: Log = new Proxy(log, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (name !== 'openReader') return typeof member === 'function' ? member.bind(target) : member
      return async (options: { readonly isolation: Isolation }): Promise<Reader> => {
        const reader = await target.openReader(options)
        counts.opened++
        counts.open++
        return {
          assign: (at) => reader.assign(at),
          setPaused: (at) => reader.setPaused(at),
          poll: (limits) => reader.poll(limits),
          wakeup: () => reader.wakeup(),
          close: async () => {
            counts.open--
            await reader.close()
          },
        }
      }
    },
  })
  return {
    log: counting,
    get opened() {
      return counts.opened
    },
    get open() {
      return counts.open
    },
  }
}

/** A log whose commits with these numbers fail with `code`; the first one has the number 1. */
function losingCommits(log: Log, which: readonly number[], code: 'ABORTED' | 'OUTCOME_UNKNOWN'): Log {
  let commits = 0
  return new Proxy(log, {
    get(target, name) {
      if (name !== 'openCommitter') {
        const member: unknown = Reflect.get(target, name)
        return typeof member === 'function' ? member.bind(target) : member
      }
      return async (options: { readonly id: string }): Promise<Committer> => {
        const committer = await target.openCommitter(options)
        return {
          id: committer.id,
          close: () => committer.close(),
          begin: () => losing(committer.begin(), () => which.includes(++commits), code),
        }
      }
    },
  })
}

function losing(staged: Staged, isLost: () => boolean, code: 'ABORTED' | 'OUTCOME_UNKNOWN'): Staged {
  return {
    to: (at) => staged.to(at),
    get bytes() {
      return staged.bytes
    },
    ready: () => staged.ready(),
    discard: () => staged.discard(),
    commit: (progress) => {
      if (!isLost()) return staged.commit(progress)
      staged.discard()
      const failure = Promise.reject(new LogError(code, 'the group that carried it was lost'))
      return { placements: null, sequenced: failure, durable: failure.then(() => ({ placements: [] })) }
    },
  }
}

describe('emit', () => {
  test("'commit' emits the latest value of each key once per commit, in order of the last update", async () => {
    const builder = new StreamsBuilder()
    builder.stream(input).groupByKey().count({ name: 'c' }).toStream().to(counts)
    const app = await StreamsHarness.open(builder.build(), { in: 1, counts: 1 })
    await app.send('in', [
      ['a', 'x', 1],
      ['b', 'x', 2],
      ['a', 'x', 3],
      ['c', 'x', 4],
    ])
    await app.start()
    await app.settle()
    const found = (await app.read('counts', { value: 'long' })).map(({ key, value, timestamp }) => [
      key,
      value,
      timestamp,
    ])
    expect(found).toEqual([
      ['b', 1, 2],
      ['a', 2, 3],
      ['c', 1, 4],
    ])
    await app.close()
  })

  test("'update' emits every value", async () => {
    const builder = new StreamsBuilder()
    builder.stream(input).groupByKey().count({ name: 'c', emit: 'update' }).toStream().to(counts)
    const app = await StreamsHarness.open(builder.build(), { in: 1, counts: 1 })
    await app.send('in', [
      ['a', 'x', 5],
      ['a', 'x', 3],
      [null, 'x', 4],
      ['a', null, 6],
    ])
    await app.start()
    await app.settle()
    const found = (await app.read('counts', { value: 'long' })).map(({ value, timestamp }) => [value, timestamp])
    expect(found).toEqual([
      [1, 5],
      [2, 5],
    ])
    expect(app.runtime.metrics().droppedByReason).toEqual({ 'null key': 1, 'null value': 1 })
    await app.close()
  })

  test("'final' emits each window once, when it closes, and repeats none after a crash", async () => {
    const builder = new StreamsBuilder()
    builder.stream(input).groupByKey().windowedBy(minute).count({ name: 'c', emit: 'final' }).toStream().to(perMinute)
    const app = await StreamsHarness.open(builder.build(), { in: 1, 'per-minute': 1 })
    await app.start()
    await app.send('in', [
      ['b', 'x', 5],
      ['a', 'x', 6],
      ['a', 'x', 7],
      ['a', 'x', 60_000],
    ])
    await app.settle()
    await app.crash()
    await app.start()
    await app.send('in', [
      ['late', 'x', 59_999],
      ['z', 'x', 10_000_000],
    ])
    await app.settle()
    const found = (await app.read('per-minute', { value: 'long', windowed: true })).map(
      ({ key, start, value, timestamp }) => [key, start, value, timestamp],
    )
    expect(found).toEqual([
      ['a', 0, 2, 7],
      ['b', 0, 1, 5],
      ['a', 60_000, 1, 60_000],
    ])
    expect(app.runtime.metrics().droppedByReason).toEqual({ 'late record': 1 })
    await app.close()
  })
})

describe('failures', () => {
  const strict = topic('strict', { key: z.string(), value: z.object({ n: z.number() }), format: 'json' })
  const copy = topic('copy', { key: z.string(), value: z.object({ n: z.number() }), format: 'json' })

  test('by default an invalid record stops the application with an error that names its offset, the defect and the remedy', async () => {
    const builder = new StreamsBuilder()
    builder.stream(strict).to(copy)
    const app = await StreamsHarness.open(builder.build(), { strict: 1, copy: 1 })
    await app.start()
    await app.send('strict', [
      ['a', '{"n":1}', 1],
      ['b', '{"n":"one"}', 2],
    ])
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /INVALID_RECORD: record at strict-0 offset 1: the value .*"n".*"one".*onInvalid: 'skip'/,
    )
    expect(app.runtime.phase).toBe('failed')
    // Nothing of the failed commit remains: the next start reads the record before it again.
    expect((await app.read('copy')).length).toBeLessThanOrEqual(1)
  })

  test.each([
    ['key', [null, '{"n":1}', 1], 'its schema is not nullable'],
    ['value', ['a', null, 1], 'the topic does not declare tombstones'],
  ] as const)(
    'a null %s that the topic does not declare is an invalid record, and the error says what is not declared',
    async (part, record, missing) => {
      const builder = new StreamsBuilder()
      builder.stream(strict).to(copy)
      const app = await StreamsHarness.open(builder.build(), { strict: 1, copy: 1 })
      await app.start()
      await app.send('strict', [record])
      await expect(app.pump(app.runtime.finished())).rejects.toThrow(
        `INVALID_RECORD: record at strict-0 offset 0: the ${part} is null, and ${missing}; correct the producer`,
      )
    },
  )

  test('an application that has failed still says what it has processed and dropped', async () => {
    const timed = topic('timed', { key: z.string(), value: z.number(), format: 'json', timestamp: (at) => at })
    const builder = new StreamsBuilder()
    builder.stream(timed).foreach(() => {})
    const app = await StreamsHarness.open(builder.build(), { timed: 1 })
    await app.start()
    await app.send('timed', [
      ['a', '7', 1],
      ['a', '-1', 2],
      ['a', '"eight"', 3],
    ])
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(/INVALID_RECORD/)
    const droppedByReason = { 'negative timestamp': 1 }
    expect(app.runtime.metrics()).toMatchObject({ processed: 1, streamTime: 7, droppedByReason })
  })

  test("onInvalid 'skip' drops and counts an invalid record, and commits its offset", async () => {
    const builder = new StreamsBuilder()
    builder.stream(strict, { onInvalid: 'skip' }).to(copy)
    const app = await StreamsHarness.open(builder.build(), { strict: 1, copy: 1 })
    await app.start()
    await app.send('strict', [
      ['a', '{"n":1}', 1],
      ['b', 'no json', 2],
      ['c', null, 3],
    ])
    await app.settle()
    expect((await app.read('copy')).map(({ key }) => key)).toEqual(['a'])
    expect(app.runtime.metrics().droppedByReason).toEqual({ 'invalid record': 2 })
    const [offset] = await app.log.committedOffsets('app', [{ topic: 'strict', partition: 0 }])
    expect(offset?.offset).toBe(3)
    await app.close()
  })

  test('an invalid record with an extracted timestamp advances no time and does not delay the records after it', async () => {
    const timed = topic('timed', {
      key: z.string(),
      value: z.object({ at: z.number() }),
      format: 'json',
      timestamp: (value) => value.at,
    })
    const builder = new StreamsBuilder()
    builder
      .stream(timed, { onInvalid: { deadLetter: 'dead' } })
      .groupBy(() => 'all')
      .windowedBy(minute)
      .count({ name: 'counts', emit: 'update' })
      .toStream()
      .to(topic('counts', { key: windowed(z.string(), minute), value: z.number() }))
    const app = await StreamsHarness.open(builder.build(), { timed: 2, dead: 1, counts: 1 })
    const loadedAt = 3_600_000
    const backlog = (from: number): InputRecord[] =>
      [0, 1, 2, 3, 4].map((step) => ['k', `{"at":${from + step * 60_000}}`, loadedAt])
    await app.send('timed', [['k', 'no json', loadedAt], ...backlog(0)], 0)
    await app.send('timed', backlog(30_000), 1)
    await app.start()
    await app.settle()

    expect(app.runtime.metrics().droppedByReason).toEqual({ 'invalid record': 1 })
    expect(app.runtime.metrics().streamTime).toBe(270_000)
    expect((await app.read('counts', { value: 'string', windowed: true })).length).toBe(10)
    expect(await app.read('dead')).toMatchObject([{ value: 'no json', timestamp: loadedAt }])
    await app.close()
  })

  test('an invalid record does not advance stream time', async () => {
    const seen: number[] = []
    const builder = new StreamsBuilder()
    builder.stream(strict, { onInvalid: 'skip' }).process(() => {
      let now = (): number => -1
      return { init: (context) => void (now = () => context.streamTime), process: () => void seen.push(now()) }
    })
    const app = await StreamsHarness.open(builder.build(), { strict: 1 })
    await app.start()
    await app.send('strict', [
      ['a', '{"n":1}', 1],
      ['a', 'no json', 1000],
      ['a', '{"n":2}', 2],
    ])
    await app.settle()

    expect(seen).toEqual([1, 2])
    await app.close()
  })

  test('a dead letter keeps the bytes of its record and names its origin and the error in headers', async () => {
    const builder = new StreamsBuilder()
    builder.stream(strict, { onInvalid: { deadLetter: 'dead' } }).to(copy)
    const app = await StreamsHarness.open(builder.build(), { strict: 2, copy: 1 })
    await app.start()
    await app.send('strict', [['b', '{"n":"one"}', 2, [{ key: 'own', value: Buffer.from('1') }]]], 1)
    await app.settle()
    const [dead] = await app.read('dead')
    expect(dead).toMatchObject({ key: 'b', value: '{"n":"one"}', timestamp: 2 })
    const headers = Object.fromEntries(
      (dead?.headers ?? []).map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]),
    )
    expect(headers).toMatchObject({
      own: '1',
      '__millrace.errors.exception': 'INVALID_RECORD',
      '__millrace.errors.topic': 'strict',
      '__millrace.errors.partition': '1',
      '__millrace.errors.offset': '0',
    })
    expect(headers['__millrace.errors.message']).toContain('"n"')
    await app.close()
  })

  test('an exception in user code stops the application, names operator and record, and leaves nothing committed', async () => {
    const builder = new StreamsBuilder()
    const words = builder.stream(input)
    words
      .mapValues(
        (value) => {
          if (value === 'bad') throw new RangeError('no such word')
          return value
        },
        { name: 'check-word' },
      )
      .groupByKey()
      .count({ name: 'c' })
      .toStream()
      .to(counts)
    const app = await StreamsHarness.open(builder.build(), { in: 1, counts: 1 })
    await app.send('in', [
      ['a', 'fine', 1],
      ['a', 'bad', 2],
    ])
    await app.start()
    await expect(app.pump(app.runtime.finished())).rejects.toThrow(
      /PROCESSING_FAILED: check-word failed at in-0 offset 1: RangeError: no such word/,
    )
    expect(await app.read('counts', { value: 'long' })).toEqual([])
    expect(await app.log.committedOffsets('app', [{ topic: 'in', partition: 0 }])).toEqual([])
  })

  test.each([
    ['value', 'tombstones: true', (): readonly [string, string] => ['a', null as unknown as string]],
    ['key', 'nullable', (): readonly [string, string] => [null as unknown as string, 'a']],
  ])(
    'a null %s is not written to a topic that does not declare it, even if the types were bypassed',
    async (part, remedy, mapped) => {
      const builder = new StreamsBuilder()
      const declared = topic('declared', { key: z.string(), value: z.string(), format: 'string' })
      builder.stream(input).map(mapped).to(declared, { name: 'out' })
      const app = await StreamsHarness.open(builder.build(), { in: 1, declared: 1 })
      await app.send('in', [['a', 'b', 1]])
      await app.start()

      await expect(app.pump(app.runtime.finished())).rejects.toThrow(
        new RegExp(
          `out failed at in-0 offset 0: .*the ${part} is null, which topic declared does not declare; .*${remedy}`,
        ),
      )

      expect(await app.read('declared')).toEqual([])
    },
  )

  test("onProcessingError 'continue' drops the record at the node that threw, and its siblings still process it", async () => {
    const builder = new StreamsBuilder()
    const words = builder.stream(input)
    words
      .mapValues((value) => {
        if (value === 'bad') throw new RangeError('no such word')
        return value
      })
      .groupByKey()
      .count({ name: 'c', emit: 'update' })
      .toStream()
      .to(counts)
    const seen: (string | null)[] = []
    words.foreach((value) => void seen.push(value))
    const app = await StreamsHarness.open(builder.build(), { in: 1, counts: 1 }, { onProcessingError: 'continue' })
    await app.send('in', [
      ['a', 'fine', 1],
      ['a', 'bad', 2],
      ['a', 'fine', 3],
    ])
    await app.start()
    await app.settle()
    expect((await app.read('counts', { value: 'long' })).map(({ value }) => value)).toEqual([1, 2])
    expect(seen).toEqual(['fine', 'bad', 'fine'])
    expect(app.runtime.metrics().droppedByReason).toEqual({ 'processing error': 1 })
    await app.close()
  })

  test("with 'continue' a schedule cannot forward under the key of a record whose processing threw", async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .processValues<string>(() => {
        let last = ''
        return {
          init: (context) => void context.schedule({ every: 10, by: 'streamTime' }, () => context.forward(last)),
          process: ({ value }) => {
            last = value
            throw new RangeError('no such word')
          },
        }
      })
      .to(output)
    const app = await StreamsHarness.open(builder.build(), { in: 1, out: 1 }, { onProcessingError: 'continue' })
    await app.send('in', [['a', 'bad', 1]])
    await app.start()
    await app.settle()
    expect(await app.read('out')).toEqual([])
    expect(app.runtime.metrics().droppedByReason).toEqual({ 'processing error': 2 })
    await app.close()
  })

  test.each(['streamTime', 'wallClock'] as const)(
    "with 'continue' a schedule by %s that threw fires again",
    async (by) => {
      const fired: number[] = []
      const builder = new StreamsBuilder()
      builder.stream(input).process(() => ({
        init: (context) => {
          context.schedule({ every: 10, by }, () => {
            fired.push(fired.length)
            if (fired.length === 1) throw new RangeError('not the first time')
          })
        },
        process: () => undefined,
      }))
      const app = await StreamsHarness.open(builder.build(), { in: 1 }, { onProcessingError: 'continue' })
      await app.send('in', [
        ['a', 'one', 1],
        ['a', 'two', 12],
      ])
      await app.start()
      await app.harness.clock.run(25)
      await app.settle()
      expect(fired).toEqual([0, 1])
      expect(app.runtime.metrics().droppedByReason).toEqual({ 'processing error': 1 })
      await app.close()
    },
  )
})

test('a query answers from the latest commit', async () => {
  const app = await StreamsHarness.open(wordCounts(), topics)
  const records = events(new SeededRandom(9), 300)
  await app.send('in', records)
  await app.start()
  await app.settle()
  const query = app.runtime.query<string, number>('by-key')
  const expected = plainCounts(records)
  for (const [key, count] of Object.entries(expected)) expect(await app.pump(query.get(key))).toBe(count)
  expect(await app.pump(query.get('nobody'))).toBeNull()
  expect(Object.fromEntries(await app.pump(query.all()))).toEqual(expected)
  await app.close()
})

test('a closed session that a record still extends is emitted again when it closes, wherever commits fall', async () => {
  const windows = sessions(10)
  const topology = (): Topology => {
    const builder = new StreamsBuilder()
    builder
      .stream(input)
      .groupByKey()
      .windowedBy(windows)
      .count({ name: 'closed-sessions', emit: 'final', retention: 1000 })
      .toStream()
      .map((count, { key, start, end }) => [key, `${start}-${end}=${count}`] as const)
      .to(output)
    return builder.build()
  }
  // b closes a's session of 0 to 0; the record at 5 is not late, and makes it one of 0 to 5.
  const records = [
    ['a', 'v', 0],
    ['b', 'v', 11],
    ['a', 'v', 5],
    ['b', 'v', 40],
  ] as const
  const told = async (batches: readonly (readonly InputRecord[])[]): Promise<readonly unknown[]> => {
    const app = await StreamsHarness.open(topology(), { in: 1, out: 1 })
    await app.start()
    for (const batch of batches) {
      await app.send('in', batch)
      await app.settle()
    }
    const values = (await app.read('out')).map(({ key, value }) => `${key} ${value}`)
    await app.close()
    return values
  }

  const expected = ['a 0-0=1', 'a 0-5=2', 'b 11-11=1']
  expect(await told(records.map((record) => [record]))).toEqual(expected)
  expect(await told([records])).toEqual(expected)
})
