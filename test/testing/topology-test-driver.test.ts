import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import type { Codec } from '../../src/codec/codec.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { json } from '../../src/codec/value-codecs.ts'
import { windowed } from '../../src/codec/windowed-codec.ts'
import type { Stream } from '../../src/dsl/stream.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'
import { tumbling } from '../../src/dsl/windows.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import type { TestInput, TestOutput } from '../../src/testing/test-topics.ts'
import { TopologyTestDriver, type TestDriverOptions } from '../../src/testing/topology-test-driver.ts'

interface View {
  readonly path: string
  readonly status: number
}

const views = topic('page-views', {
  key: z.string(),
  value: z.object({ path: z.string(), status: z.number() }),
  partitions: 4,
})
const paths = topic('paths', { key: z.string(), value: z.string() })
const counts = topic('counts', { key: z.string(), value: z.number() })
const home: View = { path: '/', status: 200 }

function described(describe: (stream: Stream<string, View>) => void): Topology {
  const builder = new StreamsBuilder()
  describe(builder.stream(views))
  return builder.build()
}

/** Opens a driver, gives it to the test, and closes it whether or not the test passes. */
async function driven(
  topology: Topology,
  test: (driver: TopologyTestDriver) => Promise<void>,
  options: TestDriverOptions = {},
): Promise<void> {
  const driver = await TopologyTestDriver.open(topology, options)
  try {
    await test(driver)
  } finally {
    await driver.close()
  }
}

const byPath = described((stream) =>
  stream
    .groupBy((view) => view.path)
    .count({ name: 'by-path' })
    .toStream()
    .to(counts),
)

describe('records', () => {
  const minute = tumbling('1m', { grace: '10s' })
  const perMinute = topic('views-per-minute', { key: windowed(z.string(), minute), value: z.number() })

  test('are processed through repartition topics and committed before pipe resolves', async () => {
    const topology = described((stream) =>
      stream
        .filter((view) => view.status < 400)
        .groupBy((view) => view.path)
        .windowedBy(minute)
        .count({ name: 'views-by-path' })
        .toStream()
        .to(perMinute),
    )

    await driven(topology, async (driver) => {
      const input = driver.input(views)
      const output = driver.output(perMinute)
      await input.pipe({ key: 'ada', value: home, timestamp: 5 })
      await input.pipe({ key: 'ben', value: { path: '/', status: 404 }, timestamp: 6 })
      await input.pipe({ key: 'ben', value: home, timestamp: 7 })

      const window = { key: '/', start: 0, end: 60_000, kind: 'time' }
      expect(await output.readAll()).toEqual([
        { key: window, value: 1, timestamp: 5, headers: [], partition: 0 },
        { key: window, value: 2, timestamp: 7, headers: [], partition: 0 },
      ])
      expect(await output.isEmpty()).toBe(true)
      expect(await output.read()).toBeNull()
    })
  })

  test('need a topology: a builder is refused by name', async () => {
    await expect(TopologyTestDriver.open(new StreamsBuilder() as never)).rejects.toThrow(
      /CONFIG_INVALID: TopologyTestDriver\.open: a topology is what build\(\)/,
    )
  })

  test.each([
    [{ applicationId: '..' }, /CONFIG_INVALID: applicationId "\.\."/],
    [{ wallClockStart: Number.NaN }, /CONFIG_INVALID: wallClockStart of TopologyTestDriver\.open: NaN/],
  ])('need options that fit, unlike %s', async (options, message) => {
    await expect(TopologyTestDriver.open(byPath, options)).rejects.toThrow(message)
  })

  test('need a topic: what is neither one nor a name is refused', async () => {
    await driven(byPath, async (driver) => {
      expect(() => driver.input(undefined as never)).toThrow(/CONFIG_INVALID: .*input: undefined is neither/)
      expect(() => driver.output(undefined as never)).toThrow(/CONFIG_INVALID: .*output: undefined is neither/)
    })
  })

  test('carry their headers, and have the wall-clock time unless a timestamp is given', async () => {
    const topology = described((stream) => stream.mapValues((view) => view.path).to(paths))
    const trace = { key: 'trace', value: Uint8Array.of(7) }

    await driven(
      topology,
      async (driver) => {
        await driver.input(views).pipe({ key: 'ada', value: home, headers: [trace] })
        const record = await driver.output(paths).read()

        expect(record?.timestamp).toBe(1_000)
        expect(record?.headers).toEqual([trace])
      },
      { wallClockStart: 1_000 },
    )
  })

  test.each([1, 'declared'] as const)(
    'may have any timestamp, whatever the wall clock says (%s partitions)',
    async (partitions) => {
      const topology = described((stream) => stream.mapValues((view) => view.path).to(paths))
      await driven(
        topology,
        async (driver) => {
          const timestamp = Date.UTC(2100, 0)
          await driver.input(views).pipe({ key: 'ada', value: home, timestamp })

          expect((await driver.output(paths).read())?.timestamp).toBe(timestamp)
        },
        { partitions },
      )
    },
  )

  test('piped together are processed one after another, each with its own commit', async () => {
    await driven(byPath, async (driver) => {
      await driver.input(views).pipeAll([
        { key: 'ada', value: home, timestamp: 1 },
        { key: 'ada', value: home, timestamp: 2 },
      ])

      expect((await driver.output(counts).readAll()).map(({ value }) => value)).toEqual([1, 2])
    })
  })

  test('can be piped by a typed topic and read as raw bytes', async () => {
    const topology = described((stream) => stream.mapValues((view) => view.path).to(paths))

    await driven(topology, async (driver) => {
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })
      const record = await driver.output('paths').read()

      expect(record?.key).toEqual(Buffer.from('ada'))
      expect(record?.value).toEqual(Buffer.from([0xa1, 0x2f]))
    })
  })

  test('of several partitions are placed by their keys, and are read partition by partition', async () => {
    const topology = described((stream) => stream.mapValues((view) => view.path).to(paths))
    const keys = ['ada', 'ben', 'cem', 'dan', 'eva', 'fay']

    await driven(
      topology,
      async (driver) => {
        for (const key of keys) await driver.input(views).pipe({ key, value: home, timestamp: 1 })
        const records = await driver.output(paths).readAll()

        expect(records.map(({ key }) => key).toSorted()).toEqual(keys)
        const partitions = records.map(({ partition }) => partition)
        expect(partitions).toEqual(partitions.toSorted((left, right) => left - right))
        expect(new Set(partitions).size).toBeGreaterThan(1)
      },
      { partitions: 'declared' },
    )
  })

  test('have the types of their topics', async () => {
    await driven(byPath, async (driver) => {
      expectTypeOf(driver.input(views)).toEqualTypeOf<TestInput<string, { path: string; status: number }>>()
      expectTypeOf(driver.output(counts)).toEqualTypeOf<TestOutput<string, number>>()
      expectTypeOf(driver.output('counts')).toEqualTypeOf<TestOutput<Buffer | null, Buffer | null>>()
      // @ts-expect-error a view has a path
      await expect(driver.input(views).pipe({ key: 'ada', value: { status: 200 } })).rejects.toThrow('INVALID_RECORD')
    })
  })

  test('that do not fit their topic are refused by pipe()', async () => {
    await driven(byPath, async (driver) => {
      const wrong = { path: 7, status: 200 } as unknown as View
      await expect(driver.input(views).pipe({ key: 'ada', value: wrong })).rejects.toThrow('INVALID_RECORD')

      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })
      expect(await driver.output(counts).isEmpty()).toBe(false)
    })
  })

  test('produce the same bytes and the same internal topics in every run', async () => {
    const run = async (): Promise<unknown> => {
      const seen: unknown[] = []
      await driven(byPath, async (driver) => {
        for (const key of ['ada', 'ben']) await driver.input(views).pipe({ key, value: home, timestamp: 3 })
        for (const name of ['counts', 'test-by-path-repartition', 'test-by-path-changelog'])
          seen.push(await driver.output(name).readAll())
      })
      return seen
    }

    expect(await run()).toEqual(await run())
  })
})

describe('failures', () => {
  test('in a callback reject pipe() with an error that names the record, and all later pipes', async () => {
    const topology = described((stream) =>
      stream
        .mapValues((view) => {
          if (view.status === 500) throw new Error('no')
          return view.path
        })
        .to(paths),
    )

    await driven(topology, async (driver) => {
      const input = driver.input(views)
      await input.pipe({ key: 'ada', value: home, timestamp: 1 })

      await expect(input.pipe({ key: 'ada', value: { path: '/', status: 500 }, timestamp: 2 })).rejects.toThrow(
        /PROCESSING_FAILED.*page-views-0 offset 1.*no/,
      )
      await expect(input.pipe({ key: 'ada', value: home, timestamp: 3 })).rejects.toThrow('INVALID_PHASE')
      expect(await driver.output(paths).readAll()).toHaveLength(1)
    })
  })

  test('to decode a value are handled by the onInvalid policy of the source', async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(views, { onInvalid: { deadLetter: 'dead' } })
      .mapValues((view) => view.path)
      .to(paths)

    await driven(builder.build(), async (driver) => {
      await driver.input('page-views').pipe({ key: 'ada', value: 'no msgpack of a view', timestamp: 1 })

      expect((await driver.output('dead').read())?.value?.toString()).toBe('no msgpack of a view')
      expect(driver.metrics().droppedByReason).toEqual({ 'invalid record': 1 })
    })
  })

  test('to decode a key are handled by the policy as well, even if keys are only counted', async () => {
    const builder = new StreamsBuilder()
    builder
      .stream(topic('words', { key: stringKey, value: json }), { onInvalid: 'skip' })
      .groupByKey()
      .count({ name: 'counts' })
      .toStream()
      .to(topic('counted', { key: stringKey, value: json }))

    await driven(builder.build(), async (driver) => {
      const input = driver.input('words')
      await input.pipe({ key: 'schön', value: '1', timestamp: 1 })
      await input.pipe({ key: Buffer.from([0x61, 0xff]), value: '1', timestamp: 2 })

      expect(driver.metrics().droppedByReason).toEqual({ 'invalid record': 1 })
      const found = await driver.output(topic('counted', { key: stringKey, value: json })).readAll()
      expect(found.map(({ key, value }) => [key, value])).toEqual([['schön', 1]])
    })
  })

  test('on unknown topics name the topics that exist', async () => {
    await driven(byPath, async (driver) => {
      expect(() => driver.output('nothing')).toThrow(/TOPIC_MISSING.*page-views/)
      await expect(driver.input('nothing').pipe({ key: 'a', value: 'b' })).rejects.toThrow('UNKNOWN_TOPIC')
    })
  })

  test('at the start reject open()', async () => {
    const topology = described((stream) => stream.mapValues((view) => view.path).to(paths))

    await expect(TopologyTestDriver.open(topology, { partitions: 0 })).rejects.toThrow('partitions')
  })

  test('of a topology that feeds itself endlessly are reported instead of waiting', async () => {
    const loop = topic('loop', { key: z.string(), value: z.number() })
    const builder = new StreamsBuilder()
    builder
      .stream(loop)
      .mapValues((round) => round + 1)
      .to(loop)
    const driver = await TopologyTestDriver.open(builder.build())

    await expect(driver.input(loop).pipe({ key: 'a', value: 0, timestamp: 0 })).rejects.toThrow('come to rest')
    await driver.close()
  })
})

describe('the driver checks what production leaves to the types', () => {
  test('a callback that changes a value of a source fails', async () => {
    const topology = described((stream) =>
      stream
        .peek((view) => {
          ;(view as { path: string }).path = 'changed'
        })
        .mapValues((view) => view.path)
        .to(paths),
    )

    await driven(topology, async (driver) => {
      await expect(driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })).rejects.toThrow(
        /PROCESSING_FAILED.*read only/,
      )
    })
  })

  test('a callback that changes a value made by another callback fails', async () => {
    const topology = described((stream) =>
      stream
        .mapValues((view) => ({ seen: [view.path] }))
        .peek(({ seen }) => void seen.push('more'))
        .mapValues(({ seen }) => seen.join())
        .to(paths),
    )

    await driven(topology, async (driver) => {
      await expect(driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })).rejects.toThrow(
        /not extensible/,
      )
    })
  })

  test('an aggregator that mutates its aggregate fails at the second record', async () => {
    const topology = described((stream) =>
      stream.groupByKey().aggregate({
        name: 'paths',
        value: z.array(z.string()),
        initial: () => [],
        add: (seen, view) => {
          seen.push(view.path)
          return seen
        },
      }),
    )

    await driven(topology, async (driver) => {
      const input = driver.input(views)
      await input.pipe({ key: 'ada', value: home, timestamp: 1 })

      await expect(input.pipe({ key: 'ada', value: home, timestamp: 2 })).rejects.toThrow(/paths.*not extensible/)
    })
  })

  test('a value written to a topic must match its schema, even if the types were bypassed', async () => {
    const topology = described((stream) => stream.mapValues((view) => view.status as unknown as string).to(paths))

    await driven(topology, async (driver) => {
      await expect(driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })).rejects.toThrow(
        /INVALID_RECORD: .* writes to paths: the value .*expected string/,
      )
    })
  })

  test('null can be written only to topics that declare it', async () => {
    const topology = described((stream) => stream.mapValues(() => null as unknown as string).to(paths))

    await driven(topology, async (driver) => {
      await expect(driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })).rejects.toThrow(
        /INVALID_RECORD.*null value to paths.*tombstones/,
      )
    })
  })

  test('a codec that loses data fails where it writes', async () => {
    const lossy: Codec<{ readonly path: string; readonly at?: Date }> = {
      id: 'lossy',
      write: (value, to) => json.write(value, to),
      read: (bytes, start, end) => json.read(bytes, start, end) as { path: string },
    }
    const times = topic('times', { key: z.string(), value: lossy })
    const topology = described((stream) =>
      stream
        .mapValues((view) => (view.status === 200 ? { path: view.path } : { path: view.path, at: new Date(0) }))
        .to(times),
    )

    await driven(topology, async (driver) => {
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })
      await expect(
        driver.input(views).pipe({ key: 'ada', value: { path: '/', status: 404 }, timestamp: 2 }),
      ).rejects.toThrow(/PRODUCTION_FAILED.*times.*does not survive the codec lossy/)
    })
  })

  test('an undefined field counts as absent', async () => {
    const seen = topic('seen', { key: z.string(), value: z.object({ path: z.string(), from: z.string().optional() }) })
    const topology = described((stream) => stream.mapValues((view) => ({ path: view.path, from: undefined })).to(seen))

    await driven(topology, async (driver) => {
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })

      expect(await driver.output(seen).readAll()).toHaveLength(1)
    })
  })
})

describe('time, stores and metrics', () => {
  test('wall-clock time stands still until it is moved, and then fires each schedule once', async () => {
    const topology = described((stream) =>
      stream
        .process<string, string>(() => {
          const fired: number[] = []
          return {
            init: (context) => {
              context.schedule({ every: '10s', by: 'wallClock' }, (time) => {
                fired.push(time)
                context.forward({ key: 'tick', value: fired.join(), timestamp: time })
              })
            },
            process: () => {},
          }
        })
        .to(paths),
    )

    await driven(topology, async (driver) => {
      const output = driver.output(paths)
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1_000_000 })
      expect(await output.isEmpty()).toBe(true)

      await driver.advanceWallClock(35_000)
      expect((await output.readAll()).map(({ value }) => value)).toEqual(['35000'])

      await driver.advanceWallClock(4_999)
      expect(await output.isEmpty()).toBe(true)

      await driver.advanceWallClock(1)
      expect((await output.readAll()).map(({ value }) => value)).toEqual(['35000,40000'])
      expect(driver.now).toBe(40_000)
    })
  })

  test('wall-clock time moves only forward, by whole milliseconds', async () => {
    await driven(
      described((stream) => stream.mapValues(({ path }) => path).to(paths)),
      async (driver) => {
        for (const wrong of [-1, 0.5, Number.NaN, Infinity, '5' as unknown as number]) {
          await expect(driver.advanceWallClock(wrong), String(wrong)).rejects.toThrow(
            /^CONFIG_INVALID: advanceWallClock: .* is not a whole number of milliseconds from 0 on/,
          )
        }
        expect(driver.now).toBe(0)
      },
    )
  })

  test('a store can be read by key and by rows', async () => {
    await driven(byPath, async (driver) => {
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 7 })
      await driver.input(views).pipe({ key: 'ben', value: home, timestamp: 3 })
      const store = driver.store<string, number>('by-path')

      expect(await store.get('/')).toBe(2)
      expect(await store.get('/other')).toBeNull()
      expect(await store.rows()).toEqual([{ key: '/', value: 2, timestamp: 7 }])
    })
  })

  test('a restart keeps the content of stores and loses the content of variables', async () => {
    const topology = described((stream) => {
      stream.groupByKey().count({ name: 'stored' }).toStream().to(counts)
      stream
        .processValues<string>(() => {
          let seen = 0
          let forward: (value: string) => void = () => {}
          return {
            init: (context) => void (forward = (value) => context.forward(value)),
            process: () => forward(String(++seen)),
          }
        })
        .to(paths)
    })

    await driven(topology, async (driver) => {
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })
      await driver.restart()
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 2 })

      expect((await driver.output(counts).readAll()).map(({ value }) => value)).toEqual([1, 2])
      expect((await driver.output(paths).readAll()).map(({ value }) => value)).toEqual(['1', '1'])
      expect(driver.metrics()).toMatchObject({ processed: 2, commits: 2 })
    })
  })

  test('dropped records are counted by reason', async () => {
    const topology = described((stream) =>
      stream
        .groupByKey()
        .windowedBy(tumbling('1m'))
        .count({ name: 'per-minute' })
        .toStream()
        .foreach(() => {}),
    )

    await driven(topology, async (driver) => {
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 120_000 })
      await driver.input(views).pipe({ key: 'ada', value: home, timestamp: 1 })

      expect(driver.metrics()).toMatchObject({ processed: 2, dropped: 1, droppedByReason: { 'late record': 1 } })
    })
  })
})
