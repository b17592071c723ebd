import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ranked } from '../../examples/github-activity/activity-topology.ts'
import type { RepositoryEvents } from '../../examples/github-activity/events.ts'
import { runJob } from '../../examples/github-activity/job.ts'
import { help, readOptions } from '../../examples/github-activity/options.ts'
import { readActivity, readTouch } from '../../examples/github-activity/read-line.ts'
import { jsonLines, tables } from '../../examples/github-activity/report.ts'
import { activityFile, type Format } from '../../examples/github-activity/sources.ts'
import { JobError } from '../../examples/shared/job-error.ts'
import { openLines } from '../../examples/shared/lines.ts'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { activityAnswers, touchesAnswers } from './github-oracle.ts'
import { madeUpEvents, madeUpTouches } from './made-up-activity.ts'
import type { AnswerRow } from './plain-oracle.ts'
import { runJob as runCommand, sorted } from './run-job.ts'

let directory = ''
let directories = 0
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'millrace-github-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))
const fresh = (): string => join(directory, `data-${directories++}`)

const hourMs = 3_600_000
const minuteMs = 60_000

interface Given {
  readonly format?: Format
  readonly withinMs?: number
  readonly graceMs?: number
  readonly dataDir?: string
}

async function answers(
  lines: readonly string[],
  given: Given = {},
): Promise<NonNullable<Awaited<ReturnType<typeof runJob>>>> {
  const { format = 'events', withinMs = hourMs, graceMs = hourMs, dataDir = fresh() } = given
  const pieces = async function* (): AsyncGenerator<readonly string[]> {
    for (let from = 0; from < lines.length; from += 700) yield lines.slice(from, from + 700)
  }
  const found = await runJob({
    source: await activityFile(format, 'lines', pieces()),
    withinMs,
    graceMs,
    dataDir,
    stop: new AbortController().signal,
    status: { update: () => undefined, finish: () => undefined },
  })
  if (found === null) throw new Error('the job was stopped')
  return found
}

async function rows(lines: readonly string[], given: Given = {}): Promise<AnswerRow[]> {
  return parsed(await answers(lines, given))
}

function parsed(found: Parameters<typeof jsonLines>[0]): AnswerRow[] {
  return [...jsonLines(found)].map((line) => JSON.parse(line))
}

describe('the answers about events', () => {
  test('equal those of a plain loop (seed 1)', async () => {
    const lines = madeUpEvents({ seed: 1, lines: 1500, lateMs: 20 * minuteMs })

    const found = await answers(lines, { withinMs: 10 * minuteMs, graceMs: 20 * minuteMs })

    const rows = parsed(found)
    const expected = activityAnswers(lines, { withinMs: 10 * minuteMs, graceMs: 20 * minuteMs })
    expect(sorted(rows)).toEqual(sorted(expected))
    for (const answer of ['events-per-type', 'events-per-repository', 'sessions', 'pairs', 'top-repositories'])
      expect(rows.filter((row) => row.answer === answer).length, answer).toBeGreaterThan(15)
    const text = tables(found)
    for (const title of [
      'What arrived',
      'per type per minute',
      'Sessions per actor',
      'Watches and forks',
      'of each hour',
    ])
      expect(text).toContain(title)
  })

  test('continue when the file has grown, and a data directory of other lines or options is refused', async () => {
    const lines = madeUpEvents({ seed: 3, lines: 600, lateMs: 20 * minuteMs })
    const dataDir = fresh()

    await rows(lines.slice(0, 400), { dataDir })
    await expect(rows(lines, { dataDir, graceMs: 2 * hourMs })).rejects.toThrow(JobError)
    await expect(rows(lines.slice(1), { dataDir })).rejects.toThrow(/^--data-dir [^\n]*--grace 3600000ms[^\n]*$/)
    const grown = await rows(lines, { dataDir })

    expect(sorted(grown)).toEqual(sorted(activityAnswers(lines, { withinMs: hourMs, graceMs: hourMs })))
  })

  test('count lines of the far future like others', async () => {
    const lines = ['2016-01-01T00:00:00Z', '9999-12-31T23:59:59Z'].map((dt) =>
      JSON.stringify({ dt, repo: 'a/b', type: 'push', actor: 'ann' }),
    )
    expect(sorted(await rows(lines))).toEqual(sorted(activityAnswers(lines, { withinMs: hourMs, graceMs: hourMs })))
  })

  test('allow any name as a type, even that of malformed lines', async () => {
    const types = ['malformed', '__proto__', 'push', 'malformed', 'event push']
    const lines = types.map((type) => `{"dt":"2016-01-01T00:00:00Z","repo":"a/b","type":"${type}","actor":"ann"}`)
    const [totals] = await rows([...lines, 'no JSON'])
    expect(totals).toMatchObject({ lines: 6, malformed: 1 })
    expect(Object.entries(Object(totals?.events))).toEqual(
      expect.arrayContaining([['malformed', 2], ...['__proto__', 'push', 'event push'].map((type) => [type, 1])]),
    )
  })

  test('list types by count, and by name if counts are equal', async () => {
    const types = ['watch', 'push', 'release', 'fork', 'pr', 'create', 'push', 'issue']
    const lines = types.map((type) => `{"dt":"2016-01-01T00:00:00Z","repo":"a/b","type":"${type}","actor":"ann"}`)
    const [totals] = await rows(lines)
    expect(Object.keys(Object(totals?.events))).toEqual(['push', 'create', 'fork', 'issue', 'pr', 'release', 'watch'])
  })

  test('about an empty file are empty', async () => {
    const none = [
      { answer: 'totals', lines: 0, malformed: 0, events: {} },
      ...['events-per-type', 'events-per-repository', 'sessions'].map((name) => ({
        answer: 'kept',
        in: name,
        kept: 0,
        dropped: 0,
      })),
    ]
    expect(await rows([])).toEqual(none)
  })
})

describe('the answers about touches', () => {
  test.each([
    [1, hourMs],
    [2, 0],
  ])('of seed %i with a grace of %i ms equal those of a plain loop: kept, late and dropped', async (seed, graceMs) => {
    const lines = madeUpTouches({ seed, lines: 1500 })

    const found = await rows(lines, { format: 'touches', graceMs })

    expect(sorted(found)).toEqual(sorted(touchesAnswers(lines, graceMs)))
    expect(found[0]).toMatchObject({ late: expect.toSatisfy((late: number) => late > 100) })
    expect(found[1]).toMatchObject({ dropped: expect.toSatisfy((dropped: number) => dropped > 0) })
  })
})

describe('the answers about real files', () => {
  const shared = (name: string): string => fileURLToPath(new URL(`../../../shared/data/${name}`, import.meta.url))
  const [events, touches] = [shared('gharchive-10h.jsonl.br'), shared('git-touches.tsv.br')]

  /** The first lines; `npm run torture:github -- --input FILE` reads all of them, which takes minutes. */
  async function head(file: string, count: number): Promise<string[]> {
    const lines: string[] = []
    for await (const piece of await openLines(file)) {
      lines.push(...piece)
      if (lines.length >= count) break
    }
    return lines.slice(0, count)
  }

  test.skipIf(!existsSync(events))(
    'of GitHub equal those of a plain loop (skipped where ../shared is absent)',
    async () => {
      const lines = await head(events, 2500)
      expect(sorted(await rows(lines))).toEqual(sorted(activityAnswers(lines, { withinMs: hourMs, graceMs: hourMs })))
    },
  )

  test.skipIf(!existsSync(touches))(
    'of git equal those of a plain loop (skipped where ../shared is absent)',
    async () => {
      const lines = await head(touches, 2500)
      expect(sorted(await rows(lines, { format: 'touches' }))).toEqual(sorted(touchesAnswers(lines, hourMs)))
    },
  )
})

describe('a line that is not an event is reported with the reason', () => {
  const event = { id: '1', dt: '2016-02-29T21:00:00Z', repo: 'a/b', type: 'push', actor: 'ann' }

  test('an event is read from its four fields', () => {
    const at = Date.UTC(2016, 1, 29, 21)
    expect(readActivity(JSON.stringify(event))).toEqual({
      event: { type: 'push', repository: 'a/b', actor: 'ann', at },
    })
  })

  test.each([
    ['not JSON', '{"id":'],
    ['no JSON object', '7'],
    ['type: is no text of 1 to 300 characters', JSON.stringify({ ...event, type: '' })],
    ['repo: is no text of 1 to 300 characters', JSON.stringify({ ...event, repo: 'x'.repeat(301) })],
    ['actor: is no text of 1 to 300 characters', JSON.stringify({ ...event, actor: '\ud800' })],
    [
      'dt: is no time such as 2015-02-22T21:00:00Z since 1970',
      JSON.stringify({ ...event, dt: '2015-02-29T21:00:00Z' }),
    ],
    [
      'dt: is no time such as 2015-02-22T21:00:00Z since 1970',
      JSON.stringify({ ...event, dt: '1969-12-31T23:59:59Z' }),
    ],
    ['dt: is no time such as 2015-02-22T21:00:00Z since 1970', JSON.stringify({ ...event, dt: 'Tue, 22 Feb 2015' })],
  ])('%s', (reason, line) => {
    expect(readActivity(line)).toEqual({ reason })
  })

  test('a touch is read from its five fields', () => {
    expect(readTouch('20\t10\ta/b\t3\tp q')).toEqual({
      event: { arrivedAt: 20_000, at: 10_000, repository: 'a/b', author: '3' },
    })
    for (const line of ['', '1\t2\ta/b\t3', '1\t2\ta/b\t3\t', '1\t2\ta/b\t3\tp\tq'])
      expect(readTouch(line).reason).toContain('five fields')
    expect(readTouch('x\t1\ta/b\t3\tp').reason).toContain('commit time')
    expect(readTouch('1\t-1\ta/b\t3\tp').reason).toContain('author time')
    expect(readTouch('1\t1\t\t3\tp').reason).toContain('repository')
    expect(readTouch('1\t1\ta/b\t\tp').reason).toContain('author:')
  })
})

test.each([1, 2, 3])(
  'a ranking of counts that only grow is exact, whatever was dropped from it before (seed %i)',
  (seed) => {
    const random = new SeededRandom(seed)
    const counts = new Map<string, number>()
    let top: readonly RepositoryEvents[] = []
    for (let step = 0; step < 400; step++) {
      const repository = `r${random.below(25)}`
      const events = (counts.get(repository) ?? 0) + random.between(1, 3)
      counts.set(repository, events)
      top = ranked(top, { repository, events })
      const plain = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 10)
      expect(top.map((one) => [one.repository, one.events])).toEqual(plain)
    }
  },
)

describe('the command line', () => {
  test('accepts every option', () => {
    expect(readOptions(['--input', 'f'])).toMatchObject({
      input: 'f',
      format: 'events',
      withinMs: hourMs,
      graceMs: hourMs,
      dataDir: 'data/github-activity',
      json: false,
    })
    const args = '--input - --format touches --grace 2h30m --data-dir d --json --segment-bytes 65536'.split(' ')
    expect(readOptions(args)).toMatchObject({
      input: '-',
      format: 'touches',
      graceMs: 2.5 * hourMs,
      dataDir: 'd',
      json: true,
      segmentBytes: 65_536,
    })
    expect(readOptions(['--help'])).toBeNull()
    for (const option of ['--input', '--format', '--within', '--grace', '--data-dir', '--json', '--help'])
      expect(help).toContain(option)
    const example = help.split('\n').find((line) => line.trimStart().startsWith('{'))
    expect(readActivity(example ?? '').event).toMatchObject({ repository: 'a/b', type: 'WatchEvent', actor: 'ann' })
  })

  test.each([
    ['--input', ''],
    ['--input', '--json'],
    ['--format', '--input f --format tsv'],
    ['--within', '--input f --format touches --within 1h'],
    ['--within', '--input f --within soon'],
    ['--grace', '--input f --grace -1s'],
    ['--grace', '--input f --grace 1.5h'],
    ['--grace', '--input f --grace 10000d'],
    ['--grace', '--input f --grace='],
    ['--data-dir', '--input f --data-dir='],
    ['--segment-bytes', '--input f --segment-bytes 3'],
    ['--live', '--input f --live'],
  ])('refuses a wrong %s in one line: %s', (named, line) => {
    const call = () => readOptions(line.split(' ').filter((arg) => arg !== ''))
    expect(call).toThrow(JobError)
    expect(call).toThrow(named)
    expect(call).not.toThrow('\n')
  })

  test('runs the job on a compressed file', async () => {
    const lines = madeUpEvents({ seed: 6, lines: 300, lateMs: 1000 })
    const file = join(directory, 'events.jsonl.br')
    await writeFile(file, brotliCompressSync(`${lines.join('\n')}\n`))

    const run = await runCommand(['--json', '--input', file, '--data-dir', fresh()], '', 'github-activity')

    expect(run.code).toBe(0)
    const found = run.output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(sorted(found)).toEqual(sorted(activityAnswers(lines, { withinMs: hourMs, graceMs: hourMs })))
  })

  test('ends with exit code 2 and one line if a file cannot be read', async () => {
    const { code, output, errors } = await runCommand(['--input', '/no/such/file'], '', 'github-activity')
    expect([code, output]).toEqual([2, ''])
    expect(errors).toMatch(/^github-activity: [^\n]*\/no\/such\/file[^\n]*\n$/)
  })
})
