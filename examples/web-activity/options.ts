/** The command line: which options there are, what they mean, and one clear line for a wrong one. */
import { integer, parseArguments, storageArguments, storageHelp, storageOptions } from '../shared/arguments.ts'
import type { StorageOptions } from '../shared/arguments.ts'
import { JobError } from '../shared/job-error.ts'

export interface Options extends StorageOptions {
  /** An access log to read instead of generated traffic; `-` is standard input. */
  readonly input: string | undefined
  readonly live: boolean
  /** Serve a page that shows the live traffic, on this port. */
  readonly page: { readonly port: number } | undefined
  readonly dataDir: string
  readonly seed: number
  readonly events: number
  readonly json: boolean
  readonly emit: 'commit' | 'update'
}

export const help: string = `A day of a shop's traffic, counted while it arrives, exactly once.

  npm start -- [options]

  --input FILE      read an access log in Combined Log Format instead of making
                    traffic up; FILE may end in .gz or .br, - is standard input
  --live            make traffic up at the pace of the clock until Ctrl-C
  --page            with --live: show it on a page in your browser, on 127.0.0.1
  --port N          port of the page (4747); 0 takes any that is free
  --data-dir DIR    where the log and the state are kept (data/web-activity, with
                    --input data/web-activity-log, with --live data/web-activity-live)
  --seed N          which day to make up, 0 to 4294967295 (1)
  --events N        lines in that day, 1 to 10000000 (300000)
  --json            print the answers as JSON lines
  --help            print this

  Run it again with the same options and it goes on where it was. A file that has
  grown is read on; its hours that were closed by then stay as they were, and so
  does its last line, if that was half written.

For tests that kill the job in the middle:
  --emit update           send every update on, not the newest per commit
${storageHelp}`

/**
 * The options in the arguments, or null if help is requested. Throws a {@link JobError} that names the wrong argument.
 */
export function readOptions(args: readonly string[]): Options | null {
  const values = parseArguments(args, {
    input: { type: 'string' },
    live: { type: 'boolean' },
    page: { type: 'boolean' },
    port: { type: 'string' },
    'data-dir': { type: 'string' },
    seed: { type: 'string' },
    events: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
    emit: { type: 'string' },
    ...storageArguments,
  })
  if (values.help) return null
  const { input, live = false, emit = 'commit' } = values
  if (input === '') throw new JobError('--input needs the name of a file')
  if (input !== undefined && live) throw new JobError('--input and --live exclude each other')
  if (values.page && !live) throw new JobError('--page shows live traffic: give --live, too')
  if (values.port !== undefined && !values.page) throw new JobError('--port is for the page: give --page, too')
  const port = integer('port', values.port, 0, 65_535) ?? defaultPort
  for (const name of ['seed', 'events'] as const) {
    if (input !== undefined && values[name] !== undefined)
      throw new JobError(`--${name} is for made-up traffic, not for --input`)
  }
  if (emit !== 'commit' && emit !== 'update') throw new JobError(`--emit ${emit}: use commit or update`)
  if (values['data-dir'] === '') throw new JobError('--data-dir needs the name of a directory')
  return {
    input,
    live,
    page: values.page ? { port } : undefined,
    dataDir: values['data-dir'] ?? defaultDirectory(input, live),
    seed: integer('seed', values.seed, 0, 2 ** 32 - 1) ?? optionDefaults.seed,
    events: integer('events', values.events, 1, 10_000_000) ?? optionDefaults.events,
    json: values.json ?? false,
    emit,
    ...storageOptions(values),
  }
}

export const optionDefaults: { readonly seed: number; readonly events: number } = { seed: 1, events: 300_000 }

const defaultPort = 4747

/** One directory per kind of traffic, so that a real log is not mixed with generated traffic. */
export function defaultDirectory(input: string | undefined, live: boolean): string {
  if (input !== undefined) return 'data/web-activity-log'
  return live ? 'data/web-activity-live' : 'data/web-activity'
}
