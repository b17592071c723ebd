import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliDecompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JobError } from '../../examples/shared/job-error.ts'
import type { SourceLine } from '../../examples/shared/line-loader.ts'
import { openLines } from '../../examples/shared/lines.ts'
import { accessLog, generatedDay } from '../../examples/web-activity/lines/sources.ts'
import { pageRows, shopDay, userRows } from '../../examples/web-activity/traffic/shop.ts'
import { traffic } from '../../examples/web-activity/traffic/traffic.ts'
import { accessLogAnswers, type AnswerRow, shopAnswers } from './plain-oracle.ts'
import { answersFrom, answersOf, ended, type Run, runJob, sorted, startJob } from './run-job.ts'

let directory = ''
let directories = 0
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'millrace-job-'))))
afterAll(() => rm(directory, { recursive: true, force: true }))
const fresh = (): string => join(directory, `data-${directories++}`)

/** A day that is counted once, for the tests that only run the job on it again. */
interface CountedDay {
  readonly dataDir: string
  readonly args: readonly string[]
  readonly first: Run
}
const countedSeed = { seed: 6, events: 1500 }
let counted: Promise<CountedDay> | null = null
function countedDay(): Promise<CountedDay> {
  counted ??= (async (): Promise<CountedDay> => {
    const dataDir = fresh()
    const args = `--seed ${countedSeed.seed} --events ${countedSeed.events} --data-dir ${dataDir}`.split(' ')
    return { dataDir, args, first: await runJob([...args, '--json']) }
  })()
  return counted
}

async function* pieces(...texts: readonly (readonly string[])[]): AsyncGenerator<readonly string[]> {
  yield* texts
}

function shopDayAnswers({ seed, events }: { readonly seed: number; readonly events: number }): AnswerRow[] {
  const tables = { users: userRows({ seed, dayStart: shopDay }), pages: pageRows }
  return shopAnswers(traffic({ seed, events, dayStart: shopDay }), tables)
}

const sharedLog = fileURLToPath(new URL('../../../shared/data/apache_logs.br', import.meta.url))

describe('the answers about a generated day', () => {
  test.each([
    [1, 1],
    [2, 300],
    [4, 20_000],
  ])('of seed %i with %i lines equal those of a plain loop', async (seed, events) => {
    const answers = await answersFrom(generatedDay({ seed, events }), { dataDir: fresh() })

    expect(sorted(answers)).toEqual(sorted(shopDayAnswers({ seed, events })))
  })

  test('contain bots, alerts and accounts if the day has enough lines', () => {
    const rows = shopDayAnswers({ seed: 4, events: 20_000 })

    expect(rows).toContainEqual({ answer: 'bots-per-rule', rule: 'rate', events: expect.any(Number) })
    expect(rows.filter(({ answer, to }) => answer === 'alerts' && to !== null)).not.toEqual([])
    for (const segment of ['guest', 'member', 'gold'])
      expect(rows.some((row) => row['answer'] === 'views-per-category' && Number(row[segment]) > 0)).toBe(true)
  })

  test('are the same with emit update and with small segments, journal files and checkpoints', async () => {
    const small = { segmentBytes: 64 * 1024, journalFileBytes: 256 * 1024, checkpointEvery: 5 }
    const source = generatedDay({ seed: 5, events: 2500 })
    const answers = await answersFrom(source, { dataDir: fresh(), emit: 'update', ...small })

    expect(sorted(answers)).toEqual(sorted(shopDayAnswers({ seed: 5, events: 2500 })))
  })

  test('do not change when the job runs again, which prints that the lines were loaded before', async () => {
    const { args, first } = await countedDay()

    const second = await runJob([...args, '--json'])

    expect(answersOf(second)).toEqual(answersOf(first))
    expect(first.errors).not.toContain('1,500 lines were loaded before')
    expect(second.errors).toContain('1,500 lines were loaded before')
  })

  test('do not change when the job is killed in the middle and runs again', async () => {
    const args = `--json --seed 7 --events 4000 --data-dir ${fresh()}`.split(' ')
    for (const delayMs of [500, 900]) {
      const job = startJob(args)
      const end = ended(job)
      const kill = setTimeout(() => job.kill('SIGKILL'), delayMs)
      await end
      clearTimeout(kill)
    }

    const run = await runJob(args)

    expect(sorted(answersOf(run))).toEqual(sorted(shopDayAnswers({ seed: 7, events: 4000 })))
  })

  test('do not change when the job is stopped by a signal in the middle, with exit code 0, and runs again', async () => {
    const args = `--json --seed 9 --events 4000 --data-dir ${fresh()}`.split(' ')
    const job = startJob(args)
    const end = ended(job)
    let stopping = false
    job.stderr.on('data', (text: string) => {
      if (!stopping && text.includes('counting')) stopping = job.kill('SIGTERM')
    })
    const stopped = await end

    const run = await runJob(args)

    expect(stopped.code).toBe(0)
    expect(stopped.errors).toContain('Run it again')
    expect(stopped.output).toBe('')
    expect(sorted(answersOf(run))).toEqual(sorted(shopDayAnswers({ seed: 9, events: 4000 })))
  })

  test('are printed as tables, followed by commands to try next', async () => {
    const { args } = await countedDay()

    const { code, output } = await runJob(args)

    expect(code).toBe(0)
    for (const title of [
      'What arrived',
      'Views per page',
      'Views per region',
      'Most viewed pages',
      'Sessions',
      'Funnel',
      'Views per category',
      'Try next',
    ])
      expect(output).toContain(title)
    expect(output).not.toContain('tick')
    expect(output).not.toContain('\x1b')
  })
})

const agents = ['Firefox/133.0', 'Googlebot/2.1', 'FeedBurner/1.0']
/** Lines of an access log, some malformed and some out of order. */
const log = Array.from({ length: 1200 }, (_, index) => {
  if (index % 97 === 5) return 'half a li'
  const time = new Date(Date.UTC(2024, 1, 28, 23) + index * 2000 - (index % 40) * 1000).toUTCString()
  const [, day, month, year, clock] = time.split(' ')
  const client = `10.0.${index % 7}.${index % 23}`
  return `${client} - - [${day}/${month}/${year}:${clock} +0000] "GET /p${index % 5}?q HTTP/1.1" ${200 + (index % 3) * 102} 5 "-" "${agents[index % 3]}"`
})

describe('the answers about an access log', () => {
  test.skipIf(!existsSync(sharedLog))(
    'of a real site equal those of a plain loop (skipped where ../shared is absent)',
    async () => {
      const text = brotliDecompressSync(readFileSync(sharedLog)).toString()

      const run = await runJob(['--json', '--input', sharedLog, '--data-dir', fresh()])

      const rows = answersOf(run)
      expect(sorted(rows)).toEqual(sorted(accessLogAnswers(text)))
      const counts = (answer: string) => rows.filter((row) => row.answer === answer)
      expect(rows[0]).toMatchObject({ lines: 10_000, malformed: 1, bots: 2053 })
      expect(counts('requests-per-status')).toContainEqual({
        answer: 'requests-per-status',
        status: 200,
        requests: 9125,
      })
      expect(counts('requests-per-client').length).toBe(1753)
      expect(counts('requests-per-minute').length).toBe(84)
      expect(Math.max(...counts('requests-per-minute').map((row) => Number(row.requests)))).toBe(136)
    },
  )

  test('are the same for a plain file, a compressed one and standard input', async () => {
    const text = `${log.join('\n')}\n`
    const expected = sorted(accessLogAnswers(text))
    await writeFile(join(directory, 'a.log'), text)
    await writeFile(join(directory, 'a.log.gz'), gzipSync(text))

    const linesOf = async (name: string): Promise<readonly SourceLine[]> => {
      const all: SourceLine[] = []
      const source = await accessLog(name, await openLines(join(directory, name)))
      for await (const piece of source.lines()) all.push(...piece)
      return all
    }
    const plain = await linesOf('a.log')
    expect(plain.map(({ line }) => line)).toEqual(log)
    expect(await linesOf('a.log.gz')).toEqual(plain)
    const piped = await runJob(['--json', '--input', '-', '--data-dir', fresh()], text)
    expect(sorted(answersOf(piped))).toEqual(expected)
  })

  test('have no rows if the log is empty', async () => {
    const path = join(directory, 'empty.log')
    await writeFile(path, '')
    const told: string[] = []
    const status = { update: () => undefined, finish: (sentence: string) => void told.push(sentence) }

    expect(await answersFrom(await accessLog(path, await openLines(path)), { dataDir: fresh(), status })).toEqual([
      { answer: 'totals', lines: 0, malformed: 0, duplicates: 0, bots: 0, events: {} },
    ])
    expect(told).toEqual([`No line yet: the access log ${path}.`, 'Everything is counted: nothing was left to do.'])
  })

  test('include the lines that were added since the last run', async () => {
    const dataDir = fresh()
    const source = (lines: readonly string[]) => accessLog('grown.log', pieces(lines))
    await answersFrom(await source([]), { dataDir })
    await answersFrom(await source(log.slice(0, 500)), { dataDir })

    const rows = await answersFrom(await source(log), { dataDir })

    const requests = (all: readonly { readonly [field: string]: unknown }[]) =>
      sorted(all.filter(({ answer }) => String(answer).startsWith('requests-') || answer === 'totals'))
    expect(requests(rows)).toEqual(requests(accessLogAnswers(log.join('\n'))))
  })

  test('are complete after a stop that waited for neither standard input nor a reader of the status', async () => {
    const dataDir = fresh()
    const job = startJob(['--json', '--input', '-', '--data-dir', dataDir])
    const { promise: end, resolve } = Promise.withResolvers<number | null>()
    job.on('close', resolve)
    job.stdin.write(`${log.slice(0, 300).join('\n')}\n`)
    await new Promise<void>((seen) => void job.stderr.once('data', () => seen()))
    job.stderr.destroy()
    job.kill('SIGINT')
    expect(await end).toBe(0)

    const rows = await answersFrom(await accessLog('whole.log', pieces(log.slice(0, 600))), { dataDir })

    expect(rows[0]).toMatchObject({ answer: 'totals', lines: 600 })
  })
})

describe('a mistake of the user ends the job with exit code 2 and one line', () => {
  test.each([
    ['a wrong option', ['--frobnicate'], '--frobnicate'],
    ['an unreadable file', ['--input', '/no/such/file'], '/no/such/file'],
  ])('%s', async (_, args, named) => {
    const { code, output, errors } = await runJob(args)

    expect(code).toBe(2)
    expect(output).toBe('')
    expect(errors).toMatch(/^web-activity: [^\n]+\n$/)
    expect(errors).toContain(named)
  })

  test('a data directory that is a file, even while standard input stays open', async () => {
    const job = startJob(['--input', '-', '--data-dir', fileURLToPath(import.meta.url)])
    const end = ended(job)
    job.stdin.write(`${log[0]}\n`)

    const { code, output, errors } = await end

    expect(code).toBe(2)
    expect(output).toBe('')
    expect(errors).toMatch(/^web-activity: cannot open --data-dir [^\n]+\n$/)
  })

  test('a data directory in use, and the job that uses it continues', async () => {
    const dataDir = fresh()
    const args = `--live --json --data-dir ${dataDir}`.split(' ')
    const running = startJob(args)
    const end = ended(running)
    await new Promise<void>((resolve) => void running.stderr.once('data', () => resolve()))

    const { code, errors } = await runJob(args)

    expect(code).toBe(2)
    expect(errors).toMatch(/^web-activity: [^\n]*in use[^\n]*\n$/)
    running.kill('SIGINT')
    expect(answersOf(await end)[0]).toMatchObject({ answer: 'totals' })
  })

  test('a data directory with the lines of another source, which stays unchanged', async () => {
    const { dataDir, first } = await countedDay()

    const other = answersFrom(generatedDay({ seed: 9, events: 500 }), { dataDir })

    await expect(other).rejects.toThrow(JobError)
    await expect(other).rejects.toThrow(/^--data-dir [^\n]*seed=6[^\n]*$/)
    expect(await answersFrom(generatedDay(countedSeed), { dataDir })).toEqual(answersOf(first))
  })
})

test('--help prints the options and exits with 0', async () => {
  const { code, output } = await runJob(['--help'])
  expect(code).toBe(0)
  expect(output).toContain('--data-dir')
})
