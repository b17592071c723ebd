import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import type { RecordContext, RecordProcessor, StoreRef, StreamRecord } from '../../src/dsl/operators/process.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'
import type { RecordedSection } from '../../src/log/api/commit-section.ts'
import type { KeyValueStore } from '../../src/streams/store/key-value-store.ts'
import { outputOrderOperator } from '../../src/streams/task/output-order.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import { StreamsHarness, type InputRecord } from '../harness/streams-harness.ts'
import { RecordedRun, replayTask } from '../harness/task-replay.ts'

/**
 * What a commit records of a task is enough to replay it: from the recorded inputs, order, clock readings and
 * punctuations, on stores as of the commit before, the same task writes the same bytes to the same partitions.
 */
const words = topic('words', { key: stringKey, value: string })
const marks = topic('marks', { key: stringKey, value: string })
const late = topic('late', { key: stringKey, value: string })
const profiles = topic('profiles', { key: z.string(), value: z.string(), tombstones: true, format: 'string' })
const visits = topic('visits', { key: z.string(), value: z.string(), format: 'string' })
const checked = topic('checked', { key: stringKey, value: z.object({ length: z.number() }), format: 'json' })
const deadLetters = topic('dead-letters', { key: stringKey, value: string })
const minute = tumbling('1m', { grace: '10s' })
const perMinute = topic('per-minute', { key: windowed(z.string(), minute), value: long })
const closed = topic('closed', { key: windowed(z.string(), minute), value: long })
const perKey = topic('per-key', { key: stringKey, value: long })
const lengths = topic('lengths', { key: z.string(), value: z.number() })
const rooms = topic('rooms', { key: z.string(), value: z.string(), format: 'string' })
const named = topic('named', { key: z.string(), value: z.string() })
const sizes = topic('sizes', { key: z.number(), value: z.number() })
const watched = topic('watched', { key: stringKey, value: string })

const topics = {
  words: 3,
  marks: 3,
  late: 3,
  profiles: 3,
  visits: 3,
  rooms: 2,
  named: 2,
  sizes: 2,
  checked: 2,
  'dead-letters': 2,
  'per-minute': 3,
  closed: 2,
  'per-key': 3,
  lengths: 2,
  watched: 3,
}

function application(): Topology {
  const builder = new StreamsBuilder()
  const counted = builder.stream(words).filter((word) => word !== 'none')
  const byWord = counted.groupBy((word) => word, { name: 'by-word', key: z.string() })
  byWord.windowedBy(minute).count({ name: 'by-minute' }).toStream().to(perMinute)
  byWord.windowedBy(minute).count({ name: 'final', emit: 'final' }).toStream().to(closed)
  counted.groupByKey().count({ name: 'by-key', emit: 'update' }).toStream().to(perKey)
  counted
    .groupByKey()
    .aggregate({ name: 'lengths', value: z.number(), initial: () => 0, add: (sum, word) => sum + word.length })
    .toStream()
    .to(lengths)
  builder
    .stream(checked, { onInvalid: { deadLetter: deadLetters } })
    .mapValues(({ length }) => String(length))
    .to(watched)
  const table = builder.table(profiles, { name: 'profiles' })
  builder
    .stream(visits)
    .joinTable(table, (visit, profile) => `${visit} by ${profile}`)
    .leftJoinGlobalTable(
      builder.globalTable(rooms, { name: 'rooms' }),
      (_, visitor) => visitor,
      (visit, room) => `${visit} in ${room ?? 'the open'}`,
    )
    .to(named)
  table
    .groupBy((profile) => profile.length, { name: 'by-length' })
    .count({ name: 'sizes' })
    .toStream()
    .to(sizes)
  builder
    .stream(visits)
    .outerJoin(
      builder.stream(profiles).filter((profile) => profile !== null),
      (visit, profile) => `${visit} with ${profile}`,
      {
        name: 'pairs',
        before: '2s',
        after: '5s',
        grace: '1s',
      },
    )
    .to(named)
  const last = builder.addStore({ name: 'last', key: z.string(), value: z.string() })
  builder
    .stream(words)
    .selectKey((word) => word)
    .repartition({ name: 'moved', key: stringKey })
    .merge(builder.stream(marks))
    .merge(builder.stream(late))
    .process(() => new Watch(last), { name: 'watch', stores: [last] })
    .to(watched)
  return builder.build()
}

/** Looks at all that a commit has to record: stores, both clocks, both kinds of punctuation, headers, records without key. */
class Watch implements RecordProcessor<string, string, string, string> {
  readonly #last: StoreRef<KeyValueStore<string, string>>
  #context!: RecordContext<string, string>
  #store!: KeyValueStore<string, string>

  constructor(last: StoreRef<KeyValueStore<string, string>>) {
    this.#last = last
  }

  init(context: RecordContext<string, string>): void {
    this.#context = context
    this.#store = context.store(this.#last)
    context.schedule({ every: '7s', by: 'streamTime' }, (time) => this.#report('stream', time))
    context.schedule({ every: 13, by: 'wallClock' }, (time) => this.#report('wall', time))
    context.schedule({ every: 37, by: 'wallClock' }, (time) => this.#store.put('tick', String(time)))
  }

  process({ key, value, timestamp, headers }: StreamRecord<string, string>): void {
    const name = key ?? 'nobody'
    const before = this.#store.get(name)
    const now = value.length % 3 === 0 ? this.#context.now() : 0
    this.#store.put(name, value)
    // Put and deleted within one commit, or deleted after replacing an older value: the changelog must not depend on
    // what happens to be in memory.
    this.#store.put(`passing ${value}`, value)
    if (timestamp % 2 === 0) this.#store.delete(`passing ${value}`)
    if (timestamp % 5 === 0) this.#store.delete(name)
    const marked = [...headers, { key: 'before', value: Buffer.from(before ?? '') }]
    this.#context.forward({ key, value: `${value} ${now}`, timestamp, headers: marked })
  }

  #report(clock: string, time: number): void {
    const rows = [...this.#store.all()].map(([key, value]) => `${key}=${value}`).join(' ')
    this.#context.forward({ key: clock, value: `${rows} at ${this.#context.now()}`, timestamp: time })
  }
}

/**
 * An application whose records arrive in and out of order, in batches and one by one, with restarts in between; the
 * offsets of even seeds have gaps.
 */
async function recordedRun(seed: number): Promise<Recorded> {
  const known = recordedRuns.get(seed) ?? record(seed)
  recordedRuns.set(seed, known)
  return await known
}

interface Recorded {
  readonly app: StreamsHarness
  readonly run: RecordedRun
}

/** Recorded once for all tests, which only read. */
const recordedRuns = new Map<number, Promise<Recorded>>()
afterAll(async () => {
  for (const { app } of await Promise.all(recordedRuns.values())) await app.close()
})

async function record(seed: number): Promise<Recorded> {
  const random = new SeededRandom(seed)
  const topology = application()
  const app = await StreamsHarness.open(
    topology,
    topics,
    { commitIntervalMs: 15, storeCacheBytes: 4096 },
    { commitMinIntervalMs: 9, ...(seed % 2 === 0 ? { nextGap: () => random.below(3) } : {}) },
  )
  await app.send(
    'words',
    Array.from({ length: 120 }, (_, index) => event(random, index * 900)),
  )
  await app.start()
  let time = 100_000
  for (let round = 0; round < 60; round++) {
    time += random.below(9000)
    const into = random.pick(['words', 'marks', 'late', 'late', 'checked', 'profiles', 'visits', 'visits', 'rooms'])
    const records = Array.from({ length: 1 + random.below(12) }, () =>
      event(random, time + random.below(30_000) - 15_000),
    )
    await app.send(
      into,
      records.map((record) => fitting(into, record, random)),
    )
    await app.harness.clock.run(random.below(random.chance(0.5) ? 3 : 30))
    if (round % 13 === 12) await restart(app, random)
  }
  await app.settle()
  await app.stop()
  return { app, run: await RecordedRun.read(app.log, topology, 'app') }
}

/** The record in the form that the topic takes. */
function fitting(into: string, [key, value, at, headers = []]: InputRecord, random: SeededRandom): InputRecord {
  if (into === 'checked') return [key, random.chance(0.5) ? `{"length":${value?.length}}` : value, at]
  if (into === 'visits' || into === 'rooms') return [key ?? 'nobody', value, at, headers]
  if (into === 'profiles') return [key ?? 'nobody', random.chance(0.2) ? null : value, at, headers]
  return [key, value, at, headers]
}

async function restart(app: StreamsHarness, random: SeededRandom): Promise<void> {
  if (random.chance(0.5)) await app.crash()
  else await app.stop()
  await app.start()
}

function event(random: SeededRandom, timestamp: number): InputRecord {
  const word = random.pick(['a', 'bb', 'ccc', 'dddd', 'none', 'eeeeee'])
  const key = random.chance(0.1) ? null : `key-${random.below(9)}`
  return [key, word, Math.max(0, timestamp), random.chance(0.2) ? [{ key: 'trace', value: Buffer.from(word) }] : []]
}

/** The differences between a replay and what was recorded. */
async function differences(run: RecordedRun, commit: number, task: string): Promise<readonly string[]> {
  const { outputs, changelogs, picks: _, operators, ...others } = run.section(commit, task)
  // The place of the outputs in the order of all tasks cannot be computed from one task.
  const { [outputOrderOperator]: ___, ...own } = operators
  const recorded = { ...others, operators: own }
  const { section, written } = await replayTask(run, commit, task)
  const expected = await run.written({ outputs, changelogs, ...recorded })
  const found: string[] = []
  const compare = (what: string, now: unknown, before: unknown): void => {
    const texts = [now, before].map((value) => JSON.stringify(value))
    if (texts[0] !== texts[1]) found.push(`${what}: recorded ${texts[1]}, replayed ${texts[0]}`)
  }
  const { picks: __, ...replayed } = section
  for (const name of Object.keys(recorded)) {
    compare(name, replayed[name as keyof typeof replayed], recorded[name as keyof typeof recorded])
  }
  const byName = (records: ReadonlyMap<string, readonly string[]>): readonly unknown[] =>
    [...records].toSorted(([a], [b]) => (a < b ? -1 : 1))
  compare('records', byName(written), byName(expected))
  return found
}

const seeds = [1, 2, 3, 4]

describe.each(seeds)('seed %i', (seed) => {
  test('replaying any task of any commit gives what was recorded', async () => {
    const { app, run } = await recordedRun(seed)

    const found: string[] = []
    for (const [commit, { sections }] of run.commits.entries()) {
      for (const { task } of sections) {
        const differing = await app.pump(differences(run, commit, task))
        if (differing.length > 0) found.push(`commit ${commit}, task ${task}: ${differing.join('; ')}`)
      }
    }

    expect(found.slice(0, 3), `${found.length} differ`).toEqual([])
  })
})

// The tests above prove nothing if what is recorded never occurs.
test('the recorded runs contain picks out of order, punctuations and readings of the clock', async () => {
  const sections: RecordedSection[] = []
  for (const seed of seeds) {
    const { run } = await recordedRun(seed)
    sections.push(...run.commits.flatMap((commit) => commit.sections))
  }

  expect(sections.filter(({ picks }) => picks !== undefined).length).toBeGreaterThan(5)
  expect(sections.filter(({ punctuations }) => punctuations.length > 0).length).toBeGreaterThan(50)
  expect(sections.filter(({ clock }) => clock.length > 1).length).toBeGreaterThan(20)
  expect(sections.filter(({ changelogs }) => changelogs.length > 0).length).toBeGreaterThan(100)
})

/** Falsifies each recorded item a little; undefined if the section has none of its kind. */
const wrongs: { readonly [what: string]: (section: RecordedSection) => RecordedSection | undefined } = {
  'the order of the inputs': ({ picks, ...rest }) => (picks === undefined ? undefined : rest),
  'the clock': (section) =>
    section.clock.length === 0
      ? undefined
      : { ...section, clock: section.clock.map(({ input, now }) => ({ input, now: now + 1 })) },
  'a reading of the clock, one record late': (section) =>
    section.clock.length < 2
      ? undefined
      : { ...section, clock: section.clock.map(({ input, now }) => ({ input: input + 1, now })) },
  'a punctuation that fired': (section) =>
    section.punctuations.length === 0 ? undefined : { ...section, punctuations: section.punctuations.slice(1) },
  'the time of a punctuation': (section) =>
    section.punctuations.length === 0
      ? undefined
      : { ...section, punctuations: section.punctuations.map((one) => ({ ...one, now: one.now + 1 })) },
  'where an input begins': (section) =>
    section.inputs.length === 0
      ? undefined
      : { ...section, inputs: section.inputs.map((range) => ({ ...range, start: Math.max(0, range.start - 1) })) },
  'where an input ends': (section) =>
    section.inputs.length === 0
      ? undefined
      : { ...section, inputs: section.inputs.map((range) => ({ ...range, end: range.end - 1 })) },
  'where a global table stood': (section) =>
    section.globals.length === 0
      ? undefined
      : { ...section, globals: section.globals.map(({ at, next }) => ({ at, next: Math.min(next, 1) })) },
  'a cause': (section) =>
    section.causes.length === 0 ? undefined : { ...section, causes: section.causes.with(0, section.inputCount) },
  'the digest of the outputs': (section) =>
    section.outputDigest === '' ? undefined : { ...section, outputDigest: section.outputDigest.replace(/./, 'x') },
  'the digest of the changelogs': (section) =>
    section.changelogDigest === ''
      ? undefined
      : { ...section, changelogDigest: section.changelogDigest.replace(/./, 'x') },
  'the stream time': (section) => ({ ...section, streamTime: section.streamTime + 1 }),
}

/** The same for the items that a commit takes over from the commit before. */
const wrongsBefore: { readonly [what: string]: (section: RecordedSection) => RecordedSection | undefined } = {
  'the state of the operators': (section) => ({ ...section, operators: {} }),
  'where a changelog ended': (section) =>
    section.changelogs.length === 0
      ? undefined
      : { ...section, changelogs: section.changelogs.map((range) => ({ ...range, end: range.end - 1 })) },
  'the stream time': (section) => ({ ...section, streamTime: section.streamTime + 10_000_000 }),
  'the partition times': (section) => ({
    ...section,
    partitionTimes: section.partitionTimes.map(({ at, time }) => ({ at, time: time + 10_000_000 })),
  }),
}

describe('a replay detects that the commit record is wrong about', () => {
  test.each(Object.entries(wrongs))('%s', async (_, wrong) => {
    const { app, run } = await recordedRun(1)

    expect(await app.pump(finds(run, (commit, task) => changed(run, commit, task, wrong)))).toBe(true)
  })

  test.each(Object.entries(wrongsBefore))('%s, in the commit before', async (_, wrong) => {
    const { app, run } = await recordedRun(1)

    const found = await app.pump(
      finds(run, (commit, task) => {
        for (let before = commit - 1; before >= 0; before--) {
          if (run.commits[before]?.sections.some((section) => section.task === task) === true) {
            return changed(run, before, task, wrong)
          }
        }
        return undefined
      }),
    )

    expect(found).toBe(true)
  })
})

function changed(
  run: RecordedRun,
  commit: number,
  task: string,
  wrong: (section: RecordedSection) => RecordedSection | undefined,
): RecordedRun | undefined {
  const section = wrong(run.section(commit, task))
  return section === undefined ? undefined : run.changed(commit, section)
}

/** Whether a replay of the falsified run throws or differs. */
async function finds(
  run: RecordedRun,
  wrongly: (commit: number, task: string) => RecordedRun | undefined,
): Promise<boolean> {
  for (const [commit, { sections }] of run.commits.entries()) {
    for (const { task } of sections) {
      const wrong = wrongly(commit, task)
      if (wrong === undefined) continue
      try {
        if ((await differences(wrong, commit, task)).length > 0) return true
      } catch {
        return true
      }
    }
  }
  return false
}
