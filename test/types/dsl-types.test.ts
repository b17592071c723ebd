import { describe, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { topic } from '../../src/codec/topic.ts'
import type { Topic } from '../../src/codec/topic.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { bytes } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import type { Windowed } from '../../src/codec/windowed-codec.ts'
import type { KeyNeedsASchema } from '../../src/dsl/key-needs-a-schema.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import type { Stream } from '../../src/dsl/stream.ts'
import { sessions, tumbling } from '../../src/dsl/windows.ts'

// The compiler is the test: each `@ts-expect-error` fails the type check when the line below it compiles. The bodies of
// `never` never run.
const never = (body: () => void): boolean => typeof body === 'function'

const pageViews = topic('page-views', {
  key: z.string(),
  value: z.object({ path: z.string(), status: z.number(), at: z.number(), region: z.string().default('eu') }),
  timestamp: (view) => view.at,
  partitions: 4,
})
const minute = tumbling('1m', { grace: '10s' })
const gap = sessions('30m')
const viewsPerMinute = topic('views-per-minute', { key: windowed(z.string(), minute), value: z.number() })
const sessionCounts = topic('sess', { key: windowed(z.string(), gap), value: z.number(), tombstones: true })
const sessionCountsForEver = topic('sess', { key: windowed(z.string(), gap), value: z.number() })
const users = topic('users', { key: z.string(), value: z.object({ region: z.string() }), tombstones: true })
const views = new StreamsBuilder().stream(pageViews).filter((view) => view.status < 400)

type View = { path: string; status: number; at: number; region: string }

describe('types are inferred from the topics to the end of the chain', () => {
  test('a stream has the key and value of its topic, with defaults filled in', () => {
    expectTypeOf(views).toEqualTypeOf<Stream<string, View>>()
    expectTypeOf(pageViews).toExtend<Topic<string, View, string, Omit<View, 'region'> & { region?: string }>>()
    expectTypeOf(new StreamsBuilder().stream(users)).toEqualTypeOf<Stream<string, { region: string } | null>>()
    expectTypeOf(new StreamsBuilder().stream(topic('raw', { key: stringKey, value: bytes }))).toEqualTypeOf<
      Stream<string, Uint8Array>
    >()
  })

  test('groupings carry their new key, and windowed results their window', () => {
    never(() => {
      const counts = views
        .groupBy((view) => view.path)
        .windowedBy(minute)
        .count({ name: 'views-by-path' })
      expectTypeOf(counts.toStream()).toEqualTypeOf<Stream<Windowed<string, 'time'>, number>>()
      counts.toStream().to(viewsPerMinute)
      const tuple = views.groupBy((view) => [view.path, view.status] as const).count({ name: 'x' })
      expectTypeOf(tuple.toStream()).toEqualTypeOf<Stream<readonly [string, number], number>>()
      views
        .groupBy((view) => ({ path: view.path, status: view.status }), {
          key: z.object({ path: z.string(), status: z.number() }),
        })
        .count({ name: 'y' })
      views
        .groupBy((view) => view.path as 'a' | 'b')
        .count({ name: 'y' })
        .toStream()
        .mapValues((count) => count + 1)
      views
        .selectKey((view) => view.region)
        .groupByKey()
        .count({ name: 'r' })
    })
  })

  test('nullable keys can be grouped without a declaration, and the results have keys that are not null', () => {
    never(() => {
      const maybe = (view: { path: string }): string | null => (view.path === '' ? null : view.path)
      const counts = views.groupBy(maybe).count({ name: 'c' })
      expectTypeOf(counts.toStream()).toEqualTypeOf<Stream<string, number>>()
      const rekeyed = views.selectKey(maybe)
      expectTypeOf(rekeyed).toEqualTypeOf<Stream<string | null, View>>()
      expectTypeOf(rekeyed.groupByKey().count({ name: 'd' }).toStream()).toEqualTypeOf<Stream<string, number>>()
      // It keeps the null keys: a left join after it accepts records without a key.
      expectTypeOf(rekeyed.repartition({ name: 'e' })).toEqualTypeOf<Stream<string | null, View>>()
      views.groupBy(maybe, { key: z.string() }).count({ name: 'f' })
      // @ts-expect-error undefined is no key
      views.groupBy((view): string | undefined => view.path).count({ name: 'g' })
      // @ts-expect-error an object needs a schema, whether it may be null or not
      views.groupBy((view): { path: string } | null => ({ path: view.path })).count({ name: 'h' })
    })
  })

  test('an aggregate has the type of its schema; sessions can be deleted and need a merger', () => {
    never(() => {
      const visits = views
        .groupByKey()
        .windowedBy(gap)
        .aggregate({
          name: 's',
          value: z.object({ pages: z.number(), entry: z.string().nullable() }),
          initial: () => ({ pages: 0, entry: null }),
          add: (visit, view) => ({ pages: visit.pages + 1, entry: visit.entry ?? view.path }),
          merge: (left, right) => ({ pages: left.pages + right.pages, entry: left.entry ?? right.entry }),
        })
      expectTypeOf(visits.toStream()).toEqualTypeOf<
        Stream<Windowed<string, 'session'>, { pages: number; entry: string | null } | null>
      >()
      views.groupByKey().windowedBy(gap).count({ name: 'sc' }).toStream().to(sessionCounts)
      const highest = views
        .mapValues((view) => view.status)
        .groupByKey()
        .reduce({ name: 'h', add: (left, right) => Math.max(left, right) })
      expectTypeOf(highest.toStream()).toEqualTypeOf<Stream<string, number>>()
    })
  })

  test('a type guard narrows, split() has its branches by name, and merge() unites value types', () => {
    never(() => {
      const numbers = new StreamsBuilder().stream(
        topic('n', { key: z.string(), value: z.union([z.string(), z.number()]) }),
      )
      expectTypeOf(numbers.filter((value): value is number => typeof value === 'number')).toEqualTypeOf<
        Stream<string, number>
      >()
      const { good, bad } = views.split({ good: (view) => view.status < 400 }, { rest: 'bad' })
      expectTypeOf(good).toEqualTypeOf<Stream<string, View>>()
      expectTypeOf(bad).toEqualTypeOf<Stream<string, View>>()
      expectTypeOf(numbers.merge(views)).toEqualTypeOf<Stream<string, string | number | View>>()
    })
  })
})

describe('mistakes do not compile', () => {
  test('E1: an object as a new key needs a schema, and the type names that', () => {
    never(() => {
      // @ts-expect-error Property 'count' does not exist on type 'KeyNeedsASchema<...>'
      views.groupBy((view) => ({ path: view.path })).count({ name: 'y' })
      expectTypeOf(views.groupBy((view) => ({ path: view.path }))).toEqualTypeOf<KeyNeedsASchema<{ path: string }>>()
    })
  })

  test('E2: time windows do not fit a topic of sessions, nor nullable values one without tombstones', () => {
    never(() => {
      const counts = views
        .groupBy((view) => view.path)
        .windowedBy(minute)
        .count({ name: 'views-by-path' })
      // @ts-expect-error Type '"time"' is not assignable to type '"session"'
      counts.toStream().to(sessionCounts)
      const sessionTable = views.groupByKey().windowedBy(gap).count({ name: 'sc' })
      // @ts-expect-error E2b: Type 'null' is not assignable to type 'number'
      sessionTable.toStream().to(sessionCountsForEver)
    })
  })

  test('E3: streams of different keys do not merge', () => {
    never(() => {
      const byNumber = new StreamsBuilder().stream(topic('n', { key: z.number(), value: z.number() }))
      // @ts-expect-error Type 'number' is not assignable to type 'string'
      views.merge(byNumber)
    })
  })

  test('E3b: streams of different keys do not join', () => {
    never(() => {
      const byNumber = new StreamsBuilder().stream(topic('n', { key: z.number(), value: z.number() }))
      // @ts-expect-error Type 'number' is not assignable to type 'string'
      views.join(byNumber, () => 1, { name: 'j', within: '1m' })
    })
  })

  test('E3c: a record without a partner is joined with null', () => {
    never(() => {
      // @ts-expect-error 'other' is possibly 'null'
      views.leftJoin(views, (_view, other) => other.path, { name: 'j', within: '1m' })
      // @ts-expect-error 'view' is possibly 'null'
      views.outerJoin(views, (view) => view.path, { name: 'j', within: '1m' })
      views.join(views, (view, other) => view.path + other.path, { name: 'j', within: '1m' })
    })
  })

  test('E3d: a join needs a name', () => {
    never(() => {
      // @ts-expect-error Property 'name' is missing
      views.join(views, () => 1, { within: '1m' })
    })
  })

  test('E4: a schema with a transform cannot be the schema of a topic', () => {
    never(() => {
      // @ts-expect-error 'a transform cannot be undone when we write: give a codec'
      topic('bad', { key: z.string(), value: z.string().transform(Number) })
    })
  })

  test('E5: windowed keys do not fit a topic of plain ones', () => {
    never(() => {
      const counts = views
        .groupBy((view) => view.path)
        .windowedBy(minute)
        .count({ name: 'views-by-path' })
      // @ts-expect-error Type 'Windowed<string, "time">' is not assignable to type 'string'
      counts.toStream().to(users)
    })
  })

  test('E6: a store needs a name', () => {
    never(() => {
      // @ts-expect-error Property 'name' is missing
      views.groupByKey().count({})
    })
  })

  test('E7: a date as a selected key needs a schema', () => {
    never(() => {
      const byDate = views.selectKey((view) => new Date(view.at)).groupByKey()
      // @ts-expect-error Property 'count' does not exist on type 'KeyNeedsASchema<Date>'
      byDate.count({ name: 'd' })
    })
  })

  test('E8: aggregating sessions needs a merger', () => {
    never(() => {
      const sessionsOfMinute = views.groupByKey().windowedBy(sessions('1m'))
      // @ts-expect-error Property 'merge' is missing
      sessionsOfMinute.aggregate({ name: 's', value: z.number(), initial: () => 0, add: (count) => count + 1 })
    })
  })

  test('E9: a windowed key needs its windows', () => {
    never(() => {
      // @ts-expect-error Expected 2 arguments, but got 1
      topic('t', { key: windowed(z.string()), value: z.number() })
    })
  })

  test('E10: a declared key must match the key that the mapper returns', () => {
    never(() => {
      const other = z.object({ other: z.string() })
      // @ts-expect-error Property 'path' is missing / 'other' does not exist
      views.groupBy((view) => ({ path: view.path }), { key: other }).count({ name: 'y' })
    })
  })
})

test('a partitioner has the types of the written key and value, and returns a number', () => {
  never(() => {
    const declared = { key: z.string(), value: z.number(), tombstones: true } as const
    topic('placed', {
      ...declared,
      partitioner: {
        id: 'last',
        partition: (key, value, partitions) => {
          expectTypeOf(key).toEqualTypeOf<string>()
          expectTypeOf(value).toEqualTypeOf<number | null>()
          return partitions - 1
        },
      },
    })
    // @ts-expect-error keys are text
    topic('placed', { ...declared, partitioner: { id: 'key', partition: (key: number) => key } })
    // @ts-expect-error it needs an id
    topic('placed', { ...declared, partitioner: (_key: string, _value: number | null, count: number) => count - 1 })
    views.to(pageViews, {
      partitioner: { id: 'status', partition: (_key, view, partitions) => view.status % partitions },
    })
    views.repartition({ name: 'by-status', partitioner: (_key, view, partitions) => view.status % partitions })
    // @ts-expect-error keys are text
    views.repartition({ name: 'by-status', partitioner: (key: number) => key })
  })
})
