/** The command line: what may be said, what it means, and one clear line for what may not. */
import { parseArgs } from 'node:util'
import { JobError } from '../shared/job-error.ts'

export interface Options {
  /** An access log to read instead of making traffic up; `-` is standard input. */
  readonly input: string | undefined
  readonly live: boolean
  readonly dataDir: string
  readonly seed: number
  readonly events: number
  readonly json: boolean
  /** For tests that kill the job: small files, so that many ends of files are crossed. */
  readonly segmentBytes: number | undefined
  readonly journalFileBytes: number | undefined
  readonly checkpointEvery: number | undefined
  readonly commitIntervalMs: number | undefined
  readonly emit: 'commit' | 'update'
}

export const help: string = `A day of a shop's traffic, counted while it arrives, exactly once.

  npm start -- [options]

  --input FILE      read an access log in Combined Log Format instead of making
                    traffic up; FILE may end in .gz or .br, - is standard input
  --live            make traffic up at the pace of the clock until Ctrl-C
  --data-dir DIR    where the log and the state are kept (data/web-activity, with
                    --input data/web-activity-log, with --live data/web-activity-live)
  --seed N          which day to make up, 0 to 4294967295 (1)
  --events N        lines in that day, 1 to 10000000 (300000)
  --json            print the answers as JSON lines
  --help            print this

  Run it again with the same options and it goes on where it was.

For tests that kill the job in the middle:
  --emit update           send every update on, not the newest per commit
  --segment-bytes N       size at which a topic's file is full
  --journal-file-bytes N  size of a journal file
  --checkpoint-every N    commits between checkpoints of the log
  --commit-interval-ms N  time between commits while there is more to do
`

/** What the arguments ask for; null asks for help. Throws a {@link JobError} that names the wrong one. */
export function readOptions(args: readonly string[]): Options | null {
  const values = parse(args)
  if (values.help) return null
  const { input, live = false, emit = 'commit' } = values
  if (input === '') throw new JobError('--input needs the name of a file')
  if (input !== undefined && live) throw new JobError('--input and --live exclude each other')
  for (const name of ['seed', 'events'] as const) {
    if (input !== undefined && values[name] !== undefined)
      throw new JobError(`--${name} is for made-up traffic, not for --input`)
  }
  if (emit !== 'commit' && emit !== 'update') throw new JobError(`--emit ${emit}: use commit or update`)
  if (values['data-dir'] === '') throw new JobError('--data-dir needs the name of a directory')
  return {
    input,
    live,
    dataDir: values['data-dir'] ?? defaultDirectory(input, live),
    seed: integer('seed', values.seed, 0, 2 ** 32 - 1) ?? 1,
    events: integer('events', values.events, 1, 10_000_000) ?? 300_000,
    json: values.json ?? false,
    segmentBytes: integer('segment-bytes', values['segment-bytes'], 1024, 2 ** 30),
    journalFileBytes: integer('journal-file-bytes', values['journal-file-bytes'], 64 * 1024, 2 ** 30),
    checkpointEvery: integer('checkpoint-every', values['checkpoint-every'], 1, 1_000_000),
    commitIntervalMs: integer('commit-interval-ms', values['commit-interval-ms'], 1, 3_600_000),
    emit,
  }
}

/** One directory per kind of traffic, so that a look at a real log does not meet yesterday's made-up one. */
function defaultDirectory(input: string | undefined, live: boolean): string {
  if (input !== undefined) return 'data/web-activity-log'
  return live ? 'data/web-activity-live' : 'data/web-activity'
}

interface Values {
  readonly input?: string
  readonly live?: boolean
  readonly 'data-dir'?: string
  readonly seed?: string
  readonly events?: string
  readonly json?: boolean
  readonly help?: boolean
  readonly emit?: string
  readonly 'segment-bytes'?: string
  readonly 'journal-file-bytes'?: string
  readonly 'checkpoint-every'?: string
  readonly 'commit-interval-ms'?: string
}

function parse(args: readonly string[]): Values {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        input: { type: 'string' },
        live: { type: 'boolean' },
        'data-dir': { type: 'string' },
        seed: { type: 'string' },
        events: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        emit: { type: 'string' },
        'segment-bytes': { type: 'string' },
        'journal-file-bytes': { type: 'string' },
        'checkpoint-every': { type: 'string' },
        'commit-interval-ms': { type: 'string' },
      },
    })
    return values
  } catch (error) {
    // Node explains at length; its first sentence names the option.
    const message = error instanceof Error ? error.message : String(error)
    throw new JobError(`${message.split(/\. |\.?(\n|$)/)[0]}; --help lists what there is`)
  }
}

function integer(name: string, text: string | undefined, low: number, high: number): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  if (value >= low && value <= high) return value
  throw new JobError(`--${name} ${text}: use a whole number from ${low} to ${high}`)
}
