/** The command line of a job: which options there are, and one clear line for a wrong one. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { JobError } from './job-error.ts'

type Values<Options extends ParseArgsOptionsConfig> = {
  readonly [Name in keyof Options]?: Options[Name] extends { readonly type: 'boolean' } ? boolean : string
}

/** The text given for each option. Throws a {@link JobError} that names the wrong option. */
export function parseArguments<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
): Values<Options> {
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    // Node's message is long, but its first sentence names the option.
    const message = error instanceof Error ? error.message : String(error)
    const [, ambiguous] = /^Option '(--[a-z-]+)[^']*' argument is ambiguous/.exec(message) ?? []
    if (ambiguous !== undefined)
      throw new JobError(`${ambiguous} needs a value; write ${ambiguous}=VALUE where it begins with -`)
    throw new JobError(`${message.split(/\. |\.?(\n|$)/)[0]}; --help lists what there is`)
  }
}

/** The integer value of an option; undefined if it was not given. */
export function integer(name: string, text: string | undefined, low: number, high: number): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  if (value >= low && value <= high) return value
  throw new JobError(`--${name} ${text}: use a whole number from ${low} to ${high}`)
}

/** How a job stores its files and how often it commits; used only by tests that kill it. */
export interface StorageOptions {
  readonly segmentBytes: number | undefined
  readonly journalFileBytes: number | undefined
  readonly checkpointEvery: number | undefined
  readonly commitIntervalMs: number | undefined
}

type TextOption = { readonly type: 'string' }

export const storageArguments: {
  readonly 'segment-bytes': TextOption
  readonly 'journal-file-bytes': TextOption
  readonly 'checkpoint-every': TextOption
  readonly 'commit-interval-ms': TextOption
} = {
  'segment-bytes': { type: 'string' },
  'journal-file-bytes': { type: 'string' },
  'checkpoint-every': { type: 'string' },
  'commit-interval-ms': { type: 'string' },
}

export const storageHelp: string = `  --segment-bytes N       size at which a topic's file is full
  --journal-file-bytes N  size of a journal file
  --checkpoint-every N    commits between checkpoints of the log
  --commit-interval-ms N  time between commits while there is more to do
`

export function storageOptions(values: Values<typeof storageArguments>): StorageOptions {
  return {
    segmentBytes: integer('segment-bytes', values['segment-bytes'], 1024, 2 ** 30),
    journalFileBytes: integer('journal-file-bytes', values['journal-file-bytes'], 64 * 1024, 2 ** 30),
    checkpointEvery: integer('checkpoint-every', values['checkpoint-every'], 1, 1_000_000),
    commitIntervalMs: integer('commit-interval-ms', values['commit-interval-ms'], 1, 3_600_000),
  }
}
