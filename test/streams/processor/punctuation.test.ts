import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { StreamsBuilder, topic, TopologyBuilder } from '../../../src/index.ts'
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

test.each([0, -1, Number.NaN, null])('a schedule with an interval of %s ms is CONFIG_INVALID', async (intervalMs) => {
  const topology = new TopologyBuilder()
    .addSource({ name: 'in', topic: input })
    .addProcessor({
      name: 'ticking',
      parents: ['in'],
      supplier: () => ({
        init: (context) =>
          void context.schedule({ intervalMs: intervalMs as number, by: 'wallClock' }, () => undefined),
        process: () => undefined,
      }),
    })
    .build()

  await expect(TopologyTestDriver.open(topology)).rejects.toThrow(
    `CONFIG_INVALID: schedule in ticking: intervalMs is ${intervalMs}; use more than 0 ms`,
  )
})
