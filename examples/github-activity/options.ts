/** The command line: which options there are, what they mean, and one clear line for a wrong one. */
import {
  parseArguments,
  storageArguments,
  storageHelp,
  storageOptions,
  type StorageOptions,
} from '../shared/arguments.ts'
import { JobError } from '../shared/job-error.ts'
import type { Format } from './sources.ts'

export interface Options extends StorageOptions {
  /** `-` is standard input. */
  readonly input: string
  readonly format: Format
  /** How far apart a watch and a fork may be. */
  readonly withinMs: number
  /** How late an event may arrive and still be counted. */
  readonly graceMs: number
  readonly dataDir: string
  readonly json: boolean
}

export const help: string = `Events of GitHub, counted, put into sessions, joined and ranked, exactly once.

  npm run github -- --input FILE [options]

  --input FILE      JSON lines with dt, repo, type and actor; FILE may end in .gz
                    or .br, - is standard input
  --format FORMAT   events (default), or touches: lines of commit time, author
                    time, repository, author and path between tabs
  --within TIME     how far apart a watch and a fork of the same actor and
                    repository may be (1h): 90s, 10m, 1h30m
  --grace TIME      how late an event may come and still be counted (1h)
  --data-dir DIR    where the log and the state are kept (data/github-activity,
                    with --format touches data/git-touches)
  --json            print the answers as JSON lines
  --help            print this

  A line of events, in which other fields are ignored:
  {"dt":"2015-02-22T21:00:00Z","repo":"a/b","type":"WatchEvent","actor":"ann"}

  Run it again with the same options and it goes on where it was.

For tests that kill the job in the middle:
${storageHelp}`

/**
 * The options in the arguments, or null if help is requested. Throws a {@link JobError} that names the wrong argument.
 */
export function readOptions(args: readonly string[]): Options | null {
  const values = parseArguments(args, {
    input: { type: 'string' },
    format: { type: 'string' },
    within: { type: 'string' },
    grace: { type: 'string' },
    'data-dir': { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
    ...storageArguments,
  })
  if (values.help) return null
  const { input, format = 'events', within } = values
  if (input === undefined || input === '')
    throw new JobError('--input FILE is missing: name a file of events, or - for standard input; --help lists the rest')
  if (format !== 'events' && format !== 'touches') throw new JobError(`--format ${format}: use events or touches`)
  if (format === 'touches' && within !== undefined)
    throw new JobError('--within is for watches and forks, not for --format touches')
  if (values['data-dir'] === '') throw new JobError('--data-dir needs the name of a directory')
  return {
    input,
    format,
    withinMs: durationMs('within', within ?? '1h'),
    graceMs: durationMs('grace', values.grace ?? '1h'),
    dataDir: values['data-dir'] ?? (format === 'touches' ? 'data/git-touches' : 'data/github-activity'),
    json: values.json ?? false,
    ...storageOptions(values),
  }
}

const unitMs: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const durationMsMax = 9999 * 86_400_000

/** The milliseconds of a length of time, up to 9,999 days, which is more than any file covers. */
function durationMs(name: string, text: string): number {
  let ms = /^(\d{1,15}(ms|s|m|h|d))+$/.test(text) ? 0 : NaN
  for (const [, count, unit = ''] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) ms += Number(count) * (unitMs[unit] ?? NaN)
  if (ms <= durationMsMax) return ms
  throw new JobError(`--${name} ${text}: use a length of time such as 500ms, 90s, 10m, 1h30m or 7d, up to 9999d`)
}
