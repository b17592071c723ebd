import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../src/codec/topic.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { sessions } from '../../../src/dsl/windows.ts'
import type { SessionStore } from '../../../src/streams/store/key-value-store.ts'
import { TopologyTestDriver } from '../../../src/testing/topology-test-driver.ts'
import type { InputRecord } from '../../harness/streams-harness.ts'
import { lastResults, windowResults, type WindowResult } from '../../harness/windowed-results.ts'

interface Session {
  readonly key: string
  readonly start: number
  readonly end: number
  readonly value: string
}

/** The semantics of sessions, written as plainly as possible. */
class Oracle {
  readonly updates: WindowResult[] = []
  readonly finals: WindowResult[] = []
  late = 0
  readonly #gap: number
  readonly #grace: number
  #open: Session[] = []
  #time = -1

  constructor(gap: number, grace: number) {
    this.#gap = gap
    this.#grace = grace
  }

  record(key: string, value: string, time: number): void {
    this.#time = Math.max(this.#time, time)
    const closeTime = this.#time - this.#grace - this.#gap
    const merged = this.#open
      .filter((one) => one.key === key && one.end >= time - this.#gap && one.start <= time + this.#gap)
      .sort((left, right) => left.end - right.end)
    const start = Math.min(time, ...merged.map((one) => one.start))
    const end = Math.max(time, ...merged.map((one) => one.end))
    if (end < closeTime) {
      this.late += 1
    } else {
      const session = { key, start, end, value: merged.map((one) => one.value).join('') + value }
      if (start < end) for (const one of merged) this.updates.push([nameOf(one), null, one.end])
      this.updates.push([nameOf(session), session.value, end])
      this.#open = [...this.#open.filter((one) => !merged.includes(one)), session]
    }
    const closed = this.#open
      .filter((one) => one.end < closeTime)
      .sort((left, right) => left.end - right.end || left.start - right.start || (left.key < right.key ? -1 : 1))
    for (const one of closed) this.finals.push([nameOf(one), one.value, one.end])
    this.#open = this.#open.filter((one) => !closed.includes(one))
  }
}

function nameOf({ key, start, end }: Session): string {
  return `${key} ${start}..${end}`
}

async function joined(
  emit: 'update' | 'commit' | 'final',
  { gap, grace }: { readonly gap: number; readonly grace: number },
  parts: readonly (readonly InputRecord[])[],
): Promise<{ readonly results: WindowResult[]; readonly dropped: number }> {
  return await windowResults(
    (grouped) =>
      grouped.windowedBy(sessions(gap, { grace })).aggregate({
        name: 'joined',
        emit,
        value: z.string(),
        initial: () => '',
        add: (text, value) => text + value,
        merge: (left, right) => left + right,
      }),
    parts,
  )
}

test.each(['update', 'commit'] as const)(
  'a session stays as it is if the aggregator fails and processing continues (%s)',
  async (emit) => {
    const words = topic('words', { key: z.string(), value: z.string() })
    const builder = new StreamsBuilder()
    builder
      .stream(words)
      .groupByKey()
      .windowedBy(sessions(5, { grace: 10 }))
      .aggregate({
        name: 'joined',
        emit,
        value: z.string(),
        initial: () => '',
        add: (text, value) => {
          if (value === 'bad') throw new Error('cannot be added')
          return text + value
        },
        merge: (older, newer) => older + newer,
      })
    const driver = await TopologyTestDriver.open(builder.build(), { config: { onProcessingError: 'continue' } })
    for (const [value, timestamp] of [['a', 10] as const, ['bad', 12] as const, ['b', 14] as const]) {
      await driver.input(words).pipe({ key: 'k', value, timestamp })
    }

    expect(await driver.store('joined').rows()).toMatchObject([{ value: 'ab', window: { start: 10, end: 14 } }])
    await driver.close()
  },
)

test('sessions equal those of a plain loop, for any order of timestamps, across a crash and a restart', async () => {
  const scenario = fc.record({
    gap: fc.constantFrom(1, 4, 9),
    grace: fc.constantFrom(0, 2, 10, 40),
    records: fc.array(fc.tuple(fc.constantFrom('a', 'aa', 'b'), fc.nat(4), fc.nat(10)), {
      minLength: 1,
      maxLength: 60,
    }),
    cut: fc.nat(60),
  })
  await fc.assert(
    fc.asyncProperty(scenario, async ({ gap, grace, records, cut }) => {
      const oracle = new Oracle(gap, grace)
      let time = 0
      const inputs = records.map(([key, step, back], index): InputRecord => {
        time += step
        return [key, String.fromCodePoint(97 + (index % 26)), Math.max(0, time - back)]
      })
      for (const [key, value, timestamp] of inputs) oracle.record(key ?? '', value ?? '', timestamp)
      const parts = [inputs.slice(0, cut), inputs.slice(cut)].filter((part) => part.length > 0)

      const updated = await joined('update', { gap, grace }, parts)
      expect(updated.results).toEqual(oracle.updates)
      expect(updated.dropped).toBe(oracle.late)
      const closed = await joined('final', { gap, grace }, parts)
      expect(closed.results).toEqual(oracle.finals)
      const committed = await joined('commit', { gap, grace }, parts)
      expect(lastResults(committed.results)).toEqual(lastResults(oracle.updates))
    }),
    { numRuns: 25 },
  )
})

test.each(['update', 'commit', 'final'] as const)(
  'with emit %s a record exactly a gap after a session joins it, wherever other keys have advanced time',
  async (emit) => {
    const { results } = await joined(emit, { gap: 10, grace: 5 }, [
      [
        ['k', 'a', 0],
        ['other', 'x', 15],
        ['k', 'b', 10],
        ['end', 'x', 100],
      ],
    ])

    expect(lastResults(results).get('k 0..10')).toBe('ab')
    expect(lastResults(results).get('k 10..10')).toBeUndefined()
  },
)

test('a session at the end of its retention is listed neither by key nor in all rows', async () => {
  const events = topic('events', { key: z.string(), value: z.string() })
  const builder = new StreamsBuilder()
  builder.stream(events).groupByKey().windowedBy(sessions(10)).count({ name: 'counts' })
  const driver = await TopologyTestDriver.open(builder.build())
  await driver.input(events).pipe({ key: 'a', value: '', timestamp: 0 })
  await driver.input(events).pipe({ key: 'b', value: '', timestamp: 10 })

  const store = driver.store<string, number>('counts')
  expect(await store.fetchSessions('a')).toEqual([])
  expect((await store.rows()).map(({ key }) => key)).toEqual(['b'])
  await driver.close()
})

test('with emit commit a session is deleted before the session that it was merged into is emitted', async () => {
  const parts: InputRecord[][] = [
    [['k', 'a', 10]],
    [
      ['k', 'c', 14],
      ['k', 'b', 12],
    ],
  ]

  const { results } = await joined('commit', { gap: 5, grace: 20 }, parts)

  expect(results).toEqual([
    ['k 10..10', 'a', 10],
    ['k 10..10', null, 10],
    ['k 10..14', 'acb', 14],
  ])
})

test('with emit final and the default retention, a session that ended long before the next record is emitted', async () => {
  const { results } = await joined('final', { gap: 5, grace: 0 }, [
    [
      ['k', 'a', 10],
      ['k', 'b', 1_000_000],
    ],
  ])

  expect(results).toEqual([['k 10..10', 'a', 10]])
})

test('counts and reductions of merged sessions equal those of all their records', async () => {
  const input: InputRecord[] = [
    ['k', '1', 0],
    ['k', '5', 8],
    ['k', '3', 4],
  ]
  const window = sessions(5, { grace: 10 })

  const counted = await windowResults(
    (grouped) => grouped.windowedBy(window).count({ name: 'c', emit: 'update' }),
    [input],
  )
  const reduced = await windowResults(
    (grouped) =>
      grouped
        .windowedBy(window)
        .reduce({ name: 'r', emit: 'update', add: (left, right) => (left > right ? left : right) }),
    [input],
  )

  expect(counted.results.at(-1)).toEqual(['k 0..8', '3', 8])
  expect(reduced.results.at(-1)).toEqual(['k 0..8', '5', 8])
})

test('a processor can keep sessions in a store of its own, and they can be queried by key', async () => {
  const builder = new StreamsBuilder()
  const visits = builder.addStore({
    name: 'visits',
    key: z.string(),
    value: z.number(),
    sessions: { retention: '1h' },
  })
  const events = topic('events', { key: z.string(), value: z.string() })
  builder.stream(events).process<string, number>(
    () => {
      let store: SessionStore<string, number>
      return {
        init: (context) => void (store = context.store(visits)),
        process: ({ key, timestamp }) => {
          const [last] = store.findSessions(key, timestamp - 10, timestamp + 10)
          if (last !== undefined) store.put(key, null, last.start, last.end)
          store.put(key, (last?.value ?? 0) + 1, last?.start ?? timestamp, timestamp)
        },
      }
    },
    { stores: ['visits'] },
  )
  const driver = await TopologyTestDriver.open(builder.build())
  try {
    for (const timestamp of [5, 12, 40]) await driver.input(events).pipe({ key: 'k', value: 'v', timestamp })
    await driver.restart()

    expect(await driver.store<string, number>('visits').fetchSessions('k')).toEqual([
      { key: 'k', start: 5, end: 12, value: 2 },
      { key: 'k', start: 40, end: 40, value: 1 },
    ])
  } finally {
    await driver.close()
  }
})
