import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CliHarness } from './cli-harness.ts'

let cli: CliHarness
beforeEach(async () => {
  cli = new CliHarness()
  // given: ten records in each of two partitions, one every minute, and a group that has read three of one of them
  await cli.fill(async (log) => {
    await log.admin.createTopics([{ name: 'orders', partitions: 2 }])
    const producer = log.producer()
    for (let index = 0; index < 20; index++) {
      const timestamp = Math.floor(index / 2) * 60_000
      await producer.send({ topic: 'orders', value: String(index), partition: index % 2, timestamp })
    }
    await producer.close()
    const consumer = log.consumer({ group: 'billing', autoOffsetReset: 'earliest', autoCommitIntervalMs: 0 })
    consumer.assign([{ topic: 'orders', partition: 0 }])
    await consumer.commitOffsets([{ at: { topic: 'orders', partition: 0 }, offset: 3, leaderEpoch: 0, metadata: '' }])
    await consumer.close()
  })
})
afterEach(() => cli.close())

const committed = async (): Promise<unknown> =>
  ((await cli.json('groups describe billing')) as { partitions: { at: { partition: number }; offset: number }[] }[])
    .flatMap(({ partitions }) => partitions)
    .map(({ at, offset }) => [at.partition, offset])

describe('groups list and describe', () => {
  test('show committed offsets and lag of each group', async () => {
    expect(await cli.json('groups list')).toMatchObject([{ group: 'billing', kind: 'offsets', partitions: 1, lag: 7 }])
    expect((await cli.run('groups list')).out).toMatch(
      /^GROUP +KIND +GENERATION +PARTITIONS +LAG\nbilling +offsets +- +1 +7$/,
    )
    expect((await cli.run('groups describe billing')).out).toMatch(/orders +0 +3 +10 +7$/)
  })

  test('refuse an unknown group', async () => {
    expect(await cli.run('groups describe nobody')).toMatchObject({ code: 2 })
    for (const command of ['groups reset nobody --to-latest --execute', 'log consume orders --group nobody'])
      expect(await cli.run(command)).toMatchObject({
        code: 2,
        out: '',
        err: expect.stringContaining('no group "nobody"'),
      })
  })
})

describe('groups reset', () => {
  test('changes nothing without --execute', async () => {
    const { code, out } = await cli.run('groups reset billing --to-latest')
    expect(code).toBe(0)
    expect(out).toMatch(/orders +0 +3 +10\n\na dry run: nothing was changed; add --execute to do it$/)
    expect(await committed()).toEqual([[0, 3]])
    // As Kafka's own tool is told.
    expect(await cli.run('groups reset billing --to-latest --dry-run')).toEqual({ code, out, err: '' })
    expect(await cli.run('groups reset billing --to-latest --dry-run --execute')).toMatchObject({ code: 2 })
  })

  test.each([
    ['--to-earliest', 0],
    ['--to-latest', 10],
    ['--to-current', 3],
    ['--to-offset 5', 5],
    ['--to-offset 500', 10],
    ['--to-datetime 1970-01-01T00:04:00Z', 4],
    ['--to-datetime 1970-01-01T01:04+01:00', 4],
    ['--to-datetime 2026-01-31', 10],
    ['--by-duration 7d', 10],
    ['--shift-by 2', 5],
    ['--shift-by=-2', 1],
  ])('moves offsets with %s', async (where, offset) => {
    await cli.json(`groups reset billing ${where} --execute`)
    expect(await committed()).toEqual([[0, offset]])
  })

  test('can be limited to topics and single partitions', async () => {
    await cli.json('groups reset billing --to-offset 2 --execute --topic orders')
    expect(await committed()).toEqual([
      [0, 2],
      [1, 2],
    ])
    await cli.json('groups reset billing --to-offset 6 --execute --topic orders:1')
    expect(await committed()).toEqual([
      [0, 2],
      [1, 6],
    ])
  })

  test('refuses a missing, ambiguous or invalid target', async () => {
    expect((await cli.run('groups reset billing')).err).toContain('give exactly one target')
    expect(await cli.run('groups reset billing --to-latest --to-earliest')).toMatchObject({ code: 2 })
    expect(await cli.run('groups reset billing --by-duration soon')).toMatchObject({ code: 2 })
    expect(await cli.run('groups reset billing --to-latest --topic orders:x')).toMatchObject({ code: 2 })
    expect(await cli.run('groups reset billing --to-latest --topic orders:0:1')).toMatchObject({ code: 2 })
    // A parser of dates would take them for a month, a year, the year 2001, and 2 March.
    for (const time of ['5', '2026', '-1', 'end-1', '2026-02-30', '2026-02-30T10:00Z']) {
      expect((await cli.run(`groups reset billing --to-datetime=${time}`)).err).toContain('give a time such as')
    }
  })
})
