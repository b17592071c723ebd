import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { topic } from '../../src/codec/topic.ts'
import type { Windowed } from '../../src/codec/windowed-codec.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Table } from '../../src/dsl/table.ts'
import { hopping, sessions, sliding, tumbling } from '../../src/dsl/windows.ts'
import { TopologyTestDriver } from '../../src/testing/topology-test-driver.ts'
import { StreamsHarness, type InputRecord } from '../harness/streams-harness.ts'

const text = { value: z.string(), format: 'string', tombstones: true } as const
const lefts = topic('left', { key: z.string(), ...text })
const rights = topic('right', { key: z.string(), ...text })
const others = topic('other', { key: z.string(), ...text })
const out = topic('out', { key: z.string(), ...text })

describe('a table has a store only if its rows are needed', () => {
  test('a table that is only forwarded has no store, and one that is joined has one named after its topic', () => {
    const passed = new StreamsBuilder()
    passed.table(lefts).toStream().to(out)
    expect(passed.build().stores).toEqual([])

    const joined = new StreamsBuilder()
    joined
      .stream(rights)
      .joinTable(joined.table(lefts), (right, left) => right + left)
      .to(out)
    expect(joined.build().stores.map((store) => store.name)).toEqual(['left-table'])
  })

  test('a filtered and mapped table is computed from the rows of its source', () => {
    const builder = new StreamsBuilder()
    const left = builder
      .table(lefts)
      .filter((value) => value !== '')
      .mapValues((value) => value.length)
    builder
      .stream(rights)
      .joinTable(left, (right, length) => `${right}${length}`)
      .to(out)
    expect(builder.build().stores.map((store) => store.name)).toEqual(['left-table'])
  })

  test('a declared store of an operator holds the results of the operator', async () => {
    const builder = new StreamsBuilder()
    builder.table(lefts).mapValues((value) => value.length, { store: { name: 'lengths', value: z.number() } })
    const driver = await TopologyTestDriver.open(builder.build())
    await driver.input(lefts).pipe({ key: 'a', value: 'four', timestamp: 1 })
    await driver.input(lefts).pipe({ key: 'b', value: 'x', timestamp: 2 })
    await driver.input(lefts).pipe({ key: 'b', value: null, timestamp: 3 })

    expect(await driver.store('lengths').all()).toEqual([['a', 4]])
    await driver.close()
  })
})

describe('in a chain of joins, the right row of the first one is computed', () => {
  test.each([
    ['only if there is a left row', 'inner', ['r']],
    ['only if there is a left row', 'left', ['r']],
    ['even if there is no left row', 'outer', ['r', 'r']],
  ] as const)('%s (%s join)', async (_, type, expected) => {
    const computed: string[] = []
    const builder = new StreamsBuilder()
    const mapped = builder.table(rights).mapValues((value) => {
      computed.push(value)
      return value
    })
    joinedBy(type, builder.table(lefts), mapped, (l, r) => `${l} ${r}`)
      .join(builder.table(others), (joined, other) => `${joined} ${other}`)
      .toStream()
      .to(out)
    const driver = await TopologyTestDriver.open(builder.build())
    await driver.input(rights).pipe({ key: 'k', value: 'r', timestamp: 1 })
    await driver.input(others).pipe({ key: 'k', value: 'o', timestamp: 2 })

    expect(computed).toEqual(expected)
    await driver.close()
  })
})

test('a table mapper that returns undefined fails with an error that names it', async () => {
  const builder = new StreamsBuilder()
  builder
    .table(lefts)
    .mapValues(() => undefined as unknown as string, { name: 'forgets' })
    .toStream()
    .to(out)
  const driver = await TopologyTestDriver.open(builder.build())
  await expect(driver.input(lefts).pipe({ key: 'a', value: 'a', timestamp: 1 })).rejects.toThrow(
    /mapper of forgets returned undefined/,
  )
  await driver.close()
})

describe('an invalid join is refused when the topology is built', () => {
  const four = topic('four', { key: z.string(), ...text, partitions: 4 })
  const three = topic('three', { key: z.string(), ...text, partitions: 3 })
  const numbered = topic('numbered', { key: z.number(), ...text })

  test('topics of different partition counts, with both counts and the remedy in the message', () => {
    const builder = new StreamsBuilder()
    builder.stream(four).joinTable(builder.table(three), (left) => left)
    expect(() => builder.build()).toThrow(
      /three has 3 partitions and four has 4.*repartition\(\)|four has 4 partitions and three has 3.*repartition\(\)/,
    )
  })

  test('keys of different codecs', () => {
    const builder = new StreamsBuilder()
    const table = builder.table(numbered) as unknown as ReturnType<typeof builder.table<string, string | null>>
    builder.table(lefts).join(table, (left) => left)
    expect(() => builder.build()).toThrow(/numbered.*"tagged".*"string"|left.*"string".*"tagged"/)
  })

  test('a topic that the program writes with a partitioner of its own', () => {
    const builder = new StreamsBuilder()
    builder.stream(rights).to(four, { partitioner: () => 0 })
    builder.stream(four).joinTable(builder.table(lefts), (left) => left)
    expect(() => builder.build()).toThrow(/four is written with a partitioner of its own/)
  })

  test('a stream with a new key, if the join has no name', () => {
    const builder = new StreamsBuilder()
    builder
      .stream(rights)
      .selectKey((value) => value ?? '')
      .joinTable(builder.table(lefts), (left) => left)
    expect(() => builder.build()).toThrow(/give the join a \{ name \}/)
  })

  test('a topic that is read both as a stream and as a global table', () => {
    const builder = new StreamsBuilder()
    builder.stream(lefts).joinGlobalTable(
      builder.globalTable(lefts),
      (_, key) => key,
      (left) => left,
    )
    expect(() => builder.build()).toThrow(/topic left is read as the global table left-table and by a source/)
  })

  test('a topic that is read as two global tables', () => {
    const builder = new StreamsBuilder()
    builder.globalTable(lefts)
    const other = builder.globalTable(lefts, { name: 'other' })
    builder.stream(rights).joinGlobalTable(
      other,
      (_, key) => key,
      (right) => right,
    )
    expect(() => builder.build()).toThrow(/topic left is read as the global tables left-table and other; declare one/)
  })

  describe('different windows, whose keys never mean the same', () => {
    const counted = (builder: StreamsBuilder, from: typeof lefts, sizeMs: number): Table<Windowed<string>, number> =>
      builder
        .stream(from)
        .groupByKey()
        .windowedBy(tumbling(sizeMs))
        .count({ name: `per-${sizeMs}` })
    const sum = (left: number, right: number): number => left + right
    const bySessions = (builder: StreamsBuilder): Table<Windowed<string>, number> =>
      builder.stream(rights).groupByKey().windowedBy(sessions(5)).count({ name: 'visits' })

    test.each<[string, (builder: StreamsBuilder) => unknown, RegExp]>([
      [
        'two tables',
        (builder) => counted(builder, lefts, 5).join(counted(builder, rights, 10), sum),
        /join inner-join: per-5 is keyed by windows of 5 ms and per-10 by windows of 10 ms, .* same windows/,
      ],
      [
        'a table of windows and one of sessions',
        (builder) => counted(builder, lefts, 5).outerJoin(bySessions(builder), () => 1),
        /per-5 is keyed by windows of 5 ms and visits by sessions/,
      ],
      [
        'a table of windows and one without',
        (builder) => counted(builder, lefts, 5).leftJoin(builder.table(rights) as never, () => 1),
        /per-5 is keyed by windows of 5 ms and right-table without windows/,
      ],
      [
        'a stream and a table',
        (builder) =>
          counted(builder, lefts, 5)
            .toStream()
            .joinTable(counted(builder, rights, 10), sum),
        /is keyed by windows of 5 ms and per-10 by windows of 10 ms/,
      ],
      [
        'two streams',
        (builder) =>
          counted(builder, lefts, 5)
            .toStream()
            .join(counted(builder, rights, 10).toStream(), sum, { name: 'both', within: 5 }),
        /join both: .* is keyed by windows of 5 ms and .* by windows of 10 ms/,
      ],
    ])('of %s', (_, call, message) => {
      const builder = new StreamsBuilder()
      call(builder)
      expect(() => builder.build()).toThrow(message)
      expect(() => builder.build()).toThrow(expect.objectContaining({ code: 'TOPOLOGY_INVALID' }))
    })

    test('but windows of one length may be joined, also if they advance differently', () => {
      const builder = new StreamsBuilder()
      const hopped = builder
        .stream(rights)
        .groupByKey()
        .windowedBy(hopping(5, { advance: 1 }))
      counted(builder, lefts, 5).join(hopped.count({ name: 'hopped' }), sum)
      expect(() => builder.build()).not.toThrow()
    })
  })

  test('tables of another builder', () => {
    const other = new StreamsBuilder().table(lefts)
    expect(() => new StreamsBuilder().stream(rights).joinTable(other, (right) => right)).toThrow(/different builders/)
  })
})

test('a repartition before a join takes the key codec of the table and is co-partitioned with it', () => {
  const builder = new StreamsBuilder()
  const numbered = topic('numbered', { key: z.number(), ...text, partitions: 5 })
  builder
    .stream(rights)
    .selectKey((value) => value?.length ?? 0)
    .joinTable(builder.table(numbered), (right, row) => right + row, { name: 'by-length' })
  const topology = builder.build()
  const repartition = topology.internalTopics.find((each) => each.name === 'by-length-repartition')

  expect(repartition?.config.keyCodec).toBe('tagged')
  expect(topology.subTopologies.flatMap((part) => part.copartitioned)).toContainEqual([
    'numbered',
    'by-length-repartition',
  ])
})

describe("with emit 'commit'", () => {
  test('a table emits before the operators that depend on it, even if it is also a join partner further down', async () => {
    const builder = new StreamsBuilder()
    const users = builder.table(lefts, { name: 'users' })
    users
      .toStream()
      .groupByKey()
      .count({ name: 'changes' })
      .toStream()
      .joinTable(users, (changes, user) => `${user} ${changes}`)
      .to(out)
    const harness = await StreamsHarness.open(builder.build(), { left: 1, out: 1 })
    await harness.send('left', [
      ['a', 'x', 1],
      ['a', 'y', 2],
      ['b', 'z', 3],
    ])
    await harness.start()
    await harness.settle()

    expect((await harness.read('out')).map(({ key, value }) => [key, value])).toEqual([
      ['a', 'y 1'],
      ['b', 'z 1'],
    ])
    await harness.close()
  })

  test.each(['inner', 'left', 'outer'] as const)(
    'the first change after a restart meets what the other side emitted before the restart (%s join)',
    async (type) => {
      const builder = new StreamsBuilder()
      const [left, right] = [builder.table(lefts), builder.table(rights)]
      const joiner: Joiner = (l, r) => `${l} ${r}`
      const joined = joinedBy(type, left, right, joiner)
      joined.toStream().to(out)
      const harness = await StreamsHarness.open(builder.build(), { left: 1, right: 1, out: 1 })
      for (const [l, r, time] of [
        ['l1', 'r1', 10],
        ['l2', 'r2', 5],
      ] as const) {
        await harness.send('left', [['k', l, time]])
        await harness.send('right', [['k', r, time + 1]])
        await harness.start()
        await harness.settle()
        await harness.stop()
      }

      const told = await harness.read('out')
      expect(told.slice(-2).map(({ value, timestamp }) => [value, timestamp])).toEqual([
        ['l2 r1', 11],
        ['l2 r2', 6],
      ])
      await harness.pump(harness.harness.close())
    },
  )

  test('deleting a row that never existed emits nothing, whether or not the rows are in memory', async () => {
    const builder = new StreamsBuilder()
    builder.table(lefts, { name: 'kept' }).toStream().to(out)
    const harness = await StreamsHarness.open(builder.build(), { left: 1, out: 1 })
    for (const key of ['a', 'b']) {
      await harness.send('left', [
        [key, 'x', 1],
        [`${key} was never there`, null, 2],
      ])
      await harness.start()
      await harness.settle()
      await harness.stop()
    }
    await harness.send('left', [['a', null, 3]])
    await harness.start()
    await harness.settle()

    expect((await harness.read('out')).map(({ key, value }) => [key, value])).toEqual([
      ['a', 'x'],
      ['b', 'x'],
      ['a', null],
    ])
    await harness.close()
  })

  /** The last values of a topology that joins windows, from in-order input that is processed in one commit. */
  async function lastValues(build: (builder: StreamsBuilder) => void): Promise<Map<string | null, unknown>> {
    const builder = new StreamsBuilder()
    build(builder)
    const harness = await StreamsHarness.open(builder.build(), { left: 1, right: 1, out: 1 })
    for (const [name, offset] of [['left', 0] as const, ['right', 1] as const]) {
      const records = Array.from({ length: 20 }, (_, index): InputRecord => [
        'ab'[index % 2] ?? '',
        'x',
        index * 7 + offset,
      ])
      await harness.send(name, records)
    }
    await harness.start()
    await harness.settle()
    const read = await harness.read('out')
    await harness.close()
    return new Map(read.filter(({ value }) => value !== null).map(({ key, value }) => [key, value]))
  }

  test.each([tumbling(10), sliding(5)])(
    'window rows are joined even if time has passed their windows by the commit (%j)',
    async (windows) => {
      const joined = (emit: 'commit' | 'update') => (builder: StreamsBuilder) => {
        const lives = builder.stream(lefts).groupByKey().windowedBy(windows).count({ name: 'lefts', emit })
        const others = builder.stream(rights).groupByKey().windowedBy(windows).count({ name: 'rights', emit })
        lives
          .outerJoin(others, (l, r) => `${l ?? '-'} ${r ?? '-'}`)
          .toStream()
          .selectKey((_value, { key, start }) => `${key} ${start}`)
          .to(out)
      }
      const byUpdate = await lastValues(joined('update'))

      expect([...byUpdate.values()]).toContain('1 1')
      expect(await lastValues(joined('commit'))).toEqual(byUpdate)
    },
  )

  test('session rows are joined even if time has passed their sessions by the commit', async () => {
    const joined = (emit: 'commit' | 'update') => (builder: StreamsBuilder) => {
      const grouped = builder.stream(lefts).groupByKey().windowedBy(sessions(5))
      const texts = grouped.reduce({ name: 'texts', emit, add: (a, b) => `${a}${b}` })
      grouped
        .count({ name: 'counts', emit })
        .join(texts, (count, value) => `${count} ${value}`)
        .toStream()
        .selectKey((_value, { key, start, end }) => `${key} ${start} ${end}`)
        .to(out)
    }
    const byUpdate = await lastValues(joined('update'))

    expect(byUpdate.size).toBe(20)
    expect(await lastValues(joined('commit'))).toEqual(byUpdate)
  })

  const seed = Number(process.env['TABLES_SEED'] ?? 20_261_121)
  for (const type of ['inner', 'left', 'outer'] as const) {
    test(`${type} join: it retracts exactly what it emitted, across commits, flushes and restarts (seed ${seed})`, async () => {
      const random = new SeededRandom(seed + type.length)
      const builder = new StreamsBuilder()
      const left = builder.table(lefts, { name: 'lefts' }).filter((value) => value !== 'hidden')
      const right = builder.table(rights, { name: 'rights', changelog: 'source' })
      const joiner: Joiner = (l, r) => `${l ?? '-'}${r ?? '-'}`
      const joined = joinedBy(type, left, right, joiner)
      joined.groupBy((value) => value).count({ name: 'counts' })
      const harness = await StreamsHarness.open(
        builder.build(),
        { left: 1, right: 1 },
        { storeFlushIntervalMs: 20, storeCacheBytes: random.below(2) * 1_000_000 },
      )
      const rows = { left: new Map<string, string>(), right: new Map<string, string>() }
      await harness.start()
      for (let round = 0, time = 0; round < 12; round++) {
        for (const side of ['left', 'right'] as const) {
          const records: InputRecord[] = Array.from({ length: random.below(12) }, () => {
            const key = 'abcde'[random.below(5)] ?? ''
            const value = [null, 'x', 'y', 'hidden'][random.below(4)] ?? null
            if (value === null) rows[side].delete(key)
            else rows[side].set(key, value)
            return [key, value, time++]
          })
          await harness.send(side, records)
        }
        await harness.settle()
        if (random.below(3) === 0) {
          await harness.stop()
          await harness.start()
        } else if (random.below(4) === 0) {
          await harness.crash()
          await harness.start()
        }
        const counts = (await harness.runtime.query<string, number>('counts').all()).filter(([, count]) => count !== 0)

        expect(new Map(counts), `round ${round}`).toEqual(groupsOf(type, rows.left, rows.right, joiner))
      }
      await harness.close()
    })
  }
})

describe("a table with changelog: 'source'", () => {
  const enrichment = (): StreamsBuilder => {
    const builder = new StreamsBuilder()
    builder
      .stream(rights)
      .joinTable(builder.table(lefts, { name: 'lefts', changelog: 'source', emit: 'update' }), (r, l) => `${r} ${l}`)
      .to(out)
    return builder
  }

  test('has no changelog topic, and restores its rows from the source topic after a crash', async () => {
    const topology = enrichment().build()
    expect(topology.internalTopics).toEqual([])
    const harness = await StreamsHarness.open(topology, { left: 1, right: 1, out: 1 }, { storeFlushIntervalMs: 1e9 })
    await harness.send('left', [
      ['a', 'x', 1],
      ['b', 'y', 2],
      ['b', null, 3],
    ])
    await harness.start()
    await harness.settle()
    await harness.crash()
    await harness.start()
    await harness.send('right', [
      ['a', '1', 4],
      ['b', '2', 5],
    ])
    await harness.settle()

    expect((await harness.read('out')).map(({ value }) => value)).toEqual(['1 x'])
    expect(harness.restored.at(-1)).toMatchObject({ at: { topic: 'left', partition: 0 }, end: 3 })
    await harness.close()
  })

  test('is restored up to the committed offset, not up to the end of the topic', async () => {
    const builder = new StreamsBuilder()
    builder
      .table(lefts, { name: 'lefts', changelog: 'source', emit: 'update' })
      .groupBy((value) => value)
      .count({ name: 'counts' })
    const harness = await StreamsHarness.open(builder.build(), { left: 1 }, { storeFlushIntervalMs: 1e9 })
    await harness.send('left', [['a', 'x', 1]])
    await harness.start()
    await harness.settle()
    await harness.crash()
    // In one batch with what follows it comes from the log at once, before anything of it is processed.
    await harness.send('left', [
      ['a', 'y', 2],
      ['a', 'z', 3],
    ])
    await harness.start()
    await harness.settle()

    const counts = await harness.pump(harness.runtime.query<string, number>('counts').all())
    expect(new Map(counts)).toEqual(
      new Map([
        ['x', 0],
        ['y', 0],
        ['z', 1],
      ]),
    )
    await harness.close()
  })

  test('applies the defaults of its schema, also to restored rows', async () => {
    const users = topic('users', {
      key: z.string(),
      value: z.object({ region: z.string().default('eu') }),
      format: 'json',
    })
    const builder = new StreamsBuilder()
    builder
      .stream(rights)
      .joinTable(builder.table(users, { name: 'users', changelog: 'source' }), (_, user) => user.region)
      .to(out)
    const harness = await StreamsHarness.open(builder.build(), { users: 1, right: 1, out: 1 })
    await harness.send('users', [['a', '{}', 1]])
    await harness.start()
    await harness.settle()
    await harness.crash()
    await harness.start()
    await harness.send('right', [['a', '1', 4]])
    await harness.settle()

    expect((await harness.read('out')).map(({ value }) => value)).toEqual(['eu'])
    await harness.close()
  })

  test('is refused if the topic cannot restore every row as it was', () => {
    const source = { changelog: 'source' } as const
    const declare = (config: object): ReturnType<typeof topic<z.ZodString, z.ZodString>> =>
      topic('t', { key: z.string(), value: z.string(), ...config })
    for (const [config, reason] of [
      [{ config: { cleanupPolicy: 'compact' } }, /compaction takes away rows/],
      [{ config: { retentionMs: 1000 } }, /retention takes away rows/],
      [{ timestamp: () => 1 }, /times come out of its records/],
    ] as const) {
      expect(() => new StreamsBuilder().table(declare(config), source)).toThrow(reason)
    }
    expect(() => new StreamsBuilder().table(declare({}), { ...source, onInvalid: 'skip' })).toThrow(/passed over/)
  })
})

function groupsOf(
  type: 'inner' | 'left' | 'outer',
  left: ReadonlyMap<string, string>,
  right: ReadonlyMap<string, string>,
  joiner: (left: string | null, right: string | null) => string,
): Map<string, number> {
  const groups = new Map<string, number>()
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const given = left.get(key)
    const l = given === undefined || given === 'hidden' ? null : given
    const r = right.get(key) ?? null
    if (l === null && (type !== 'outer' || r === null)) continue
    if (r === null && type === 'inner') continue
    const group = joiner(l, r)
    groups.set(group, (groups.get(group) ?? 0) + 1)
  }
  return groups
}

type Joiner = (left: string | null, right: string | null) => string

function joinedBy(
  type: 'inner' | 'left' | 'outer',
  left: Table<string, string>,
  right: Table<string, string>,
  joiner: Joiner,
): Table<string, string> {
  if (type === 'inner') return left.join(right, joiner)
  return type === 'left' ? left.leftJoin(right, joiner) : left.outerJoin(right, joiner)
}
