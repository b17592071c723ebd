import { type ForwardedRecord, StreamsBuilder, topic, windowed } from 'millrace'
import { TopologyTestDriver } from 'millrace/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Alert, alerts, minute } from '../../examples/web-activity/events.ts'
import { AlertOnBursts, health, watch } from '../../examples/web-activity/topology/alert-on-bursts.ts'

const minutes = topic('minutes', { key: windowed(z.string(), minute), value: health, partitions: 1 })
const from = Date.UTC(2025, 10, 28, 12)

type Told = ForwardedRecord<readonly [string, number], Alert>['value'] & { readonly raisedAt: number }

/** The alerts for a region with these requests and failures per minute; null: a minute without any. */
async function told(rows: readonly (readonly [events: number, failures: number] | null)[]): Promise<readonly Told[]> {
  const builder = new StreamsBuilder()
  const watches = builder.addStore({ name: 'watches', key: z.string(), value: watch })
  builder
    .stream(minutes)
    .process(() => new AlertOnBursts(watches), { stores: [watches] })
    .to(alerts)
  const driver = await TopologyTestDriver.open(builder.build())
  try {
    for (const [index, row] of rows.entries()) {
      if (row === null) continue
      const start = from + index * minute.sizeMs
      const key = { key: 'asia', start, end: start + minute.sizeMs, kind: 'time' as const }
      await driver.input(minutes).pipe({ key, value: { events: row[0], failures: row[1] }, timestamp: start })
    }
    return (await driver.output(alerts).readAll()).map(({ key, value }) => ({ ...value, raisedAt: key[1] }))
  } finally {
    await driver.close()
  }
}

const at = (index: number): number => from + index * minute.sizeMs

describe('an alert', () => {
  test('is raised when a fifth of the requests of five minutes failed, not before', async () => {
    expect(
      await told([
        [25, 4],
        [26, 6],
        [0, 0],
      ]),
    ).toEqual([])
    expect(
      await told([
        [25, 4],
        [25, 6],
      ]),
    ).toEqual([{ from: at(1), to: null, events: 50, failures: 10, raisedAt: at(1) }])
  })

  test('needs at least five failures', async () => {
    expect(await told([[4, 4]])).toEqual([])
    expect((await told([[5, 5]])).length).toBe(1)
  })

  test('considers only the last five minutes', async () => {
    expect(
      await told([
        [9, 4],
        [1, 0],
        [1, 0],
        [1, 0],
        [1, 0],
        [9, 1],
      ]),
    ).toEqual([])
    expect(
      (
        await told([
          [9, 4],
          [1, 0],
          [1, 0],
          [1, 0],
          [9, 1],
        ])
      ).length,
    ).toBe(1)
    expect(await told([[9, 4], null, null, null, null, [9, 1]])).toEqual([])
  })

  test('is emitted once, however the rate wavers, and ends when less than three in a hundred fail', async () => {
    const wavering = Array.from({ length: 20 }, (_, index) => [100, index % 2 === 0 ? 30 : 5] as const)
    expect((await told(wavering)).length).toBe(1)

    const quiet = Array.from({ length: 5 }, () => [100, 2] as const)
    expect(await told([[100, 40], ...quiet])).toEqual([
      { from: at(0), to: null, events: 100, failures: 40, raisedAt: at(0) },
      { from: at(0), to: at(6), events: 600, failures: 50, raisedAt: at(0) },
    ])
  })

  test('is raised again by the next burst', async () => {
    const quiet = Array.from({ length: 6 }, () => [100, 0] as const)
    const raised = await told([[100, 40], ...quiet, [100, 90], [100, 90], ...quiet])
    expect(raised.map(({ raisedAt, to }) => [raisedAt, to])).toEqual([
      [at(0), null],
      [at(0), at(6)],
      [at(8), null],
      [at(8), at(14)],
    ])
  })
})
