import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type RecordProcessor, StreamsBuilder, topic, TopologyBuilder } from '../../../src/index.ts'
import { TopologyTestDriver } from '../../../src/testing/index.ts'

const input = topic('input', { key: z.string(), value: z.string() })
const output = topic('output', { key: z.string(), value: z.string() })

describe('a schedule by stream time that is made while a record is processed', () => {
  test('fires with that record, then at multiples of its interval', async () => {
    expect(await firedAt({ every: 10 }, [14, 15, 20, 29, 45])).toEqual([14, 20, 45])
  })

  test('waits for the next multiple from its start if the start is past', async () => {
    expect(await firedAt({ every: 10, start: 5 }, [14, 15, 24, 40, 44, 45])).toEqual([15, 40, 45])
  })

  test('waits one interval if a multiple from its start is now', async () => {
    expect(await firedAt({ every: 10, start: 5 }, [15, 24, 25])).toEqual([25])
  })

  test('fires with that record if its start is now', async () => {
    expect(await firedAt({ every: 10, start: 15 }, [15, 24, 25])).toEqual([15, 25])
  })

  test('waits for a start that is still to come', async () => {
    expect(await firedAt({ every: 10, start: 40 }, [15, 39, 41, 50])).toEqual([41, 50])
  })
})

/** The times at which a schedule fires that is made while the first of these records is processed. */
async function firedAt(
  schedule: { readonly every: number; readonly start?: number },
  timestamps: readonly number[],
): Promise<readonly number[]> {
  const fired: number[] = []
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .process<string, string>(() => {
      let begin = (): void => {}
      return {
        init: (context) => {
          begin = () => void context.schedule({ ...schedule, by: 'streamTime' }, (time) => fired.push(time))
        },
        process: () => {
          begin()
          begin = () => {}
        },
      }
    })
    .to(output)
  const driver = await TopologyTestDriver.open(builder.build())
  for (const timestamp of timestamps) await driver.input(input).pipe({ key: 'k', value: 'v', timestamp })
  await driver.close()
  return fired
}

test.each([0, -1, 0.5, Number.NaN, null])(
  'a schedule with an interval of %s ms is CONFIG_INVALID',
  async (intervalMs) => {
    await expect(opened({ intervalMs: intervalMs as number })).rejects.toThrow(
      `CONFIG_INVALID: schedule in ticking: intervalMs is ${intervalMs}; use whole milliseconds, more than 0`,
    )
  },
)

test.each([0.5, Number.NaN, null])('a schedule that starts at %s ms is CONFIG_INVALID', async (startMs) => {
  await expect(opened({ intervalMs: 10, startMs: startMs as number })).rejects.toThrow(
    `CONFIG_INVALID: schedule in ticking: startMs is ${startMs}; use whole milliseconds since 1970`,
  )
})

async function opened(schedule: { readonly intervalMs: number; readonly startMs?: number }): Promise<void> {
  const topology = new TopologyBuilder()
    .addSource({ name: 'in', topic: input })
    .addProcessor({
      name: 'ticking',
      parents: ['in'],
      supplier: () => ({
        init: (context) => void context.schedule({ ...schedule, by: 'wallClock' }, () => undefined),
        process: () => undefined,
      }),
    })
    .build()
  const driver = await TopologyTestDriver.open(topology)
  await driver.close()
}

test.each([[[10, 20]], [[20, 10, 30]], [[10, 20, 40, 10, 20]]])(
  'schedules every %s ms that are due at the same time fire in the same order after a restart',
  async (intervals) => {
    const timestamps = [0, 10, 20, 25, 40, 60, 120]

    const course = await firedBy(intervals, timestamps, { restarts: true })

    expect(course).toEqual(await firedBy(intervals, timestamps))
    expect(course.at(-1)).toHaveLength(intervals.length)
  },
)

/** Which schedules fire with each record: the time and the interval, and the index of one that comes twice. */
async function firedBy(
  intervals: readonly number[],
  timestamps: readonly number[],
  { restarts = false }: { readonly restarts?: boolean } = {},
): Promise<readonly (readonly string[])[]> {
  let fired: string[] = []
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .process<string, string>(() => ({
      init: (context) => {
        for (const [index, every] of intervals.entries()) {
          const name = intervals.indexOf(every) === index ? `${every}` : `${every}#${index}`
          context.schedule({ every, by: 'streamTime' }, (time) => fired.push(`${time}: ${name}`))
        }
      },
      process: () => {},
    }))
    .to(output)
  const driver = await TopologyTestDriver.open(builder.build())
  const course: (readonly string[])[] = []
  for (const timestamp of timestamps) {
    if (restarts) await driver.restart()
    fired = []
    await driver.input(input).pipe({ key: 'k', value: 'v', timestamp })
    course.push(fired)
  }
  await driver.close()
  return course
}

test('a schedule that a callback adds fires in the same turn if it is due', async () => {
  const fired: string[] = []
  const builder = new StreamsBuilder()
  builder
    .stream(input)
    .process<string, string>(() => ({
      init: (context) => {
        const outer = context.schedule({ every: 10, by: 'streamTime' }, (time) => {
          fired.push(`outer ${time}`)
          outer.cancel()
          context.schedule({ every: 5, by: 'streamTime' }, (later) => fired.push(`inner ${later}`))
        })
      },
      process: () => {},
    }))
    .to(output)
  const driver = await TopologyTestDriver.open(builder.build())
  for (const timestamp of [12, 14, 15]) await driver.input(input).pipe({ key: 'k', value: 'v', timestamp })
  await driver.close()

  expect(fired).toEqual(['outer 12', 'inner 12', 'inner 15'])
})

test.each([
  [{ start: '5m' as never }, () => undefined, 'the start of a schedule in ticking is "5m"; give whole milliseconds'],
  [{ start: -1 }, () => undefined, 'the start of a schedule in ticking is -1; give whole milliseconds'],
  [{}, undefined as never, 'a schedule in ticking calls undefined; give a function'],
])('a schedule with %j that calls %s is CONFIG_INVALID', async (options, callback, message) => {
  const builder = new StreamsBuilder()
  const ticking: RecordProcessor<string, string, never, never> = {
    init: (context) => void context.schedule({ every: '1m', by: 'streamTime', ...options }, callback),
    process: () => undefined,
  }
  builder.stream(input).process(() => ticking, { name: 'ticking' })

  await expect(TopologyTestDriver.open(builder.build())).rejects.toThrow(
    `CONFIG_INVALID: ticking failed in init(): ${message}`,
  )
})
