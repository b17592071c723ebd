import { describe, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../src/codec/topic.ts'
import type { Windowed } from '../../src/codec/windowed-codec.ts'
import type { GlobalTable } from '../../src/dsl/global-table.ts'
import type { KeyNeedsASchema } from '../../src/dsl/key-needs-a-schema.ts'
import type { Stream } from '../../src/dsl/stream.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Table } from '../../src/dsl/table.ts'
import { tumbling } from '../../src/dsl/windows.ts'

// The compiler is the test, as in dsl-types.test.ts. The bodies of `never` never run.
const never = (body: () => void): boolean => typeof body === 'function'

const views = topic('views', { key: z.string(), value: z.object({ path: z.string(), status: z.number() }) })
const users = topic('users', { key: z.string(), value: z.object({ region: z.string() }), tombstones: true })
const forEver = topic('for-ever', { key: z.string(), value: z.number() })
const byNumber = topic('n', { key: z.number(), value: z.object({ region: z.string() }) })
const numbers = topic('numbers', { key: z.string(), value: z.number() })
const deletable = topic('deletable', { key: z.string(), value: z.number(), tombstones: true })
const builder = new StreamsBuilder()

type View = { path: string; status: number }
type User = { region: string }

describe('the type of a table has null only if rows can be deleted', () => {
  test('a topic has deletable rows if it declares tombstones', () => {
    never(() => {
      expectTypeOf(builder.table(users)).toEqualTypeOf<Table<string, User, null>>()
      expectTypeOf(builder.table(forEver)).toEqualTypeOf<Table<string, number, never>>()
      expectTypeOf(builder.table(users).toStream()).toEqualTypeOf<Stream<string, User | null>>()
      builder.table(forEver).toStream().to(numbers)
    })
  })

  test('a filter deletes rows, a mapper does if it may return null, and a join as its kind implies', () => {
    never(() => {
      const kept = builder.table(forEver)
      const gone = builder.table(users)
      expectTypeOf(kept.filter((value) => value > 1)).toEqualTypeOf<Table<string, number, null>>()
      expectTypeOf(kept.mapValues((value) => String(value))).toEqualTypeOf<Table<string, string, never>>()
      expectTypeOf(kept.mapValues((value) => (value > 1 ? value : null))).toEqualTypeOf<Table<string, number, null>>()
      expectTypeOf(kept.join(kept, (left, right) => left + right)).toEqualTypeOf<Table<string, number, never>>()
      expectTypeOf(kept.join(gone, (left, right) => right.region + left)).toEqualTypeOf<Table<string, string, null>>()
      expectTypeOf(kept.leftJoin(gone, (left, right) => (right?.region ?? '') + left)).toEqualTypeOf<
        Table<string, string, never>
      >()
      expectTypeOf(gone.outerJoin(kept, (left, right) => (left?.region ?? '') + (right ?? 0))).toEqualTypeOf<
        Table<string, string, never>
      >()
      expectTypeOf(gone.outerJoin(gone, (left) => left?.region ?? '')).toEqualTypeOf<Table<string, string, null>>()
    })
  })

  test('a table made from a stream has the type of the values that are not null', () => {
    never(() => {
      expectTypeOf(builder.stream(users).toTable({ name: 't' })).toEqualTypeOf<Table<string, User, null>>()
      expectTypeOf(builder.stream(views).toTable({ name: 't' })).toEqualTypeOf<Table<string, View, never>>()
    })
  })
})

describe('types are inferred through joins and groups of tables', () => {
  test("a stream joins a table, and in a left join the table's value may be null", () => {
    never(() => {
      const stream = builder.stream(views)
      const table = builder.table(users)
      expectTypeOf(stream.joinTable(table, (view, user) => ({ ...view, region: user.region }))).toEqualTypeOf<
        Stream<string, { region: string; path: string; status: number }>
      >()
      expectTypeOf(stream.leftJoinTable(table, (view, user) => user?.region ?? view.path)).toEqualTypeOf<
        Stream<string, string>
      >()
      // @ts-expect-error Object is possibly 'null'
      stream.leftJoinTable(table, (_view, user) => user.region)
    })
  })

  test('a global table is joined by a key of its own key type', () => {
    never(() => {
      const stream = builder.stream(views)
      const regions = builder.globalTable(byNumber)
      expectTypeOf(regions).toEqualTypeOf<GlobalTable<number, User>>()
      expectTypeOf(
        stream.joinGlobalTable(
          regions,
          (view) => view.status,
          (view, region) => view.path + region.region,
        ),
      ).toEqualTypeOf<Stream<string, string>>()
      stream.leftJoinGlobalTable(
        regions,
        // @ts-expect-error Type 'string' is not assignable to type 'number'
        (view) => view.path,
        (view) => view.path,
      )
    })
  })

  test('groups of a table carry their key, and aggregates need a subtractor', () => {
    never(() => {
      const table = builder.table(users)
      const byRegion = table.groupBy((user) => user.region)
      expectTypeOf(byRegion.count({ name: 'c' })).toEqualTypeOf<Table<string, number, never>>()
      expectTypeOf(
        byRegion.aggregate({
          name: 'a',
          value: z.array(z.string()),
          initial: () => [],
          add: (regions, user) => [...regions, user.region],
          subtract: (regions, user) => regions.filter((region) => region !== user.region),
        }),
      ).toEqualTypeOf<Table<string, string[], null>>()
      // @ts-expect-error Property 'subtract' is missing
      byRegion.reduce({ name: 'r', add: (left) => left })
      expectTypeOf(table.groupBy((user) => ({ region: user.region }))).toEqualTypeOf<
        KeyNeedsASchema<{ region: string }>
      >()
    })
  })

  test('a windowed table has windowed keys', () => {
    never(() => {
      const counts = builder.stream(views).groupByKey().windowedBy(tumbling('1m')).count({ name: 'w' })
      expectTypeOf(counts.filter((count) => count > 10)).toEqualTypeOf<Table<Windowed<string, 'time'>, number, null>>()
      expectTypeOf(counts.groupBy((_count, window) => window.start).count({ name: 'x' })).toEqualTypeOf<
        Table<number, number, never>
      >()
    })
  })
})

describe('mistakes do not compile', () => {
  test('E3: a stream and a table of different keys do not join', () => {
    never(() => {
      // @ts-expect-error Type 'number' is not assignable to type 'string'
      builder.stream(views).joinTable(builder.table(byNumber, { name: 'q' }), () => 1)
      // @ts-expect-error Type 'number' is not assignable to type 'string'
      builder.table(users).join(builder.table(byNumber), () => 1)
    })
  })

  test('rows that can be deleted do not fit a topic without tombstones', () => {
    never(() => {
      const filtered = builder.table(forEver).filter((value) => value > 1)
      filtered.toStream().to(deletable)
      // @ts-expect-error Type 'null' is not assignable to type 'number'
      filtered.toStream().to(numbers)
    })
  })

  test('a table made from a stream needs a name', () => {
    never(() => {
      // @ts-expect-error Property 'name' is missing
      builder.stream(views).toTable({})
    })
  })

  test('a stream cannot be used as a table', () => {
    never(() => {
      // @ts-expect-error Argument of type 'Stream<...>' is not assignable to parameter of type 'Table<...>'
      builder.stream(views).joinTable(builder.stream(users), () => 1)
    })
  })
})
